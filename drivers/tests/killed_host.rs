//! The host is killed at every frame of a programming: the outputs go to zero, and the next start names no channel wrongly.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use alora_board_protocol::{FrameReader, Kind, max_encoded};
use alora_drivers::{
    ActuatorFrame, Code, PhotonicBackend,
    emulate::{BoardDevice, Device, Emulator, FaultPlan, Line},
    link::{Connector, Port},
    mock::{Script, Spec},
    record::{ChannelState, Journal},
    recorded::{Sight, found, journal_path, look},
    station::{Recording, Station, connect_recorded},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

const PRESET: &str = "incoherent-64x64";
const ACTUATORS: usize = 8192;
const WATCHDOG: Duration = Duration::from_millis(100);
/// Boards that are programmed and left at the same time.
const LANES: usize = 3;
/// Tries where the machine was too busy to keep a host's watchdog quiet.
const TRIES: usize = 10;
const FOLDER: &str = "ALORA_TEST_RECORDS";
const PORT: &str = "ALORA_TEST_PORT";

fn station(folder: &Path, port: &str) -> Station {
    let watchdog = WATCHDOG.as_millis();
    let text = format!(
        "chip.preset = \"{PRESET}\"\n[device.board]\nprotocol = \"board\"\nport = \"{port}\"\nwatchdog_ms = {watchdog}\n"
    );
    let records = Recording { folder: folder.to_owned(), ..Recording::default() };
    Station { records, ..toml::from_str(&text).unwrap() }
}

/// Every code differs from that of another salt, and none is zero.
fn frame(salt: u16) -> ActuatorFrame {
    ActuatorFrame((0..ACTUATORS as u16).map(|index| 1 + (index + 50 * salt) % 200).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the host, started by the test below"]
async fn role_host() {
    let (Ok(folder), Ok(port)) = (env::var(FOLDER), env::var(PORT)) else { return };
    let station = station(Path::new(&folder), &port);
    let mut processor: Box<dyn PhotonicBackend> = connect_recorded(&station, "host").await.unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    println!("\nholds the first");
    asked().await;
    let _ = processor.apply(&frame(2)).await.unwrap();
    println!("\nholds the second");
    asked().await;
}

/// Waits for a line off the runtime, so that the watchdog is kept quiet.
async fn asked() {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()).unwrap()).await.unwrap();
}

/// A board that has its host killed once it has carried out so many requests.
struct Watched {
    board: BoardDevice,
    heard: FrameReader<Vec<u8>>,
    requests: usize,
    kill: Option<(usize, Arc<Mutex<Child>>)>,
    told: watch::Sender<Told>,
}

/// What the board alone knows.
#[derive(Clone, Default)]
struct Told {
    requests: usize,
    /// Codes at the moment when the host was killed, and the longest time until the watchdog ends.
    killed: Option<(Vec<Code>, Duration)>,
    zero: bool,
}

impl Watched {
    fn tell(&mut self, killed: Option<Duration>) {
        let (requests, applied) = (self.requests, self.board.applied());
        let zero = applied.iter().all(|&code| code == 0);
        self.told.send_modify(|told| {
            (told.requests, told.zero) = (requests, zero);
            if let Some(left) = killed {
                told.killed = Some((applied.to_vec(), left));
            }
        });
    }

    /// The keep-alive comes when it likes and is not counted.
    fn counts(&mut self, byte: u8) -> bool {
        let mut bytes: &[u8] = &[byte];
        let frame = self.heard.feed(&mut bytes);
        frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.kind != Kind::Watchdog as u8))
    }
}

impl Device for Watched {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        for &byte in bytes {
            self.board.receive(&[byte], now, answers);
            if !self.counts(byte) {
                continue;
            }
            self.requests += 1;
            let due = self.kill.as_ref().is_some_and(|(at, _)| *at == self.requests);
            if let Some((_, host)) = self.kill.take_if(|_| due) {
                let mut host = host.lock().unwrap();
                host.kill().unwrap();
                host.wait().unwrap();
                // `None` where a busy machine had its watchdog end before: another host tries again.
                self.tell(self.board.next_tick().map(|ends| ends.saturating_sub(now)));
            }
        }
        self.tell(None);
    }

    fn tick(&mut self, now: Duration, answers: &mut Vec<u8>) {
        self.board.tick(now, answers);
        self.tell(None);
    }

    fn next_tick(&self) -> Option<Duration> {
        self.board.next_tick()
    }

    fn requests(&self) -> u64 {
        self.board.requests()
    }

    fn reset(&mut self, now: Duration, answers: &mut Vec<u8>) {
        self.board.reset(now, answers);
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        self.board.stick(channel, stuck);
    }
}

/// A board on a port, its host's records, and what the board tells.
struct Bench {
    emulator: Emulator<Watched>,
    port: String,
    folder: PathBuf,
    told: watch::Receiver<Told>,
}

