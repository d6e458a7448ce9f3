//! What the board says, and what follows from it.

use alora_board_protocol::{Event, EventCode, Frame, Kind, NAK, Nak, REPLY, VERSION};
use tokio::time::Instant;

use super::{BUSY, PATIENCE, Wire, with_news};
use crate::BackendErrorKind;

impl Wire {
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
        if frame.kind == Kind::Event as u8 {
            return self.event(frame.payload);
        }
        let place = self.flights.iter().position(|flight| flight.job.seq == frame.seq);
        let Some(place) = place else {
            return with_news(&self.shared, |news| news.statistics.strays += 1);
        };
        if frame.kind == NAK {
            self.refused(place, frame.payload);
        } else if frame.kind == self.flights[place].job.kind as u8 | REPLY {
            self.answered(place, frame.payload);
        } else {
            with_news(&self.shared, |news| news.statistics.strays += 1);
        }
    }

    /// A sound frame of another version: no request can be answered.
    pub(super) fn of_another_version(&mut self, found: u8) {
        for flight in self.flights.drain(..) {
            let _ = flight.job.answer.send(Err(BackendErrorKind::Version {
                device: format!("version {found} of the board protocol").into(),
                driver: format!("version {VERSION}").into(),
            }));
        }
    }

    fn event(&mut self, payload: &[u8]) {
        let Some(event) = Event::parse(payload) else { return };
        with_news(&self.shared, |news| match event.code {
            EventCode::Reboot => news.rebooted = true,
            EventCode::Watchdog => {
                news.tripped = Some(format!("its watchdog heard nothing for {} ms", event.value));
            }
            EventCode::OverTemperature => {
                news.tripped = Some(format!("too hot at channel {}: {}", event.channel, event.value));
            }
            EventCode::Trip => {
                news.tripped = Some(format!("channel {}, value {}", event.channel, event.value))
            }
            EventCode::Other(_) => {}
        });
    }

    fn answered(&mut self, place: usize, payload: &[u8]) {
        let Some(flight) = self.flights.remove(place) else { return };
        if flight.tries == 1 {
            self.deadlines.measured(&flight.job, flight.sent.elapsed());
        }
        let round_trip_us = self.deadlines.round_trip_us();
        with_news(&self.shared, |news| {
            news.statistics.answered += 1;
            news.statistics.round_trip_us = round_trip_us;
        });
        // Whoever asked may have gone.
        let _ = flight.job.answer.send(Ok(payload.to_vec()));
        // Answers come in the order of the requests: those sent before this one are lost.
        for earlier in 0..place.min(self.flights.len()) {
            if self.flights[earlier].sent < flight.sent {
                self.flights[earlier].due = Instant::now();
            }
        }
    }

    fn refused(&mut self, place: usize, payload: &[u8]) {
        let code = payload.first().copied().unwrap_or_default();
        with_news(&self.shared, |news| {
            if let Some(count) = news.naks.get_mut(usize::from(code)) {
                *count += 1;
            }
        });
        let most = self.options.tries * PATIENCE;
        match Nak::from_code(code) {
            // The request came damaged, or at a bad time: the same again. An unknown type may be the damage of another.
            Some(Nak::Frame | Nak::Crc | Nak::Overflow) if self.flights[place].tries < most => {
                self.flights[place].due = Instant::now();
            }
            Some(Nak::Busy) if self.flights[place].tries < most => {
                self.flights[place].due = Instant::now() + BUSY;
            }
            nak => {
                let Some(flight) = self.flights.remove(place) else { return };
                with_news(&self.shared, |news| news.statistics.refusals += 1);
                let answer = nak.map_or_else(|| format!("NAK {code}"), |nak| nak.words().to_owned());
                let request = format!("{:?}", flight.job.kind).to_uppercase();
                let kind = match nak {
                    Some(Nak::Tripped) => BackendErrorKind::Tripped { reason: self.reason() },
                    Some(Nak::Version) => BackendErrorKind::Version {
                        device: "another version of the board protocol".into(),
                        driver: format!("version {VERSION}").into(),
                    },
                    _ => BackendErrorKind::refused(request, answer),
                };
                let _ = flight.job.answer.send(Err(kind));
            }
        }
    }

    fn reason(&self) -> String {
        with_news(&self.shared, |news| news.tripped.clone())
            .unwrap_or_else(|| "it does not say why".to_owned())
    }
}
