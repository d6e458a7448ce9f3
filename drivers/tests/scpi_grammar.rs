//! Laws of the grammars: blocks, numbers, lines, commands.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alora_drivers::{
    emulate::{
        Device,
        scpi::{
            EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
            ScpiDevice,
        },
    },
    scpi::{
        BlockError, ByteOrder, CommandSet, Held, Identity, LineEnding, block, integer, number, reading,
        singles, words,
    },
};
use proptest::{prelude::*, test_runner::RngSeed};

fn definite(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_string();
    [format!("#{}{length}", length.len()).as_bytes(), bytes].concat()
}

fn devices() -> Vec<Box<dyn Device>> {
    vec![
        Box::new(ScpiDevice::new(EmulatedPowerMeter::new(8, 1))),
        Box::new(ScpiDevice::new(EmulatedKeithley2450::new(1))),
        Box::new(ScpiDevice::new(EmulatedTsl570::new(CommandSet::Scpi, 1))),
        Box::new(ScpiDevice::new(EmulatedRedPitaya::new(1))),
        Box::new(EmulatedMtd415t::new(1)),
    ]
}

fn answer(device: &mut dyn Device, pieces: &[&[u8]]) -> Vec<u8> {
    let mut answers = Vec::new();
    for piece in pieces {
        device.receive(piece, Duration::from_secs(1), &mut answers);
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_is_read_whole_or_waited_for_at_any_cut(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0.0..1.0_f64) {
        let sent = definite(&bytes);
        let cut = (cut * sent.len() as f64) as usize;
        prop_assert_eq!(block(&sent[..cut], 300), Ok(None));
        let more = [&sent[..], b"\nrest"].concat();
        prop_assert_eq!(block(&more, 300), Ok(Some((&bytes[..], sent.len()))));
    }

    #[test]
    fn any_bytes_are_a_block_or_refused_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..40), most in 0..64_usize) {
        if let Ok(Some((content, taken))) = block(&bytes, most) {
            prop_assert!(content.len() <= most && taken <= bytes.len());
            prop_assert!(bytes[..taken].ends_with(content));
        }
    }

    #[test]
    fn more_bytes_never_change_what_was_said_of_a_block(bytes in prop::collection::vec(prop_oneof![Just(b'#'), b'0'..=b'9', any::<u8>()], 0..40)) {
        for cut in 0..bytes.len() {
            let (before, after) = (block(&bytes[..cut], 30), block(&bytes[..=cut], 30));
            match before {
                Ok(None) => {}
                said => prop_assert_eq!(said, after),
            }
        }
    }

    #[test]
    fn numbers_of_a_block_come_back_in_either_order(values in prop::collection::vec(any::<f32>(), 0..50)) {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let little: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let big: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        prop_assert_eq!(bits(singles(&little, ByteOrder::Little).unwrap()), bits(values.clone()));
        prop_assert_eq!(bits(singles(&big, ByteOrder::Big).unwrap()), bits(values));
    }

    #[test]
    fn what_is_printed_as_a_number_is_read_as_that_number(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        prop_assert_eq!(number(&format!("{value:.17E}")), Ok(value));
        prop_assert_eq!(number(&format!("{value:+.17e}")), Ok(value));
    }

    #[test]
    fn any_text_is_a_number_only_by_the_grammar(text in "\\PC{0,12}") {
        let grammar = |text: &str| {
            let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
            let mantissa_end = rest.find(['e', 'E']).unwrap_or(rest.len());
            let (mantissa, exponent) = rest.split_at(mantissa_end);
            let digits = mantissa.chars().filter(char::is_ascii_digit).count();
            let points = mantissa.chars().filter(|&letter| letter == '.').count();
            let exponent = exponent.get(1..).map_or(exponent, |e| e.strip_prefix(['+', '-']).unwrap_or(e));
            digits + points == mantissa.len() && digits > 0 && points <= 1
                && (mantissa_end == rest.len()
                    || ((1..=3).contains(&exponent.len()) && exponent.bytes().all(|byte| byte.is_ascii_digit())))
        };
        prop_assert_eq!(number(&text).is_ok(), grammar(&text), "{:?}", text);
        let _ = (reading(&text), integer(&text), Identity::parse(text.as_bytes()));
        for held in [Held::number(1.0), Held::Switch(true), Held::Word(&["DC"])] {
            let _ = held.is_said_by(&text);
        }
    }

    #[test]
    fn a_line_is_found_at_any_cut(text in "[ -~]{0,40}", cut in 0..42_usize) {
        for ending in [LineEnding::Lf, LineEnding::CrLf, LineEnding::Cr] {
            let sent = [text.as_bytes(), ending.bytes()].concat();
            prop_assert_eq!(ending.line(&sent), Some((text.as_bytes(), sent.len())));
            if cut < sent.len() {
                prop_assert_eq!(ending.line(&sent[..cut]), None);
            }
        }
    }

    #[test]
    fn emulators_survive_any_bytes_and_still_say_who_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for mut device in devices() {
            answer(&mut *device, &[&bytes, b"\r\n"]);
            let name = [answer(&mut *device, &[b"*IDN?\n"]), answer(&mut *device, &[b"m?\n"])].concat();
            prop_assert!(!name.is_empty());
        }
    }

    #[test]
    fn emulators_answer_alike_however_the_request_is_cut(cut in 0..80_usize, which in 0..5_usize) {
        let requests: [&[u8]; 5] = [
            b"SENS1:POW:UNIT 1;:sense1:channel1:power:unit?\nREAD:POW:ALL:CONF?\n",
            b":SOUR:VOLT:ILIM 0.01;LEV?;:SOURce1:VOLTage:ILIMit:LEVel?;*OPC?\n:SYST:ERR?\n",
            b":WAV 1550NM;:WAVelength?\r:POW:UNIT 1;:POW 2.5;:POW?\r",
            b"ACQ:DEC 64\r\nACQ:DEC?\r\nSOUR2:VOLT:OFFS -0.5;OFFS?\r\n",
            b"T30000\nT?\nL99999\nE?\n",
        ];
        let request = requests[which];
        let cut = cut.min(request.len());
        let (mut one, mut other) = (devices().remove(which), devices().remove(which));
        let whole = answer(&mut *one, &[request]);
        prop_assert_eq!(&whole, &answer(&mut *other, &[&request[..cut], &request[cut..]]));
        prop_assert!(!whole.is_empty());
    }
}

