//! Reading without writing.

use std::collections::BTreeMap;

use super::{
    Chain, ChainError,
    encode::{self, Property},
    exchange::{Expect, Failure, Question},
    grammar::Line,
};
use crate::units::{Amperes, Volts};

/// Readings of which the middle one is taken when the link is doubtful.
const READINGS: usize = 3;
/// Currents may read so much beyond full scale.
const OVERRANGE: f64 = 1.05;

impl Chain {
    /// Reads all outputs until readings agree. `None` for inputs. Channels that changed by themselves are reported as events.
    ///
    /// # Errors
    /// A link that brings nothing to be trusted, a reset.
    pub async fn read_volts(&mut self) -> Result<Vec<Option<Volts>>, ChainError> {
        self.ready()?;
        let known = |(channel, &word): (usize, &Option<u16>)| Some((channel, word?));
        let prior: BTreeMap<usize, u16> = self.shadow.iter().enumerate().filter_map(known).collect();
        self.unverified = true;
        let held = self.scan_outputs(&prior).await?;
        let changed = prior.into_iter().filter(|(channel, word)| held.get(channel) != Some(word)).collect();
        self.report_strayed(&changed, &held);
        self.adopt(&held);
        let volts = |channel| held.get(&channel).map(|&word| self.volts_of(channel, word));
        Ok((0..self.channels()).map(volts).collect())
    }

    /// Hears what has come by itself, and reads all outputs back when an error or garbage was among it.
    ///
    /// # Errors
    /// As [`Self::read_volts`].
    pub async fn poll(&mut self) -> Result<(), ChainError> {
        self.ready()?;
        self.ask_until_answered(&Question::new(*b"nchan?\n", Expect::Count, 1)).await?;
        let doubtful = self.unverified || self.trust.disturbed || self.trust.limits_doubtful;
        if doubtful { self.read_volts().await.map(drop) } else { Ok(()) }
    }

    /// Current of every channel: out of outputs, into inputs. From a doubtful link, the middle of three readings.
    ///
    /// # Errors
    /// As [`Self::read_volts`].
    pub async fn read_currents(&mut self) -> Result<Vec<Amperes>, ChainError> {
        self.ready()?;
        let together = if self.trust.caution == 0 { self.currents_together().await? } else { None };
        let currents = match together {
            Some(currents) => currents,
            None => self.currents_one_by_one().await?,
        };
        if self.unverified || self.trust.limits_doubtful {
            self.read_volts().await?;
        }
        Ok(currents)
    }

    async fn currents_together(&mut self) -> Result<Option<Vec<Amperes>>, ChainError> {
        let binary = self.options.mode == super::Mode::Binary;
        let request = encode::read_all(Property::Current, binary);
        let question = Question::new(request, Expect::Milliamperes, self.channels());
        match self.ask(&question).await {
            Ok(lines) => {
                let currents = lines.iter().enumerate().map(|(channel, line)| self.current_of(channel, line));
                Ok(currents.collect())
            }
            Err(Failure::Link(error)) => Err(self.lost(error)),
            Err(Failure::Rebooted) => Err(self.rebooted_error()),
            Err(_) => Ok(None),
        }
    }

    async fn currents_one_by_one(&mut self) -> Result<Vec<Amperes>, ChainError> {
        let mut currents = Vec::with_capacity(self.channels());
        for channel in 0..self.channels() {
            let mut readings = Vec::with_capacity(READINGS);
            while readings.len() < READINGS {
                readings.push(self.current(channel).await?);
            }
            readings.sort_by(|a, b| a.0.total_cmp(&b.0));
            currents.push(readings[READINGS / 2]);
        }
        Ok(currents)
    }

    async fn current(&mut self, channel: usize) -> Result<Amperes, ChainError> {
        let question =
            Question::new(encode::read_one(Property::Current, channel), Expect::Milliamperes, 1).to(channel);
        for _ in 0..self.options.tries {
            let lines = self.ask_until_answered(&question).await?;
            if let Some(current) = lines.first().and_then(|line| self.current_of(channel, line)) {
                return Ok(current);
            }
        }
        Err(self.unreadable(&question.text(), "currents beyond full scale".to_owned()))
    }

    fn current_of(&self, channel: usize, line: &Line) -> Option<Amperes> {
        let Line::Milliamperes(value) = line else { return None };
        let within = value.abs() <= self.full(Property::Current, channel) * OVERRANGE;
        within.then_some(Amperes(value * 1e-3))
    }
}
