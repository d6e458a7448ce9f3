//! Vectors through the chip, counts back.

use alora_board_protocol::{Codes, Flags, Request};
use ndarray::{Array3, s};

use super::BoardBackend;
use crate::{
    BackendErrorKind, Celsius, InputBatch, Readout, Watts,
    board::chunks::{Chunk, chunks, input_bytes},
};

const FREEZING_K: f64 = 273.15;

impl BoardBackend {
    /// Temperature of the chip and power of the laser, as the board says.
    pub(in crate::board) async fn sense(&mut self) -> Result<(Celsius, Watts), BackendErrorKind> {
        let sense = self.link().await?.sense().await?;
        Ok((celsius(sense.millikelvin), Watts(f64::from(sense.microwatt) * 1e-6)))
    }

    /// Payload of a frame that takes a third of the watchdog's time on the line: while a frame comes, the board hears nothing.
    fn bytes_within_watchdog(&self) -> usize {
        match (self.connector.baud(), self.options.watchdog_ms) {
            (Some(baud), ms @ 1..) => (u64::from(baud) * u64::from(ms) / 30_000) as usize,
            _ => usize::MAX,
        }
    }

    pub(super) async fn read_vectors(
        &mut self,
        inputs: &InputBatch,
        repeats: usize,
    ) -> Result<Readout, BackendErrorKind> {
        self.listen()?;
        // Arming would park the board: an execution never does.
        let board = self.armed.as_ref().ok_or(BackendErrorKind::OutputsUnknown)?;
        let most = board.max_payload.min(self.bytes_within_watchdog());
        let channels = self.descriptor.channels();
        let frames = inputs.0.nrows();
        let mut pieces = chunks(repeats, frames, inputs.0.ncols(), channels, most);
        // The end of a pass is of interest to simulated noise only.
        pieces.retain(|piece| piece.frames > 0 || self.descriptor.simulated);
        if pieces.is_empty() && frames > 0 {
            let request = "EXECUTE".to_owned();
            let answer = format!("payloads of {most} bytes at most, which hold not even one vector");
            return Err(BackendErrorKind::refused(request, answer));
        }
        let taken_at = self.clock.timestamp();
        let link = self.same_link()?;
        let sense = link.sense().await?;
        let mut pending = Vec::with_capacity(pieces.len());
        for chunk in pieces {
            let bytes = input_bytes(&inputs.0, &chunk);
            let Some(codes) = Codes::new(&bytes) else { continue };
            let request =
                Request::Execute { repeats: chunk.repeats as u8, frames: chunk.frames as u8, codes };
            let expected = 1 + 2 * chunk.repeats * chunk.frames * channels;
            pending.push((chunk, link.send(request, expected, false).await?));
        }
        let shape = (repeats, frames, channels);
        let mut readout = Readout {
            counts: Array3::zeros(shape),
            saturated: Array3::from_elem(shape, false),
            taken_at,
            temperature: celsius(sense.millikelvin),
        };
        for (chunk, answer) in pending {
            let payload = answer.answer().await?;
            take(&payload, &chunk, &self.options.nominal.counts_at_limit, &mut readout).ok_or_else(|| {
                let (request, answer) = ("EXECUTE".to_owned(), "counts of another shape".to_owned());
                BackendErrorKind::refused(request, answer)
            })?;
        }
        self.confirm().await?;
        Ok(readout)
    }
}

/// Puts the counts of a piece in their place; `None` when they are not as many as they should be.
fn take(payload: &[u8], chunk: &Chunk, at_limit: &[i32], readout: &mut Readout) -> Option<()> {
    let (&flags, counts) = payload.split_first()?;
    let counts: Vec<i32> = Codes::new(counts)?.iter().map(|code| i32::from(code.cast_signed())).collect();
    let channels = readout.counts.dim().2;
    let counts = Array3::from_shape_vec((chunk.repeats, chunk.frames, channels), counts).ok()?;
    let place = s![
        chunk.first_repeat..chunk.first_repeat + chunk.repeats,
        chunk.first_frame..chunk.first_frame + chunk.frames,
        ..
    ];
    if Flags(flags).at_limit() {
        let beyond = |count: i32| {
            at_limit.binary_search(&count).is_ok()
                || at_limit.first().is_some_and(|&lowest| count < lowest)
                || at_limit.last().is_some_and(|&highest| count > highest)
        };
        // A board that knows of limits which the station file does not: all of the piece is doubtful.
        let none = !counts.iter().any(|&count| beyond(count));
        readout.saturated.slice_mut(place).assign(&counts.mapv(|count| none || beyond(count)));
    }
    readout.counts.slice_mut(place).assign(&counts);
    Some(())
}

fn celsius(millikelvin: u32) -> Celsius {
    Celsius(f64::from(millikelvin) / 1000.0 - FREEZING_K)
}
