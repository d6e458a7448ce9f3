//! Who the modules are, then limits first, then zero.

use std::collections::BTreeMap;

use super::{
    CHANNELS, Chain, ChainError, ModuleIdentity, ModuleKind,
    encode::Property,
    exchange::{Expect, Question},
    grammar::Line,
    options::FULL,
    settle::Words,
};
use crate::units::Volts;

/// Resets that are taken for the end of a power-up, before they count as a fault.
const RESETS: u32 = 3;

impl Chain {
    /// Identifies the modules, writes their limits, reads them back, and zeroes all outputs.
    pub(super) async fn identify_and_arm(&mut self) -> Result<(), ChainError> {
        let mut failure = self.rebooted_error();
        for _ in 0..RESETS {
            match self.try_arm().await {
                Err(rebooted @ ChainError::Rebooted { .. }) => failure = rebooted,
                other => return other,
            }
        }
        Err(failure)
    }

    async fn try_arm(&mut self) -> Result<(), ChainError> {
        self.rebooted = None;
        self.shadow.fill(None);
        // Out of step until heard otherwise, but not therefore doubtful.
        let caution = self.trust.caution;
        self.trust.soil(true, self.options.mode == super::Mode::Binary);
        self.trust.caution = caution;
        let identity = self.identify().await?;
        self.check_identity(&identity)?;
        self.shadow = vec![None; identity.len() * CHANNELS];
        self.identity = identity;
        self.check_limits_asked()?;
        self.write_limits().await?;
        self.settle(self.outputs().into_iter().map(|channel| (channel, 0)).collect()).await
    }

    async fn identify(&mut self) -> Result<Vec<ModuleIdentity>, ChainError> {
        let found = self.enumerate().await?;
        let mut identity = Vec::new();
        for id in found {
            let kind = id.split('-').next().unwrap_or_default();
            let kind: ModuleKind = kind.parse().map_err(|_| ChainError::Mismatch {
                what: "module".to_owned(),
                found: id.clone(),
                expected: "Q8iv, Q8b or S8i".to_owned(),
            })?;
            identity.push(ModuleIdentity { kind, id, firmware: String::new() });
        }
        let modules = identity.len();
        let firmware = self.agreed(b"firmwareall?\n", Expect::Firmware, modules).await?;
        for (module, line) in identity.iter_mut().zip(firmware) {
            if let Line::Firmware(version) = line {
                module.firmware = version;
            }
        }
        self.check_data_sheet(&identity).await?;
        Ok(identity)
    }

    /// Ids in the order of the chain.
    async fn enumerate(&mut self) -> Result<Vec<String>, ChainError> {
        let mut before: Option<Vec<String>> = None;
        let mut last = "nothing".to_owned();
        for _ in 0..self.options.tries {
            let lines = match self.module_lines().await? {
                Ok(lines) => lines,
                Err(other) => {
                    last = other;
                    continue;
                }
            };
            if before.as_ref() == Some(&lines) {
                return Ok(lines);
            }
            before = Some(lines);
        }
        Err(self.unreadable("nupall?", last))
    }

    /// `nup=0`, then `nupall?`: how many lines come is not known before.
    async fn module_lines(&mut self) -> Result<Result<Vec<String>, String>, ChainError> {
        let _ = self.ask_until_answered(&Question::new(*b"nup=0\n", Expect::Enumerated, 1)).await?;
        // Each module answers; those behind the first are waited for.
        let acknowledged = self.wire.quiet(self.options.quiet).await.map_err(|error| self.lost(error))?;
        if acknowledged.iter().any(|line| *line != Line::Enumerated) {
            self.trust.soil(false, false);
            return Ok(Err("other lines than ACK OK".to_owned()));
        }
        let first = self.ask_until_answered(&Question::new(*b"nupall?\n", Expect::Module, 1)).await?;
        let rest = self.wire.quiet(self.options.quiet).await.map_err(|error| self.lost(error))?;
        let mut ids = Vec::new();
        for (place, line) in first.into_iter().chain(rest).enumerate() {
            match line {
                Line::Module { id, index } if index == place => ids.push(id),
                other => {
                    self.trust.soil(false, false);
                    return Ok(Err(other.text()));
                }
            }
        }
        if ids.len() == acknowledged.len() + 1 {
            Ok(Ok(ids))
        } else {
            Ok(Err(format!("{} modules, of which {} acknowledged", ids.len(), acknowledged.len() + 1)))
        }
    }

