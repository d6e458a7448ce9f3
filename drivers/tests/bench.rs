//! A bench of instruments over its emulators, on real pseudo-terminals and TCP ports.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, BackendErrorKind, FaultClass, InputBatch, PhotonicBackend, contract,
    emulate::play,
    link::PortAccess,
    station::{Station, connect},
};
use ndarray::Array2;

const STATION: &str = include_str!("../../configs/emulated-bench.toml");

/// The station with other values, each device on the port where it is played.
async fn played(change: impl Fn(&mut toml::Table)) -> Station {
    let mut table: toml::Table = toml::from_str(STATION).unwrap();
    change(&mut table);
    let mut station: Station = table.try_into().unwrap();
    station.check().unwrap();
    for device in play(&station).unwrap() {
        let served = device.open().await.unwrap();
        let place = served.announcement().clone();
        let port = place.path.unwrap_or_else(|| format!("tcp:{}", place.address.unwrap()));
        station.set_port(&place.name, port.parse().unwrap()).unwrap();
        tokio::spawn(served.serve(|_| {}));
    }
    station
}

fn set(table: &mut toml::Table, path: &str, value: impl Into<toml::Value>) {
    let (parents, key) = path.rsplit_once('.').unwrap();
    let table = parents.split('.').fold(table, |table, name| {
        table.entry(name).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap()
    });
    table.insert(key.to_owned(), value.into());
}

async fn bench(change: impl Fn(&mut toml::Table)) -> Box<dyn PhotonicBackend> {
    connect(&played(change).await, &PortAccess::of("test")).await.unwrap()
}

