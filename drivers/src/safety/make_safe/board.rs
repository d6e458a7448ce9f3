//! A board: PARK.

use alora_board_protocol::{Frame, FrameReader, Hello, Kind, REPLY, Request, max_encoded};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Made, PATIENCE};
use crate::{Generation, link::Transport};

/// What a board said of its writes before it was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Writes that it had carried out.
    pub generation: Generation,
    /// Its outputs were driven.
    pub driven: bool,
}

/// Parks, with numbers that no host uses; asks first how many writes there were, without waiting for the answer.
pub(super) async fn zero(wire: &mut Box<dyn Transport>) -> std::io::Result<(Made, Option<Before>)> {
    let mut frame = vec![0; max_encoded(8)];
    // A delimiter first, for what a host left half sent.
    let mut bytes = vec![0];
    for (seq, request) in [(0xEFF0, Request::Hello), (0xEFF1, Request::Park), (0xEFF2, Request::Hello)] {
        if let Some(length) = request.encode(seq, &mut frame) {
            bytes.extend_from_slice(&frame[..length]);
        }
    }
    wire.write_all(&bytes).await?;
    let mut reader = FrameReader::new(vec![0; max_encoded(300)]);
    let mut before = None;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while let Ok(read) = timeout_at(end, wire.read(&mut buffer)).await {
        let mut heard = match read? {
            0 => break,
            count => &buffer[..count],
        };
        while let Some(frame) = reader.feed(&mut heard) {
            let Ok(frame) = frame else { continue };
            before = before.or_else(|| told(&frame));
            if frame.kind == Kind::Park as u8 | REPLY && frame.seq == 0xEFF1 {
                return Ok((Made::Zero("a board: parked, it says".to_owned()), before));
            }
        }
    }
    Ok((Made::Sent("PARK was sent to a board that does not answer".to_owned()), before))
}

/// The answer to the question that came before PARK.
fn told(frame: &Frame<'_>) -> Option<Before> {
    let is_answer = frame.kind == Kind::Hello as u8 | REPLY && frame.seq == 0xEFF0;
    let hello = Hello::parse(frame.payload).filter(|_| is_answer)?;
    let generation = Generation { boot: hello.boot_id, commits: hello.commit_epoch };
    Some(Before { generation, driven: hello.flags.outputs_enabled() })
}
