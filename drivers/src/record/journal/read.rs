//! What a journal's bytes say, whole or cut off anywhere.

use super::{Mark, Programming};
use crate::{
    Generation,
    frame::{ActuatorFrame, Code},
    record::seal::open,
};

/// How far a programming came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No channel was written.
    NothingSent,
    /// Channels may have been written; true for those that may.
    InFlight(Vec<bool>),
    /// Something that cannot be told apart from a mark stands at the end: any channel may have been written.
    Unclear,
    /// All channels were read back as new.
    Committed,
    /// After a crash the device was read back.
    Resolved(ActuatorFrame),
    /// Everything was about to be zeroed: a channel holds zero or what it held before.
    Zeroing,
    /// Everything was read back as zero, by whom.
    Zeroed(String),
    /// Something happened after which the outputs are not known.
    InDoubt(String),
}

/// What a channel holds as far as the journal knows: before anything else has written to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// What was read back before the programming.
    Old(Code),
    /// What the programming wrote and read back.
    New(Code),
    /// What was read back after a crash.
    Found(Code),
    /// It was zeroed after the programming, and read back as zero.
    Zeroed,
    /// One of the two, or anything else: read it back.
    Unknown {
        /// Before the programming.
        old: Code,
        /// What the programming was to write.
        new: Code,
    },
}

/// What a journal says of a programming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The programming.
    pub programming: Programming,
    /// How far it came.
    pub phase: Phase,
    /// What the device said after its host had died, before it was zeroed: writes, and whether its outputs were driven.
    pub seen: Option<(Generation, bool)>,
    whole: u64,
}

/// What a channel holds now, against the two that it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedChannel {
    /// Old and new are the same, and it holds that.
    Same(Code),
    /// It holds what it held before.
    Old(Code),
    /// It holds what it was to hold.
    New(Code),
    /// It holds neither.
    Neither(Code),
    /// It was not read back.
    NotRead,
}

/// What was found by reading back after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Each channel.
    pub channels: Vec<ResolvedChannel>,
}

impl Recovery {
    /// What each channel holds, as far as the journal knows.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelState> {
        let frames = self.programming.old.0.iter().zip(&self.programming.new.0);
        frames.enumerate().map(|(channel, (&old, &new))| self.channel(channel, old, new)).collect()
    }

    /// Compares what is read back now with both frames.
    #[must_use]
    pub fn resolve(&self, held: &ActuatorFrame) -> Resolved {
        let frames = self.programming.old.0.iter().zip(&self.programming.new.0).enumerate();
        let channels = frames.map(|(channel, (&old, &new))| match held.0.get(channel) {
            None => ResolvedChannel::NotRead,
            Some(&held) if held == old && held == new => ResolvedChannel::Same(held),
            Some(&held) if held == old => ResolvedChannel::Old(held),
            Some(&held) if held == new => ResolvedChannel::New(held),
            Some(&held) => ResolvedChannel::Neither(held),
        });
        Resolved { channels: channels.collect() }
    }

    /// What each channel held when the program ended, by what the device tells now, before anything is written to it.
    ///
    /// A count of writes that has not gone on tells that all is old, even when the device has zeroed its outputs since. One more
    /// write tells nothing by itself: it may be a park by another program. Nor do codes that are all zero, without a count: they may
    /// have been zeroed since.
    #[must_use]
    pub fn channels_by(&self, now: Option<Generation>, held: Option<&ActuatorFrame>) -> Vec<ChannelState> {
        let known = self.channels();
        if !self.is_unresolved() {
            return known;
        }
        if let Some(all) = self.by_sight().or_else(|| self.by_count(now, held)) {
            return all;
        }
        match held {
            Some(held) if held.0.iter().any(|&code| code != 0) => {
                let states = known.into_iter().enumerate();
                states.map(|(channel, state)| by_code(state, held.0.get(channel))).collect()
            }
            Some(_) if self.phase == Phase::Zeroing => vec![ChannelState::Zeroed; known.len()],
            _ => known,
        }
    }

    /// True when a count of writes tells what became of a programming that is under way.
    pub(super) fn is_told_by(&self, generation: Generation) -> bool {
        let counted = |then: Generation| {
            let on = generation.commits.checked_sub(then.commits);
            then.boot == generation.boot && on.is_some_and(|on| on <= 1)
        };
        matches!(self.phase, Phase::InFlight(_)) && self.programming.generation.is_some_and(counted)
    }

    /// All channels at once, by what the device said before anybody else wrote to it: one write more, with outputs that are
    /// driven, is the programming's own.
    fn by_sight(&self) -> Option<Vec<ChannelState>> {
        let (seen, driven) = self.seen.filter(|(seen, _)| self.is_told_by(*seen))?;
        let Programming { old, new, generation, .. } = &self.programming;
        match seen.commits - (*generation)?.commits {
            0 => Some(old.0.iter().map(|&code| ChannelState::Old(code)).collect()),
            1 if driven => Some(new.0.iter().map(|&code| ChannelState::New(code)).collect()),
            _ => None,
        }
    }

    /// All channels at once, where the device counts its writes.
    fn by_count(&self, now: Option<Generation>, held: Option<&ActuatorFrame>) -> Option<Vec<ChannelState>> {
        let Programming { old, new, generation, .. } = &self.programming;
        let (then, now) = ((*generation)?, now?);
        if now.boot != then.boot || !matches!(self.phase, Phase::InFlight(_) | Phase::Unclear) {
            return None;
        }
        match now.commits.checked_sub(then.commits)? {
            0 => Some(old.0.iter().map(|&code| ChannelState::Old(code)).collect()),
            1 if held == Some(new) => Some(new.0.iter().map(|&code| ChannelState::New(code)).collect()),
            _ => None,
        }
    }

    /// True when it is not known what the channels hold.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.channels().iter().any(|state| matches!(state, ChannelState::Unknown { .. }))
    }

    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    fn channel(&self, channel: usize, old: Code, new: Code) -> ChannelState {
        let unknown = ChannelState::Unknown { old, new };
        match &self.phase {
            Phase::NothingSent => ChannelState::Old(old),
            Phase::InFlight(sent) if sent.get(channel) == Some(&false) => ChannelState::Old(old),
            Phase::InFlight(_) | Phase::Unclear | Phase::Zeroing | Phase::InDoubt(_) => unknown,
            Phase::Committed => ChannelState::New(new),
            Phase::Zeroed(_) => ChannelState::Zeroed,
            Phase::Resolved(held) => held.0.get(channel).map_or(unknown, |&code| ChannelState::Found(code)),
        }
    }
}

