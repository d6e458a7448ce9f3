//! Laws of frames, and frames that another program has made.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_board_protocol::{
    Codes, Firmware, Frame, FrameReader, Hardware, Identity, Memory, Request, Sense, crc32, max_encoded,
};
use proptest::prelude::*;

fn encoded(seq: u16, request: Request<'_>) -> Vec<u8> {
    let mut frame = vec![0; 2000];
    let length = request.encode(seq, &mut frame).unwrap();
    frame.truncate(length);
    frame
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Made with Python: `body = struct.pack('<BBH', 1, kind, seq) + payload`, then
/// `cobs.encode(body + struct.pack('<I', zlib.crc32(body))) + b'\0'` (package `cobs` of PyPI).
#[test]
fn frames_are_those_of_an_independent_program() {
    let staged = words(&[0, 255, 0x1234]);
    let vectors = words(&[(-127_i16).cast_unsigned(), 0, 1, 127]);
    let limit = words(&[4095]);
    let codes = |bytes| Codes::new(bytes).unwrap();
    for (seq, request, expected) in [
        (1, Request::Hello, "04010101050fe3218100"),
        (
            0x0203,
            Request::Stage { first: 5, codes: codes(&staged) },
            "06010203020502030102ff073412386c274e00",
        ),
        (4, Request::Commit { crc: crc32(staged.iter().copied()) }, "0401030409ed255427a9b7bf6200"),
        (5, Request::Read { first: 0x0100, count: 255 }, "04010405010701ff60c7735c00"),
        (6, Request::Watchdog { ms: 2000 }, "0401050607d00716f2498800"),
        (
            7,
            Request::Execute { repeats: 2, frames: 2, codes: codes(&vectors) },
            "0401060705020281ff010201027f05709b76af00",
        ),
        (0xFFFF, Request::Sense, "090108ffff3efbcd2900"),
        (0, Request::Park, "0301090105f683299600"),
        (256, Request::Limits { first: 0, codes: codes(&limit) }, "03010a0201010801ff0f5445b7a900"),
        (11, Request::ReadLimits { first: 7, count: 1 }, "04010b0b020706010b33445400"),
    ] {
        assert_eq!(hex(&encoded(seq, request)), expected, "{request:?}");
    }
    let long = words(&(257..407).collect::<Vec<u16>>());
    let frame = encoded(12, Request::Stage { first: 0, codes: codes(&long) });
    assert_eq!((frame.len(), crc32(frame)), (314, 0x6ed4_7035));
}

fn read(bytes: &[u8], cuts: &[usize]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut reader = FrameReader::new([0; 600]);
    let mut frames = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        let mut piece = &bytes[piece[0]..piece[1]];
        while let Some(frame) = reader.feed(&mut piece) {
            if let Ok(Frame { kind, seq, payload }) = frame {
                frames.push((kind, seq, payload.to_vec()));
            }
        }
    }
    frames
}

fn frame(kind: u8, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; max_encoded(payload.len())];
    let length = alora_board_protocol::encode(kind, seq, &[payload], &mut out).unwrap();
    out.truncate(length);
    out
}

