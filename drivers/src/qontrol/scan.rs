//! What all channels hold, read until it can be believed.
//!
//! There is no checksum on this wire, so a value is believed when independent readings agree. One corrupted reading equals a
//! given other value with p ≈ 1e-5 at 1 % faults a byte (a digit flips to a given other digit with 0.01 · 1/8, the address in the
//! question likewise, times the chance that the write had failed unseen, 0.1, times that the two values are a digit apart, 0.1).
//! Two agreeing wrong readings of a clean link: 1e-4 · (1e-3)² ≈ 1e-10 a write; three, once the link was seen dirty, ≈ 1e-13.
//! A channel that was not written needs one reading equal to what it was known to hold: it is wrong only when a write has strayed
//! there (1e-3) and the reading was corrupted into just the old value (1e-5 · 1/8): ≈ 1e-9.

use std::collections::BTreeMap;

use super::{
    Chain, ChainError, Mode,
    encode::{self, Property},
    exchange::{Expect, Failure, Question},
    grammar::Line,
    options::FULL,
};

/// Channels that are sooner read one by one than all together.
const FEW: usize = 3;

/// Readings of one channel.
#[derive(Clone, Copy, Debug)]
struct Tally {
    /// What the channel held when it was last known, where it has not been written since.
    prior: Option<u16>,
    word: u16,
    agreeing: u32,
}

impl Tally {
    fn observe(&mut self, word: u16, tolerance: u16) {
        if self.agreeing > 0 && self.word.abs_diff(word) <= tolerance {
            self.agreeing += 1;
        } else {
            (self.word, self.agreeing) = (word, 1);
        }
    }

    fn is_settled(&self, needed: u32, tolerance: u16) -> bool {
        let as_before = self.prior.is_some_and(|prior| prior.abs_diff(self.word) <= tolerance);
        self.agreeing >= needed || (self.agreeing > 0 && as_before)
    }
}

impl Chain {
    /// Readings that have to agree.
    fn needed(&self) -> u32 {
        if self.trust.caution > 0 { 3 } else { 2 }
    }

    /// Full scale of a property at a channel, in the unit of its answers.
    pub(super) fn full(&self, property: Property, channel: usize) -> f64 {
        let kind = self.kind(channel);
        if property.is_in_volts() {
            kind.full_volts().map_or(0.0, |full| full.0)
        } else {
            kind.full_amperes().0 * 1e3
        }
    }

    /// What every output holds, and that no reset came between unheard: it would have zeroed channels that were read before it.
    pub(super) async fn scan_outputs(
        &mut self,
        prior: &BTreeMap<usize, u16>,
    ) -> Result<BTreeMap<usize, u16>, ChainError> {
        for _ in 0..self.options.tries {
            let held = self.scan(Property::Volts, prior).await?;
            if self.trust.limits_doubtful {
                self.check_limits(&BTreeMap::new()).await?;
            }
            // What the check went through may itself have changed an output.
            if !self.trust.disturbed {
                return Ok(held);
            }
        }
        Err(self.unreadable("vall?", "no reading without a disturbance".to_owned()))
    }

    /// What every output holds of `property`, in steps. `prior`: what those not written were known to hold.
    pub(super) async fn scan(
        &mut self,
        property: Property,
        prior: &BTreeMap<usize, u16>,
    ) -> Result<BTreeMap<usize, u16>, ChainError> {
        for _ in 0..self.options.tries {
            if let Some(held) = self.scan_once(property, prior).await? {
                return Ok(held);
            }
        }
        Err(self.unreadable(&format!("{}all?", property.name()), "answers out of step".to_owned()))
    }

