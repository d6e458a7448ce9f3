//! When a host is taken to be gone: a state machine without clock or pipe.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A look that comes so much later than it was due was held up, and the host perhaps with it: the machine slept, or is very busy.
const HELD_UP: Duration = Duration::from_secs(1);

/// What came from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It works.
    Alive,
    /// It is about to drive outputs.
    Driving,
    /// All outputs are parked.
    Parked,
    /// It asks for the safe state.
    Safe,
    /// It has parked, and ends.
    Goodbye,
    /// A line that means nothing: no sign of life.
    Other,
    /// The pipe has ended. A line without its end counts for nothing.
    End,
    /// Only time has passed.
    Nothing,
}

/// Why the devices are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The pipe ended while outputs were driven: the host died.
    HostDied,
    /// The host did not say a word for too long while outputs were driven: it hangs.
    HostSilent,
    /// The host asked.
    HostAsked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostDied => "the program ended without parking",
            Self::HostSilent => "the program gave no sign of life",
            Self::HostAsked => "the program asked for it",
        })
    }
}

/// Watches over a host.
#[derive(Clone, Debug)]
pub struct Watch {
    silence: Duration,
    heard: Duration,
    driving: bool,
    forgiven: bool,
    end: Option<Result<(), Reason>>,
}

impl Heard {
    /// A line, without its end.
    #[must_use]
    pub fn line(line: &[u8]) -> Self {
        match line {
            b"alive" => Self::Alive,
            b"driving" => Self::Driving,
            b"parked" => Self::Parked,
            b"safe" => Self::Safe,
            b"goodbye" => Self::Goodbye,
            _ => Self::Other,
        }
    }
}

impl Watch {
    /// From time 0 on, with nothing driven yet; a host that drives may be silent for `silence`.
    #[must_use]
    pub fn new(silence: Duration) -> Self {
        Self { silence, heard: Duration::ZERO, driving: false, forgiven: false, end: None }
    }

    /// Takes in what was heard at `now`; `Some` when it is over: parked, or to be made safe. The first end stands.
    pub fn hear(&mut self, heard: Heard, now: Duration) -> Option<Result<(), Reason>> {
        if self.end.is_none() {
            self.end = match heard {
                Heard::Goodbye => Some(Ok(())),
                Heard::Safe => Some(Err(Reason::HostAsked)),
                Heard::End if self.driving => Some(Err(Reason::HostDied)),
                Heard::End => Some(Ok(())),
                Heard::Alive => self.lives(self.driving, now),
                Heard::Driving => self.lives(true, now),
                Heard::Parked => self.lives(false, now),
                Heard::Other | Heard::Nothing => self.judge(now),
            };
        }
        self.end
    }

    /// When a host that stays silent is taken to hang; `None`: it drives nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.driving.then_some(self.heard + self.silence)
    }

    fn lives(&mut self, driving: bool, now: Duration) -> Option<Result<(), Reason>> {
        (self.driving, self.forgiven, self.heard) = (driving, false, self.heard.max(now));
        None
    }

    fn judge(&mut self, now: Duration) -> Option<Result<(), Reason>> {
        let deadline = self.deadline().filter(|&deadline| now >= deadline)?;
        if now > deadline + HELD_UP && !self.forgiven {
            (self.forgiven, self.heard) = (true, now);
            return None;
        }
        Some(Err(Reason::HostSilent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn driving() -> Watch {
        let mut watch = Watch::new(SILENCE);
        assert_eq!(watch.hear(Heard::line(b"driving"), at(0)), None);
        watch
    }

    #[test]
    fn a_host_that_parks_may_go_with_and_without_a_goodbye() {
        for last in [Heard::Goodbye, Heard::End] {
            let mut watch = driving();
            assert_eq!(watch.hear(Heard::line(b"parked"), at(1)), None);
            assert_eq!(watch.hear(last, at(2)), Some(Ok(())));
            assert_eq!(watch.hear(Heard::Safe, at(2)), Some(Ok(())), "the first end stands");
        }
    }

    #[test]
    fn a_pipe_that_ends_is_a_host_that_died_only_while_it_drives() {
        assert_eq!(Watch::new(SILENCE).hear(Heard::End, at(0)), Some(Ok(())), "it has driven nothing yet");
        assert_eq!(driving().hear(Heard::End, at(0)), Some(Err(Reason::HostDied)));
        let mut again = driving();
        again.hear(Heard::Parked, at(1));
        again.hear(Heard::Driving, at(2));
        assert_eq!(again.hear(Heard::End, at(3)), Some(Err(Reason::HostDied)));
    }

    #[test]
    fn silence_is_counted_from_the_last_sign_of_life_and_only_while_it_drives() {
        let mut watch = driving();
        assert_eq!(watch.hear(Heard::Alive, at(4)), None);
        assert_eq!(watch.hear(Heard::Nothing, at(8)), None);
        assert_eq!(watch.deadline(), Some(at(9)));
        assert_eq!(watch.clone().hear(Heard::Nothing, at(9)), Some(Err(Reason::HostSilent)));
        assert_eq!(watch.hear(Heard::Parked, at(8)), None);
        assert_eq!(watch.deadline(), None);
        assert_eq!(watch.hear(Heard::Nothing, at(1000)), None);
    }

    #[test]
    fn a_line_that_means_nothing_is_no_sign_of_life() {
        let mut watch = driving();
        for second in 0..5 {
            assert_eq!(watch.hear(Heard::line(b"aliv"), at(second)), None);
        }
        assert_eq!(watch.hear(Heard::line(b"goodby"), at(5)), Some(Err(Reason::HostSilent)));
    }

    #[test]
    fn after_the_machine_slept_the_host_has_its_time_once_more() {
        let mut watch = driving();
        assert_eq!(watch.hear(Heard::Nothing, at(3600)), None);
        assert_eq!(watch.deadline(), Some(at(3605)));
        assert_eq!(watch.hear(Heard::Nothing, at(7200)), Some(Err(Reason::HostSilent)), "but only once");
    }
}
