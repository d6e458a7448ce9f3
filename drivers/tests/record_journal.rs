//! A journal cut off or damaged anywhere never claims to know what it does not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, ops::Range, path::PathBuf};

use alora_drivers::{
    ActuatorFrame, Generation,
    record::{ChannelState, Journal, JournalError, Phase, Programming, ResolvedChannel},
};
use proptest::prelude::*;
use tempfile::TempDir;

const CHANNELS: usize = 6;

fn programming() -> Programming {
    Programming {
        id: "p-17".to_owned(),
        device: "q8".to_owned(),
        note: "ada µ: new weights".to_owned(),
        old: ActuatorFrame(vec![10; CHANNELS]),
        new: ActuatorFrame(vec![20, 21, 22, 23, 24, 10]),
        generation: None,
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q8.journal");
    (folder, path)
}

/// The bytes of a journal with these marks, and its length after each step: begin, every mark, commit.
fn written(marks: &[Range<usize>], commit: bool) -> (Vec<u8>, Vec<usize>) {
    let (_folder, path) = place();
    let length = || usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let mut journal = Journal::begin(&path, &programming()).unwrap();
    let mut lengths = vec![length()];
    for mark in marks {
        journal.sending(mark.clone()).unwrap();
        lengths.push(length());
    }
    if commit {
        journal.commit().unwrap();
        lengths.push(length());
    }
    (fs::read(&path).unwrap(), lengths)
}

fn read(bytes: &[u8]) -> Result<Option<Vec<ChannelState>>, JournalError> {
    let (_folder, path) = place();
    fs::write(&path, bytes).unwrap();
    Ok(Journal::open(&path)?.map(|recovery| recovery.channels()))
}

/// Fails when a claim is wrong for a device to which the channels of `sent` may have been written.
fn check(states: &[ChannelState], sent: &[bool], committed: bool) {
    for (channel, state) in states.iter().enumerate() {
        match state {
            ChannelState::Old(code) => {
                assert!(!sent[channel], "channel {channel} may be new, but is claimed old");
                assert_eq!(*code, 10);
            }
            ChannelState::New(code) => {
                assert!(committed, "channel {channel} may be old, but is claimed new");
                assert_eq!(*code, programming().new.0[channel]);
            }
            ChannelState::Unknown { .. } => {}
            ChannelState::Found(_) | ChannelState::Zeroed => panic!("nothing was read back"),
        }
    }
}

fn sent_by(marks: &[Range<usize>]) -> Vec<bool> {
    (0..CHANNELS).map(|channel| marks.iter().any(|mark| mark.contains(&channel))).collect()
}

#[test]
fn a_journal_tells_old_new_and_unknown_as_the_programming_goes_on() {
    let (_folder, path) = place();
    assert_eq!(Journal::open(&path).unwrap(), None);
    let mut journal = Journal::begin(&path, &programming()).unwrap();
    assert_eq!(Journal::open(&path).unwrap().unwrap().phase, Phase::NothingSent);
    journal.sending(1..3).unwrap();
    let channels = Journal::open(&path).unwrap().unwrap().channels();
    assert_eq!(channels[..2], [ChannelState::Old(10), ChannelState::Unknown { old: 10, new: 21 }]);
    journal.commit().unwrap();
    let channels = Journal::open(&path).unwrap().unwrap().channels();
    assert_eq!(channels[..2], [ChannelState::New(20), ChannelState::New(21)]);
}

#[test]
fn reading_back_resolves_what_was_unknown_and_lets_the_next_programming_begin() {
    let (_folder, path) = place();
    Journal::begin(&path, &programming()).unwrap().sending(0..CHANNELS).unwrap();
    let refused = Journal::begin(&path, &programming()).unwrap_err().to_string();
    assert!(refused.contains("programming p-17 was cut off and 6 of 6 channels are unknown"), "{refused}");
    let held = ActuatorFrame(vec![10, 21, 99, 23, 24, 10]);
    let resolved = Journal::recover(&path, &held).unwrap().unwrap();
    assert_eq!(
        resolved.channels,
        [
            ResolvedChannel::Old(10),
            ResolvedChannel::New(21),
            ResolvedChannel::Neither(99),
            ResolvedChannel::New(23),
            ResolvedChannel::New(24),
            ResolvedChannel::Same(10),
        ]
    );
    let channels = Journal::open(&path).unwrap().unwrap().channels();
    assert_eq!(channels[2], ChannelState::Found(99));
    Journal::begin(&path, &programming()).unwrap();
    assert_eq!(Journal::open(&path).unwrap().unwrap().phase, Phase::NothingSent);
}

#[test]
fn a_short_read_back_leaves_the_rest_unknown() {
    let (_folder, path) = place();
    Journal::begin(&path, &programming()).unwrap().sending(0..CHANNELS).unwrap();
    let resolved = Journal::recover(&path, &ActuatorFrame(vec![10])).unwrap().unwrap();
    assert_eq!(resolved.channels[1], ResolvedChannel::NotRead);
    let channels = Journal::open(&path).unwrap().unwrap().channels();
    assert_eq!(channels[1], ChannelState::Unknown { old: 10, new: 21 });
}

#[test]
fn a_torn_mark_is_cut_off_when_the_device_is_read_back() {
    let (bytes, lengths) = written(&[0..2, 2..4], false);
    let (_folder, path) = place();
    fs::write(&path, &bytes[..lengths[2] - 5]).unwrap();
    Journal::recover(&path, &programming().old).unwrap().unwrap();
    let phase = Journal::open(&path).unwrap().unwrap().phase;
    assert_eq!(phase, Phase::Resolved(programming().old));
}

#[test]
fn frames_of_different_lengths_are_refused_before_anything_is_written() {
    let (_folder, path) = place();
    let uneven = Programming { old: ActuatorFrame(vec![0]), ..programming() };
    assert!(matches!(Journal::begin(&path, &uneven), Err(JournalError::Length { old: 1, new: 6, .. })));
    assert!(!path.exists());
}

#[test]
fn a_journal_cut_off_at_any_byte_claims_nothing_wrong_and_forgets_nothing_it_was_told() {
    let marks = [0..2, 2..3, 3..6];
    let (bytes, lengths) = written(&marks, true);
    for cut in 0..=bytes.len() {
        let done = lengths.iter().filter(|&&length| length <= cut).count();
        let read = read(&bytes[..cut]);
        if cut == lengths[0] - 1 {
            // No crash leaves this: the file is put in place when it is whole. It is not taken for a beginning.
            assert!(matches!(read, Err(JournalError::Damaged { .. })));
            continue;
        }
        let Some(states) = read.unwrap() else {
            assert_eq!(done, 0, "a journal that is whole to its first line is read");
            continue;
        };
        // A mark whose line is whole but for its end counts as one, or as unclear.
        let committed = done == 5;
        let sent = sent_by(&marks[..done.saturating_sub(1).min(3)]);
        check(&states, &sent, committed);
        if !committed && cut != lengths[done - 1] && cut + 1 != lengths[done] {
            let old: Vec<_> = states.iter().map(|state| matches!(state, ChannelState::Old(_))).collect();
            let unsent: Vec<_> = sent.iter().map(|sent| !sent).collect();
            assert_eq!(old, unsent, "cut at {cut}: what was not sent is known to be old");
        }
    }
}

type Step<'a> = dyn Fn(&mut Journal) -> Result<(), JournalError> + 'a;

#[test]
fn programmings_follow_one_another_in_one_file_and_a_cut_at_any_byte_tells_the_last_mark() {
    let (_folder, path) = place();
    let mut journal = Journal::begin(&path, &programming()).unwrap();
    let mut lengths = vec![fs::metadata(&path).unwrap().len()];
    let next = Programming { id: "p-18".to_owned(), old: ActuatorFrame::zeros(CHANNELS), ..programming() };
    let steps: [&Step<'_>; 7] = [
        &|journal| journal.sending(0..5),
        &Journal::commit,
        &Journal::zeroing,
        &|journal| journal.zeroed("park"),
        &|journal| journal.follow(&next),
        &|journal| journal.sending(1..3),
        &|journal| journal.doubt("the device was reset"),
    ];
    for step in steps {
        step(&mut journal).unwrap();
        lengths.push(fs::metadata(&path).unwrap().len());
    }
    let bytes = fs::read(&path).unwrap();
    let at = |cut: u64| read(&bytes[..usize::try_from(cut).unwrap()]).unwrap().unwrap();
    assert!(at(lengths[4]).iter().all(|state| *state == ChannelState::Zeroed));
    assert_eq!(at(lengths[6])[..2], [ChannelState::Old(0), ChannelState::Unknown { old: 0, new: 21 }]);
    for (step, ends) in lengths.windows(2).enumerate() {
        let told = at(ends[0]);
        for cut in ends[0]..ends[1] - 1 {
            assert_eq!(at(cut), told, "cut at {cut}, after step {step}");
        }
        // Whole but for its end: it may have been on the disk once.
        assert!(at(ends[1] - 1).iter().all(|state| matches!(state, ChannelState::Unknown { .. })));
    }
    assert!(journal.follow(&next).is_err(), "what is in doubt is read back first");
}

#[test]
fn a_journal_with_any_bit_flipped_claims_nothing_wrong() {
    let marks = [0..2, 2..5];
    for commit in [false, true] {
        let (bytes, _) = written(&marks, commit);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(states) = read(&damaged) {
                check(&states.unwrap_or_default(), &sent_by(&marks), commit);
            }
        }
    }
}

