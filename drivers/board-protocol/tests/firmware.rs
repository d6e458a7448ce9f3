//! The board's side, request by request.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_board_protocol::{
    Codes, Event, EventCode, Firmware, FrameReader, Hardware, Hello, Identity, Memory, NAK, Nak, Request,
    Sense, crc32, encode, max_encoded,
};

const PAYLOAD: usize = 64;
const ACTUATORS: usize = 4;

#[derive(Default)]
struct Toy {
    applied: Vec<u16>,
    writes: usize,
    executions: usize,
}

impl Hardware for Toy {
    fn identity(&self) -> Identity<'_> {
        Identity { firmware: (1, 2), kind: 1, inputs: 2, outputs: 3, bits: [12, 8, 8], serial: b"toy" }
    }

    fn write(&mut self, codes: &[u16]) {
        self.applied = codes.to_vec();
        self.writes += 1;
    }

    fn read(&self, actuator: usize) -> u16 {
        self.applied[actuator]
    }

    fn execute(&mut self, repeats: u8, frames: u8, _: Codes<'_>, put: &mut dyn FnMut(i16)) -> Option<bool> {
        self.executions += 1;
        (0..i16::from(repeats) * i16::from(frames) * 3).for_each(|_| put(self.executions as i16));
        Some(false)
    }

    fn sense(&mut self) -> Sense {
        Sense { millikelvin: 300_000, ..Sense::default() }
    }

    fn zero(&mut self) {
        self.applied = vec![0; ACTUATORS];
    }
}

struct Bench {
    board: Firmware<Toy, Vec<u16>, Vec<u8>>,
    now_us: u64,
    seq: u16,
}

type Answer = (u8, u16, Vec<u8>);

fn read(stream: &[u8]) -> Vec<Answer> {
    let mut reader = FrameReader::new(vec![0; 1024]);
    let (mut rest, mut answers) = (stream, Vec::new());
    while let Some(frame) = reader.feed(&mut rest) {
        let frame = frame.unwrap();
        answers.push((frame.kind, frame.seq, frame.payload.to_vec()));
    }
    answers
}

impl Bench {
    fn new() -> Self {
        Self::remembering(1)
    }

    /// With memory for so many of the longest replies.
    fn remembering(replies: usize) -> Self {
        let memory = Memory {
            staged: vec![9; ACTUATORS],
            limits: vec![9; ACTUATORS],
            incoming: vec![0; max_encoded(PAYLOAD)],
            outgoing: vec![0; replies * max_encoded(PAYLOAD)],
            payload: vec![0; PAYLOAD],
        };
        Self { board: Firmware::new(Toy::default(), memory, 77), now_us: 0, seq: 100 }
    }

    fn limited() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.ask(limits(&bytes([500; 4]))).2, [4]);
        bench
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<Answer> {
        let mut stream = Vec::new();
        self.board.receive(bytes, self.now_us, &mut |frame| stream.extend_from_slice(frame));
        read(&stream)
    }

    fn ask_as(&mut self, seq: u16, request: Request<'_>) -> Answer {
        let mut out = [0; 1024];
        let length = request.encode(seq, &mut out).unwrap();
        let mut answers = self.hear(&out[..length]);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    fn ask(&mut self, request: Request<'_>) -> Answer {
        self.seq += 1;
        self.ask_as(self.seq, request)
    }

    fn refusal(&mut self, request: Request<'_>) -> Option<Nak> {
        let answer = self.ask(request);
        (answer.0 == NAK).then(|| Nak::from_code(answer.2[0]).unwrap())
    }

    fn raw(&mut self, kind: u8, payload: &[u8]) -> Answer {
        let mut out = vec![0; max_encoded(payload.len())];
        let length = encode(kind, 1, &[payload], &mut out).unwrap();
        self.hear(&out[..length]).remove(0)
    }

    fn commit(&mut self, codes: [u16; ACTUATORS]) -> Answer {
        assert_eq!(self.ask(stage(0, &bytes(codes))).2, [4]);
        self.ask(Request::Commit { crc: crc32(bytes(codes)) })
    }

    fn applied(&self) -> &[u16] {
        &self.board.hardware().applied
    }
}

fn bytes<const N: usize>(codes: [u16; N]) -> Vec<u8> {
    codes.into_iter().flat_map(u16::to_le_bytes).collect()
}

fn stage(first: u16, codes: &[u8]) -> Request<'_> {
    Request::Stage { first, codes: Codes::new(codes).unwrap() }
}

