//! Records and pairs on disk: what is written comes back, what is wrong is said.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    error::Error,
    fs,
    io::{Cursor, Write},
    path::Path,
};

use alora_calibration::{MeasurementPlan, MeasurementRecord, Pairs, ProgrammingLog, Provenance, read_pairs};
use alora_drivers::{Celsius, ProcessorId, ProcessorKind, Timestamp};
use ndarray::{Array, Array2, Array3, Array4, Dimension, ShapeBuilder, array};
use ndarray_npy::{NpzReader, NpzWriter, WritableElement};
use tempfile::TempDir;

fn record() -> MeasurementRecord {
    let plan = MeasurementPlan { programmings: 2, repeats: 3, seed: 5, ..MeasurementPlan::default() };
    let targets = plan.targets(2, 4).unwrap();
    let targets = Array3::from_shape_fn((2, 2, 4), |(p, i, j)| targets[p].view()[(i, j)]);
    MeasurementRecord {
        provenance: Provenance {
            tool: "alora test".to_owned(),
            processor: Some(ProcessorId("mock-1".to_owned())),
            kind: Some(ProcessorKind::Incoherent),
            simulated: true,
            created: "2026-01-01T00:00:00Z".to_owned(),
            seed: 5,
        },
        plan,
        measured: Array4::from_shape_fn((2, 3, 2, 4), |(p, k, i, j)| targets[(p, i, j)] + 0.01 * k as f64),
        expected: targets.mapv(|w| (w * 127.0).round() / 127.0),
        targets,
        programmings: vec![
            ProgrammingLog {
                taken_at: Timestamp::default(),
                temperature: Celsius(25.5),
                saturated: 1,
                verified: true,
                unreachable: vec![alora_calibration::Cell { row: 1, col: 2 }],
            };
            2
        ],
    }
}

