//! What a host does with a board, one conversation at a time.

use alora_board_protocol::{Codes, Flags, Hello, Nak, Request, Sense, crc32};

use super::link::{Link, Pending, bytes_of, codes_of};
use crate::{BackendErrorKind, Code, Descriptor, ProcessorKind};

/// Most actuators of one frame.
const BLOCK: usize = 255;
/// The same on a wire that loses many: a short frame is less often hit.
const SHORT_BLOCK: usize = 16;
/// Bytes of STAGE before its codes; READ has fewer.
const HEAD: usize = 3;
/// Times that an image is staged again when the board has another.
const STAGINGS: usize = 3;
/// Times that codes are read again when the board changes meanwhile.
const READINGS: usize = 3;

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Board {
    pub(super) serial: String,
    pub(super) flags: Flags,
    pub(super) max_payload: usize,
    pub(super) boot_id: u32,
    pub(super) commit_epoch: u32,
}

/// An answer that is none.
fn unreadable(request: &str) -> BackendErrorKind {
    let (request, answer) = (request.to_owned(), "an answer of another shape".to_owned());
    BackendErrorKind::refused(request, answer)
}

impl Link {
    /// Asks who is there, and refuses another kind of board than `expected`.
    pub(super) async fn hello(&mut self, expected: &Descriptor) -> Result<Board, BackendErrorKind> {
        let payload = self.ask(Request::Hello, 280, false).await?;
        let hello = Hello::parse(&payload).ok_or_else(|| unreadable("HELLO"))?;
        // Of two minor versions the lower is spoken: that of this driver is the lowest that there is.
        fits(&hello, expected)?;
        self.max_payload = usize::from(hello.max_payload);
        Ok(Board {
            serial: String::from_utf8_lossy(hello.serial).into_owned(),
            flags: hello.flags,
            max_payload: usize::from(hello.max_payload),
            boot_id: hello.boot_id,
            commit_epoch: hello.commit_epoch,
        })
    }

    /// Writes the limits and reads them back.
    pub(super) async fn write_limits(&mut self, limits: &[Code]) -> Result<(), BackendErrorKind> {
        self.write_blocks(limits, |first, codes| Request::Limits { first, codes }).await?;
        let held =
            self.read_blocks(limits.len(), 0, |first, count| Request::ReadLimits { first, count }).await?;
        match held.iter().zip(limits).position(|(held, limit)| held != limit) {
            None => Ok(()),
            Some(actuator) => Err(BackendErrorKind::mismatch(
                format!("limit of actuator {actuator}"),
                held[actuator],
                limits[actuator],
            )),
        }
    }

    /// Stages a frame and has it take effect; the board's count of commits.
    pub(super) async fn commit(&mut self, codes: &[Code]) -> Result<u32, BackendErrorKind> {
        let crc = crc32(codes.iter().flat_map(|code| code.to_le_bytes()));
        let mut stagings = 0;
        loop {
            self.write_blocks(codes, |first, codes| Request::Stage { first, codes }).await?;
            stagings += 1;
            match self.ask(Request::Commit { crc }, 4, true).await {
                Err(BackendErrorKind::Refused { answer, .. })
                    if *answer == *Nak::Mismatch.words() && stagings < STAGINGS => {}
                answer => return epoch(&answer?),
            }
        }
    }

    /// Everything to zero; the board's count of commits.
    pub(super) async fn park(&mut self) -> Result<u32, BackendErrorKind> {
        epoch(&self.ask(Request::Park, 4, true).await?)
    }

    /// The codes in effect.
    pub(super) async fn read(&mut self, actuators: usize) -> Result<Vec<Code>, BackendErrorKind> {
        self.read_blocks(actuators, 1, |first, count| Request::Read { first, count }).await
    }

    pub(super) async fn sense(&mut self) -> Result<Sense, BackendErrorKind> {
        let payload = self.ask(Request::Sense, 16, true).await?;
        Sense::parse(&payload).ok_or_else(|| unreadable("SENSE"))
    }

