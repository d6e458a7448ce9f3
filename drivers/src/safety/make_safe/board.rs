//! A board: PARK.

use alora_board_protocol::{Frame, FrameReader, Kind, REPLY, Request, max_encoded};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Made, PATIENCE};
use crate::link::Transport;

/// Parks, with numbers that no host uses, then reads that nothing is driven.
pub(super) async fn zero(wire: &mut Box<dyn Transport>) -> std::io::Result<Made> {
    let mut frame = vec![0; max_encoded(8)];
    // A delimiter first, for what a host left half sent.
    let mut bytes = vec![0];
    for (seq, request) in [(0xEFF0, Request::Sense), (0xEFF1, Request::Park), (0xEFF2, Request::Hello)] {
        if let Some(length) = request.encode(seq, &mut frame) {
            bytes.extend_from_slice(&frame[..length]);
        }
    }
    wire.write_all(&bytes).await?;
    let mut reader = FrameReader::new(vec![0; max_encoded(300)]);
    let mut parked = false;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 512];
    while let Ok(read) = timeout_at(end, wire.read(&mut buffer)).await {
        let mut heard = match read? {
            0 => break,
            count => &buffer[..count],
        };
        while let Some(frame) = reader.feed(&mut heard) {
            parked |= frame.is_ok_and(|frame| is_parked(&frame));
            if parked {
                return Ok(Made::Zero("a board: parked, it says".to_owned()));
            }
        }
    }
    Ok(Made::Sent("PARK was sent to a board that does not answer".to_owned()))
}

fn is_parked(frame: &Frame<'_>) -> bool {
    frame.kind == Kind::Park as u8 | REPLY && frame.seq == 0xEFF1
}