    /// `None` when something came between that may have changed an output or shifted the answers.
    async fn scan_once(
        &mut self,
        property: Property,
        prior: &BTreeMap<usize, u16>,
    ) -> Result<Option<BTreeMap<usize, u16>>, ChainError> {
        self.fence().await?;
        self.trust.disturbed = false;
        let tally = |channel| Tally { prior: prior.get(&channel).copied(), word: 0, agreeing: 0 };
        let mut tallies: BTreeMap<usize, Tally> =
            self.outputs().into_iter().map(|channel| (channel, tally(channel))).collect();
        for _ in 0..self.needed() {
            // Few that are left are read sooner one by one; on a doubtful link a long answer seldom comes whole.
            let open = |tally: &&Tally| !tally.is_settled(self.needed(), self.options.tolerance);
            if self.trust.caution == 0 && tallies.values().filter(open).count() > FEW {
                self.read_together(property, &mut tallies).await?;
            }
        }
        while !self.trust.disturbed {
            let (needed, tolerance) = (self.needed(), self.options.tolerance);
            let open = tallies.iter_mut().find(|(_, tally)| !tally.is_settled(needed, tolerance));
            if let Some((&channel, tally)) = open {
                let word = self.read_word(property, channel).await?;
                tally.observe(word, tolerance);
                continue;
            }
            self.fence().await?;
            if needed == self.needed() && !self.trust.disturbed {
                return Ok(Some(tallies.into_iter().map(|(channel, tally)| (channel, tally.word)).collect()));
            }
        }
        Ok(None)
    }

    /// A question that is answered in other words than any value: a surplus line before shows here.
    async fn fence(&mut self) -> Result<(), ChainError> {
        self.ask_until_answered(&Question::new(*b"nchan?\n", Expect::Count, 1)).await.map(drop)
    }

    /// All channels by one request; what fails is left to single readings.
    async fn read_together(
        &mut self,
        property: Property,
        tallies: &mut BTreeMap<usize, Tally>,
    ) -> Result<(), ChainError> {
        let binary = self.options.mode == Mode::Binary;
        let question = Question::new(encode::read_all(property, binary), expected(property), tallies.len());
        let lines = match self.ask(&question).await {
            Ok(lines) => lines,
            Err(Failure::Link(error)) => return Err(self.lost(error)),
            Err(Failure::Rebooted) => return Err(self.rebooted_error()),
            Err(_) => return Ok(()),
        };
        let tolerance = self.options.tolerance;
        for ((&channel, tally), line) in tallies.iter_mut().zip(&lines) {
            if let Some(word) = self.word_of(property, channel, line) {
                tally.observe(word, tolerance);
            }
        }
        Ok(())
    }

    /// One reading of one channel, in text: no single fault makes a write of it.
    pub(super) async fn read_word(&mut self, property: Property, channel: usize) -> Result<u16, ChainError> {
        let question = Question::new(encode::read_one(property, channel), expected(property), 1).to(channel);
        for _ in 0..self.options.tries {
            let lines = self.ask_until_answered(&question).await?;
            if let Some(word) = lines.first().and_then(|line| self.word_of(property, channel, line)) {
                return Ok(word);
            }
            self.trust.soil(false, false);
        }
        Err(self.unreadable(&question.text(), "a value outside full scale".to_owned()))
    }

    /// The step that a printed value means; `None` outside full scale, or (without tolerance) between two steps.
    fn word_of(&self, property: Property, channel: usize, line: &Line) -> Option<u16> {
        let (Line::Volts(value) | Line::Milliamperes(value)) = line else { return None };
        let full = self.full(property, channel);
        let steps = value / full * FULL;
        let slack = f64::from(self.options.tolerance) + 0.5;
        if !(-slack..=FULL + slack).contains(&steps) {
            return None;
        }
        let word = steps.round().clamp(0.0, FULL) as u16;
        let exact = (f64::from(word) / FULL * full - value).abs() < 0.000_051;
        (exact || self.options.tolerance > 0).then_some(word)
    }
}

fn expected(property: Property) -> Expect {
    if property.is_in_volts() { Expect::Volts } else { Expect::Milliamperes }
}
