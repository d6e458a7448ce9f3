//! Bytes of a wire in words, by the protocol of its device.

use alora_board_protocol::{Codes, Frame, FrameReader, Kind, NAK, Nak, REPLY, max_encoded};
use serde::Serialize;

/// One message on a wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// What it is, as `STAGE`, `READ reply` or `line`.
    pub kind: String,
    /// Number of the request, where the protocol has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u16>,
    /// What it says.
    pub says: String,
    /// Its own bytes, for comparison.
    #[serde(skip)]
    pub(super) payload: Vec<u8>,
}

/// Puts the bytes of one direction of one connection together to messages.
pub struct Decoder(Protocol);

enum Protocol {
    Board(Box<FrameReader<Vec<u8>>>),
    Lines(Vec<u8>),
}

impl Decoder {
    /// For the protocol of that name; for those with lines of text, and others, lines.
    #[must_use]
    pub fn of(protocol: &str) -> Self {
        Self(match protocol {
            "board" => Protocol::Board(Box::new(FrameReader::new(vec![0; max_encoded(65_535)]))),
            _ => Protocol::Lines(Vec::new()),
        })
    }

    /// The messages that these bytes complete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Message> {
        match &mut self.0 {
            Protocol::Board(reader) => {
                let mut messages = Vec::new();
                while let Some(frame) = reader.feed(&mut bytes) {
                    messages.push(match frame {
                        Ok(frame) => of_frame(&frame),
                        Err(error) => Message {
                            kind: "no frame".to_owned(),
                            seq: None,
                            says: format!("{error:?}"),
                            payload: Vec::new(),
                        },
                    });
                }
                messages
            }
            Protocol::Lines(begun) => {
                begun.extend_from_slice(bytes);
                let whole = begun.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                let lines: Vec<u8> = begun.drain(..whole).collect();
                lines.split_inclusive(|&byte| byte == b'\n').map(of_line).collect()
            }
        }
    }
}

fn of_line(line: &[u8]) -> Message {
    let line = line.trim_ascii_end();
    let says = line.escape_ascii().to_string();
    Message { kind: "line".to_owned(), seq: None, says, payload: line.to_vec() }
}

fn of_frame(frame: &Frame<'_>) -> Message {
    let payload = frame.payload.to_vec();
    let seq = Some(frame.seq);
    if frame.kind == NAK {
        let code = payload.first().copied().and_then(Nak::from_code);
        let says = code.map_or_else(|| "unknown code".to_owned(), |nak| nak.words().to_owned());
        return Message { kind: "NAK".to_owned(), seq, says, payload };
    }
    let name = name_of(frame.kind & !REPLY);
    let is_reply = frame.kind & REPLY != 0;
    let kind = if is_reply { format!("{name} reply") } else { name.to_owned() };
    Message { kind, seq, says: says(frame), payload }
}

fn name_of(kind: u8) -> &'static str {
    const KINDS: [(Kind, &str); 11] = [
        (Kind::Hello, "HELLO"),
        (Kind::Stage, "STAGE"),
        (Kind::Commit, "COMMIT"),
        (Kind::Read, "READ"),
        (Kind::Watchdog, "WATCHDOG"),
        (Kind::Execute, "EXECUTE"),
        (Kind::Event, "EVENT"),
        (Kind::Sense, "SENSE"),
        (Kind::Park, "PARK"),
        (Kind::Limits, "LIMITS"),
        (Kind::ReadLimits, "READ_LIMITS"),
    ];
    KINDS.iter().find(|(known, _)| *known as u8 == kind).map_or("?", |(_, name)| name)
}

/// Where it goes, for what is written and read by blocks; otherwise how long it is.
fn says(frame: &Frame<'_>) -> String {
    const BLOCKS: [Kind; 2] = [Kind::Stage, Kind::Limits];
    const READS: [Kind; 2] = [Kind::Read, Kind::ReadLimits];
    let is = |kinds: [Kind; 2]| kinds.iter().any(|&kind| kind as u8 == frame.kind);
    match frame.payload {
        &[low, high, count, ref codes @ ..] if is(BLOCKS) => {
            let first = u16::from_le_bytes([low, high]);
            let driven = Codes::new(codes).map_or(0, |codes| codes.iter().filter(|&code| code != 0).count());
            format!("{count} actuators from {first}, {driven} of them not 0")
        }
        &[low, high, count] if is(READS) => {
            format!("{count} actuators from {}", u16::from_le_bytes([low, high]))
        }
        payload => format!("{} bytes", payload.len()),
    }
}
