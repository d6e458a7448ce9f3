// What must hold for any bytes on the wire of a board. Run by the fuzz targets and, on a stable toolchain, by a test.
#![allow(dead_code, reason = "each target needs one of them")]

use alora_board_protocol::{
    Codes, Event, Firmware, Frame, FrameReader, Hardware, Hello, Identity, Memory, Request, Sense, encode,
    max_encoded,
};

const PAYLOAD: usize = 96;
const ACTUATORS: usize = 6;

/// The reader never fails, splits change nothing, and what parses is written the same way again.
pub fn frame(bytes: &[u8]) {
    let whole = frames(&[bytes]);
    let middle = bytes.len() / 2;
    assert_eq!(whole, frames(&[&bytes[..middle], &bytes[middle..]]), "a split changes what was read");
    for (kind, seq, payload) in whole {
        let frame = Frame { kind, seq, payload: &payload };
        let _ = (Hello::parse(&payload), Sense::parse(&payload), Event::parse(&payload));
        let Ok(request) = Request::parse(&frame) else { continue };
        let (mut again, mut first) = ([0; max_encoded(PAYLOAD)], [0; max_encoded(PAYLOAD)]);
        let again_length = request.encode(seq, &mut again);
        let first_length = encode(kind, seq, &[&payload], &mut first);
        assert_eq!((again_length, again), (first_length, first), "a request is written in another way");
    }
}

fn frames(pieces: &[&[u8]]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut reader = FrameReader::new([0; max_encoded(PAYLOAD) - 1]);
    let mut frames = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(frame) = reader.feed(&mut piece) {
            frames.extend(frame.ok().map(|frame| (frame.kind, frame.seq, frame.payload.to_vec())));
        }
    }
    frames
}

/// The firmware never fails, answers each frame once, and drives nothing above the limits that were written.
pub fn firmware(bytes: &[u8]) {
    let mut memory = Memory {
        staged: [0; ACTUATORS],
        limits: [0; ACTUATORS],
        incoming: vec![0; max_encoded(PAYLOAD)],
        outgoing: vec![0; 3 * max_encoded(PAYLOAD)],
        payload: vec![0; PAYLOAD],
    };
    memory.limits[0] = 7; // what was in the memory before counts for nothing
    let mut board = Firmware::new(Toy::default(), memory, 1);
    let mut now = 0;
    for piece in bytes.chunks(5) {
        // The first byte of a piece is the pause before it, in ms.
        let (&pause, piece) = piece.split_first().unwrap_or((&0, &[]));
        now += u64::from(pause) * 1000;
        hear(&mut board, piece, now);
    }
    // And as one stream.
    hear(&mut board, bytes, now);
    let zeros = bytes.iter().filter(|&&byte| byte == 0).count();
    assert!(board.requests() <= 2 * zeros as u64, "a frame needs a delimiter");
    if board.is_tripped() {
        assert_eq!(board.hardware().applied, [0; ACTUATORS], "a board that has tripped drives nothing");
    }
}

fn hear(board: &mut Firmware<Toy, [u16; ACTUATORS], Vec<u8>>, bytes: &[u8], now: u64) {
    let before = board.requests();
    let (mut answers, mut stream) = (0, Vec::new());
    board.receive(bytes, now, &mut |answer| {
        answers += 1;
        stream.extend_from_slice(answer);
    });
    let heard = board.requests() - before;
    assert!((heard..=heard + 1).contains(&answers), "{answers} answers and events to {heard} frames");
    let mut reader = FrameReader::new(vec![0; max_encoded(PAYLOAD)]);
    let mut rest = &stream[..];
    while let Some(answer) = reader.feed(&mut rest) {
        assert!(answer.is_ok(), "an answer that cannot be read: {stream:02x?}");
    }
}

#[derive(Default)]
struct Toy {
    applied: [u16; ACTUATORS],
}

impl Hardware for Toy {
    fn identity(&self) -> Identity<'_> {
        Identity { firmware: (1, 0), kind: 1, inputs: 2, outputs: 3, bits: [8, 8, 8], serial: b"toy" }
    }

    fn write(&mut self, codes: &[u16]) {
        self.applied.copy_from_slice(codes);
    }

    fn read(&self, actuator: usize) -> u16 {
        self.applied[actuator]
    }

    fn execute(&mut self, repeats: u8, frames: u8, _: Codes<'_>, put: &mut dyn FnMut(i16)) -> Option<bool> {
        (0..u32::from(repeats) * u32::from(frames) * 3).for_each(|count| put(count as i16));
        Some(false)
    }

    fn sense(&mut self) -> Sense {
        Sense::default()
    }

    fn zero(&mut self) {
        self.applied = [0; ACTUATORS];
    }
}
