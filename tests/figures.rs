//! Every figure is drawn with plausible numbers, small and large, and with numbers that must be refused.
//!
//! Set `ALORA_FIGURES` to a folder to keep the images and look at them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use alora::figures::{
    AccuracyAgainstSigma, AccuracyPoint, AccuracySeries, Convergence, FigureError, Hue, LineStyle, LossCurve,
    Marker, NormalCurve, ResidualHistogram, ResidualMap, SeriesStyle, Spread, Subject, TargetAgainstMeasured,
    draw_accuracy_against_sigma, draw_convergence, draw_residual_histogram, draw_residual_map,
    draw_target_against_measured,
};
use alora_calibration::Cell;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

const LONG: &str = "photonic-lab-3/rack-2/incoherent-microring-array-64x64-engineering-sample-0042-rev-B";

fn subject(name: &str) -> Subject {
    Subject { name: name.to_owned(), simulated: true }
}

fn pairs(n: usize, sigma: f64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let error = Normal::new(0.0, sigma).unwrap();
    let targets: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..=1.0)).collect();
    let measured = targets.iter().map(|target| target + error.sample(&mut rng)).collect();
    (targets, measured)
}

fn spread(sigma: f64, n: usize) -> Option<Spread> {
    let half = 1.96 * sigma / (2.0 * n.max(8) as f64).sqrt();
    Some(Spread { value: sigma, ci95: Some((sigma - half, sigma + half)) })
}

/// A folder for the images: the one asked for, or one that goes away.
struct Gallery {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Gallery {
    fn open() -> Self {
        if let Some(folder) = std::env::var_os("ALORA_FIGURES") {
            fs::create_dir_all(&folder).unwrap();
            return Self { folder: folder.into(), _temporary: None };
        }
        let temporary = tempfile::tempdir().unwrap();
        Self { folder: temporary.path().to_owned(), _temporary: Some(temporary) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.png"))
    }
}

/// Width, height and RGB bytes.
fn decode(path: &Path) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(frame.color_type, png::ColorType::Rgb);
    (frame.width as usize, frame.height as usize, pixels)
}

/// A figure is of the stated width, has ink, and keeps a white rim, so that nothing runs off the sheet.
fn assert_is_a_figure(path: &Path, widths: std::ops::RangeInclusive<usize>) {
    let (width, height, pixels) = decode(path);
    assert!(widths.contains(&width), "{}: {width} wide", path.display());
    assert!((450..=1800).contains(&height), "{}: {height} high", path.display());
    let dark = pixels.chunks_exact(3).filter(|pixel| pixel.iter().all(|&byte| byte < 100)).count();
    assert!(dark > 5000, "{}: {dark} dark pixels are too few for frame and labels", path.display());
    let rim = |index: usize| {
        let (x, y) = (index % width, index / width);
        x < 3 || y < 3 || x >= width - 3 || y >= height - 3
    };
    let clipped = pixels.chunks_exact(3).enumerate().find(|(index, pixel)| rim(*index) && *pixel != [255; 3]);
    assert!(clipped.is_none(), "{}: ink at the rim, pixel {clipped:?}", path.display());
}

#[test]
fn target_against_measured_is_drawn_for_few_and_many_pairs_and_small_and_large_errors() {
    let gallery = Gallery::open();
    let cases = [
        ("scatter-usual", "incoherent-16x16-seed-7", 12_800, 0.012),
        ("scatter-many", LONG, 100_000, 0.013),
        ("scatter-few", "pmx-0042", 16, 0.02),
        ("scatter-tiny", "pmx-0042", 4096, 0.0001),
        ("scatter-huge", "pmx-0042", 4096, 0.3),
    ];
    for (file, name, n, sigma) in cases {
        let (targets, measured) = pairs(n, sigma);
        let path = gallery.file(file);
        let figure = TargetAgainstMeasured {
            subject: subject(name),
            targets: &targets,
            measured: &measured,
            sigma: spread(sigma, n),
            reference: "full scale".to_owned(),
        };
        draw_target_against_measured(&path, &figure).unwrap();
        assert_is_a_figure(&path, 1600..=1600);
    }
}

fn histogram<'a>(name: &str, residuals: &'a [f64], sigma: f64) -> ResidualHistogram<'a> {
    ResidualHistogram {
        subject: subject(name),
        residuals,
        sigma: spread(sigma, residuals.len()),
        reference: "full scale".to_owned(),
        maximum_likelihood: Some(NormalCurve { mean: 0.0, sigma }),
        histogram_fit: Some(NormalCurve { mean: sigma * 0.02, sigma: sigma * 0.985 }),
        mad: Some(sigma * 0.99),
    }
}