fn marks() -> impl Strategy<Value = Vec<Range<usize>>> {
    let mark = (0..CHANNELS, 1..=CHANNELS).prop_map(|(first, length)| first..(first + length).min(CHANNELS));
    prop::collection::vec(mark, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_torn_write_of_anything_claims_nothing_wrong(
        marks in marks(),
        commit: bool,
        at in 0.0..1.0f64,
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        zeros in 0..20usize,
    ) {
        let (bytes, lengths) = written(&marks, commit);
        let cut = (at * bytes.len() as f64) as usize;
        let torn = [&bytes[..cut], &garbage, &vec![0; zeros]].concat();
        let done = lengths.iter().filter(|&&length| length <= cut).count();
        let sent = sent_by(&marks[..done.saturating_sub(1).min(marks.len())]);
        if let Ok(Some(states)) = read(&torn) {
            check(&states, &sent, commit && done == lengths.len());
        }
    }
}

#[test]
fn what_a_device_said_before_it_was_zeroed_names_each_channel() {
    let then = Generation { boot: 5, commits: 40 };
    let told = |commits: u32, driven: bool| {
        let (_folder, path) = place();
        let programming = Programming { generation: Some(then), ..programming() };
        Journal::begin(&path, &programming).unwrap().sending(0..CHANNELS).unwrap();
        Journal::seen(&path, Generation { commits, ..then }, driven).unwrap();
        // The park that followed is one write more, and nothing is driven.
        let now = Generation { commits: commits + 1, ..then };
        let zero = ActuatorFrame::zeros(CHANNELS);
        Journal::open(&path).unwrap().unwrap().channels_by(Some(now), Some(&zero))
    };
    assert!(told(40, true).iter().all(|state| *state == ChannelState::Old(10)));
    let new = programming().new.0.into_iter().map(ChannelState::New);
    assert!(told(41, true).into_iter().eq(new));
    // A write that left nothing driven was a park, and two writes are not the programming's.
    for states in [told(41, false), told(42, true)] {
        assert!(states.iter().all(|state| matches!(state, ChannelState::Unknown { .. })), "{states:?}");
    }
}

#[test]
fn a_settled_journal_takes_no_sight() {
    let (bytes, _) = written(&[0..2, 2..CHANNELS], true);
    let (_folder, path) = place();
    fs::write(&path, &bytes).unwrap();
    Journal::seen(&path, Generation { boot: 5, commits: 41 }, true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
