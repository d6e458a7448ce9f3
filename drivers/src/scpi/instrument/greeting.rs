//! Who is there, whether it was switched off, and what its error queue says.

use crate::scpi::{
    error::{ScpiError, shown},
    identity::{Identity, Model},
    number::integer,
    session::Session,
};

/// Entries of the error queue that are read at most.
const MOST_ERRORS: usize = 32;
/// The event-enable register as it is set on connecting; it is 0 after power-on.
const MARK: i64 = 61;
/// "Power on" in the event status register (IEEE 488.2, 11.5.1).
const POWER_ON: i64 = 0x80;

/// How it is seen that an instrument was switched off and on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootSign {
    /// Bit 7 of `*ESR?`.
    PowerOnEvent,
    /// `*ESE`, set on connecting, has gone back to 0: for servers that never set the power-on bit.
    EventMark,
}

/// An entry of the error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentError {
    /// Number: negative ones are SCPI's, positive ones the maker's.
    pub code: i64,
    /// Text.
    pub text: String,
}

impl std::fmt::Display for InstrumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

/// Opens, identifies, empties the error queue and says whether the instrument was switched on since the last greeting.
pub(super) async fn greet(
    session: &mut Session,
    model: Model,
    boot_sign: BootSign,
) -> Result<(Identity, bool), ScpiError> {
    session.open().await?;
    let identity = session.identify().await?;
    if !model.takes(&identity) {
        session.close();
        return Err(wrong(session, &identity, model.name.to_owned()));
    }
    let rebooted = was_rebooted(session, boot_sign).await?;
    // What stands in the queue is none of ours.
    errors(session).await?;
    if boot_sign == BootSign::EventMark {
        session.send(&format!("*ESE {MARK}")).await?;
    }
    Ok((identity, rebooted))
}

pub(super) fn wrong(session: &Session, found: &Identity, expected: String) -> ScpiError {
    ScpiError::WrongInstrument { place: session.place(), found: found.to_string(), expected }
}

pub(super) async fn was_rebooted(session: &mut Session, boot_sign: BootSign) -> Result<bool, ScpiError> {
    let query = match boot_sign {
        BootSign::PowerOnEvent => "*ESR?",
        BootSign::EventMark => "*ESE?",
    };
    let answer = session.ask(query).await?;
    match integer(&answer) {
        Ok(register) if (0..256).contains(&register) => Ok(match boot_sign {
            BootSign::PowerOnEvent => register & POWER_ON != 0,
            BootSign::EventMark => register != MARK,
        }),
        _ => {
            session.close();
            Err(session.malformed(query, shown(answer.as_bytes()), "a register of 8 bits"))
        }
    }
}

/// The error queue, read until it says that there is no more.
pub(super) async fn errors(session: &mut Session) -> Result<Vec<InstrumentError>, ScpiError> {
    let query = "SYST:ERR?";
    let mut errors = Vec::new();
    while errors.len() < MOST_ERRORS {
        let answer = session.ask(query).await?;
        match queue_entry(&answer) {
            Some(entry) if entry.code == 0 => return Ok(errors),
            Some(entry) => errors.push(entry),
            None => {
                session.close();
                return Err(session.malformed(query, shown(answer.as_bytes()), "a number and a quoted text"));
            }
        }
    }
    session.close();
    Err(session.malformed(query, errors[0].to_string(), format!("fewer than {MOST_ERRORS} errors")))
}

/// `<number>,"<text>"`.
fn queue_entry(answer: &str) -> Option<InstrumentError> {
    let (code, text) = answer.split_once(',')?;
    let text = text.trim_start().strip_prefix('"')?.strip_suffix('"')?;
    Some(InstrumentError { code: integer(code).ok()?, text: text.to_owned() })
}