fn residuals(n: usize, sigma: f64) -> Vec<f64> {
    let (targets, measured) = pairs(n, sigma);
    measured.iter().zip(&targets).map(|(measured, target)| measured - target).collect()
}

#[test]
fn the_histogram_is_drawn_for_few_and_many_residuals_of_any_spread() {
    let gallery = Gallery::open();
    let cases = [
        ("histogram-usual", "incoherent-16x16-seed-7", 12_800, 0.012),
        ("histogram-many", LONG, 100_000, 0.013),
        ("histogram-few", "pmx-0042", 16, 0.02),
        ("histogram-tiny", "pmx-0042", 4096, 0.0001),
        ("histogram-huge", "pmx-0042", 4096, 0.3),
    ];
    for (file, name, n, sigma) in cases {
        let path = gallery.file(file);
        draw_residual_histogram(&path, &histogram(name, &residuals(n, sigma), sigma)).unwrap();
        assert_is_a_figure(&path, 1600..=1600);
    }
    let mut with_outliers = residuals(5000, 0.012);
    with_outliers.extend([0.9, -0.7, 1.1]);
    let path = gallery.file("histogram-outliers");
    draw_residual_histogram(&path, &histogram("pmx-0042", &with_outliers, 0.012)).unwrap();
    assert_is_a_figure(&path, 1600..=1600);
}

#[test]
fn equal_residuals_without_any_spread_are_drawn() {
    let gallery = Gallery::open();
    for (file, value) in [("histogram-zero", 0.0), ("histogram-equal", 0.0123)] {
        let path = gallery.file(file);
        draw_residual_histogram(&path, &histogram("ideal", &[value; 256], 0.0)).unwrap();
        assert_is_a_figure(&path, 1600..=1600);
    }
    let path = gallery.file("scatter-single");
    let figure = TargetAgainstMeasured {
        subject: Subject { name: "one pair".to_owned(), simulated: false },
        targets: &[0.5],
        measured: &[0.5],
        sigma: None,
        reference: "full scale".to_owned(),
    };
    draw_target_against_measured(&path, &figure).unwrap();
    assert_is_a_figure(&path, 1600..=1600);
    let path = gallery.file("map-zero");
    draw_residual_map(&path, &map(&Array2::zeros((4, 4)), &[])).unwrap();
    assert_is_a_figure(&path, 1200..=1600);
}

fn map<'a>(residuals: &'a Array2<f64>, defects: &'a [Cell]) -> ResidualMap<'a> {
    ResidualMap {
        subject: subject("pmx-0042"),
        residuals: residuals.view(),
        reference: "full scale".to_owned(),
        programmings: 50,
        defects,
    }
}

#[test]
fn the_map_is_drawn_for_square_tall_and_wide_arrays() {
    let gallery = Gallery::open();
    for (rows, cols, sigma) in
        [(4, 4, 0.012), (16, 16, 0.012), (64, 64, 0.0001), (64, 16, 0.3), (16, 64, 0.013), (1, 8, 0.01)]
    {
        let mut residuals =
            Array2::from_shape_vec((rows, cols), self::residuals(rows * cols, sigma)).unwrap();
        let mut defects = vec![Cell { row: rows / 2, col: 1 }, Cell { row: 0, col: cols - 1 }];
        // The smallest array has none, so that the map without a note is drawn too.
        defects.retain(|_| rows != 4);
        for cell in &defects {
            residuals[[cell.row, cell.col]] = 0.9;
        }
        let path = gallery.file(&format!("map-{rows}x{cols}"));
        draw_residual_map(&path, &map(&residuals, &defects)).unwrap();
        assert_is_a_figure(&path, 900..=1600);
    }
}

