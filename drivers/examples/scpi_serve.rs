//! Emulated bench instruments on local ports, for other people's clients.
//!
//! Prints one line of JSON (name of each instrument and where it is), then serves until it is stopped.

#![expect(clippy::print_stdout, reason = "the ports are what the user needs")]

use std::{collections::BTreeMap, error::Error};

use alora_drivers::{
    Celsius, Watts,
    emulate::{
        Device, Emulator, FaultPlan, Line, Pty,
        scpi::{
            EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
            ScpiDevice,
        },
    },
    scpi::CommandSet,
};
use tokio::net::TcpListener;

fn instruments() -> Vec<(&'static str, Box<dyn Device>)> {
    // Port n sees n µW, but the fourth more than the lowest range takes.
    let light = |port: u16, _| Watts(if port == 4 { 1e-3 } else { f64::from(port) * 1e-6 });
    let meter = EmulatedPowerMeter::new(8, 1).lit_by(light).listing(vec![2, 1, 3, 4, 5, 6, 8, 7]);
    vec![
        ("power_meter", Box::new(ScpiDevice::new(meter))),
        ("source_meter", Box::new(ScpiDevice::new(EmulatedKeithley2450::new(2)))),
        ("laser_scpi", Box::new(ScpiDevice::new(EmulatedTsl570::new(CommandSet::Scpi, 3)))),
        ("laser_legacy", Box::new(ScpiDevice::new(EmulatedTsl570::new(CommandSet::Legacy, 4)))),
        ("red_pitaya", Box::new(ScpiDevice::new(EmulatedRedPitaya::new(5)))),
    ]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut places = BTreeMap::new();
    for (name, device) in instruments() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        places.insert(name, listener.local_addr()?.to_string());
        let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
        tokio::spawn(async move { emulator.serve_tcp(listener).await });
    }
    let controller =
        EmulatedMtd415t::new(6).cooling(|state, _| Celsius(state.setpoint.0 + 0.003)).answering_settings();
    let pty = Pty::open()?;
    places.insert("controller", pty.path().display().to_string());
    println!("{}", serde_json::to_string(&places)?);
    let emulator = Emulator::new(controller, Line::default(), FaultPlan::default());
    emulator.serve_pty(pty, |_| ()).await?;
    Ok(())
}
