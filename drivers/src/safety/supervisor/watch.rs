//! When a host is taken to be gone: a state machine without clock or pipe.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What came from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It works.
    Alive,
    /// It asks for the safe state.
    Safe,
    /// It has parked.
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
    /// The pipe ended without a goodbye: the host died.
    HostDied,
    /// The host did not say a word for too long: it hangs.
    HostSilent,
    /// The host asked.
    HostAsked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostDied => "the program died without parking",
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
    end: Option<Result<(), Reason>>,
}

impl Heard {
    /// A line, without its end.
    #[must_use]
    pub fn line(line: &[u8]) -> Self {
        match line {
            b"alive" => Self::Alive,
            b"safe" => Self::Safe,
            b"goodbye" => Self::Goodbye,
            _ => Self::Other,
        }
    }
}

impl Watch {
    /// From time 0 on; the host may be silent for `silence`.
    #[must_use]
    pub fn new(silence: Duration) -> Self {
        Self { silence, heard: Duration::ZERO, end: None }
    }

    /// Takes in what was heard at `now`; `Some` when it is over: parked, or to be made safe. The first end stands.
    pub fn hear(&mut self, heard: Heard, now: Duration) -> Option<Result<(), Reason>> {
        if self.end.is_none() {
            self.end = match heard {
                Heard::Goodbye => Some(Ok(())),
                Heard::Safe => Some(Err(Reason::HostAsked)),
                Heard::End => Some(Err(Reason::HostDied)),
                Heard::Alive => {
                    self.heard = self.heard.max(now);
                    None
                }
                Heard::Other | Heard::Nothing => (now >= self.deadline()).then_some(Err(Reason::HostSilent)),
            };
        }
        self.end
    }

    /// When a host that stays silent is taken to hang.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.heard + self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_that_parks_and_says_goodbye_may_go() {
        let mut watch = Watch::new(SILENCE);
        assert_eq!(watch.hear(Heard::Alive, at(1)), None);
        assert_eq!(watch.hear(Heard::Goodbye, at(2)), Some(Ok(())));
        assert_eq!(watch.hear(Heard::End, at(2)), Some(Ok(())), "the first end stands");
    }

    #[test]
    fn a_pipe_that_ends_without_a_goodbye_is_a_host_that_died() {
        assert_eq!(Watch::new(SILENCE).hear(Heard::End, at(0)), Some(Err(Reason::HostDied)));
    }

    #[test]
    fn silence_is_counted_from_the_last_sign_of_life() {
        let mut watch = Watch::new(SILENCE);
        assert_eq!(watch.hear(Heard::Alive, at(4)), None);
        assert_eq!(watch.hear(Heard::Nothing, at(8)), None);
        assert_eq!(watch.deadline(), at(9));
        assert_eq!(watch.hear(Heard::Nothing, at(9)), Some(Err(Reason::HostSilent)));
    }

    #[test]
    fn a_line_that_means_nothing_is_no_sign_of_life() {
        let mut watch = Watch::new(SILENCE);
        for second in 0..5 {
            assert_eq!(watch.hear(Heard::line(b"aliv"), at(second)), None);
        }
        assert_eq!(watch.hear(Heard::line(b"goodby"), at(5)), Some(Err(Reason::HostSilent)));
    }
}
