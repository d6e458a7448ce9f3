//! Brings the faults of a plan.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Device, FaultPlan,
    faults::{ByteFaultKind, Direction, EventKind},
};

/// A plan at work.
pub(super) struct Injector {
    plan: FaultPlan,
    rng: ChaCha8Rng,
    requests: u64,
    muted_until: Duration,
}

/// What the device answered, as it goes onto the wire.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) late: Duration,
    /// The plug is pulled for so long; the answer does not go out.
    pub(super) unplugged: Option<Duration>,
}

impl Injector {
    /// A plan for a device that has had so many requests.
    pub(super) fn new(plan: FaultPlan, requests: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(plan.seed);
        Self { plan, rng, requests, muted_until: Duration::ZERO }
    }

    /// Hands `bytes`, as the wire brought them, to the device, and its answers to the wire.
    pub(super) fn pass(&mut self, device: &mut dyn Device, bytes: &[u8], now: Duration) -> Vec<Answer> {
        let bytes = self.disturb(bytes.to_vec(), Direction::ToDevice);
        if self.plan.events.is_empty() {
            let mut answer = Vec::new();
            device.receive(&bytes, now, &mut answer);
            return vec![self.sent(answer, now)];
        }
        // Byte by byte, so that each answer meets the faults of its own request.
        let mut answers = Vec::new();
        for byte in bytes {
            let mut answer = Vec::new();
            device.receive(&[byte], now, &mut answer);
            let before = self.requests;
            self.requests = device.requests();
            answers.push(self.around(before + 1..=self.requests, device, answer, now));
        }
        answers
    }

    /// What the device says unasked.
    pub(super) fn unasked(&mut self, answer: Vec<u8>, now: Duration) -> Answer {
        self.sent(answer, now)
    }

    fn sent(&mut self, bytes: Vec<u8>, now: Duration) -> Answer {
        if now < self.muted_until {
            return Answer::default();
        }
        Answer { bytes: self.disturb(bytes, Direction::ToHost), ..Answer::default() }
    }

    fn around(
        &mut self,
        requests: std::ops::RangeInclusive<u64>,
        device: &mut dyn Device,
        mut bytes: Vec<u8>,
        now: Duration,
    ) -> Answer {
        let (mut late, mut unplugged) = (Duration::ZERO, None);
        for kind in self.due(requests) {
            match kind {
                EventKind::DropAnswerByte { byte } => {
                    if !bytes.is_empty() {
                        bytes.remove(byte.min(bytes.len() - 1));
                    }
                }
                EventKind::DuplicateAnswer => bytes.extend_from_within(..),
                EventKind::Late { .. } => late += kind.lasts(),
                EventKind::Garbage { bytes: count } => {
                    let garbage: Vec<u8> = (0..count).map(|_| self.rng.random()).collect();
                    bytes.splice(0..0, garbage);
                }
                EventKind::Reset => {
                    bytes.clear();
                    device.reset(now, &mut bytes);
                }
                EventKind::Mute { .. } => self.muted_until = now + kind.lasts(),
                EventKind::Stuck { channel } => device.stick(channel, true),
                EventKind::Unstuck { channel } => device.stick(channel, false),
                EventKind::Unplug { .. } => unplugged = Some(kind.lasts()),
            }
        }
        Answer { late, unplugged, ..self.sent(bytes, now) }
    }

    fn due(&mut self, requests: std::ops::RangeInclusive<u64>) -> Vec<EventKind> {
        let mut due = Vec::new();
        for request in requests {
            for event in &self.plan.events {
                if event.is_due(request) || (event.chance > 0.0 && self.rng.random_bool(event.chance)) {
                    due.push(event.kind);
                }
            }
        }
        due
    }

    fn disturb(&mut self, bytes: Vec<u8>, direction: Direction) -> Vec<u8> {
        let mut bytes = bytes;
        for index in 0..self.plan.bytes.len() {
            let fault = self.plan.bytes[index];
            if (fault.direction == direction || fault.direction == Direction::Both) && fault.rate > 0.0 {
                bytes = self.meet(&bytes, fault.kind, fault.rate);
            }
        }
        bytes
    }

    fn meet(&mut self, bytes: &[u8], kind: ByteFaultKind, rate: f64) -> Vec<u8> {
        let mut met = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            if !self.rng.random_bool(rate) {
                met.push(byte);
                continue;
            }
            match kind {
                ByteFaultKind::Drop => {}
                ByteFaultKind::Flip => met.push(byte ^ (1 << self.rng.random_range(0..8))),
                ByteFaultKind::Duplicate => met.extend([byte, byte]),
                ByteFaultKind::Insert => met.extend([self.rng.random(), byte]),
            }
        }
        met
    }
}