fn frame(backend: &dyn PhotonicBackend, salt: u16) -> ActuatorFrame {
    let codes = 0..backend.descriptor().limits.len() as u16;
    ActuatorFrame(codes.map(|index| (index * 37 + salt * 11) % 256).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_by_a_bench_of_instruments() {
    assert_eq!(contract::check(async || bench(|_| ()).await).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bench_of_emulated_instruments_says_that_it_is_simulated() {
    assert!(bench(|_| ()).await.descriptor().simulated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_follow_weights_and_inputs() {
    let mut backend = bench(|_| ()).await;
    let one_hot = InputBatch(Array2::from_shape_fn((4, 4), |(row, col)| if row == col { 255 } else { 0 }));
    let read = async |backend: &mut Box<dyn PhotonicBackend>, code: u16| {
        let _ = backend.apply(&ActuatorFrame(vec![code; 16])).await.unwrap();
        let readout = backend.execute(&one_hot, 1).await.unwrap();
        assert!((readout.temperature.0 - 25.0).abs() < 0.3, "{:?}", readout.temperature);
        readout.counts.iter().map(|&count| f64::from(count)).sum::<f64>() / 16.0
    };
    let (low, high) = (read(&mut backend, 0).await, read(&mut backend, 255).await);
    // Full drive turns each interferometer over: from one diode of its pair to the other.
    assert!(low * high < 0.0 && (low - high).abs() > 60.0, "{low}, {high}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_power_above_its_limit_is_refused_and_the_outputs_stay() {
    let mut backend = bench(|table| set(table, "device.heaters.limits.total_power", "100 mW")).await;
    let few = ActuatorFrame((0..16).map(|index| if index < 3 { 255 } else { 0 }).collect());
    let _ = backend.apply(&few).await.unwrap();
    let error = backend.apply(&ActuatorFrame(vec![255; 16])).await.unwrap_err();
    let BackendErrorKind::Instrument(fault) = &error.kind else { unreachable!("{error}: {}", error.kind) };
    assert_eq!((fault.device.as_str(), fault.class), ("heaters", FaultClass::Limit));
    assert!(fault.reason.contains("nothing was sent"), "{}", fault.reason);
    assert_eq!(backend.read_back().await.unwrap(), few);
    backend.execute(&InputBatch(Array2::zeros((1, 4))), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temperature_that_is_not_locked_blocks_before_anything_is_written() {
    let station = played(|table| {
        set(table, "device.tec.lock_kelvin", 0.001);
        set(table, "device.tec.settle_s", 0.0);
    })
    .await;
    let error = connect(&station, &PortAccess::of("test")).await.err().unwrap();
    assert!(error.kind.to_string().contains("the set point is 25"), "{}", error.kind);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_light_is_an_interlock_and_leaves_the_outputs_alone() {
    let mut backend = bench(|table| set(table, "device.laser.power_milliwatt", 5.0)).await;
    let error = backend.apply(&frame(&*backend, 1)).await.unwrap_err();
    assert!(
        matches!(&error.kind, BackendErrorKind::Interlock { condition } if condition.contains("laser_power"))
    );
    assert_eq!(backend.read_back().await.unwrap(), ActuatorFrame(vec![0; 16]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_chip_gives_the_same_counts_on_every_wire() {
    let vectors =
        InputBatch(Array2::from_shape_fn((6, 4), |(row, col)| ((row * 83 + col * 41) % 256) as i32));
    let mut told = Vec::new();
    for serve in ["pty", "tcp"] {
        let mut backend = bench(|table| {
            for device in ["heaters", "modulators", "meter", "laser", "tec"] {
                set(table, &format!("emulate.device.{device}.serve"), serve);
            }
        })
        .await;
        let _ = backend.apply(&frame(&*backend, 3)).await.unwrap();
        told.push(backend.execute(&vectors, 3).await.unwrap().counts);
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_was_reset_is_told_and_parking_mends_it() {
    let mut backend = bench(|table| {
        let reset: toml::Table = toml::from_str("events = [{ at_request = 200, kind = \"reset\" }]").unwrap();
        set(table, "emulate.device.heaters.faults", reset);
    })
    .await;
    let mut seen = None;
    for salt in 0..60 {
        if let Err(error) = backend.apply(&frame(&*backend, salt)).await {
            seen = Some(error.kind);
            break;
        }
    }
    assert!(matches!(seen, Some(BackendErrorKind::Rebooted { .. })), "{seen:?}");
    let unknown = backend.execute(&InputBatch(Array2::zeros((1, 4))), 1).await.unwrap_err();
    assert_eq!(unknown.kind, BackendErrorKind::OutputsUnknown);
    backend.park().await.unwrap();
    let wanted = frame(&*backend, 9);
    assert!(backend.apply(&wanted).await.unwrap().verified);
    assert_eq!(backend.read_back().await.unwrap(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_cables_cost_time_and_nothing_else() {
    let mut backend = bench(|table| {
        let plan =
            "seed = 3\nbytes = [{ kind = \"drop\", rate = 0.0005 }, { kind = \"flip\", rate = 0.0005 }]";
        for device in ["heaters", "modulators", "tec"] {
            let faults: toml::Table = toml::from_str(plan).unwrap();
            set(table, &format!("emulate.device.{device}.faults"), faults);
        }
    })
    .await;
    let inputs = InputBatch(Array2::from_elem((1, 4), 128));
    for salt in 0..20 {
        let wanted = frame(&*backend, salt);
        assert!(backend.apply(&wanted).await.unwrap().verified);
        assert_eq!(backend.read_back().await.unwrap(), wanted);
        let readout = backend.execute(&inputs, 1).await.unwrap();
        assert!((readout.temperature.0 - 25.0).abs() < 0.3, "{}", readout.temperature.0);
    }
}

/// Executes until an error comes; that many times at most.
async fn first_error(backend: &mut dyn PhotonicBackend, most: usize) -> Option<BackendErrorKind> {
    let inputs = InputBatch(Array2::from_elem((1, 4), 255));
    for _ in 0..most {
        if let Err(error) = backend.execute(&inputs, 1).await {
            return Some(error.kind);
        }
    }
    None
}

fn reset_at(table: &mut toml::Table, device: &str, request: i64) {
    let plan = format!("events = [{{ at_request = {request}, kind = \"reset\" }}]");
    let faults: toml::Table = toml::from_str(&plan).unwrap();
    set(table, &format!("emulate.device.{device}.faults"), faults);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heaters_that_are_reset_while_vectors_are_read_are_noticed() {
    let mut backend = bench(|table| reset_at(table, "heaters", 120)).await;
    let wanted = frame(&*backend, 5);
    let _ = backend.apply(&wanted).await.unwrap();
    let seen = first_error(&mut *backend, 200).await;
    assert!(matches!(seen, Some(BackendErrorKind::Rebooted { .. })), "{seen:?}");
    backend.park().await.unwrap();
    assert!(backend.apply(&wanted).await.unwrap().verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laser_that_was_switched_off_and_on_is_told_and_lit_again() {
    let mut backend = bench(|table| {
        reset_at(table, "laser", 120);
        table["bench"].as_table_mut().unwrap().remove("interlock");
    })
    .await;
    let _ = backend.apply(&frame(&*backend, 5)).await.unwrap();
    let seen = first_error(&mut *backend, 2000).await;
    assert!(matches!(seen, Some(BackendErrorKind::Rebooted { .. })), "{seen:?}");
    backend.park().await.unwrap();
    let _ = backend.apply(&frame(&*backend, 5)).await.unwrap();
    let lit = backend.execute(&InputBatch(Array2::from_elem((1, 4), 255)), 1).await.unwrap();
    assert!(lit.counts.iter().any(|&count| count != 0), "read in the dark");
}
