//! What is found after a program ended without saying so: each channel by its journal and by a look at the device.

use std::fmt;

use serde::Serialize;

use super::Sight;
use crate::record::{ChannelState, Phase, Recovery};

/// Channels in ranges, from the first to the last, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ranges(pub Vec<(usize, usize)>);

/// The last programming of a processor, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Name of the programming.
    pub id: String,
    /// Processor.
    pub device: String,
    /// When, by whom and why.
    pub note: String,
    /// How far it came, in words.
    pub phase: String,
    /// True when the program that did it was cut off: it neither ended it nor zeroed after it.
    pub cut_off: bool,
    /// Channels that held what they held before the programming.
    pub old: Ranges,
    /// Channels that held what the programming was to write.
    pub new: Ranges,
    /// Channels of which only a reading after a crash is known.
    pub found: Ranges,
    /// Channels that were zeroed after the programming.
    pub zeroed: Ranges,
    /// Channels that held either, or anything else.
    pub unknown: Ranges,
    /// What the device holds now, in words.
    pub now: String,
}

impl Ranges {
    fn of(channels: &[ChannelState], wanted: impl Fn(&ChannelState) -> bool) -> Self {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (channel, _) in channels.iter().enumerate().filter(|(_, state)| wanted(state)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == channel => *last = channel,
                _ => ranges.push((channel, channel)),
            }
        }
        Self(ranges)
    }

    /// Channels in all of them.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// `none`, or `0-254, 300 (256)`; of many ranges the first few.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let range = |&(first, last): &(usize, usize)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let shown: Vec<_> = self.0.iter().take(SHOWN).map(range).collect();
        let more = if self.0.len() > SHOWN { ", …" } else { "" };
        write!(f, "{}{more} ({})", shown.join(", "), self.channels())
    }
}

/// What a journal and a look at the device together tell. `sight` is `None` where the device could not be looked at.
#[must_use]
pub fn found(recovery: &Recovery, sight: Option<&Sight>) -> Found {
    let held = sight.and_then(|sight| sight.frame_of(recovery.programming.new.0.len()));
    let channels = recovery.channels_by(sight.and_then(|sight| sight.generation), held);
    let programming = &recovery.programming;
    Found {
        id: programming.id.clone(),
        device: programming.device.clone(),
        note: programming.note.clone(),
        phase: phase(&recovery.phase),
        cut_off: !matches!(recovery.phase, Phase::Zeroed(_) | Phase::Resolved(_)),
        old: Ranges::of(&channels, |state| matches!(state, ChannelState::Old(_))),
        new: Ranges::of(&channels, |state| matches!(state, ChannelState::New(_))),
        found: Ranges::of(&channels, |state| matches!(state, ChannelState::Found(_))),
        zeroed: Ranges::of(&channels, |state| matches!(state, ChannelState::Zeroed)),
        unknown: Ranges::of(&channels, |state| matches!(state, ChannelState::Unknown { .. })),
        now: now(&channels, sight),
    }
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::NothingSent => "begun; nothing was sent".to_owned(),
        Phase::InFlight(_) => "cut off while it was sent".to_owned(),
        Phase::Unclear => "cut off; the journal ends unclear".to_owned(),
        Phase::Committed => "committed: every code was read back".to_owned(),
        Phase::Resolved(_) => "cut off; read back after".to_owned(),
        Phase::Zeroing => "cut off while everything was zeroed after it".to_owned(),
        Phase::Zeroed(by) => format!("committed or resolved, then zeroed: {by}"),
        Phase::InDoubt(why) => format!("in doubt since: {why}"),
    }
}

fn now(channels: &[ChannelState], sight: Option<&Sight>) -> String {
    let Some(sight) = sight else { return "not looked at".to_owned() };
    match sight.outputs.driven() {
        None => "the device does not tell".to_owned(),
        Some((all, 0)) if !is_zero(channels) => {
            let by = if sight.tripped == Some(true) {
                "it has tripped: its watchdog, or a fault"
            } else {
                "by whom is not known"
            };
            format!("all {all} channels read zero: zeroed since ({by})")
        }
        Some((all, 0)) => format!("all {all} channels read zero"),
        Some((all, driven)) => format!("{driven} of {all} channels are driven"),
    }
}

/// True when zero is what is expected.
fn is_zero(channels: &[ChannelState]) -> bool {
    channels.iter().all(|state| {
        matches!(
            state,
            ChannelState::Zeroed | ChannelState::Old(0) | ChannelState::New(0) | ChannelState::Found(0)
        )
    })
}

/// One sentence for the audit log.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, phase, old, new, found, unknown, now, .. } = self;
        write!(f, "programming {id}: {phase}; channels old: {old}; new: {new}; unknown: {unknown}")?;
        if !found.0.is_empty() {
            write!(f, "; read back before: {found}")?;
        }
        write!(f, "; now: {now}")
    }
}
