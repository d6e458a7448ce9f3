//! From a station to its processor and devices.

use super::{BoardEntry, DeviceEntry, QontrolEntry, Station, StationError, compose};
use crate::{
    Amperes, BackendError, BackendErrorKind, Code, Operation, PhotonicBackend, ProcessorId, Volts,
    board::{BoardBackend, BoardOptions, LimitedBoard, LinkOptions},
    link::PortAccess,
    qontrol::{ChainOptions, ChannelLimits},
};

/// Connects to the processor of a checked station: its bench, unless `processor.device` names a board.
///
/// # Errors
/// A station without a processor, or a device that does not answer as it should.
pub async fn connect(
    station: &Station,
    access: &PortAccess,
) -> Result<Box<dyn PhotonicBackend>, BackendError> {
    match station.bench_in_use() {
        Some(bench) => Ok(Box::new(compose::bench(station, bench, access).await?)),
        None => board(station, access).await,
    }
}

async fn board(station: &Station, access: &PortAccess) -> Result<Box<dyn PhotonicBackend>, BackendError> {
    let unfit = |error: StationError| failed(&station.name, error.into());
    let (name, board) = station.board().map_err(unfit)?;
    let mut nominal = station.nominal().map_err(unfit)?;
    board.limit(&mut nominal.descriptor.limits).map_err(unfit)?;
    let link = LinkOptions { window: board.window, ..LinkOptions::default() };
    let options = BoardOptions { nominal, watchdog_ms: board.watchdog_ms, link };
    let connector = access.claim(name, &board.port).map_err(|error| failed(name, error.into()))?;
    let connected = BoardBackend::connect(connector, options).await?;
    Ok(match board.rules() {
        Some(rules) => Box::new(LimitedBoard::new(connected, rules, &board.interlock)),
        None => Box::new(connected),
    })
}

impl BoardEntry {
    /// Lowers the highest codes, one an actuator, to those of the station.
    ///
    /// # Errors
    /// An actuator is named that the chip does not have.
    pub fn limit(&self, limits: &mut [Code]) -> Result<(), StationError> {
        let all = self.limit.unwrap_or(Code::MAX);
        limits.iter_mut().for_each(|highest| *highest = all.min(*highest));
        let actuators = limits.len();
        for channel in &self.channel {
            let highest = limits.get_mut(channel.index).ok_or_else(|| {
                let allowed = format!("0 to {} on this chip", actuators.saturating_sub(1));
                StationError::value("channel.index", channel.index.to_string(), allowed)
            })?;
            *highest = channel.limit.min(*highest);
        }
        Ok(())
    }
}

pub(super) fn failed(processor: &str, kind: BackendErrorKind) -> BackendError {
    BackendError { processor: ProcessorId(processor.to_owned()), operation: Operation::Connect, kind }
}

impl From<StationError> for BackendErrorKind {
    fn from(error: StationError) -> Self {
        Self::mismatch("station file", error, "a processor")
    }
}

impl Station {
    /// The board that carries the processor, with its name.
    ///
    /// # Errors
    /// None is named, or what is named is no board.
    pub fn board(&self) -> Result<(&str, &BoardEntry), StationError> {
        let boards = self.device.iter().filter_map(|(name, entry)| match entry {
            DeviceEntry::Board(board) => Some((name.as_str(), board)),
            _ => None,
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
            [] => Err(StationError::missing(
                "device",
                "a processor needs a device that speaks `board`, or a table `bench`",
            )),
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
        let options = ChainOptions::new(limits).expecting(&self.kinds()?).in_mode(self.mode);
        Ok(ChainOptions { tolerance: self.tolerance, ..options })
    }
}
