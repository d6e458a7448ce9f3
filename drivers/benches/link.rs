//! What a board link carries, and what it costs: `cargo bench -p alora-drivers --bench link`.
//!
//! * rate: an execution of 64 × 64 over a serial line of 921 600 baud with a latency timer of 16 ms, both simulated in virtual
//!   time: bytes a second of the busier direction over those that the line can carry;
//! * programming: codes of 64 × 64 weights written, committed and read back, the same way;
//! * TCP: MVM a second of 16 × 16 over the loopback, emulated board and mock included, and the host's share of a core.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench")]

use std::{sync::Arc, time::Duration};

use alora_drivers::{
    ActuatorFrame, InputBatch, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    emulate::{BoardDevice, Emulator, FaultPlan, Line},
    link::{Connector, LinkError, Port, Transport},
    mock::{Script, Spec},
    station::Chip,
};
use async_trait::async_trait;
use ndarray::Array2;
use tokio::{net::TcpListener, time::Instant};

const BAUD: u32 = 921_600;

/// A wire in memory that says what line it stands for.
struct Serial<C>(C);

#[async_trait]
impl<C: Connector> Connector for Serial<C> {
    async fn open(&self) -> Result<Box<dyn Transport>, LinkError> {
        self.0.open().await
    }

    fn place(&self) -> String {
        self.0.place()
    }

    fn baud(&self) -> Option<u32> {
        Some(BAUD)
    }
}

fn board(preset: &str, line: Line) -> Emulator<BoardDevice> {
    let device = BoardDevice::new(Spec::preset(preset).unwrap(), 1, Script::default()).unwrap();
    Emulator::new(device, line, FaultPlan::default())
}

fn options(preset: &str) -> BoardOptions {
    let chip = Chip { preset: Some(preset.to_owned()), described: None };
    BoardOptions { nominal: chip.nominal().unwrap(), watchdog_ms: 2000, link: LinkOptions::default() }
}

fn vectors(backend: &BoardBackend, frames: usize) -> InputBatch {
    let (_, highest) = backend.descriptor().input_range();
    let code = |(frame, input): (usize, usize)| ((frame * 31 + input * 7) as i32) % (highest + 1);
    InputBatch(Array2::from_shape_fn((frames, backend.descriptor().input_width()), code))
}

fn busier(before: &BoardBackend, sent: u64, received: u64) -> u64 {
    let now = before.statistics();
    (now.bytes_sent - sent).max(now.bytes_received - received)
}

async fn serial() {
    let line = Line { baud: BAUD, latency_ms: 16 };
    let emulator = board("incoherent-64x64", line);
    let connector = Arc::new(Serial(emulator.connector("serial")));
    let mut wired = BoardBackend::connect(connector, options("incoherent-64x64")).await.unwrap();
    let full = f64::from(BAUD) / 10.0;
    for frames in [128, 512, 2000] {
        let inputs = vectors(&wired, frames);
        let before = wired.statistics();
        let started = Instant::now();
        wired.execute(&inputs, 1).await.unwrap();
        let took = started.elapsed().as_secs_f64();
        let bytes = busier(&wired, before.bytes_sent, before.bytes_received) as f64;
        println!(
            "execute {frames} vectors of 64: {:.1} % of the line, payload {:.1} %, {:.0} MVM/s",
            100.0 * bytes / took / full,
            100.0 * (frames * 128) as f64 / took / full,
            frames as f64 / took
        );
    }
    let actuators = wired.descriptor().limits.len();
    let frame = ActuatorFrame((0..actuators).map(|index| (index % 256) as u16).collect());
    let before = wired.statistics();
    let started = Instant::now();
    let _ = wired.apply(&frame).await.unwrap();
    let took = started.elapsed().as_secs_f64();
    let now = wired.statistics();
    println!(
        "program {actuators} actuators, read back: {:.0} ms ({} bytes out, {} in; settling of 10 ms included)",
        1000.0 * took,
        now.bytes_sent - before.bytes_sent,
        now.bytes_received - before.bytes_received
    );
}

async fn tcp() {
    let emulator = board("incoherent-16x16", Line::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port: Port = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { emulator.serve_tcp(listener).await });
    let mut wired = BoardBackend::connect(Arc::new(port), options("incoherent-16x16")).await.unwrap();
    let inputs = vectors(&wired, 2000);
    let mut rates = Vec::new();
    for _ in 0..9 {
        let started = Instant::now();
        wired.execute(&inputs, 1).await.unwrap();
        rates.push(2000.0 / started.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rates.sort_by(f64::total_cmp);
    println!("execute 16 × 16 over TCP loopback: {:.0} MVM/s (median of 9 × 2000 vectors)", rates[4]);
}

fn main() {
    let paused =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    paused.block_on(serial());
    let real = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    real.block_on(tcp());
}
