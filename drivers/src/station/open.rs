//! From a station to its processor and devices.

use super::{BoardEntry, DeviceEntry, QontrolEntry, Station, StationError};
use crate::{
    Amperes, BackendError, BackendErrorKind, Operation, PhotonicBackend, ProcessorId, Volts,
    board::{BoardBackend, BoardOptions, LinkOptions},
    link::PortAccess,
    qontrol::{ChainOptions, ChannelLimits},
};

/// Connects to the processor of a checked station.
///
/// # Errors
/// A station without a processor, or a device that does not answer as it should.
pub async fn connect(
    station: &Station,
    access: &PortAccess,
) -> Result<Box<dyn PhotonicBackend>, BackendError> {
    let unfit = |error: StationError| BackendError {
        processor: ProcessorId(station.name.clone()),
        operation: Operation::Connect,
        kind: BackendErrorKind::mismatch("station file", error, "a processor"),
    };
    let (name, board) = station.board().map_err(unfit)?;
    let mut nominal = station.nominal().map_err(unfit)?;
    if let Some(limit) = board.limit {
        nominal.descriptor.limits.iter_mut().for_each(|highest| *highest = limit.min(*highest));
    }
    let link = LinkOptions { window: board.window, ..LinkOptions::default() };
    let options = BoardOptions { nominal, watchdog_ms: board.watchdog_ms, link };
    let connector = access.claim(name, &board.port).map_err(|error| BackendError {
        processor: ProcessorId(name.to_owned()),
        operation: Operation::Connect,
        kind: error.into(),
    })?;
    Ok(Box::new(BoardBackend::connect(connector, options).await?))
}

impl Station {
    /// The board that carries the processor, with its name.
    ///
    /// # Errors
    /// None is named, or what is named is no board.
    pub fn board(&self) -> Result<(&str, &BoardEntry), StationError> {
        let boards = self.device.iter().filter_map(|(name, entry)| match entry {
            DeviceEntry::Board(board) => Some((name.as_str(), board)),
            DeviceEntry::Qontrol(_) => None,
        });
        let wanted = &self.processor.device;
        let chosen: Vec<_> = boards.filter(|(name, _)| wanted.is_empty() || name == wanted).collect();
        match chosen[..] {
            [board] => Ok(board),
            [] if !wanted.is_empty() => Err(StationError::value(
                "processor.device",
                format!("\"{wanted}\""),
                "a device that speaks `board`",
            )),
            [] => Err(StationError::missing("device", "a processor needs a device that speaks `board`")),
            _ => Err(StationError::missing("processor.device", "several boards are there; name one")),
        }
    }
}

impl QontrolEntry {
    /// How the chain is driven.
    ///
    /// # Errors
    /// A module kind that is not known.
    pub fn options(&self) -> Result<ChainOptions, StationError> {
        let limits =
            ChannelLimits { volts: Volts(self.vmax_volt), amperes: Amperes(self.imax_milliampere / 1000.0) };
        Ok(ChainOptions::new(limits).expecting(&self.kinds()?).in_mode(self.mode))
    }
}
