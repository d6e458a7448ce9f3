//! Independent computations on every core, in order.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use alora_calibration::{Event, Observer};

use crate::error::Error;

/// One computation.
pub(super) type Job<T> = Box<dyn FnOnce() -> Result<T, Error> + Send>;

/// Runs `jobs` on as many threads as there are cores and returns their results in order.
///
/// The threads are plain ones, not rayon's: a job may itself wait for rayon, and must not be given another job
/// meanwhile.
///
/// # Errors
/// The first error of a job, or the operator's interruption, after the jobs in progress have ended.
pub(super) fn in_parallel<T: Send>(
    stage: &'static str,
    jobs: Vec<Job<T>>,
    observer: &mut dyn Observer,
) -> Result<Vec<T>, Error> {
    let count = jobs.len();
    observer.on(Event::Started { stage, steps: count as u64 });
    let jobs: Vec<Mutex<Option<Job<T>>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::channel();
    let work = |sender: mpsc::Sender<(usize, Result<T, Error>)>| {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = jobs.get(index) else { break };
            let Some(job) = slot.lock().ok().and_then(|mut slot| slot.take()) else { break };
            if sender.send((index, job())).is_err() {
                break;
            }
        }
    };
    let mut done: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut failed = None;
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(count) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        for (index, result) in results {
            match result {
                Ok(value) => done[index] = Some(value),
                Err(error) => failed = failed.take().or(Some(error)),
            }
            observer.on(Event::Step);
            if failed.is_none() && observer.interrupted() {
                failed = Some(Error::Interrupted);
            }
            stop.store(failed.is_some(), Ordering::Relaxed);
        }
    });
    observer.on(Event::Finished);
    match failed {
        Some(error) => Err(error),
        None => Ok(done.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use alora_calibration::Silent;

    use super::*;

    struct Impatient;

    impl Observer for Impatient {
        fn on(&mut self, _event: Event) {}

        fn interrupted(&self) -> bool {
            true
        }
    }

    fn numbers(count: u64) -> Vec<Job<u64>> {
        (0..count).map(|index| Box::new(move || Ok(index)) as Job<u64>).collect()
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let results = in_parallel("numbers", numbers(200), &mut Silent).unwrap();
        assert_eq!(results, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_ends_the_work_and_is_returned() {
        let mut jobs = numbers(3);
        jobs[1] = Box::new(|| Err(Error::OutOfSpec("broken".to_owned())));
        assert_eq!(in_parallel("numbers", jobs, &mut Silent).unwrap_err().to_string(), "broken");
    }

    #[test]
    fn an_operator_who_wants_to_stop_is_heard() {
        let stopped = in_parallel("numbers", numbers(50), &mut Impatient);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
