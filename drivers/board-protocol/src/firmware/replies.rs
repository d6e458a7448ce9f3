//! The last replies, for requests that come twice.

use crate::{
    frame::{encode, max_encoded},
    request::REPLY,
};

/// Most replies that are remembered: as many frames as a host has under way at most.
const MOST: usize = 64;

/// Replies as they were sent, as many of the last ones as the memory holds.
pub(super) struct Replies<B> {
    memory: B,
    kept: [Option<Kept>; MOST],
    /// Place in `kept` of the next one.
    next: usize,
    /// Place in `memory` behind the last one.
    end: usize,
}

#[derive(Clone, Copy)]
struct Kept {
    kind: u8,
    seq: u16,
    start: usize,
    length: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Replies<B> {
    pub(super) const fn new(memory: B) -> Self {
        Self { memory, kept: [None; MOST], next: 0, end: 0 }
    }

    /// The reply to the request of that type and number.
    pub(super) fn get(&self, kind: u8, seq: u16) -> Option<&[u8]> {
        let is = |kept: &&Kept| (kept.kind, kept.seq) == (kind, seq);
        let kept = self.kept.iter().flatten().find(is)?;
        self.memory.as_ref().get(kept.start..kept.start + kept.length)
    }

    /// Writes the reply to a request in place of the oldest ones; `None` when the memory cannot hold it: nothing is forgotten then.
    pub(super) fn keep(&mut self, kind: u8, seq: u16, payload: &[&[u8]]) -> Option<&[u8]> {
        let needed = max_encoded(payload.iter().map(|piece| piece.len()).sum());
        let memory = self.memory.as_mut();
        let start = if self.end + needed <= memory.len() { self.end } else { 0 };
        let room = memory.get_mut(start..start + needed)?;
        for place in &mut self.kept {
            let overlaps = |kept: &Kept| kept.start < start + needed && start < kept.start + kept.length;
            *place = place.filter(|kept| !overlaps(kept));
        }
        let length = encode(kind | REPLY, seq, payload, room)?;
        self.kept[self.next] = Some(Kept { kind, seq, start, length });
        self.next = (self.next + 1) % MOST;
        self.end = start + length;
        self.memory.as_ref().get(start..self.end)
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.kept = [None; MOST];
    }
}
