//! Write, read all channels back, compare, and write again what is not as it should be.

use std::collections::BTreeMap;

use super::{
    CHANNELS, Chain, ChainError, ChainEvent, Mode,
    encode::{self, Property},
    error::meaning,
    exchange::{Expect, Failure, Question},
    options::FULL,
};
use crate::units::Volts;

/// Refusals of the same value after which it counts as refused: one may be the work of noise.
const REFUSALS: u32 = 2;

/// Values of channels, in steps of full scale.
pub(super) type Words = BTreeMap<usize, u16>;

impl Chain {
    /// Brings outputs to `targets`, and leaves all others where they were known to be.
    pub(super) async fn settle(&mut self, targets: Words) -> Result<(), ChainError> {
        self.accused.clear();
        self.unverified = true;
        let prior = self.known_but(&targets);
        targets.keys().for_each(|&channel| self.shadow[channel] = None);
        let (mut goal, mut wrong) = (targets.clone(), targets.clone());
        let (mut refusals, mut held) = (0, Words::new());
        for attempt in 0..self.options.attempts {
            if attempt > 0 || self.trust.limits_doubtful {
                // A write that had another effect than meant may have met a limit.
                let suspects = if attempt > 0 { wrong.clone() } else { Words::new() };
                self.check_limits(&suspects).await?;
            }
            refusals += u32::from(self.write_all(Property::Volts, &wrong).await?);
            let others = prior.iter().filter(|(channel, _)| !goal.contains_key(channel));
            let others = others.map(|(&channel, &word)| (channel, word)).collect();
            held = self.scan_outputs(&others).await?;
            let strayed = self.differing(&others, &held);
            wrong = self.differing(&goal, &held);
            if wrong.is_empty() && strayed.is_empty() {
                self.adopt(&held);
                return Ok(());
            }
            if let Some(tripped) = self.tripped(&strayed, &held) {
                self.adopt(&held);
                return Err(tripped);
            }
            let culprit =
                wrong.iter().find_map(|(&channel, _)| self.accusation(channel).map(|code| (channel, code)));
            if let Some((channel, code)) = culprit
                && (refusals >= REFUSALS || code == 2)
            {
                self.adopt(&held);
                return Err(self.refused(channel, code, &goal, &held));
            }
            self.report_strayed(&strayed, &held);
            goal.extend(&strayed);
            wrong.extend(strayed);
            self.accused.clear();
        }
        self.adopt(&held);
        let channel = wrong.keys().next().copied().unwrap_or_default();
        let (wanted, held) = (self.volts_of(channel, goal[&channel]), self.volts_of(channel, held[&channel]));
        Err(ChainError::NotHeld { channel, wanted, held })
    }

    /// What channels that are not targets were known to hold.
    fn known_but(&self, targets: &Words) -> Words {
        let known = self.shadow.iter().enumerate().filter_map(|(channel, &word)| Some((channel, word?)));
        known.filter(|(channel, _)| !targets.contains_key(channel)).collect()
    }

    fn differing(&self, expected: &Words, held: &Words) -> Words {
        let differs = |(channel, word): (&usize, &u16)| {
            let found = held.get(channel).copied().unwrap_or_default();
            (found.abs_diff(*word) > self.options.tolerance).then_some((*channel, *word))
        };
        expected.iter().filter_map(differs).collect()
    }

    pub(super) fn adopt(&mut self, held: &Words) {
        held.iter().for_each(|(&channel, &word)| self.shadow[channel] = Some(word));
        self.unverified = false;
    }

    /// The error that a module said of what may be this channel.
    fn accusation(&self, channel: usize) -> Option<u8> {
        self.accused.iter().find(|(code, meant)| *code < 10 && meant.may_be(channel)).map(|&(code, _)| code)
    }

    /// A channel that nobody addressed, that changed, and of which a module may have said why. It is not set again.
    fn tripped(&self, strayed: &Words, held: &Words) -> Option<ChainError> {
        strayed.keys().find_map(|&channel| {
            let code = self.accusation(channel)?;
            let error = format!("E{code:02} {}", meaning(code));
            Some(ChainError::Tripped { channel, error, held: self.volts_of(channel, held[&channel]) })
        })
    }

    fn refused(&self, channel: usize, code: u8, goal: &Words, held: &Words) -> ChainError {
        ChainError::Refused {
            channel,
            wanted: self.volts_of(channel, goal[&channel]),
            held: self.volts_of(channel, held[&channel]),
            error: format!("E{code:02} {}", meaning(code)),
        }
    }

    pub(super) fn report_strayed(&mut self, strayed: &Words, held: &Words) {
        for (&channel, &word) in strayed {
            let (expected, found) = (self.volts_of(channel, word), self.volts_of(channel, held[&channel]));
            self.events.push_back(ChainEvent::Strayed { channel, expected, found });
        }
    }

    pub(super) fn volts_of(&self, channel: usize, word: u16) -> Volts {
        Volts(f64::from(word) / FULL * self.full(Property::Volts, channel))
    }

    /// Writes once. True when a module refused a value. What came of it only reading back can tell.
    pub(super) async fn write_all(&mut self, property: Property, words: &Words) -> Result<bool, ChainError> {
        let mut refused = false;
        for (first, run) in runs(words) {
            match self.ask(&self.write_of(property, first, &run)).await {
                Ok(_) => {}
                Err(Failure::Link(error)) => return Err(self.lost(error)),
                Err(Failure::Rebooted) => return Err(self.rebooted_error()),
                Err(Failure::Refused(code)) => refused |= code < 10,
                Err(_) => {}
            }
        }
        Ok(refused)
    }

    fn write_of(&self, property: Property, first: usize, run: &[u16]) -> Question {
        let bytes = if self.options.mode == Mode::Binary {
            encode::write_binary(property, first, run)
        } else {
            let value =
                |(index, &word): (usize, &u16)| f64::from(word) / FULL * self.full(property, first + index);
            let values: Vec<f64> = run.iter().enumerate().map(value).collect();
            encode::write_text(property, first, &values)
        };
        let question = Question::new(bytes, Expect::Ok, 1);
        if run.len() == 1 { question.to(first) } else { question }
    }
}

/// Successive channels within a module, as one request may hold them.
fn runs(words: &Words) -> Vec<(usize, Vec<u16>)> {
    let mut runs: Vec<(usize, Vec<u16>)> = Vec::new();
    for (&channel, &word) in words {
        match runs.last_mut() {
            Some((first, run))
                if *first + run.len() == channel && *first / CHANNELS == channel / CHANNELS =>
            {
                run.push(word);
            }
            _ => runs.push((channel, vec![word])),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stays_within_a_module_and_without_gaps() {
        let words = [(0, 1), (1, 2), (3, 3), (7, 4), (8, 5)].into();
        assert_eq!(runs(&words), [(0, vec![1, 2]), (3, vec![3]), (7, vec![4]), (8, vec![5])]);
    }
}
