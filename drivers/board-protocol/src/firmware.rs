//! The board's side of the protocol.

mod board;
mod hardware;
mod replies;

pub use hardware::{Hardware, Identity};

use self::{
    board::{Board, Done},
    replies::Replies,
};
use crate::{
    NAK,
    frame::{FrameError, encode},
    memory::Memory,
    nak::Nak,
    reader::FrameReader,
    reply::{Event, EventCode, HELLO_HEAD},
    request::{Kind, REPLY, Request},
};

/// The firmware of a board: requests in, replies out. It knows the time by what it is told, in µs since power on.
pub struct Firmware<H, W, B> {
    hardware: H,
    staged: W,
    limits: W,
    reader: FrameReader<B>,
    /// Also the memory from which a reply is sent.
    replies: Replies<B>,
    payload: B,
    boot_id: u32,
    commit_epoch: u32,
    booted_at: u64,
    driven: bool,
    tripped: bool,
    watchdog_ms: u16,
    heard_at: u64,
    events: u16,
    requests: u64,
}

impl<H, W, B> Firmware<H, W, B>
where
    H: Hardware,
    W: AsRef<[u16]> + AsMut<[u16]>,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// A board that has just been powered: outputs zero, limits zero, so that nothing can be driven before they are written.
    pub fn new(mut hardware: H, memory: Memory<W, B>, boot_id: u32) -> Self {
        hardware.zero();
        let Memory { mut staged, mut limits, incoming, outgoing, payload } = memory;
        staged.as_mut().fill(0);
        limits.as_mut().fill(0);
        Self {
            hardware,
            staged,
            limits,
            reader: FrameReader::new(incoming),
            replies: Replies::new(outgoing),
            payload,
            boot_id,
            commit_epoch: 0,
            booted_at: 0,
            driven: false,
            tripped: false,
            watchdog_ms: 0,
            heard_at: 0,
            events: 0,
            requests: 0,
        }
    }

    /// The board's converters.
    pub fn hardware(&self) -> &H {
        &self.hardware
    }

    /// The board's converters.
    pub fn hardware_mut(&mut self) -> &mut H {
        &mut self.hardware
    }

    /// Frames that came so far, sound or not.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// True from a trip until the board is parked.
    pub fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Power was lost: everything is as after power on, under another id, and the host is told.
    pub fn reset(&mut self, boot_id: u32, now_us: u64, send: &mut dyn FnMut(&[u8])) {
        self.hardware.zero();
        self.staged.as_mut().fill(0);
        self.limits.as_mut().fill(0);
        self.reader.clear();
        (self.boot_id, self.booted_at, self.commit_epoch) = (boot_id, now_us, 0);
        (self.driven, self.tripped, self.watchdog_ms) = (false, false, 0);
        self.replies.clear();
        self.events = 0;
        self.tell(EventCode::Reboot, 0, 0, send);
    }

    /// The hardware has tripped: everything to zero, and the host is told.
    pub fn trip(&mut self, code: EventCode, channel: u16, value: i32, send: &mut dyn FnMut(&[u8])) {
        self.hardware.zero();
        self.staged.as_mut().fill(0);
        (self.driven, self.tripped) = (false, true);
        self.tell(code, channel, value, send);
    }

    /// When [`Self::tick`] has to be called at the latest.
    pub fn deadline_us(&self) -> Option<u64> {
        (self.watchdog_ms > 0 && !self.tripped).then(|| self.heard_at + u64::from(self.watchdog_ms) * 1000)
    }

    /// The watchdog: outputs go to zero when the host was silent for too long.
    pub fn tick(&mut self, now_us: u64, send: &mut dyn FnMut(&[u8])) {
        if self.deadline_us().is_some_and(|deadline| now_us >= deadline) {
            let silent = (now_us - self.heard_at) / 1000;
            self.trip(EventCode::Watchdog, 0, i32::try_from(silent).unwrap_or(i32::MAX), send);
        }
    }

    /// Takes bytes as they come, and sends what they call for.
    pub fn receive(&mut self, mut bytes: &[u8], now_us: u64, send: &mut dyn FnMut(&[u8])) {
        self.tick(now_us, send);
        loop {
            let Some(frame) = self.reader.feed(&mut bytes) else { return };
            self.requests += 1;
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.refuse(error, send);
                    continue;
                }
            };
            self.heard_at = now_us;
            let (kind, seq) = (frame.kind, frame.seq);
            if let Some(reply) = self.replies.get(kind, seq) {
                send(reply);
                continue;
            }
            let request = Request::parse(&frame);
            let mut board = Board {
                hardware: &mut self.hardware,
                staged: self.staged.as_mut(),
                limits: self.limits.as_mut(),
                payload: self.payload.as_mut(),
                commit_epoch: &mut self.commit_epoch,
                driven: &mut self.driven,
                tripped: &mut self.tripped,
                watchdog_ms: &mut self.watchdog_ms,
                boot_id: self.boot_id,
                uptime_us: now_us.saturating_sub(self.booted_at),
            };
            match request.and_then(|request| board.carry_out(&request)) {
                Ok(Done { length, flags }) => {
                    self.reply(kind, seq, flags, length, send);
                }
                Err(nak) => self.nak(seq, nak, send),
            }
        }
    }

    fn reply(&mut self, kind: u8, seq: u16, flags: u8, length: usize, send: &mut dyn FnMut(&[u8])) {
        let payload = &self.payload.as_ref()[..length];
        let flags = [flags];
        let pieces: [&[u8]; 2] = if has_flags(kind) { [&flags, payload] } else { [payload, &[]] };
        if kind == Kind::Hello as u8 {
            // A host that comes begins with it: what the one before asked last is no longer of interest.
            self.replies.clear();
            let mut frame = [0; crate::frame::max_encoded(HELLO_HEAD + 255)];
            if let Some(length) = encode(kind | REPLY, seq, &pieces, &mut frame) {
                send(&frame[..length]);
            }
            return;
        }
        match self.replies.keep(kind, seq, &pieces) {
            Some(reply) => send(reply),
            None => self.nak(seq, Nak::Overflow, send),
        }
    }

    fn refuse(&mut self, error: FrameError, send: &mut dyn FnMut(&[u8])) {
        let (seq, nak) = match error {
            FrameError::Malformed => (0, Nak::Frame),
            FrameError::TooLong => (0, Nak::Overflow),
            FrameError::Crc { seq } => (seq, Nak::Crc),
            FrameError::Version { seq, .. } => (seq, Nak::Version),
        };
        self.nak(seq, nak, send);
    }

    fn nak(&mut self, seq: u16, nak: Nak, send: &mut dyn FnMut(&[u8])) {
        let mut frame = [0; crate::frame::max_encoded(1)];
        if let Some(length) = encode(NAK, seq, &[&[nak as u8]], &mut frame) {
            send(&frame[..length]);
        }
    }

    fn tell(&mut self, code: EventCode, channel: u16, value: i32, send: &mut dyn FnMut(&[u8])) {
        let event = Event { counter: self.events, code, channel, value };
        self.events = self.events.wrapping_add(1);
        let mut frame = [0; crate::frame::max_encoded(9)];
        if let Some(length) = encode(Kind::Event as u8, event.counter, &[&event.payload()], &mut frame) {
            send(&frame[..length]);
        }
    }
}

fn has_flags(kind: u8) -> bool {
    kind == Kind::Read as u8 || kind == Kind::Execute as u8
}
