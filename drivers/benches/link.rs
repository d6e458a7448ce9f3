//! What a board link carries, and what it costs: `cargo bench -p alora-drivers --bench link`.
//!
//! * rate: an execution of 64 × 64 over a serial line of 921 600 baud with a latency timer of 16 ms, both simulated in virtual
//!   time: bytes a second of the busier direction over those that the line can carry;
//! * programming: codes of 64 × 64 weights written, committed and read back, the same way;
//! * share of a core: user and system time of this process over the time that passes, while it streams over a pseudo-terminal
//!   to a board that another process emulates, with that line and latency timer, in real time;
//! * TCP: MVM a second of 16 × 16 over the loopback, emulated board and mock included.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench")]

use std::{process::Stdio, sync::Arc, time::Duration};

use alora_drivers::{
    ActuatorFrame, InputBatch, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    emulate::{BoardDevice, Emulator, FaultPlan, Line, Pty},
    link::{Connector, LinkError, LinkStatistics, Port, Transport},
    mock::{Script, Spec},
    station::Chip,
};
use async_trait::async_trait;
use ndarray::Array2;
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    time::Instant,
};

const BAUD: u32 = 921_600;
const LINE: Line = Line { baud: BAUD, latency_ms: 16 };
/// The argument with which this program is the board.
const SERVE: &str = "--serve";

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
    let emulator = board("incoherent-64x64", LINE);
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

/// A board on a pseudo-terminal, until this process is killed.
async fn serve() {
    let pty = Pty::open().unwrap();
    println!("{}", pty.path().display());
    board("incoherent-64x64", LINE).serve_pty(pty, |_| ()).await.unwrap();
}

/// User and system time of this process, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn share_of_a_core() {
    let program = std::env::current_exe().unwrap();
    let mut child =
        Command::new(program).arg(SERVE).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let path = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let port: Port = format!("{path}@{BAUD}").parse().unwrap();
    let mut wired = BoardBackend::connect(Arc::new(port), options("incoherent-64x64")).await.unwrap();
    let inputs = vectors(&wired, 2000);
    let (before, cpu, started) = (wired.statistics(), cpu_time(), Instant::now());
    for _ in 0..3 {
        wired.execute(&inputs, 1).await.unwrap();
    }
    told("execute 3 × 2000 vectors of 64", &wired, before, cpu, started);
    let frame = ActuatorFrame(vec![100; wired.descriptor().limits.len()]);
    let (before, cpu, started) = (wired.statistics(), cpu_time(), Instant::now());
    for _ in 0..10 {
        let _ = wired.apply(&frame).await.unwrap();
    }
    told("program 8192 actuators and read them back, 10 times", &wired, before, cpu, started);
    child.kill().await.unwrap();
}

fn told(what: &str, wired: &BoardBackend, before: LinkStatistics, cpu: Duration, started: Instant) {
    let (took, worked) = (started.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    let bytes = busier(wired, before.bytes_sent, before.bytes_received) as f64;
    println!(
        "{what}, on a pseudo-terminal: {:.1} % of a core in {took:.1} s, {:.1} % of the line",
        100.0 * worked / took,
        100.0 * bytes / took / (f64::from(BAUD) / 10.0)
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
    if std::env::args().any(|argument| argument == SERVE) {
        let served = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return served.block_on(serve());
    }
    let paused =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    paused.block_on(serial());
    let real = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    real.block_on(share_of_a_core());
    real.block_on(tcp());
}