fn accuracy(name: &str, sigma_scale: f64, top: f64, steps: u32, style: SeriesStyle) -> AccuracySeries {
    let point = |step: u32| {
        let sigma = 0.1 * f64::from(step) / f64::from(steps);
        let accuracy = 0.1 + (top - 0.1) / (1.0 + (sigma / sigma_scale).powi(3));
        let half = 0.002 + sigma * 0.2;
        AccuracyPoint {
            sigma,
            accuracy,
            bounds: Some(((accuracy - half).max(0.0), (accuracy + half).min(1.0))),
        }
    };
    AccuracySeries { name: name.to_owned(), points: (0..=steps).map(point).collect(), style }
}

fn paper_series() -> Vec<AccuracySeries> {
    let style = |hue, marker, eight| SeriesStyle {
        hue,
        line: if eight { LineStyle::Solid } else { LineStyle::Dashed },
        marker,
        filled: eight,
    };
    vec![
        accuracy("PTQ, 8 bit", 0.045, 0.967, 10, style(Hue::Blue, Marker::Disc, true)),
        accuracy("PTQ, 4 bit", 0.035, 0.93, 10, style(Hue::Blue, Marker::Disc, false)),
        accuracy("ALoRA, 8 bit", 0.16, 0.968, 10, style(Hue::Vermilion, Marker::Square, true)),
        accuracy("ALoRA, 4 bit", 0.14, 0.957, 10, style(Hue::Vermilion, Marker::Square, false)),
    ]
}

#[test]
fn accuracy_is_drawn_for_one_four_and_many_series() {
    let gallery = Gallery::open();
    let many = (0..10).map(|index| {
        accuracy(&format!("technique {index}"), 0.02 + 0.01 * index as f64, 0.95, 20, SeriesStyle::nth(index))
    });
    let flat = accuracy("ALoRA, 8 bit", 0.9, 0.967, 10, SeriesStyle::nth(1));
    let cases = [
        ("accuracy-usual", paper_series(), Some(0.968), Some(0.012)),
        ("accuracy-one", vec![flat], Some(0.968), Some(0.0131)),
        ("accuracy-many", many.collect(), Some(0.97), Some(0.06)),
        ("accuracy-off-axis", paper_series(), None, Some(0.3)),
    ];
    for (file, series, digital, measured_sigma) in cases {
        let path = gallery.file(file);
        let figure = AccuracyAgainstSigma {
            subject: subject("MLP-4 on MNIST  ·  incoherent-16x16"),
            series,
            digital,
            measured_sigma,
            reference: "full scale".to_owned(),
        };
        draw_accuracy_against_sigma(&path, &figure).unwrap();
        assert_is_a_figure(&path, 1600..=1600);
    }
}

#[test]
fn the_loss_is_drawn_for_one_epoch_and_for_many() {
    let gallery = Gallery::open();
    for (file, epochs) in [("loss-one", 1), ("loss-usual", 5), ("loss-many", 200)] {
        let curve = |name: &str, rate: f64, index: usize| LossCurve {
            name: name.to_owned(),
            losses: (0..epochs)
                .map(|epoch| 0.05 + 2.2 * (-rate * f64::from(epoch) / f64::from(epochs)).exp())
                .collect(),
            style: SeriesStyle::nth(index),
        };
        let figure = Convergence {
            subject: subject("MLP-4 on MNIST"),
            loss: "Cross-entropy (nats)".to_owned(),
            curves: vec![curve("digital pre-training", 6.0, 0), curve("ALoRA, 8 bit", 3.0, 1)],
        };
        let path = gallery.file(file);
        draw_convergence(&path, &figure).unwrap();
        assert_is_a_figure(&path, 1600..=1600);
    }
}

