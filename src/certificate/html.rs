//! The certificate as one self-contained page: figures are inside.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use alora_calibration::{
    characterise::ReadingStudy,
    drift::{DriftRecord, ValidFor},
};

use super::Certificate;

/// Escapes text for HTML.
fn text(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn percent(value: f64) -> String {
    format!("{:.3} %", 100.0 * value).replace('-', "−")
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
.verdict{font-size:1.3rem;font-weight:600;padding:.6rem 1rem;margin:1rem 0;border-left:.5rem solid}\
.pass{border-color:#0072b2;background:#e8f2f9}.fail{border-color:#d55e00;background:#fbeee6}\
img{max-width:100%;height:auto;margin:1rem 0}code{font-size:.75rem;word-break:break-all}.note{color:#555}";

/// The page; `figures` are PNG files with their captions.
#[must_use]
pub fn page(certificate: &Certificate, figures: &[(&str, Vec<u8>)]) -> String {
    let mut html = String::new();
    let provenance = &certificate.provenance;
    let processor = provenance.processor.as_ref().map(ToString::to_string).unwrap_or_default();
    let verdict = if certificate.passed { ("pass", "PASSED") } else { ("fail", "FAILED") };
    let simulated =
        if certificate.simulated() { " — SIMULATED, no physical processor stands behind it" } else { "" };
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title><style>{STYLE}</style></head><body>\
         <h1>Certificate of {name}</h1><p class=\"note\">{rows} × {cols}, {created}, {tool}{simulated}</p>\
         <div class=\"verdict {class}\">{verdict}</div>",
        name = text(&processor),
        rows = certificate.shape[0],
        cols = certificate.shape[1],
        created = text(&provenance.created),
        tool = text(&provenance.tool),
        class = verdict.0,
        verdict = verdict.1,
    );
    judgements(&mut html, certificate);
    details(&mut html, certificate);
    for (caption, png) in figures {
        let _ = write!(
            html,
            "<h2>{caption}</h2><img alt=\"{caption}\" src=\"data:image/png;base64,{}\">",
            STANDARD.encode(png),
            caption = text(caption)
        );
    }
    list(&mut html, "Not measured", certificate.not_measured.iter().map(|line| text(line)));
    list(
        &mut html,
        "Raw readings (SHA-256)",
        certificate.raw.iter().map(|(name, hash)| format!("{} <code>{}</code>", text(name), text(hash))),
    );
    html.push_str("</body></html>\n");
    html
}

fn judgements(html: &mut String, certificate: &Certificate) {
    html.push_str(
        "<table><tr><th>σ of the programmed matrix, of max|target|, hold-out</th><th>measured</th><th>95 % interval</th>\
         <th>limit</th><th></th></tr>",
    );
    for judgement in &certificate.judgements {
        let interval = judgement
            .ci95
            .map_or_else(|| "–".to_owned(), |[low, high]| format!("{} to {}", percent(low), percent(high)));
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{interval}</td><td>{}</td><td>{}</td></tr>",
            text(&judgement.what),
            percent(judgement.sigma),
            percent(judgement.limit),
            if judgement.passed { "passed" } else { "<b>failed</b>" }
        );
    }
    html.push_str(
        "</table><p class=\"note\">σ: root mean square over matrices and cells of (mean reading − target), read-out noise taken off. \
         Intervals: bootstrap over matrices, the same noise taken off.</p>",
    );
}

fn details(html: &mut String, certificate: &Certificate) {
    html.push_str("<h2>How it was measured</h2><table>");
    let mut row = |name: &str, value: String| {
        let _ = write!(html, "<tr><td>{name}</td><td>{value}</td></tr>");
    };
    row(
        "hold-out",
        format!(
            "{} matrices, {} readings each, another set of {} vectors for each",
            certificate.matrices,
            certificate.repeats,
            certificate.basis.name()
        ),
    );
    row(
        "characterisation",
        format!("{} vectors in {:.2} s", certificate.measurements, certificate.bench_seconds),
    );
    row("chip temperature", format!("{:.3} to {:.3} °C", certificate.celsius[0], certificate.celsius[1]));
    reading(&mut row, &certificate.reading);
    if let Some(parts) = &certificate.components {
        let part = |value: f64, ci: [f64; 2]| {
            format!("{} ({} to {})", percent(value), percent(ci[0]), percent(ci[1]))
        };
        row(
            "verified, components",
            format!(
                "{} matrices written {} times: static {}, re-programming {}, one reading {}",
                parts.matrices,
                parts.writings,
                part(parts.static_error, parts.static_ci95),
                part(parts.reprogramming, parts.reprogramming_ci95),
                part(parts.readout, parts.readout_ci95)
            ),
        );
    }
    row("floor of program-and-verify, predicted", percent(certificate.predicted_floor));
    if let Some([residual, expected]) = certificate.model_residual {
        row(
            "residual of the model",
            format!("{} of full scale; converter steps alone leave {}", percent(residual), percent(expected)),
        );
    }
    for (name, fit) in [("open loop", &certificate.open_loop), ("verified", &certificate.verified)] {
        let sigma = &fit.sigma;
        row(
            &format!("{name}: σ by other definitions"),
            format!(
                "rms with its noise {}, MAD {}, Gaussian on the histogram {}; mean {} ({} to {})",
                percent(sigma.rms),
                percent(sigma.mad),
                sigma.gaussian_histogram.map_or_else(|| "–".to_owned(), percent),
                percent(fit.mean.value),
                percent(fit.mean.ci95[0]),
                percent(fit.mean.ci95[1])
            ),
        );
        let normality = &fit.normality;
        let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        row(
            &format!("{name}: shape"),
            format!(
                "skewness {}, excess kurtosis {}, rms over MAD {}, Anderson–Darling {}",
                figure(normality.skewness.map(|estimate| estimate.value)),
                figure(normality.excess_kurtosis.map(|estimate| estimate.value)),
                figure(normality.rms_over_mad),
                normality.anderson_darling.map_or_else(|| "–".to_owned(), |test| p_value(test.p_value))
            )
            .replace('-', "−"),
        );
        if let Some(state) = &fit.state_dependence {
            let bins = state.bins.iter().map(|bin| format!("{} at {:.2}", percent(bin.sigma), bin.weight));
            row(
                &format!("{name}: σ(w) by |target|"),
                format!("{} (Breusch–Pagan {})", bins.collect::<Vec<_>>().join(", "), p_value(state.p_value)),
            );
        }
        if let Some(components) = &fit.components {
            row(
                &format!("{name}: components"),
                format!(
                    "programming {}, one reading {}",
                    percent(components.programming),
                    percent(components.readout)
                ),
            );
        }
        if let Some(structure) = &fit.structure {
            row(
                &format!("{name}: rows and columns taken out digitally"),
                format!(
                    "{} before, {} after",
                    percent(structure.sigma_before),
                    percent(structure.sigma_after)
                ),
            );
        }
    }
    if let Some(drift) = &certificate.drift {
        let last = drift.lags.last();
        row(
            "drift",
            format!(
                "{} of a weight in {:.0} s, rms; from reading to reading {} besides, read-out noise and fast jitter; {:.3} to {:.3} °C, common gain {:.4} to {:.4}",
                last.map_or_else(|| "–".to_owned(), |point| percent(point.change)),
                last.map_or(0.0, |point| point.lag_s),
                percent(drift.readout),
                drift.celsius[0],
                drift.celsius[1],
                drift.gain[0],
                drift.gain[1]
            ),
        );
        row("valid until", validity(drift));
    }
    if let Some(moran) = &certificate.spatial {
        row("spatial correlation (Moran's I)", format!("{:.3}, {}", moran.i, p_value(moran.p_value)));
    }
    let defects = match certificate.defects.len() {
        0 => "none found".to_owned(),
        _ => format!(
            "elements {}",
            certificate.defects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    row("defects", defects);
    if let Some(examination) = &certificate.examination {
        row(
            "simulated: true values within their 95 % intervals",
            format!("{:.1} %", 100.0 * examination.coverage),
        );
    }
    html.push_str("</table>");
}

/// Noise of the readings and what follows from it.
fn reading(row: &mut impl FnMut(&str, String), study: &ReadingStudy) {
    let law = &study.transfer.law;
    row(
        "noise of a reading against the light",
        format!(
            "σ = √(a + b L + c y²): √a {}, b {:.2e}, √c {}; converter's step {}",
            percent(law.additive.sqrt()),
            law.shot,
            percent(law.relative.sqrt()),
            percent(study.quantisation.step)
        ),
    );
    row("basis", text(&study.choice.reason));
    if let Some(superposition) = &study.superposition {
        row("superposition", text(&superposition.sentence));
    }
}

/// Time until σ leaves its limit, in a sentence.
#[must_use]
pub fn validity(drift: &DriftRecord) -> String {
    let limit = format!("σ of {} exceeds {}", percent(drift.sigma), percent(drift.budget));
    let ValidFor { seconds, ci95, extrapolated } = drift.validity;
    if seconds.is_infinite() {
        let [least, _] = ci95.unwrap_or([0.0, seconds]);
        return format!(
            "no drift seen in {:.0} s ({}); one just not seen would take {} until {limit}",
            drift.duration_s,
            p_value(drift.test.p_value),
            duration(least)
        );
    }
    let interval = match ci95 {
        Some([low, high]) => format!(", 95 % interval {} to {}", duration(low), duration(high)),
        None => ", no interval: the weights were not seen to drift independently".to_owned(),
    };
    let beyond = if extrapolated { ", extrapolated" } else { "" };
    format!("{} after programming {limit}{interval}{beyond}", duration(seconds))
}

fn p_value(p: f64) -> String {
    if p < 0.01 { "p < 0.01".to_owned() } else { format!("p = {p:.2}") }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s if s.is_infinite() => "never".to_owned(),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

fn list(html: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let _ = write!(html, "<h2>{title}</h2><ul>");
    for line in lines {
        let _ = write!(html, "<li>{line}</li>");
    }
    html.push_str("</ul>");
}

impl Certificate {
    fn simulated(&self) -> bool {
        self.provenance.simulated
    }
}
