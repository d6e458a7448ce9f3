//! A recorded conversation with another device: where does it answer something else?

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::decode::{Decoder, Message};
use crate::{
    emulate::Device,
    record::{FrameEntry, Traffic},
};

/// Answers that tell the time or the weather, and events, which come by themselves: they are counted, not compared.
const OF_THE_MOMENT: [&str; 2] = ["SENSE reply", "EVENT"];

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Connections.
    pub connections: usize,
    /// Requests that were sent again.
    pub requests: usize,
    /// Answers by kind.
    pub answers: BTreeMap<String, Compared>,
    /// Entries that the log left out; behind them nothing need agree.
    pub left_out: u64,
    /// The first answer that is another one.
    pub first: Option<Difference>,
}

/// Answers of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// As recorded.
    pub equal: u64,
    /// Others, or missing.
    pub differ: u64,
    /// Not compared: they tell the time, say.
    pub of_the_moment: u64,
}

/// An answer that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which connection, from 1.
    pub connection: usize,
    /// Which answer of it, from 1.
    pub answer: usize,
    /// What was recorded; `None`: nothing more.
    pub recorded: Option<Message>,
    /// What is answered now; `None`: nothing more.
    pub answered: Option<Message>,
}

impl Replayed {
    /// Answers that are others.
    #[must_use]
    pub fn differ(&self) -> u64 {
        self.answers.values().map(|compared| compared.differ).sum()
    }
}

/// One connection: what the host sent, in messages, and the answers then and now.
struct Conversation {
    asked: Decoder,
    told: Decoder,
    tells: Decoder,
    requests: usize,
    recorded: Vec<Message>,
    answered: Vec<Message>,
}

impl Conversation {
    fn new(protocol: &str) -> Self {
        let decoder = || Decoder::of(protocol);
        Self {
            asked: decoder(),
            told: decoder(),
            tells: decoder(),
            requests: 0,
            recorded: Vec::new(),
            answered: Vec::new(),
        }
    }
}

/// Sends what a host sent, when it sent it, to `device`, and compares its answers with those recorded. Entries come with the time
/// since the first of all; those of one device only.
pub fn replay(
    entries: impl IntoIterator<Item = (Duration, FrameEntry)>,
    protocol: &str,
    device: &mut dyn Device,
) -> Replayed {
    let mut replayed = Replayed::default();
    let mut conversation: Option<Conversation> = None;
    for (at, entry) in entries {
        if entry.traffic == Traffic::Opened
            && let Some(ended) = conversation.take()
        {
            replayed.take(ended);
        }
        let now = conversation.get_or_insert_with(|| Conversation::new(protocol));
        let mut answers = Vec::new();
        device.tick(at, &mut answers);
        match entry.traffic {
            Traffic::Sent { bytes } => {
                now.requests += now.asked.feed(&bytes).len();
                device.receive(&bytes, at, &mut answers);
            }
            Traffic::Received { bytes } => now.recorded.extend(now.told.feed(&bytes)),
            Traffic::LeftOut { entries } => replayed.left_out += entries,
            Traffic::Opened | Traffic::Closed => {}
        }
        now.answered.extend(now.tells.feed(&answers));
    }
    if let Some(ended) = conversation {
        replayed.take(ended);
    }
    replayed
}

impl Replayed {
    fn take(&mut self, ended: Conversation) {
        self.connections += 1;
        self.requests += ended.requests;
        let comparable = |message: &Message| !OF_THE_MOMENT.contains(&message.kind.as_str());
        for message in ended.recorded.iter().filter(|message| !comparable(message)) {
            self.answers.entry(message.kind.clone()).or_default().of_the_moment += 1;
        }
        let recorded: Vec<_> = ended.recorded.into_iter().filter(comparable).collect();
        // A record ends where its host stopped listening: what is answered after is not missing in it.
        let answered = ended.answered.into_iter().filter(comparable);
        let mut answered = answered.take(recorded.len());
        for (index, recorded) in recorded.into_iter().enumerate() {
            self.compare(index + 1, recorded, answered.next());
        }
    }

    fn compare(&mut self, answer: usize, recorded: Message, answered: Option<Message>) {
        let compared = self.answers.entry(recorded.kind.clone()).or_default();
        if answered.as_ref() == Some(&recorded) {
            compared.equal += 1;
            return;
        }
        compared.differ += 1;
        let connection = self.connections;
        self.first.get_or_insert(Difference { connection, answer, recorded: Some(recorded), answered });
    }
}
