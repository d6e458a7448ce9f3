//! The contract over real ports: pseudo-terminals and TCP, in real time, also on a bad cable.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use alora_drivers::{
    ActuatorFrame, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    contract,
    emulate::{BoardDevice, ByteFaultKind, Emulator, FaultPlan, Line, Pty},
    link::Port,
    mock::{Script, Spec, incoherent},
    station::Chip,
};
use tokio::net::TcpListener;

const PRESET: &str = "incoherent-mzi-16x16";

fn board(plan: FaultPlan) -> Emulator<BoardDevice> {
    let spec = Spec::Incoherent(incoherent::preset(PRESET).unwrap());
    Emulator::new(BoardDevice::new(spec, 3, Script::default()).unwrap(), Line::default(), plan)
}

async fn connected(port: Port) -> Box<dyn PhotonicBackend> {
    let chip = Chip { preset: Some(PRESET.to_owned()), described: None };
    let nominal = chip.nominal().unwrap();
    let options = BoardOptions { nominal, watchdog_ms: 2000, link: LinkOptions::default() };
    Box::new(BoardBackend::connect(Arc::new(port), options).await.unwrap())
}

fn on_a_pty(plan: FaultPlan) -> Port {
    let pty = Pty::open().unwrap();
    let port = pty.path().display().to_string().parse().unwrap();
    tokio::spawn(async move { board(plan).serve_pty(pty, |_| {}).await });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_over_a_pseudo_terminal() {
    let connect = async || connected(on_a_pty(FaultPlan::default())).await;
    assert_eq!(contract::check(connect).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_over_tcp() {
    let connect = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { board(FaultPlan::default()).serve_tcp(listener).await });
        connected(port).await
    };
    assert_eq!(contract::check(connect).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_cable_costs_time_and_nothing_else() {
    for kind in [ByteFaultKind::Drop, ByteFaultKind::Flip, ByteFaultKind::Duplicate, ByteFaultKind::Insert] {
        let mut backend = connected(on_a_pty(FaultPlan::bytes(kind, 0.0003, 4))).await;
        for salt in 0..10_u16 {
            let codes = (0..backend.descriptor().limits.len() as u16).map(|index| (index * 7 + salt) % 256);
            let frame = ActuatorFrame(codes.collect());
            assert!(backend.apply(&frame).await.unwrap().verified, "{kind:?}");
            assert_eq!(backend.read_back().await.unwrap(), frame, "{kind:?}");
        }
    }
}
