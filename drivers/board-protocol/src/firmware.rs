//! The board's side of the protocol.

use crate::{
    MINOR, NAK,
    frame::{FrameError, encode},
    memory::Memory,
    nak::Nak,
    reader::FrameReader,
    reply::{Event, EventCode, Flags, HELLO_HEAD, Hello, Sense},
    request::{Codes, Kind, REPLY, Request},
};

/// What a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Version of the firmware, major and minor.
    pub firmware: (u8, u8),
    /// 0 generic, 1 incoherent, 2 coherent.
    pub kind: u8,
    /// Input codes of a vector.
    pub inputs: u16,
    /// Counts of a vector.
    pub outputs: u16,
    /// Bits of actuators, inputs and outputs.
    pub bits: [u8; 3],
    /// Serial number, ASCII, at most 255 bytes.
    pub serial: &'a [u8],
}

/// Converters and registers of a board.
pub trait Hardware {
    /// What it is; constant.
    fn identity(&self) -> Identity<'_>;

    /// Applies one code an actuator.
    fn write(&mut self, codes: &[u16]);

    /// The code that is applied now.
    fn read(&self, actuator: usize) -> u16;

    /// Sends the vectors `repeats` times and gives `put` the counts, `[repeats, frames, outputs]`; true when one of them is
    /// at the limit of its amplifier or converter. Input codes are within the range of their converter or refused by `None`.
    fn execute(
        &mut self,
        repeats: u8,
        frames: u8,
        codes: Codes<'_>,
        put: &mut dyn FnMut(i16),
    ) -> Option<bool>;

    /// Temperature and laser. `uptime_us` is the firmware's to fill in.
    fn sense(&mut self) -> Sense;

    /// All outputs to zero, now.
    fn zero(&mut self);
}

/// The firmware of a board: requests in, replies out. It knows the time by what it is told, in µs since power on.
pub struct Firmware<H, W, B> {
    hardware: H,
    staged: W,
    limits: W,
    reader: FrameReader<B>,
    outgoing: B,
    payload: B,
    boot_id: u32,
    commit_epoch: u32,
    booted_at: u64,
    driven: bool,
    tripped: bool,
    watchdog_ms: u16,
    heard_at: u64,
    /// Number and length of the last reply, which is still in `outgoing`.
    remembered: Option<(u16, usize)>,
    events: u16,
    requests: u64,
}

/// How a reply came about.
struct Done {
    length: usize,
    flags: u8,
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
            outgoing,
            payload,
            boot_id,
            commit_epoch: 0,
            booted_at: 0,
            driven: false,
            tripped: false,
            watchdog_ms: 0,
            heard_at: 0,
            remembered: None,
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
        (self.remembered, self.events) = (None, 0);
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
            if kind != Kind::Hello as u8
                && let Some((remembered, length)) = self.remembered
                && remembered == seq
            {
                send(&self.outgoing.as_ref()[..length]);
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
            self.remembered = None;
            let mut frame = [0; crate::frame::max_encoded(HELLO_HEAD + 255)];
            if let Some(length) = encode(kind | REPLY, seq, &pieces, &mut frame) {
                send(&frame[..length]);
            }
            return;
        }
        match encode(kind | REPLY, seq, &pieces, self.outgoing.as_mut()) {
            Some(length) => {
                self.remembered = Some((seq, length));
                send(&self.outgoing.as_ref()[..length]);
            }
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

/// Everything that a request can touch.
struct Board<'a, H> {
    hardware: &'a mut H,
    staged: &'a mut [u16],
    limits: &'a mut [u16],
    payload: &'a mut [u8],
    commit_epoch: &'a mut u32,
    driven: &'a mut bool,
    tripped: &'a mut bool,
    watchdog_ms: &'a mut u16,
    boot_id: u32,
    uptime_us: u64,
}

impl<H: Hardware> Board<'_, H> {
    fn carry_out(&mut self, request: &Request<'_>) -> Result<Done, Nak> {
        match *request {
            Request::Hello => self.hello(),
            Request::Stage { first, codes } => self.stage(first, codes),
            Request::Commit { crc } => self.commit(crc),
            Request::Read { first, count } => {
                let hardware = &*self.hardware;
                words(self.payload, self.staged.len(), first, count, |actuator| hardware.read(actuator))
                    .map(|length| self.done(length))
            }
            Request::Watchdog { ms } => {
                *self.watchdog_ms = ms;
                self.answer(&ms.to_le_bytes())
            }
            Request::Execute { repeats, frames, codes } => self.execute(repeats, frames, codes),
            Request::Sense => {
                let sense = Sense { uptime_us: self.uptime_us, ..self.hardware.sense() };
                self.answer(&sense.payload())
            }
            Request::Park => {
                self.hardware.zero();
                self.staged.fill(0);
                (*self.driven, *self.tripped) = (false, false);
                *self.commit_epoch = self.commit_epoch.wrapping_add(1);
                let epoch = self.commit_epoch.to_le_bytes();
                self.answer(&epoch)
            }
            Request::Limits { first, codes } => {
                let range = self.range(first, codes.len())?;
                self.limits[range].iter_mut().zip(codes.iter()).for_each(|(limit, code)| *limit = code);
                self.answer(&[codes.len() as u8])
            }
            Request::ReadLimits { first, count } => {
                let limits = &*self.limits;
                words(self.payload, limits.len(), first, count, |actuator| limits[actuator])
                    .map(|length| self.done(length))
            }
        }
    }