impl Bench {
    async fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = format!("tcp:{}", listener.local_addr().unwrap());
        let (told, heard) = watch::channel(Told::default());
        let board = BoardDevice::new(Spec::preset(PRESET).unwrap(), 3, Script::default()).unwrap();
        let reader = FrameReader::new(vec![0; max_encoded(65_535)]);
        let watched = Watched { board, heard: reader, requests: 0, kill: None, told };
        let emulator = Emulator::new(watched, Line::default(), FaultPlan::default());
        let serving = emulator.clone();
        tokio::spawn(async move { serving.serve_tcp(listener).await });
        Self { emulator, port, folder: folder.to_owned(), told: heard }
    }

    /// Starts a host, lets it program a first frame, and returns it once it holds that; `None` when it failed.
    async fn host(&self) -> Option<Host> {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "role_host", "--ignored", "--nocapture"])
            .env(FOLDER, &self.folder)
            .env(PORT, &self.port)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (asking, lines) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut host = Host { child: Arc::new(Mutex::new(child)), asking, said: said(lines) };
        host.says("holds the first").await.then_some(host)
    }

    /// Requests of the second programming.
    async fn requests(&self) -> usize {
        let mut host = self.host().await.unwrap();
        let before = self.told.borrow().requests;
        host.ask();
        assert!(host.says("holds the second").await);
        self.told.borrow().requests - before
    }

    /// Has a host killed when `at` requests of its second programming are carried out; what the board held then.
    async fn kill_at(&mut self, at: usize) -> Option<(Vec<Code>, Duration)> {
        let mut host = self.host().await?;
        {
            let mut device = self.emulator.device();
            device.told.send_modify(|told| told.killed = None);
            let at = device.requests + at;
            device.kill = Some((at, Arc::clone(&host.child)));
        }
        host.ask();
        tokio::select! {
            _told = self.told.wait_for(|told| told.killed.is_some()) => {}
            _ended = host.says("holds the second") => {}
        }
        // Not before the board has told it.
        drop(self.emulator.device());
        self.told.borrow().killed.clone()
    }

    async fn look(&self) -> Sight {
        let port: Arc<dyn Connector> = Arc::new(self.port.parse::<Port>().unwrap());
        look(&port, "board").await.unwrap()
    }

    async fn check(&mut self, at: usize) {
        let mut killed = None;
        for _ in 0..TRIES {
            killed = self.kill_at(at).await;
            if killed.is_some() {
                break;
            }
        }
        let (truth, left) = killed.unwrap();
        assert!(left <= WATCHDOG, "request {at}: the watchdog ends in {left:?}");
        timeout(Duration::from_secs(20), self.told.wait_for(|told| told.zero)).await.unwrap().unwrap();
        let recovery = Journal::open(&journal_path(&self.folder, "board")).unwrap().unwrap();
        assert_eq!((&recovery.programming.old, &recovery.programming.new), (&frame(1), &frame(2)));
        no_channel_is_named_wrongly(&recovery.channels(), &truth, at);
        let sight = self.look().await;
        let held = ActuatorFrame::zeros(ACTUATORS);
        let named = recovery.channels_by(sight.generation, Some(&held));
        no_channel_is_named_wrongly(&named, &truth, at);
        let finding = found(&recovery, Some(&sight));
        assert!(finding.cut_off, "request {at}: {finding}");
        assert!(finding.now.contains("zeroed since (it has tripped"), "request {at}: {finding}");
        if truth == frame(1).0 {
            assert_eq!(finding.old.channels(), ACTUATORS, "request {at}: {finding}");
        } else {
            // Committed, but the mark of it is not there yet; a look before the watchdog ended tells.
            let named = recovery.channels_by(sight.generation, Some(&frame(2)));
            assert!(named.iter().all(|state| matches!(state, ChannelState::New(_))), "request {at}");
        }
    }
}

fn no_channel_is_named_wrongly(named: &[ChannelState], truth: &[Code], at: usize) {
    for (channel, (state, &truth)) in named.iter().zip(truth).enumerate() {
        match *state {
            ChannelState::Old(code) | ChannelState::New(code) => {
                assert_eq!(code, truth, "request {at}, channel {channel}: {state:?}");
            }
            ChannelState::Unknown { .. } => {}
            ChannelState::Found(_) | ChannelState::Zeroed => unreachable!("nobody looked: {state:?}"),
        }
    }
}

struct Host {
    child: Arc<Mutex<Child>>,
    asking: ChildStdin,
    said: tokio::sync::mpsc::UnboundedReceiver<String>,
}

/// What a host says, until it ends.
fn said(
    lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static,
) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (tell, said) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    said
}

impl Host {
    /// False when it ended without saying so.
    async fn says(&mut self, wanted: &str) -> bool {
        while let Some(line) = self.said.recv().await {
            if line == wanted {
                return true;
            }
        }
        false
    }

    fn ask(&mut self) {
        self.asking.write_all(b"\n").unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_at_any_frame_leaves_zeros_and_a_journal_that_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut benches = Vec::new();
    for lane in 0..LANES {
        let folder = folder.path().join(lane.to_string());
        std::fs::create_dir(&folder).unwrap();
        benches.push(Bench::new(&folder).await);
    }
    let frames = benches[0].requests().await;
    assert!(frames > 2 * ACTUATORS / 255, "{frames} frames: staged, committed and read back");
    let waiting = Arc::new(Mutex::new((1..=frames).collect::<VecDeque<_>>()));
    let mut lanes = JoinSet::new();
    for mut bench in benches {
        let waiting = Arc::clone(&waiting);
        lanes.spawn(async move {
            let next = || waiting.lock().unwrap().pop_front();
            while let Some(at) = next() {
                bench.check(at).await;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
}
