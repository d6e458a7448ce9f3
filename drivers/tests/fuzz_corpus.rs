//! The corpus of the fuzz targets, and seeded mutations of it, on a stable toolchain.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs, path::Path};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[expect(unreachable_pub, reason = "shared with the fuzz targets, which see them from outside")]
#[path = "../../fuzz/checks/board.rs"]
mod board;
#[expect(unreachable_pub, reason = "shared with the fuzz targets, which see them from outside")]
#[path = "../../fuzz/checks/qontrol.rs"]
mod qontrol;
#[expect(unreachable_pub, reason = "shared with the fuzz targets, which see them from outside")]
#[path = "../../fuzz/checks/scpi.rs"]
mod scpi;

const MUTATIONS: usize = 500;

/// Files of a target: (name, bytes), in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // What a fuzzer has found and nobody has kept is no corpus.
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

fn mutated(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let place = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..4) {
            0 if !bytes.is_empty() => drop(bytes.remove(place)),
            1 if !bytes.is_empty() => bytes[place] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(place),
            _ => bytes.insert(place.min(bytes.len()), rng.random()),
        }
    }
    bytes
}

fn run(target: &str, check: fn(&[u8])) {
    let mut rng = ChaCha8Rng::seed_from_u64(29);
    let files = corpus(target);
    assert!(!files.is_empty(), "{target} has no corpus");
    for (_, bytes) in files {
        check(&bytes);
        (0..MUTATIONS).for_each(|_| check(&mutated(&bytes, &mut rng)));
    }
}

#[test]
fn frames_of_a_board_hold_for_the_corpus_and_its_mutations() {
    run("board_frame", board::frame);
}

#[test]
fn the_firmware_of_a_board_holds_for_the_corpus_and_its_mutations() {
    run("board_firmware", board::firmware);
}

#[test]
fn lines_of_a_qontrol_chain_hold_for_the_corpus_and_its_mutations() {
    run("qontrol_line", qontrol::line);
}

#[test]
fn the_emulated_chain_holds_for_the_corpus_and_its_mutations() {
    run("qontrol_device", qontrol::device);
}

#[test]
fn blocks_and_numbers_of_instruments_hold_for_the_corpus_and_its_mutations() {
    run("scpi_block", scpi::received);
}

#[test]
fn the_emulated_instruments_hold_for_the_corpus_and_its_mutations() {
    run("scpi_device", scpi::device);
}