    fn done(&self, length: usize) -> Done {
        Done { length, flags: self.flags().0 }
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<Done, Nak> {
        self.payload.get_mut(..bytes.len()).ok_or(Nak::Overflow)?.copy_from_slice(bytes);
        Ok(self.done(bytes.len()))
    }

    fn flags(&self) -> Flags {
        Flags::new(*self.tripped, *self.watchdog_ms > 0, *self.driven)
    }

    fn range(&self, first: u16, count: usize) -> Result<core::ops::Range<usize>, Nak> {
        let first = usize::from(first);
        let range = first..first + count;
        if range.end <= self.staged.len() { Ok(range) } else { Err(Nak::Channel) }
    }

    fn hello(&mut self) -> Result<Done, Nak> {
        let flags = self.flags();
        let Identity { firmware, kind, inputs, outputs, bits, serial } = self.hardware.identity();
        let hello = Hello {
            minor: MINOR,
            firmware,
            kind,
            actuators: self.staged.len() as u16,
            inputs,
            outputs,
            bits,
            flags,
            max_payload: u16::try_from(self.payload.len()).unwrap_or(u16::MAX),
            boot_id: self.boot_id,
            commit_epoch: *self.commit_epoch,
            serial,
        };
        let length = HELLO_HEAD + serial.len();
        let payload = self.payload.get_mut(..length).ok_or(Nak::Overflow)?;
        payload[..HELLO_HEAD].copy_from_slice(&hello.head());
        payload[HELLO_HEAD..].copy_from_slice(serial);
        Ok(self.done(length))
    }

    fn stage(&mut self, first: u16, codes: Codes<'_>) -> Result<Done, Nak> {
        let range = self.range(first, codes.len())?;
        if *self.tripped {
            return Err(Nak::Tripped);
        }
        if codes.iter().zip(&self.limits[range.clone()]).any(|(code, &limit)| code > limit) {
            return Err(Nak::Range);
        }
        self.staged[range].iter_mut().zip(codes.iter()).for_each(|(staged, code)| *staged = code);
        self.answer(&[codes.len() as u8])
    }

    fn commit(&mut self, crc: u32) -> Result<Done, Nak> {
        if *self.tripped {
            return Err(Nak::Tripped);
        }
        if crate::frame::crc32(self.staged.iter().flat_map(|code| code.to_le_bytes())) != crc {
            return Err(Nak::Mismatch);
        }
        // Limits may have been lowered since.
        if self.staged.iter().zip(&*self.limits).any(|(code, limit)| code > limit) {
            return Err(Nak::Range);
        }
        self.hardware.write(self.staged);
        *self.driven = self.staged.iter().any(|&code| code > 0);
        *self.commit_epoch = self.commit_epoch.wrapping_add(1);
        let epoch = self.commit_epoch.to_le_bytes();
        self.answer(&epoch)
    }

    fn execute(&mut self, repeats: u8, frames: u8, codes: Codes<'_>) -> Result<Done, Nak> {
        let Identity { inputs, outputs, .. } = self.hardware.identity();
        if codes.len() != usize::from(inputs) * usize::from(frames) || repeats == 0 {
            return Err(Nak::Frame);
        }
        if *self.tripped {
            return Err(Nak::Tripped);
        }
        let counts = usize::from(repeats) * usize::from(frames) * usize::from(outputs);
        let room = self.payload.get_mut(..2 * counts).ok_or(Nak::Overflow)?;
        let mut places = room.chunks_exact_mut(2);
        let mut put = |count: i16| {
            if let Some(place) = places.next() {
                place.copy_from_slice(&count.to_le_bytes());
            }
        };
        let at_limit = self.hardware.execute(repeats, frames, codes, &mut put).ok_or(Nak::Range)?;
        Ok(Done { length: 2 * counts, flags: self.flags().with_at_limit(at_limit).0 })
    }
}

/// Writes words into a payload and tells its length.
fn words(
    payload: &mut [u8],
    actuators: usize,
    first: u16,
    count: u8,
    word: impl Fn(usize) -> u16,
) -> Result<usize, Nak> {
    let (first, count) = (usize::from(first), usize::from(count));
    if first + count > actuators {
        return Err(Nak::Channel);
    }
    let room = payload.get_mut(..2 * count).ok_or(Nak::Overflow)?;
    for (offset, place) in room.chunks_exact_mut(2).enumerate() {
        place.copy_from_slice(&word(first + offset).to_le_bytes());
    }
    Ok(2 * count)
}