#[test]
fn sentinels_and_words_are_no_readings() {
    for text in
        ["9.91E37", "+9.91E+37", "9.9E37", "-9.9E37", "+3.40282350E+038", "NAN", "nan", "INF", "-INF", "NINF"]
    {
        assert_eq!(reading(text), Ok(None), "{text}");
    }
    assert_eq!(reading("-1.25E-12"), Ok(Some(-1.25e-12)));
    for text in [
        "", " 1", "1 ", "1,2", "0x10", "1e", "1e+", "1.2.3", "--1", "+", ".", "E5", "1e1000", "infinite",
        "1\n",
    ] {
        assert!(reading(text).is_err(), "{text:?}");
    }
}

#[test]
fn blocks_that_can_never_be_are_refused_at_their_first_wrong_byte() {
    assert_eq!(block(b"1.25", 10), Err(BlockError::NoHash));
    assert_eq!(block(b"#0abc", 10), Err(BlockError::Length));
    assert_eq!(block(b"#21x", 10), Err(BlockError::Length));
    assert_eq!(block(b"#211", 10), Err(BlockError::TooLong));
    assert_eq!(singles(&[0; 7], ByteOrder::Little), Err(BlockError::Ragged));
    assert_eq!(words(&[0; 3], ByteOrder::Big), Err(BlockError::Ragged));
}

#[test]
fn keywords_are_taken_short_or_long_in_any_case_and_nothing_between() {
    let mut meter = ScpiDevice::new(EmulatedPowerMeter::new(8, 1));
    for header in
        ["SENSe3:POWer:UNIT?", "sens3:pow:unit?", ":SENS3:CHAN1:POW:UNIT?", "Sense3:Channel:Power:Unit?"]
    {
        assert_eq!(answer(&mut meter, &[header.as_bytes(), b"\n"]), b"+0\n", "{header}");
    }
    for (request, error) in [
        ("SENSE3:POWE:UNIT?", "-113,\"Undefined header\"\n"),
        ("SENS9:POW:UNIT?", "-114,\"Header suffix out of range\"\n"),
        ("SENS1:POW:WAV 700NM", "-222,\"Data out of range\"\n"),
        ("SENS1:POW:WAV 1550THZ", "-131,\"Invalid suffix\"\n"),
        ("SENS1:POW:UNIT", "-109,\"Missing parameter\"\n"),
        ("SENS1:POW:UNIT 7", "-224,\"Illegal parameter value\"\n"),
    ] {
        assert_eq!(answer(&mut meter, &[request.as_bytes(), b"\n"]), b"", "{request}");
        assert_eq!(answer(&mut meter, &[b"SYST:ERR?\n"]), error.as_bytes(), "{request}");
    }
    assert_eq!(answer(&mut meter, &[b"SYSTem:ERRor:NEXT?\n"]), b"+0,\"No error\"\n");
    assert_eq!(answer(&mut meter, &[b"*ESR?\n"]), b"176\n", "power on, command error, execution error");
}