#[test]
fn a_refused_figure_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.png");
    fs::write(&path, "the old figure").unwrap();
    let residuals = Array2::from_elem((2, 3), f64::NAN);
    let error = draw_residual_map(&path, &map(&residuals, &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the residual map cannot show the residual at (row 0, column 0): it is NaN; every number must be finite"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "the old figure");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn a_missing_folder_is_an_error_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/map.png");
    let error = draw_residual_map(&path, &map(&Array2::zeros((2, 2)), &[])).unwrap_err();
    assert!(matches!(error, FigureError::Store(_)), "{error}");
    assert!(!folder.path().join("absent").exists());
}

/// The sentence of a refusal; nothing may be written.
fn refusal(draw: impl FnOnce(&Path) -> Result<(), FigureError>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figure.png");
    let error = draw(&path).unwrap_err();
    assert!(!path.exists());
    error.to_string()
}

#[test]
fn every_refusal_says_which_figure_what_was_found_and_what_is_expected() {
    let scatter = |targets: &[f64], measured: &[f64]| {
        refusal(|path| {
            let subject = subject("pmx-0042");
            let reference = "full scale".to_owned();
            draw_target_against_measured(
                path,
                &TargetAgainstMeasured { subject, targets, measured, sigma: None, reference },
            )
        })
    };
    assert_eq!(
        scatter(&[], &[]),
        "the plot of target against measured weights has no pair of weights to draw; give at least one"
    );
    assert_eq!(
        scatter(&[0.0, 0.1], &[0.0]),
        "the plot of target against measured weights has 2 targets but 1 measured weights; give one of each per pair"
    );
    assert_eq!(
        scatter(&[0.0], &[f64::INFINITY]),
        "the plot of target against measured weights cannot show measured weight 0: it is inf; every number must be finite"
    );
    assert_eq!(
        refusal(|path| draw_residual_histogram(path, &histogram("pmx-0042", &[], 0.01))),
        "the histogram of residuals has no residual to draw; give at least one"
    );
    assert_eq!(
        refusal(|path| {
            let fit = Some(NormalCurve { mean: 0.0, sigma: -0.5 });
            draw_residual_histogram(
                path,
                &ResidualHistogram { maximum_likelihood: fit, ..histogram("x", &[0.0], 0.01) },
            )
        }),
        "the histogram of residuals cannot show σ of a fit: it is -0.5, expected zero or more"
    );
    assert_eq!(
        refusal(|path| draw_residual_map(path, &map(&Array2::zeros((2, 3)), &[Cell { row: 2, col: 0 }]))),
        "the defect at (row 2, column 0) lies outside the residual map of 2 × 3 cells; check the list of defects"
    );
    let accuracy = |series: Vec<AccuracySeries>, digital: f64| {
        refusal(|path| {
            let reference = "full scale".to_owned();
            let subject = subject("MLP-4");
            let figure = AccuracyAgainstSigma {
                subject,
                series,
                digital: Some(digital),
                measured_sigma: None,
                reference,
            };
            draw_accuracy_against_sigma(path, &figure)
        })
    };
    assert_eq!(
        accuracy(vec![], 0.9),
        "the plot of accuracy against σ has no series to draw; give at least one"
    );
    assert_eq!(
        accuracy(paper_series(), 96.8),
        "the plot of accuracy against σ cannot show the digital accuracy: it is 96.8, expected a fraction from 0 to 1"
    );
    assert_eq!(
        refusal(|path| {
            let curves = vec![LossCurve {
                name: "QAT".to_owned(),
                losses: vec![0.5, f64::NAN],
                style: SeriesStyle::nth(0),
            }];
            draw_convergence(
                path,
                &Convergence { subject: subject("MLP-4"), loss: "Loss".to_owned(), curves },
            )
        }),
        "the plot of the training loss cannot show the loss of `QAT` in epoch 2: it is NaN; every number must be finite"
    );
}
