//! The drivers over real sockets and a pseudo-terminal.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    Amperes, Celsius, Nanometres, Watts,
    emulate::{
        Device, Emulator, FaultPlan, Line, Pty,
        scpi::{EmulatedMtd415t, EmulatedPowerMeter, ScpiDevice},
    },
    link::{Connector, Port},
    scpi::{AveragingTime, KeysightPowerMeter, Mtd415t, PowerRange, ScpiError, TemperatureLimits},
};
use tokio::net::TcpListener;

async fn on_tcp(device: impl Device + 'static) -> (Arc<dyn Connector>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port: Port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let emulator = Emulator::new(device, Line::default(), FaultPlan::default());
    let server = tokio::spawn(async move { emulator.serve_tcp(listener).await.unwrap() });
    (Arc::new(port), server)
}

#[tokio::test]
async fn the_power_meter_is_read_over_tcp() {
    let lit = EmulatedPowerMeter::new(8, 1).lit_by(|port, _| Watts(f64::from(port) * 1e-6));
    let (port, _server) = on_tcp(ScpiDevice::new(lit)).await;
    let mut meter = KeysightPowerMeter::connect(port).await.unwrap();
    for port in 1..=8 {
        let averaging = AveragingTime(Duration::from_millis(1));
        meter.configure(port, Nanometres(1550.0), averaging, PowerRange::Auto).await.unwrap();
    }
    for _ in 0..20 {
        for one in meter.read_all().await.unwrap() {
            assert!((one.power.unwrap().0 / (f64::from(one.port) * 1e-6) - 1.0).abs() < 1e-7);
        }
    }
    assert_eq!(meter.instrument().statistics().retries, 0);
}

#[tokio::test]
async fn a_server_that_dies_is_lost_and_not_a_reading() {
    let (port, server) = on_tcp(ScpiDevice::new(EmulatedPowerMeter::new(4, 1))).await;
    let mut meter = KeysightPowerMeter::connect(port).await.unwrap();
    let averaging = AveragingTime(Duration::from_millis(1));
    meter.configure(1, Nanometres(1550.0), averaging, PowerRange::Auto).await.unwrap();
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert!(matches!(meter.read(1).await, Err(ScpiError::Link(_))));
}

#[tokio::test]
async fn the_controller_is_read_over_a_pseudo_terminal() {
    let pty = Pty::open().unwrap();
    let port: Port = pty.path().display().to_string().parse().unwrap();
    let device = EmulatedMtd415t::new(1).cooling(|state, _| state.setpoint).answering_settings();
    let emulator = Emulator::new(device, Line { baud: 115_200, latency_ms: 1 }, FaultPlan::default());
    let served = emulator.clone();
    let _server = tokio::spawn(async move { served.serve_pty(pty, |_| ()).await });
    let limits = TemperatureLimits { lowest: Celsius(15.0), highest: Celsius(40.0), current: Amperes(1.5) };
    let mut controller = Mtd415t::connect(Arc::new(port), limits).await.unwrap();
    controller.set_current_limit(Amperes(1.25)).await.unwrap();
    controller.set_temperature(Celsius(28.125)).await.unwrap();
    assert_eq!(controller.temperature().await.unwrap(), Celsius(28.125));
    let settings = emulator.device().settings();
    assert_eq!((settings.setpoint, settings.current_limit), (28_125, 1250));
}
