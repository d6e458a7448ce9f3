//! What each request does.

use super::hardware::{Hardware, Identity};
use crate::{
    MINOR,
    nak::Nak,
    reply::{Flags, HELLO_HEAD, Hello, Sense},
    request::{Codes, Request},
};

/// How a reply came about.
pub(super) struct Done {
    pub(super) length: usize,
    pub(super) flags: u8,
}

/// Everything that a request can touch.
pub(super) struct Board<'a, H> {
    pub(super) hardware: &'a mut H,
    pub(super) staged: &'a mut [u16],
    pub(super) limits: &'a mut [u16],
    pub(super) payload: &'a mut [u8],
    pub(super) commit_epoch: &'a mut u32,
    pub(super) driven: &'a mut bool,
    pub(super) tripped: &'a mut bool,
    pub(super) watchdog_ms: &'a mut u16,
    pub(super) boot_id: u32,
    pub(super) uptime_us: u64,
}

impl<H: Hardware> Board<'_, H> {
    pub(super) fn carry_out(&mut self, request: &Request<'_>) -> Result<Done, Nak> {
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
        // With the flags: a reply that cannot be sent must not be measured.
        let room = self.payload.get_mut(..2 * counts + 1).ok_or(Nak::Overflow)?;
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