/// The error with its causes, the folder left out.
fn sentence(folder: &TempDir, error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let text = text.replace(&format!("{}/", folder.path().display()), "");
    // Names of temporary files are random, and hashes say nothing to a reader of this test.
    let words = text.split(' ').map(|word| if word.contains(".tmp") { "<temporary>" } else { word });
    let words = words.map(|word| if word.contains('…') { "<hash>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn read_error(folder: &TempDir) -> String {
    sentence(folder, &MeasurementRecord::read(&folder.path().join("a.toml")).unwrap_err())
}

fn saved() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    record().write(&folder.path().join("a")).unwrap();
    folder
}

fn edit(folder: &TempDir, from: &str, to: &str) {
    let path = folder.path().join("a.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn targets_span_the_full_scale_and_follow_the_seed() {
    let plan = MeasurementPlan { programmings: 5, ..MeasurementPlan::default() };
    let targets = plan.targets(8, 8).unwrap();
    assert_eq!(targets.len(), 5);
    assert!(targets.iter().all(|target| target.max_abs() == 1.0));
    assert_eq!(targets, plan.targets(8, 8).unwrap());
    assert_ne!(targets, MeasurementPlan { seed: 1, ..plan }.targets(8, 8).unwrap());
    assert_ne!(targets[0], targets[1]);
}

#[test]
fn a_record_comes_back_as_it_was_from_either_name() {
    let folder = saved();
    for name in ["a.toml", "a.npz"] {
        assert_eq!(MeasurementRecord::read(&folder.path().join(name)).unwrap(), record());
    }
    let (pairs, origin) = read_pairs(&folder.path().join("a.toml")).unwrap();
    assert_eq!((pairs, origin), (record().pairs().unwrap(), Some(record().provenance)));
}

#[test]
fn the_arrays_of_a_record_are_plain_npz() {
    let folder = saved();
    let mut npz = NpzReader::new(fs::File::open(folder.path().join("a.npz")).unwrap()).unwrap();
    assert_eq!(npz.names().unwrap(), ["target", "measured", "expected"]);
    let measured: Array4<f64> = npz.by_name("measured").unwrap();
    assert_eq!(measured, record().measured);
}

#[test]
fn missing_arrays_are_said() {
    let folder = saved();
    fs::remove_file(folder.path().join("a.npz")).unwrap();
    insta::assert_snapshot!(read_error(&folder), @"a.toml: the readings `a.npz` that belong to it are not in the same folder; put both files of the record side by side");
}

#[test]
fn truncated_arrays_are_said() {
    let folder = saved();
    let path = folder.path().join("a.npz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..100]).unwrap();
    insta::assert_snapshot!(read_error(&folder), @"a.npz: the file (100 bytes, SHA-256 <hash> is not the one that `a.toml` was written with <hash> it is truncated, changed, or of another record; restore it, or measure again");
}

#[test]
fn another_schema_is_said() {
    let folder = saved();
    edit(&folder, "alora.record/1", "alora.record/2");
    insta::assert_snapshot!(read_error(&folder), @"a.toml: schema is `alora.record/2`, this version of alora reads `alora.record/1`; make the file again with this version");
}

#[test]
fn a_shape_that_the_text_does_not_say_is_said() {
    let folder = saved();
    edit(&folder, "cols = 4", "cols = 5");
    insta::assert_snapshot!(read_error(&folder), @"a.npz: array `target` has shape [2, 2, 4], the text of the record says [2, 2, 5]; restore the file as it was written, or measure again");
}

#[test]
fn an_unknown_key_is_said() {
    let folder = saved();
    edit(&folder, "rows = 2", "rows = 2\nrow = 2");
    insta::assert_snapshot!(read_error(&folder), @"a.toml: unknown field `row`, expected one of `schema`, `rows`, `cols`, `provenance`, `plan`, `arrays`, `programming`; the file is truncated or was changed, make it again");
}

#[test]
fn a_reading_that_is_no_number_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut record = record();
    record.measured[(1, 2, 0, 3)] = f64::NAN;
    record.write(&folder.path().join("a")).unwrap();
    insta::assert_snapshot!(read_error(&folder), @"a.npz: `measured` of programming 1, repeat 2 at (row 0, column 3) is NaN; every value must be a finite number, remove or repair it");
}

#[test]
fn a_missing_record_and_a_missing_folder_are_said() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(read_error(&folder), @"cannot read a.toml: No such file or directory (os error 2)");
    let error = record().write(&folder.path().join("absent/a")).unwrap_err();
    insta::assert_snapshot!(sentence(&folder, &error), @r#"cannot write absent/a.npz; nothing was left half-written. Check that the folder exists, is writable and has space: No such file or directory (os error 2) at path <temporary>"#);
}

fn npz<A: WritableElement, D: Dimension, B: WritableElement, E: Dimension>(
    path: &Path,
    target: &Array<A, D>,
    measured: &Array<B, E>,
) {
    let mut npz = NpzWriter::new(fs::File::create(path).unwrap());
    npz.add_array("target", target).unwrap();
    npz.add_array("measured", measured).unwrap();
    npz.finish().unwrap();
}

#[test]
fn npz_pairs_are_read_in_either_precision_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.npz");
    let target = array![[1.0, -0.5, 0.25], [0.5, 0.0, -1.0]];
    let measured = &target + 0.125;
    let expected = Pairs::from_arrays(target.clone().into_dyn(), measured.clone().into_dyn()).unwrap();
    npz(&path, &target.mapv(|w| w as f32), &measured);
    assert_eq!(read_pairs(&path).unwrap().0, expected);
    let mut fortran = Array2::zeros((2, 3).f());
    fortran.assign(&measured);
    npz(&path, &target, &fortran);
    assert_eq!(read_pairs(&path).unwrap().0, expected);
}

#[test]
fn npz_pairs_are_read_big_endian() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.npz");
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, values) in [("target", [1.0_f64, 0.5, 0.25]), ("measured", [1.5, 0.75, 0.125])] {
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file(format!("{name}.npy"), stored).unwrap();
        let header = format!("{:<117}\n", "{'descr': '>f8', 'fortran_order': False, 'shape': (3, 1), }");
        archive.write_all(b"\x93NUMPY\x01\x00\x76\x00").unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        for value in values {
            archive.write_all(&value.to_be_bytes()).unwrap();
        }
    }
    fs::write(&path, archive.finish().unwrap().into_inner()).unwrap();
    let pairs = read_pairs(&path).unwrap().0;
    assert_eq!(pairs.target().iter().copied().collect::<Vec<_>>(), [1.0, 0.5, 0.25]);
    assert_eq!(pairs.measured().iter().copied().collect::<Vec<_>>(), [1.5, 0.75, 0.125]);
}

#[test]
fn every_promised_shape_is_read() {
    let two = Array2::from_elem((2, 3), 0.5).into_dyn();
    let three = Array3::from_elem((4, 2, 3), 0.5).into_dyn();
    let four = Array4::from_elem((4, 5, 2, 3), 0.5).into_dyn();
    let dim = |target: &ndarray::ArrayD<f64>, measured: &ndarray::ArrayD<f64>| {
        Pairs::from_arrays(target.clone(), measured.clone()).unwrap().measured().dim()
    };
    assert_eq!(dim(&two, &two), (1, 1, 2, 3));
    assert_eq!(dim(&two, &three), (1, 4, 2, 3));
    assert_eq!(dim(&three, &three), (4, 1, 2, 3));
    assert_eq!(dim(&three, &four), (4, 5, 2, 3));
}

fn csv_error(text: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    fs::write(&path, text).unwrap();
    sentence(&folder, &read_pairs(&path).unwrap_err())
}

