//! The cases as a page, and whether a stored page is still true.

use super::{Case, Section, Tolerance};

const HEAD: &str = "# Validation\n\n\
    Written by `alora validate`; do not edit. Each row is a claim of physics or statistics, computed with fixed seeds and\n\
    compared with an analytic law, a published figure or another program. The test command fails when a case fails or\n\
    when this page no longer says what the code computes.\n";

/// The page.
#[must_use]
pub fn document(sections: &[Section]) -> String {
    let cases = || sections.iter().flat_map(|section| &section.cases);
    let passed = cases().filter(|case| case.passed()).count();
    let mut page = format!("{HEAD}\n**{passed} of {} cases pass.**\n", cases().count());
    for section in sections {
        page.push_str(&format!("\n## {}\n\n", section.title));
        page.push_str(
            "| case | against | measured | expected | tolerance | result |\n|---|---|---|---|---|---|\n",
        );
        for case in &section.cases {
            page.push_str(&row(case));
        }
    }
    page
}

fn row(case: &Case) -> String {
    format!("{} {} | {} |\n", key(case), number(case.measured, 4, resolution(case), case.unit), tail(case))
}

/// What of a row must not change at all: before and after the measured value.
fn key(case: &Case) -> String {
    format!("| {} | {} |", case.claim, case.against)
}

fn tail(case: &Case) -> String {
    let expected = number(case.expected, 4, resolution(case), case.unit);
    let (expected, tolerance) = match case.tolerance {
        Tolerance::Within(distance) => (expected, format!("± {}", number(distance, 2, 0.0, case.unit))),
        Tolerance::AtMost => (format!("≤ {expected}"), "–".to_owned()),
        Tolerance::AtLeast => (format!("≥ {expected}"), "–".to_owned()),
    };
    format!("{expected} | {tolerance} | {}", if case.passed() { "pass" } else { "**FAIL**" })
}

/// A tenth of the tolerance, which the value must show.
fn resolution(case: &Case) -> f64 {
    match case.tolerance {
        Tolerance::Within(distance) => 0.1 * distance,
        Tolerance::AtMost | Tolerance::AtLeast => 0.0,
    }
}

/// `significant` digits, or as many as show `resolution` (0: any will do); whole numbers in full, very small and
/// very large values with an exponent.
fn number(value: f64, significant: i32, resolution: f64, unit: &str) -> String {
    let magnitude = value.abs();
    let exponent = |x: f64| x.log10().floor() as i32;
    let text = if magnitude < 1e9 && value.fract() == 0.0 {
        format!("{value:.0}")
    } else if !(1e-3..1e5).contains(&magnitude) {
        let digits = (significant - 1).max(0) as usize;
        let text = format!("{value:.digits$e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{power}", trimmed(mantissa))
    } else {
        let own = significant - 1 - exponent(magnitude);
        let asked = if resolution > 0.0 { -exponent(resolution) } else { own };
        let digits = own.max(asked).max(0) as usize;
        trimmed(&format!("{value:.digits$}")).to_owned()
    };
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

/// Without zeros at the end of the fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Why `stored` no longer says what `sections` found; `None` when it does.
///
/// Words, expected values, tolerances and results must be equal; measured values may differ by numerics.
#[must_use]
pub fn out_of_date(stored: &str, sections: &[Section]) -> Option<String> {
    let rows: Vec<&str> =
        stored.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case |")).collect();
    let cases: Vec<&Case> = sections.iter().flat_map(|section| &section.cases).collect();
    if rows.len() != cases.len() {
        return Some(format!("it has {} cases, the code has {}", rows.len(), cases.len()));
    }
    rows.iter().zip(cases).find_map(|(stored, case)| {
        let rest = stored
            .strip_prefix(&key(case))
            .and_then(|rest| rest.strip_suffix(&format!(" | {} |", tail(case))));
        match rest {
            None => Some(format!("the row of «{}» has changed", case.claim)),
            Some(measured) => {
                let value: f64 =
                    measured.trim().trim_end_matches(case.unit).trim().parse().unwrap_or(f64::NAN);
                let near = (value - case.measured).abs() <= case.slack() + 1e-3 * case.measured.abs();
                (!near).then(|| format!("«{}» was {value}, is now {}", case.claim, case.measured))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(measured: f64) -> Vec<Section> {
        vec![Section {
            title: "Presets",
            cases: vec![Case {
                claim: "σ of the preset".to_owned(),
                against: "the paper".to_owned(),
                measured,
                expected: 1.2,
                tolerance: Tolerance::Within(0.1),
                unit: "%",
            }],
        }]
    }

    #[test]
    fn a_page_is_up_to_date_until_a_figure_or_a_word_changes() {
        let page = document(&sections(1.2034));
        assert!(
            page.contains("| σ of the preset | the paper | 1.203 % | 1.2 % | ± 0.1 % | pass |"),
            "{page}"
        );
        assert_eq!(out_of_date(&page, &sections(1.2034)), None);
        assert_eq!(out_of_date(&page, &sections(1.2040)), None, "numerics");
        assert!(out_of_date(&page, &sections(1.25)).is_some());
        assert!(out_of_date(&page, &sections(1.4)).is_some(), "fails now");
        assert!(out_of_date(&page.replace("paper", "book"), &sections(1.2034)).is_some());
        assert!(out_of_date("", &sections(1.2034)).is_some());
    }

    #[test]
    fn what_is_no_number_never_passes() {
        let [section] = sections(f64::NAN).try_into().unwrap_or_else(|_| unreachable!());
        assert!(!section.cases[0].passed());
    }
}
