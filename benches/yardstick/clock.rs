//! Wall time, processor time and memory of this process, and what other processes take meanwhile (Linux).

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Ticks a second in `/proc/stat`: the same on every architecture of Linux.
const TICKS: f64 = 100.0;

/// Medians and the least of some runs, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Wall time.
    pub(crate) median: f64,
    /// Shortest wall time.
    pub(crate) min: f64,
    /// Processor time of all threads.
    pub(crate) cpu: f64,
}

/// Least time for which a run is repeated before it is timed.
const WARM_UP: Duration = Duration::from_millis(200);

/// Times runs after a few to warm up.
pub(crate) struct Clock {
    iters: usize,
    foreign: Vec<f64>,
}

impl Clock {
    pub(crate) fn new(iters: usize) -> Self {
        Self { iters: iters.max(1), foreign: Vec::new() }
    }

    /// Cores that other processes used during each series of runs.
    pub(crate) fn foreign_cores(&self) -> &[f64] {
        &self.foreign
    }

    /// Times `run`, which gets the number of the run, after at least `warm_up` runs and [`WARM_UP`]: a core that was idle is slow at
    /// first.
    pub(crate) fn time(&mut self, warm_up: u64, mut run: impl FnMut(u64)) -> Times {
        wait_for_quiet();
        let (start, mut runs) = (Instant::now(), 0);
        while runs < warm_up || start.elapsed() < WARM_UP {
            run(runs);
            runs += 1;
        }
        let (busy, own, start) = (machine_seconds(), own_seconds(), Instant::now());
        let (mut walls, mut cpus) = (Vec::new(), Vec::new());
        for index in 0..self.iters as u64 {
            let (own, start) = (own_seconds(), Instant::now());
            run(runs + index);
            walls.push(1e3 * start.elapsed().as_secs_f64());
            cpus.push(1e3 * (own_seconds() - own));
        }
        let elapsed = start.elapsed().as_secs_f64();
        let foreign = (machine_seconds() - busy - (own_seconds() - own)).max(0.0) / elapsed;
        self.foreign.push((100.0 * foreign).round() / 100.0);
        let min = walls.iter().copied().fold(f64::INFINITY, f64::min);
        Times { median: median(walls), min, cpu: median(cpus) }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// Waits, at most for `QUIET_S` seconds, until others use less than a quarter of a core.
fn wait_for_quiet() {
    let patience = std::env::var("QUIET_S").ok().and_then(|value| value.parse().ok()).unwrap_or(20.0);
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < patience {
        let busy = machine_seconds();
        thread::sleep(Duration::from_millis(500));
        if (machine_seconds() - busy) / 0.5 < 0.25 {
            return;
        }
    }
}

/// Processor seconds of everybody on the machine: all of `/proc/stat` but idle and waiting.
fn machine_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks: Vec<f64> =
        stat.lines().next().unwrap().split_whitespace().skip(1).map(|ticks| ticks.parse().unwrap()).collect();
    (ticks[..3].iter().sum::<f64>() + ticks[5..8].iter().sum::<f64>()) / TICKS
}

/// Processor seconds of this process's threads.
fn own_seconds() -> f64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = |thread: fs::DirEntry| -> Option<f64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    threads.filter_map(|thread| nanoseconds(thread.ok()?)).sum::<f64>() / 1e9
}

/// Most memory that this process has held, in MiB.
pub(crate) fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
