//! A board under the rules of its station, over TCP: limits of single actuators, sums, ramps, interlocks.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, BackendErrorKind, FaultClass, InputBatch, PhotonicBackend, contract,
    emulate::play,
    link::PortAccess,
    station::{Station, connect},
};
use ndarray::Array2;

async fn board(rules: &str) -> Box<dyn PhotonicBackend> {
    let text = format!(
        "name = \"rules\"\nchip.preset = \"incoherent-mzi-4x4\"\n[emulate.device.board]\nserve = \"tcp\"\n\
         [device.board]\nprotocol = \"board\"\nport = \"tcp:127.0.0.1:1\"\n{rules}"
    );
    let mut station: Station = toml::from_str(&text).unwrap();
    station.check().unwrap();
    let served = play(&station).unwrap().remove(0).open().await.unwrap();
    let port = format!("tcp:{}", served.announcement().address.clone().unwrap());
    station.set_port("board", port.parse().unwrap()).unwrap();
    tokio::spawn(served.serve(|_| {}));
    connect(&station, &PortAccess::of("test")).await.unwrap()
}

fn few(codes: &[u16]) -> ActuatorFrame {
    let mut frame = ActuatorFrame::zeros(16);
    frame.0[..codes.len()].copy_from_slice(codes);
    frame
}

#[tokio::test]
async fn the_contract_is_kept_with_ramps() {
    let rules = "step = 0.2\nsettle_s = 0.0\nlimit = 250\nchannel = [{ index = 3, limit = 100 }]";
    assert_eq!(contract::check(async || board(rules).await).await, Ok(()));
}

#[tokio::test]
async fn an_actuator_has_a_limit_of_its_own() {
    let mut backend = board("channel = [{ index = 3, limit = 100 }]").await;
    let error = backend.apply(&few(&[0, 0, 0, 101])).await.unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::OverLimit { actuator: 3, code: 101, limit: 100 });
    let _ = backend.apply(&few(&[255, 0, 0, 100])).await.unwrap();
}

#[tokio::test]
async fn more_power_than_allowed_is_refused_whole() {
    let mut backend = board("total_power = 2.0").await;
    let held = few(&[255, 255]);
    let _ = backend.apply(&held).await.unwrap();
    let error = backend.apply(&few(&[255, 255, 10])).await.unwrap_err();
    let limit = |fault: &alora_drivers::InstrumentFault| fault.class == FaultClass::Limit;
    assert!(matches!(&error.kind, BackendErrorKind::Instrument(fault) if limit(fault)), "{}", error.kind);
    assert_eq!(backend.read_back().await.unwrap(), held);
}

#[tokio::test]
async fn a_condition_that_is_not_met_blocks_apply_and_execute() {
    let condition = "interlock = [{ condition = \"temperature\", min = \"40 °C\", max = \"50 °C\", hysteresis = \"1 °C\" }]";
    let mut backend = board(condition).await;
    let blocked = |kind: &BackendErrorKind| matches!(kind, BackendErrorKind::Interlock { .. });
    assert!(blocked(&backend.apply(&few(&[9])).await.unwrap_err().kind));
    let inputs = InputBatch(Array2::zeros((1, 4)));
    assert!(blocked(&backend.execute(&inputs, 1).await.unwrap_err().kind));
    assert_eq!(backend.read_back().await.unwrap(), few(&[]));
    let mut lit = board(&condition.replace("40", "20").replace("50", "30")).await;
    let _ = lit.apply(&few(&[9])).await.unwrap();
    lit.execute(&inputs, 1).await.unwrap();
}
