//! Grids of accuracy against σ are drawn with plausible numbers, few and many, and refused with impossible ones.
//!
//! Set `ALORA_FIGURES` to a folder to keep the images and look at them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, fs::File, io::BufReader, path::PathBuf};

use alora::figures::{
    AccuracyPoint, AccuracySeries, FigureError, Hue, LineStyle, Marker, Panel, Panels, SeriesStyle, Subject,
    draw_panels,
};

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

const SIGMAS: [f64; 8] = [0.0, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0];

/// An accuracy that falls from `top` to `floor`, half way at `knee` per cent.
fn falling(name: &str, style: SeriesStyle, (top, floor): (f64, f64), knee: f64) -> AccuracySeries {
    let point = |percent: f64| {
        let accuracy = floor + (top - floor) / (1.0 + (percent / knee).powi(3));
        let half = 0.004 + 0.03 * (accuracy - floor) * (top - accuracy);
        let bounds = Some(((accuracy - half).max(0.0), (accuracy + half).min(1.0)));
        AccuracyPoint { sigma: percent / 100.0, accuracy, bounds }
    };
    AccuracySeries { name: name.to_owned(), points: SIGMAS.map(point).to_vec(), style }
}

fn bits_panel(title: &str, bits: &[u8], top: f64, knee: f64) -> Panel {
    let series = bits.iter().enumerate().map(|(index, &bits)| {
        let top = top - 0.6 / f64::from(1_u32 << bits);
        falling(&format!("{bits} bits"), SeriesStyle::nth(index), (top, 0.1), knee)
    });
    Panel { title: title.to_owned(), series: series.collect(), digital: Some(top + 0.004) }
}

fn methods_panel(title: &str, top: f64, floor: f64) -> Panel {
    let mut series = Vec::new();
    for (line, filled, bits) in [(LineStyle::Solid, true, 8), (LineStyle::Dashed, false, 4)] {
        let methods = [
            ("PTQ", Hue::Blue, Marker::Disc, 1.0),
            ("QAT", Hue::Green, Marker::Triangle, 1.3),
            ("QAT + LoRA", Hue::Purple, Marker::Diamond, 1.4),
            ("ALoRA", Hue::Vermilion, Marker::Square, 4.0),
        ];
        for (method, hue, marker, knee) in methods {
            let top = if bits == 4 { top - 0.08 } else { top };
            let style = SeriesStyle { hue, line, marker, filled };
            series.push(falling(&format!("{method}, {bits} bits"), style, (top, floor), knee));
        }
    }
    Panel { title: title.to_owned(), series, digital: Some(top + 0.003) }
}

fn panels(name: &str, panels: Vec<Panel>, columns: usize) -> Panels {
    Panels {
        subject: Subject { name: name.to_owned(), simulated: true },
        panels,
        reference: "full scale".to_owned(),
        columns,
        shared_accuracy: true,
        bars: Some("± standard error of 3 seeds".to_owned()),
    }
}