    /// An answer that came twice the same.
    async fn agreed(
        &mut self,
        request: &[u8],
        expect: Expect,
        lines: usize,
    ) -> Result<Vec<Line>, ChainError> {
        let question = Question::new(request, expect, lines);
        let mut before = None;
        for _ in 0..self.options.tries {
            let answer = self.ask_until_answered(&question).await?;
            if before.as_ref() == Some(&answer) {
                return Ok(answer);
            }
            before = Some(answer);
        }
        Err(self.unreadable(&question.text(), "answers that differ".to_owned()))
    }

    /// Full scales and channels: values in binary are shares of full scale.
    async fn check_data_sheet(&mut self, identity: &[ModuleIdentity]) -> Result<(), ChainError> {
        let volts = self.agreed(b"vfullall?\n", Expect::Volts, identity.len()).await?;
        let currents = self.agreed(b"ifullall?\n", Expect::Milliamperes, identity.len()).await?;
        let counts = self.agreed(b"nchanall?\n", Expect::Count, identity.len()).await?;
        for (index, module) in identity.iter().enumerate() {
            let full = module.kind.full_volts().unwrap_or(Volts(0.0)).0;
            let current = module.kind.full_amperes().0 * 1e3;
            let is = |line: &Line, expected: f64| match line {
                Line::Volts(found) | Line::Milliamperes(found) => (found - expected).abs() < 1e-4,
                _ => false,
            };
            let wrong = [
                (!is(&volts[index], full))
                    .then(|| ("full voltage", volts[index].text(), format!("{full} V"))),
                (module.kind.drives() && !is(&currents[index], current))
                    .then(|| ("full current", currents[index].text(), format!("{current:.4} mA"))),
                (counts[index] != Line::Count(CHANNELS))
                    .then(|| ("channels", counts[index].text(), CHANNELS.to_string())),
            ];
            if let Some((what, found, expected)) = wrong.into_iter().flatten().next() {
                let what = format!("{what} of module {index} ({})", module.id);
                return Err(ChainError::Mismatch { what, found, expected });
            }
        }
        Ok(())
    }

    fn check_identity(&self, found: &[ModuleIdentity]) -> Result<(), ChainError> {
        let list = |names: Vec<String>| names.join(", ");
        let kinds: Vec<ModuleKind> = found.iter().map(|module| module.kind).collect();
        let ids: Vec<String> = found.iter().map(|module| module.id.clone()).collect();
        let expected = &self.options.modules;
        if !expected.is_empty() && *expected != kinds {
            return Err(ChainError::Mismatch {
                what: "modules".to_owned(),
                found: list(ids),
                expected: list(expected.iter().map(ModuleKind::to_string).collect()),
            });
        }
        let ids_before: Vec<String> = self.identity.iter().map(|module| module.id.clone()).collect();
        let expected = if self.options.ids.is_empty() { &ids_before } else { &self.options.ids };
        if !expected.is_empty() && *expected != ids {
            let (what, expected) = ("module ids".to_owned(), list(expected.clone()));
            return Err(ChainError::Mismatch { what, found: list(ids), expected });
        }
        Ok(())
    }