    /// The codes in effect at one moment: a board that changes between two blocks is read again.
    pub(super) async fn read_at_once(
        &mut self,
        expected: &Descriptor,
    ) -> Result<Vec<Code>, BackendErrorKind> {
        let actuators = expected.limits.len();
        for _ in 0..READINGS {
            if actuators <= self.block() {
                return self.read(actuators).await;
            }
            let before = self.hello(expected).await?;
            let held = self.read(actuators).await?;
            if self.hello(expected).await? == before {
                return Ok(held);
            }
        }
        Err(BackendErrorKind::refused(
            "READ",
            "other codes in one block than in the next, whenever they are read",
        ))
    }

    /// Actuators of one frame that this board can hold.
    fn block(&self) -> usize {
        let most = if self.is_dirty() { SHORT_BLOCK } else { BLOCK };
        (self.max_payload.saturating_sub(HEAD) / 2).clamp(1, most)
    }

    async fn write_blocks(
        &mut self,
        codes: &[Code],
        request: impl Fn(u16, Codes<'_>) -> Request<'_>,
    ) -> Result<(), BackendErrorKind> {
        let mut pending = Vec::new();
        let size = self.block();
        for (index, block) in codes.chunks(size).enumerate() {
            let bytes = bytes_of(block.iter().copied());
            let codes = Codes::new(&bytes).ok_or_else(|| unreadable("STAGE"))?;
            let first = (index * size) as u16;
            pending.push((block.len(), self.send(request(first, codes), 1, false).await?));
        }
        for (count, answer) in pending {
            if answer.answer().await? != [count as u8] {
                return Err(unreadable("STAGE"));
            }
        }
        Ok(())
    }

    async fn read_blocks(
        &mut self,
        actuators: usize,
        head: usize,
        request: impl Fn(u16, u8) -> Request<'static>,
    ) -> Result<Vec<Code>, BackendErrorKind> {
        let mut pending: Vec<(usize, Pending)> = Vec::new();
        let size = self.block();
        for first in (0..actuators).step_by(size) {
            let count = size.min(actuators - first);
            let request = request(first as u16, count as u8);
            pending.push((count, self.send(request, head + 2 * count, false).await?));
        }
        let mut codes = Vec::with_capacity(actuators);
        for (count, answer) in pending {
            let payload = answer.answer().await?;
            let block = payload.get(head..).and_then(codes_of).filter(|block| block.len() == count);
            codes.extend(block.ok_or_else(|| unreadable("READ"))?);
        }
        Ok(codes)
    }
}

fn epoch(payload: &[u8]) -> Result<u32, BackendErrorKind> {
    payload.try_into().map(u32::from_le_bytes).map_err(|_| unreadable("COMMIT"))
}

fn fits(hello: &Hello<'_>, expected: &Descriptor) -> Result<(), BackendErrorKind> {
    let kind = match expected.kind {
        ProcessorKind::Incoherent => 1,
        ProcessorKind::Coherent => 2,
    };
    let bits = expected.bits;
    let kinds = ["generic", "incoherent", "coherent"];
    if hello.kind != 0 && hello.kind != kind {
        let named =
            |kind: u8| kinds.get(usize::from(kind)).map_or_else(|| kind.to_string(), ToString::to_string);
        return Err(BackendErrorKind::mismatch("kind of processor", named(hello.kind), named(kind)));
    }
    for (what, found, expected) in [
        ("actuators", usize::from(hello.actuators), expected.limits.len()),
        ("inputs", usize::from(hello.inputs), expected.input_width()),
        ("detector channels", usize::from(hello.outputs), expected.channels()),
        ("bits of an actuator", usize::from(hello.bits[0]), usize::from(bits.actuator)),
        ("bits of an input", usize::from(hello.bits[1]), usize::from(bits.input)),
        ("bits of an output", usize::from(hello.bits[2]), usize::from(bits.output)),
    ] {
        if found != expected {
            return Err(BackendErrorKind::mismatch(what, found, expected));
        }
    }
    Ok(())
}