/// Draws, and sees to it that the sheet has the stated width and that nothing runs off it.
fn draw(name: &str, data: &Panels, width: usize) {
    let gallery = Gallery::open();
    let path = gallery.file(name);
    draw_panels(&path, data).unwrap();
    let mut reader = png::Decoder::new(BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(frame.width as usize, width, "{name}");
    let height = frame.height as usize;
    let white = |x: usize, y: usize| pixels[(y * width + x) * 3..][..3].iter().all(|&byte| byte == 255);
    let rim_is_white = (0..width).all(|x| white(x, 0) && white(x, height - 1))
        && (0..height).all(|y| white(0, y) && white(width - 1, y));
    assert!(rim_is_white, "{name}: something runs off the sheet");
    let dark = pixels.chunks_exact(3).filter(|pixel| pixel.iter().all(|&byte| byte < 100)).count();
    assert!(dark > 5000 * data.panels.len(), "{name}: {dark} dark pixels are too few for frames and numbers");
}

const LONG: &str =
    "photonic-lab-3/rack-2/vision-transformer-large-patch16-384-in21k-finetuned-engineering-sample-0042";

#[test]
fn one_panel_fills_a_column() {
    draw("panels-one", &panels("ViT-B/16", vec![bits_panel("", &[16, 8, 6, 4], 0.97, 1.0)], 1), 1600);
}

#[test]
fn four_panels_of_five_series_share_both_axes_and_one_legend() {
    let bits = [16, 8, 6, 5, 4];
    let four = vec![
        bits_panel("MLP, 4 layers", &bits, 0.98, 9.0),
        bits_panel("CNN, 4 layers", &bits, 0.985, 6.0),
        bits_panel("ResNet-18", &bits, 0.91, 2.2),
        bits_panel("ViT-B/16", &bits, 0.95, 0.9),
    ];
    draw("panels-four", &panels("CIFAR-10, PTQ", four, 2), 3400);
}

#[test]
fn three_tasks_stand_in_a_row_with_methods_by_colour_and_bits_by_line() {
    let three = vec![
        methods_panel("MNIST", 0.98, 0.1),
        methods_panel("CIFAR-10", 0.96, 0.1),
        methods_panel("CIFAR-100", 0.84, 0.01),
    ];
    draw("panels-three", &panels("ViT-B/16", three, 3), 3400);
}

#[test]
fn the_legend_of_five_panels_stands_in_the_empty_place() {
    let five = ["MLP", "CNN", "ResNet-18", "ViT-S/14", "ViT-B/16"];
    let five = five.map(|title| bits_panel(title, &[16, 8, 6, 4], 0.95, 1.0)).to_vec();
    draw("panels-five", &panels("CIFAR-10", five, 3), 3400);
}

#[test]
fn panels_with_axes_of_their_own_keep_their_numbers() {
    let mut own = panels(
        "three tasks",
        vec![
            bits_panel("MNIST", &[8, 6], 0.98, 30.0),
            bits_panel("CIFAR-10", &[8, 6], 0.9, 2.0),
            bits_panel("CIFAR-100", &[8, 6], 0.7, 1.0),
        ],
        3,
    );
    own.shared_accuracy = false;
    draw("panels-own-axes", &own, 3400);
}

#[test]
fn panels_of_one_column_stand_above_each_other() {
    let three = ["MNIST", "CIFAR-10", "CIFAR-100"].map(|title| methods_panel(title, 0.9, 0.1)).to_vec();
    draw("panels-stacked", &panels("ViT-B/16", three, 1), 1600);
}

#[test]
fn six_panels_with_axes_of_their_own_do_not_touch() {
    let mut six = panels("six networks", vec![], 3);
    six.shared_accuracy = false;
    let tops = [0.995, 0.99, 0.98, 0.95, 0.9, 0.7];
    six.panels = tops.map(|top| bits_panel("network", &[8, 6, 4], top, 40.0 * (1.0 - top))).to_vec();
    draw("panels-six", &six, 3400);
}

#[test]
fn long_names_are_shortened() {
    let mut long =
        panels(&LONG.repeat(2), vec![methods_panel(LONG, 0.9, 0.1), methods_panel(LONG, 0.8, 0.1)], 2);
    long.panels[0].series[0].name = LONG.repeat(2);
    long.reference = LONG.repeat(2);
    draw("panels-long-two", &long, 3400);
    long.panels.truncate(1);
    draw("panels-long-one", &long, 1600);
}

#[test]
fn a_single_point_at_zero_is_drawn() {
    let mut single = bits_panel("no error", &[8], 1.0 - 0.004, 1.0);
    single.series[0].points.truncate(1);
    draw("panels-single", &panels("MLP", vec![single], 1), 1600);
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let path = Gallery::open().file("refused");
    let refusal = |data: &Panels| draw_panels(&path, data).unwrap_err().to_string();
    let panel = || bits_panel("ViT", &[8], 0.9, 1.0);
    assert_eq!(
        refusal(&panels("x", vec![], 1)),
        "the grid of accuracy against σ has no panel to draw; give at least one"
    );
    assert_eq!(
        refusal(&panels("x", vec![panel(); 7], 3)),
        "the grid of accuracy against σ cannot show its number of panels: it is 7, expected 1 to 6"
    );
    assert_eq!(
        refusal(&panels("x", vec![panel()], 4)),
        "the grid of accuracy against σ cannot show its number of columns: it is 4, expected 1 to 3"
    );
    let mut impossible = panel();
    impossible.series[0].points[2].accuracy = 1.2;
    assert_eq!(
        refusal(&panels("x", vec![panel(), impossible], 2)),
        "the plot of accuracy against σ cannot show an accuracy of `ViT: 8 bits`: it is 1.2, expected a fraction from 0 to 1"
    );
    let empty = Panel { series: vec![], ..panel() };
    assert!(matches!(draw_panels(&path, &panels("x", vec![empty], 1)), Err(FigureError::Empty { .. })));
    assert!(!path.exists());
}