fn limits(codes: &[u8]) -> Request<'_> {
    Request::Limits { first: 0, codes: Codes::new(codes).unwrap() }
}

#[test]
fn nothing_can_be_driven_before_limits_are_written() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(Request::ReadLimits { first: 0, count: 4 }).2, [0; 8]);
    assert_eq!(bench.refusal(stage(0, &bytes([1]))), Some(Nak::Range));
    assert_eq!(bench.refusal(Request::Commit { crc: crc32([0; 8]) }), None);
    assert_eq!(bench.applied(), [0; 4]);
}

#[test]
fn a_repeated_number_is_answered_from_memory_and_not_carried_out_again() {
    let mut bench = Bench::limited();
    bench.commit([1, 2, 3, 4]);
    let first = bench.ask_as(7, Request::Park);
    let epoch = u32::from_le_bytes(first.2.clone().try_into().unwrap());
    assert_eq!(bench.ask_as(7, Request::Park), first);
    // HELLO is carried out each time, and ends the memory: a host that begins may number from anywhere.
    for _ in 0..2 {
        let hello = bench.ask_as(7, Request::Hello);
        assert_eq!(Hello::parse(&hello.2).unwrap().commit_epoch, epoch);
    }
    assert_eq!(bench.ask_as(7, Request::Park).2, (epoch + 1).to_le_bytes());
    let codes = [0; 4];
    let execute = Request::Execute { repeats: 2, frames: 1, codes: Codes::new(&codes).unwrap() };
    let counts = bench.ask_as(8, execute);
    assert_eq!((bench.ask_as(8, execute), bench.board.hardware().executions), (counts, 1));
}

fn execute(frames: u8, codes: &[u8]) -> Request<'_> {
    Request::Execute { repeats: 1, frames, codes: Codes::new(codes).unwrap() }
}

#[test]
fn any_request_of_a_window_may_come_again_and_is_not_carried_out_twice() {
    let codes = [0; 40];
    let mut bench = Bench::remembering(8);
    for window in 0..20 {
        let seqs = window * 8..window * 8 + 8;
        // Replies of all lengths, so that they lie in the memory in every way.
        let ask = |bench: &mut Bench, seq: u16| {
            let frames = (seq * 7 % 11) as u8;
            bench.ask_as(seq, execute(frames, &codes[..4 * usize::from(frames)]))
        };
        let counts: Vec<_> = seqs.clone().map(|seq| ask(&mut bench, seq)).collect();
        let again: Vec<_> = seqs.rev().map(|seq| ask(&mut bench, seq)).collect();
        assert!(again.iter().rev().eq(&counts));
        assert_eq!(bench.board.hardware().executions, 8 * (usize::from(window) + 1));
    }
}

#[test]
fn a_number_that_another_type_has_had_is_no_repetition() {
    let mut bench = Bench::remembering(8);
    bench.ask_as(7, limits(&bytes([500; 4])));
    bench.ask_as(8, stage(0, &bytes([1, 2, 3, 4])));
    bench.ask_as(9, Request::Commit { crc: crc32(bytes([1, 2, 3, 4])) });
    assert_eq!(bench.ask_as(9, Request::Park).0, 0x89);
    assert_eq!(bench.applied(), [0; 4]);
}

#[test]
fn counts_that_no_reply_can_hold_are_not_measured() {
    let mut bench = Bench::limited();
    for (frames, measured) in [(10, true), (11, false)] {
        let codes = vec![0; 4 * frames];
        let refusal = bench.refusal(execute(frames as u8, &codes));
        assert_eq!(refusal, (!measured).then_some(Nak::Overflow));
    }
    assert_eq!(bench.board.hardware().executions, 1);
}

#[test]
fn a_block_is_staged_whole_or_not_at_all() {
    let mut bench = Bench::limited();
    bench.commit([1, 2, 3, 4]);
    assert_eq!(bench.refusal(stage(0, &bytes([9, 9, 501]))), Some(Nak::Range));
    assert_eq!(bench.refusal(stage(2, &bytes([9, 9, 9]))), Some(Nak::Channel));
    assert_eq!(bench.refusal(Request::Commit { crc: crc32(bytes([1, 2, 3, 4])) }), None);
    assert_eq!(bench.applied(), [1, 2, 3, 4]);
}