#[test]
fn what_is_wrong_in_a_csv_is_said_with_line_and_column() {
    insta::assert_snapshot!(csv_error(b"target,measured\n1,1.1\n0.5,abc\n"), @"p.csv: line 3, column `measured`: found `abc`, expected a finite number such as -0.25; repair or remove the line");
    insta::assert_snapshot!(csv_error(b"target,measured\n1,1.1\n\nNaN,2\n"), @"p.csv: line 4, column `target`: found `NaN`, expected a finite number such as -0.25; repair or remove the line");
    insta::assert_snapshot!(csv_error(b"target,measured\n1,1.1\n0.5\n"), @"p.csv: line 3: found 1 values, expected 2 (`target,measured`)");
    insta::assert_snapshot!(csv_error(b"w,what\n1,1.1\n0.5,1\n"), @"p.csv: line 1: the header is `w,what`, expected `target,measured`; add that line");
    insta::assert_snapshot!(csv_error(b""), @"p.csv: line 1: the header is ``, expected `target,measured`; add that line");
    insta::assert_snapshot!(csv_error(b"target,measured\n1,1.1\n0.5,1\n"), @"p.csv: there are 2 pairs of target and measured, at least 3 are needed; measure more");
    insta::assert_snapshot!(csv_error(b"target,measured\n0,1.1\n0,1\n0,3\n"), @"p.csv: all 3 targets are 0, so σ has no full scale to refer to; program weights that are not 0");
    insta::assert_snapshot!(csv_error(b"\xff\xfe\x00"), @"p.csv: the file is not UTF-8 text; expected CSV with the header `target,measured`, or a file whose name ends in .npz");
}

#[test]
fn a_csv_with_spaces_blank_lines_and_a_byte_order_mark_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    fs::write(&path, "\u{feff}target, measured\r\n1, 1.5\r\n\r\n-2e-1, 0\r\n0.5,0.25\r\n").unwrap();
    let (target, measured) = read_pairs(&path).unwrap().0.into_arrays();
    assert_eq!(target.into_raw_vec_and_offset().0, [1.0, -0.2, 0.5]);
    assert_eq!(measured.into_raw_vec_and_offset().0, [1.5, 0.0, 0.25]);
}

fn npz_error(write: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.npz");
    write(&path);
    sentence(&folder, &read_pairs(&path).unwrap_err())
}

#[test]
fn what_is_wrong_in_an_npz_is_said() {
    let good = Array2::from_elem((2, 3), 0.5);
    insta::assert_snapshot!(npz_error(|_| ()), @"cannot read p.npz: No such file or directory (os error 2)");
    insta::assert_snapshot!(npz_error(|path| fs::write(path, b"PK\x03\x04 cut").unwrap()), @"p.npz: the 8 bytes are not a whole .npz archive: the file is truncated or of another kind; write it again with numpy.savez");
    insta::assert_snapshot!(npz_error(|path| npz(path, &good, &Array2::<i64>::zeros((2, 3)))), @"p.npz: array `measured` is of type '<i8', expected float64 or float32 ('<f8', '<f4', '>f8' or '>f4'); save it as measured.astype(float)");
    insta::assert_snapshot!(npz_error(|path| npz(path, &good, &Array2::<f64>::zeros((3, 3)))), @"p.npz: `target` has shape [2, 3] and `measured` [3, 3]; expected rows × cols or P × rows × cols for `target`, and for `measured` the same, or with repeats P × R × rows × cols");
    let mut bad = good.clone();
    bad[(1, 2)] = f64::INFINITY;
    insta::assert_snapshot!(npz_error(|path| npz(path, &good, &bad)), @"p.npz: `measured` of programming 0, repeat 0 at (row 1, column 2) is inf; every value must be a finite number, remove or repair it");
    insta::assert_snapshot!(npz_error(|path| npz(path, &bad, &good)), @"p.npz: `target` of programming 0 at (row 1, column 2) is inf; every value must be a finite number, remove or repair it");
    insta::assert_snapshot!(npz_error(|path| npz(path, &Array2::<f64>::zeros((0, 3)), &Array2::<f64>::zeros((0, 3)))), @"p.npz: there are 0 pairs of target and measured, at least 3 are needed; measure more");
    insta::assert_snapshot!(
        npz_error(|path| {
            let mut npz = NpzWriter::new(fs::File::create(path).unwrap());
            npz.add_array("weights", &good).unwrap();
            npz.finish().unwrap();
        }),
        @"p.npz: there is no array `target`; found `weights`. Save it under that name"
    );
    let folder = saved();
    let (pairs, origin) = read_pairs(&folder.path().join("a.npz")).unwrap();
    assert_eq!((pairs, origin), (record().pairs().unwrap(), Some(record().provenance)), "a record's arrays");
}