fn message() -> impl Strategy<Value = (u8, u16, Vec<u8>)> {
    (any::<u8>(), any::<u16>(), prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..520))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn frames_survive_any_split_and_any_garbage_between_them(
        messages in prop::collection::vec((message(), prop::collection::vec(any::<u8>(), 0..700)), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut bytes = Vec::new();
        for ((kind, seq, payload), garbage) in &messages {
            bytes.extend_from_slice(garbage);
            bytes.push(0);
            bytes.extend(frame(*kind, *seq, payload));
        }
        let sent: Vec<_> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(read(&bytes, &cuts), sent);
    }

    #[test]
    fn one_wrong_byte_never_makes_another_message(
        sent in message(), place in any::<usize>(), fault in 0..4_u8, byte in any::<u8>(),
    ) {
        let mut bytes = frame(sent.0, sent.1, &sent.2);
        let place = place % bytes.len();
        match fault {
            0 => bytes[place] = byte,
            1 => drop(bytes.remove(place)),
            2 => bytes.insert(place, bytes[place]),
            _ => bytes.insert(place, byte),
        }
        bytes.push(0);
        for found in read(&bytes, &[]) {
            prop_assert_eq!(&found, &sent);
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_without_panic(
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..2000),
        kind in any::<u8>(),
    ) {
        read(&bytes, &[]);
        let _ = Request::parse(&Frame { kind, seq: 0, payload: &bytes });
    }

    #[test]
    fn a_request_is_read_as_it_was_written(
        which in 0..10_u8, seq in any::<u16>(), first in any::<u16>(), count in any::<u8>(), crc in any::<u32>(),
        values in prop::collection::vec(any::<u16>(), 0..=255),
    ) {
        let bytes = words(&values);
        let codes = Codes::new(&bytes).unwrap();
        let request = match which {
            0 => Request::Hello,
            1 => Request::Stage { first, codes },
            2 => Request::Commit { crc },
            3 => Request::Read { first, count },
            4 => Request::Watchdog { ms: first },
            5 => Request::Execute { repeats: count, frames: 1, codes },
            6 => Request::Sense,
            7 => Request::Park,
            8 => Request::Limits { first, codes },
            _ => Request::ReadLimits { first, count },
        };
        let wire = encoded(seq, request);
        let (kind, found, payload) = read(&wire, &[]).remove(0);
        prop_assert_eq!(found, seq);
        prop_assert_eq!(Request::parse(&Frame { kind, seq, payload: &payload }), Ok(request));
    }
}

struct Registers([u16; 4], u32);

impl Hardware for Registers {
    fn identity(&self) -> Identity<'_> {
        Identity { firmware: (1, 0), kind: 0, inputs: 1, outputs: 1, bits: [16; 3], serial: b"x" }
    }

    fn write(&mut self, codes: &[u16]) {
        self.0.copy_from_slice(codes);
        self.1 += 1;
    }

    fn read(&self, actuator: usize) -> u16 {
        self.0[actuator]
    }

    fn execute(&mut self, _: u8, _: u8, _: Codes<'_>, _: &mut dyn FnMut(i16)) -> Option<bool> {
        Some(false)
    }

    fn sense(&mut self) -> Sense {
        Sense::default()
    }

    fn zero(&mut self) {
        self.0.fill(0);
    }
}

/// In arrays only: no allocation.
#[test]
fn a_commit_that_comes_twice_is_carried_out_once_and_answered_twice() {
    let memory = Memory {
        staged: &mut [0; 4][..],
        limits: &mut [0; 4][..],
        incoming: &mut [0; 64][..],
        outgoing: &mut [0; 64][..],
        payload: &mut [0; 48][..],
    };
    let mut board = Firmware::new(Registers([0; 4], 0), memory, 1);
    let ask = |board: &mut Firmware<Registers, &mut [u16], &mut [u8]>, seq, request| {
        let mut answer = Vec::new();
        board.receive(&encoded(seq, request), 0, &mut |bytes| answer.extend_from_slice(bytes));
        answer
    };
    let image = words(&[1, 2, 3, 4]);
    let codes = Codes::new(&image).unwrap();
    let commit = Request::Commit { crc: crc32(image.iter().copied()) };
    // Nothing can be staged before limits are written.
    assert_eq!(read(&ask(&mut board, 1, Request::Stage { first: 0, codes }), &[]), [(0xFF, 1, vec![5])]);
    ask(&mut board, 2, Request::Limits { first: 0, codes });
    ask(&mut board, 3, Request::Stage { first: 0, codes });
    let answers = (ask(&mut board, 4, commit), ask(&mut board, 4, commit));
    assert_eq!(answers.0, answers.1);
    assert_eq!((board.hardware().0, board.hardware().1), ([1, 2, 3, 4], 1));
}