/// What a code that is read back tells of a channel of which nothing else is known.
fn by_code(state: ChannelState, held: Option<&Code>) -> ChannelState {
    match (state, held) {
        (ChannelState::Unknown { old, .. }, Some(&held)) if held == old => ChannelState::Old(held),
        (ChannelState::Unknown { new, .. }, Some(&held)) if held == new => ChannelState::New(held),
        _ => state,
    }
}

/// Reads a journal: `None` when it was damaged, `Some(None)` when it was cut off before its first line was whole.
pub(super) fn recover(bytes: &[u8]) -> Option<Option<Recovery>> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (lines, tail) = bytes.split_at_checked(whole)?;
    let mut marks = lines.split_inclusive(|&byte| byte == b'\n').map(mark);
    let Some(first) = marks.next() else {
        return cut_off(tail).then_some(None);
    };
    let Mark::Begin(mut programming) = first? else { return None };
    let (mut phase, mut seen) = (Phase::NothingSent, None);
    for mark in marks {
        match mark? {
            Mark::Begin(next) if phase.is_settled() => {
                (programming, phase, seen) = (next, Phase::NothingSent, None);
            }
            Mark::Seen { generation, driven } => seen = seen.or(Some((generation, driven))),
            mark => phase = phase.after(mark, programming.new.0.len())?,
        }
    }
    if !cut_off(tail) {
        phase = Phase::Unclear;
    }
    Some(Some(Recovery { programming, phase, seen, whole: whole as u64 }))
}

impl Phase {
    fn after(self, mark: Mark, channels: usize) -> Option<Self> {
        match (self, mark) {
            (Self::NothingSent, Mark::Sending { first, end }) => {
                Some(Self::InFlight(sent(vec![false; channels], first, end)))
            }
            (Self::InFlight(before), Mark::Sending { first, end }) => {
                Some(Self::InFlight(sent(before, first, end)))
            }
            (Self::NothingSent | Self::InFlight(_), Mark::Committed) => Some(Self::Committed),
            (_, Mark::Resolved { held }) => Some(Self::Resolved(held)),
            (_, Mark::Zeroing) => Some(Self::Zeroing),
            (_, Mark::Zeroed { by }) => Some(Self::Zeroed(by)),
            (_, Mark::Doubt { why }) => Some(Self::InDoubt(why)),
            _ => None,
        }
    }

    /// True when another programming may follow.
    fn is_settled(&self) -> bool {
        matches!(self, Self::NothingSent | Self::Committed | Self::Resolved(_) | Self::Zeroed(_))
    }
}

fn sent(mut before: Vec<bool>, first: usize, end: usize) -> Vec<bool> {
    let (first, end) = (first.min(before.len()), end.min(before.len()));
    before.iter_mut().take(end).skip(first).for_each(|channel| *channel = true);
    before
}

fn mark(line: &[u8]) -> Option<Mark> {
    let object = open(line.strip_suffix(b"\n")?)?;
    serde_json::from_slice(&object).ok()
}

/// True for what a crash leaves of a line: nothing, or the beginning of an object. A line that is whole but for its end, or
/// bytes that no mark begins with, may be a mark that was on the disk once.
fn cut_off(tail: &[u8]) -> bool {
    tail.is_empty()
        || serde_json::from_slice::<serde_json::Value>(tail)
            .is_err_and(|error| error.is_eof() && tail[0] == b'{')
}
