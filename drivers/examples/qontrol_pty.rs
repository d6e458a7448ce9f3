//! An emulated chain of Qontrol modules on a pseudo-terminal, for the vendor's own client or any other.
//!
//! Usage: `qontrol_pty [Q8iv|Q8b|S8i]...`; prints the port, then serves until it is stopped.

#![expect(clippy::print_stdout, reason = "the port is what the user needs")]

use std::error::Error;

use alora_drivers::{
    emulate::{Emulator, FaultPlan, Line, Pty, qontrol::QontrolChain},
    qontrol::ModuleKind,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut kinds =
        std::env::args().skip(1).map(|kind| kind.parse()).collect::<Result<Vec<ModuleKind>, _>>()?;
    if kinds.is_empty() {
        kinds.push(ModuleKind::Q8iv);
    }
    let mut chain = QontrolChain::new(&kinds);
    // One channel with nothing connected, for whoever wants to see an error.
    chain.load(kinds.len() * 8 - 1, f64::INFINITY);
    let pty = Pty::open()?;
    println!("{}", pty.path().display());
    let emulator = Emulator::new(chain, Line::default(), FaultPlan::default());
    emulator.serve_pty(pty, |path| println!("{}", path.display())).await?;
    Ok(())
}