    /// The limits asked for must be possible: above zero, at most full scale.
    fn check_limits_asked(&self) -> Result<(), ChainError> {
        for channel in self.outputs() {
            let limits = self.options.limit(channel);
            let fits = limits.is_some_and(|limits| {
                let volts = limits.volts.0 > 0.0 && limits.volts.0 <= self.full(Property::Volts, channel);
                let current = limits.amperes.0 * 1e3;
                volts && current > 0.0 && current <= self.full(Property::CurrentLimit, channel) + 1e-6
            });
            if !fits {
                let limit =
                    limits.map_or("no limit".to_owned(), |l| format!("{} and {}", l.volts, l.amperes));
                let full = self.full(Property::CurrentLimit, channel);
                let held =
                    format!("{} and {full:.4} mA full scale", Volts(self.full(Property::Volts, channel)));
                return Err(ChainError::Limit { channel, limit, held });
            }
        }
        Ok(())
    }

    /// Limits of all outputs in steps, rounded down: never more than asked for.
    fn limit_words(&self, property: Property) -> Words {
        let word = |channel: usize| {
            let limits = self.options.limit(channel)?;
            let limit = if property.is_in_volts() { limits.volts.0 } else { limits.amperes.0 * 1e3 };
            let steps = (limit / self.full(property, channel) * FULL + 1e-6).floor();
            Some((channel, steps.clamp(0.0, FULL) as u16))
        };
        self.outputs().into_iter().filter_map(word).collect()
    }

    /// Highest step that a channel may be set to.
    pub(super) fn limit_word(&self, channel: usize) -> u16 {
        self.limit_words(Property::VoltsLimit).get(&channel).copied().unwrap_or_default()
    }

    async fn write_limits(&mut self) -> Result<(), ChainError> {
        for property in [Property::VoltsLimit, Property::CurrentLimit] {
            let wanted = self.limit_words(property);
            self.hold_limits(property, wanted).await?;
        }
        Ok(())
    }

    /// Writes limits, one channel at a time, until all that are held are those wanted.
    async fn hold_limits(&mut self, property: Property, wanted: Words) -> Result<(), ChainError> {
        let mut wrong = wanted.clone();
        let mut held = Words::new();
        for _ in 0..self.options.attempts {
            for (&channel, &word) in &wrong {
                let _ = self.write_all(property, &[(channel, word)].into()).await?;
            }
            held = self.scan(property, &BTreeMap::new()).await?;
            wrong = wanted
                .iter()
                .filter(|(channel, word)| held.get(channel) != Some(word))
                .map(|(&c, &w)| (c, w))
                .collect();
            if wrong.is_empty() {
                return Ok(());
            }
        }
        let (&channel, &word) = wrong.iter().next().unwrap_or((&0, &0));
        let unit = |word: u16| f64::from(word) / FULL * self.full(property, channel);
        let limit = format!("{} = {:.4}", property.name(), unit(word));
        Err(ChainError::Limit {
            channel,
            limit,
            held: format!("{:.4}", unit(held.get(&channel).copied().unwrap_or_default())),
        })
    }

    /// Lost limits are a reset that was not heard; other limits are the work of noise, and written again.
    pub(super) async fn check_limits(&mut self, suspects: &Words) -> Result<(), ChainError> {
        for property in [Property::VoltsLimit, Property::CurrentLimit] {
            let wanted = self.limit_words(property);
            let probe = wanted.iter().find(|(_, word)| **word < u16::MAX).map(|(&channel, _)| channel);
            for &channel in suspects.keys().chain(probe.iter()) {
                self.check_limit(property, channel, &wanted).await?;
            }
        }
        self.trust.limits_doubtful = false;
        Ok(())
    }

    async fn check_limit(
        &mut self,
        property: Property,
        channel: usize,
        wanted: &Words,
    ) -> Result<(), ChainError> {
        let Some(&limit) = wanted.get(&channel) else { return Ok(()) };
        // Corruption does not make the limit of full scale: one reading that is as wanted is enough.
        if self.read_word(property, channel).await? == limit
            || self.read_word(property, channel).await? == limit
        {
            return Ok(());
        }
        if self.read_word(property, channel).await? == u16::MAX {
            self.note_reboot("limits are back at full scale");
            return Err(self.rebooted_error());
        }
        let held = self.hold_limits(property, wanted.clone()).await;
        // A limit below an output trips it.
        self.trust.disturbed = true;
        held
    }
}