#[test]
fn another_image_than_the_staged_one_is_not_committed() {
    let mut bench = Bench::limited();
    bench.commit([1, 2, 3, 4]);
    bench.ask(stage(0, &bytes([9])));
    assert_eq!(bench.refusal(Request::Commit { crc: crc32(bytes([9, 9, 3, 4])) }), Some(Nak::Mismatch));
    assert_eq!((bench.applied(), bench.board.hardware().writes), (&[1, 2, 3, 4][..], 1));
}

#[test]
fn a_trip_zeroes_and_holds_until_the_board_is_parked() {
    let mut bench = Bench::limited();
    bench.commit([1, 2, 3, 4]);
    let mut stream = Vec::new();
    bench.board.trip(EventCode::Trip, 3, 42, &mut |frame| stream.extend_from_slice(frame));
    let event = Event { counter: 0, code: EventCode::Trip, channel: 3, value: 42 };
    assert_eq!(Event::parse(&read(&stream)[0].2), Some(event));
    assert_eq!(bench.applied(), [0; 4]);
    assert_eq!(bench.refusal(stage(0, &bytes([1]))), Some(Nak::Tripped));
    assert_eq!(bench.refusal(Request::Commit { crc: crc32([0; 8]) }), Some(Nak::Tripped));
    assert_eq!(bench.refusal(Request::Park), None);
    assert_eq!(bench.commit([1, 2, 3, 4]).0, 0x83);
}

#[test]
fn the_watchdog_counts_from_the_last_sound_frame() {
    let mut bench = Bench::limited();
    bench.commit([1, 2, 3, 4]);
    bench.ask(Request::Watchdog { ms: 100 });
    bench.now_us = 90_000;
    bench.ask(Request::Sense);
    bench.now_us = 180_000;
    assert_eq!(bench.hear(&[1, 2, 3, 0])[0].0, NAK);
    assert_eq!(bench.board.deadline_us(), Some(190_000));
    bench.now_us = 189_999;
    bench.board.tick(bench.now_us, &mut |_| {});
    assert_eq!(bench.applied(), [1, 2, 3, 4]);
    bench.now_us = 190_000;
    bench.board.tick(bench.now_us, &mut |_| {});
    assert_eq!((bench.applied(), bench.board.is_tripped()), (&[0; 4][..], true));
}

#[test]
fn every_refusal_has_its_code() {
    let mut bench = Bench::limited();
    assert_eq!(bench.raw(0x01, &[0]), (NAK, 1, vec![1]));
    assert_eq!(bench.raw(0x02, &[0, 0, 2, 1, 0]), (NAK, 1, vec![1]));
    assert_eq!(bench.raw(0x04, &[4, 0, 1]), (NAK, 1, vec![4]));
    assert_eq!(bench.raw(0x33, &[]), (NAK, 1, vec![7]));
    assert_eq!(bench.raw(0x81, &[]), (NAK, 1, vec![7]));
    // 5 × 7 × 3 counts do not fit into an answer.
    let request = [&[5, 7][..], &[0; 28]].concat();
    assert_eq!(bench.raw(0x06, &request), (NAK, 1, vec![8]));
    assert_eq!(bench.raw(0x02, &[1; PAYLOAD + 20]), (NAK, 0, vec![8]));
    // The CRC of HELLO, damaged; and HELLO of version 2.
    assert_eq!(bench.hear(&[4, 1, 1, 1, 5, 15, 0xe3, 0x21, 0x82, 0]), [(NAK, 1, vec![2])]);
    let other = [4, 2, 1, 1, 5, 0xe1, 0x4c, 0x94, 0x93, 0];
    assert_eq!(bench.hear(&other), [(NAK, 1, vec![3])]);
    assert_eq!((bench.applied(), bench.board.hardware().executions), (&[0; 4][..], 0));
}

#[test]
fn a_reset_forgets_everything_but_counts_under_another_id() {
    let mut bench = Bench::limited();
    let last = bench.commit([1, 2, 3, 4]);
    let mut stream = Vec::new();
    bench.board.reset(78, 1000, &mut |frame| stream.extend_from_slice(frame));
    assert_eq!(Event::parse(&read(&stream)[0].2).unwrap().code, EventCode::Reboot);
    assert_eq!(bench.ask_as(last.1, Request::Read { first: 0, count: 4 }).2[1..], [0; 8]);
    let hello = bench.ask(Request::Hello);
    let hello = Hello::parse(&hello.2).unwrap();
    assert_eq!((hello.boot_id, hello.commit_epoch), (78, 0));
    assert_eq!(bench.refusal(stage(0, &bytes([1]))), Some(Nak::Range));
}
