//! Numbers as they are printed in a paper: true minus signs, thin spaces between thousands, digits that mean something.

use super::Spread;

/// `value` with `decimals` digits after the point and a true minus sign; never "−0".
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|character| matches!(character, '0' | '.'));
    if value < 0.0 && !is_zero { format!("−{text}") } else { text }
}

/// `count` with thin spaces between thousands, from 10 000 on.
pub(super) fn count(count: usize) -> String {
    let digits = count.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Decimals that show `digits` significant digits of `value`, at most 8.
fn decimals_for(value: f64, digits: i32) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 2;
    }
    (digits - 1 - value.abs().log10().floor() as i32).clamp(0, 8) as usize
}

/// A fraction in per cent with three significant digits, e.g. `1.20 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", decimal(fraction * 100.0, decimals_for(fraction * 100.0, 3)))
}

/// The estimate in per cent, and its interval in the form `1.18–1.22 %`: as many digits as the interval's width deserves.
pub(super) fn spread(spread: Spread) -> (String, Option<String>) {
    let value = spread.value * 100.0;
    let mut decimals = decimals_for(value, 3);
    if let Some((low, high)) = spread.ci95 {
        decimals = decimals.max(decimals_for((high - low) * 100.0, 1).min(decimals + 2));
    }
    let interval = spread.ci95.map(|(low, high)| {
        format!("{}–{} %", decimal(low * 100.0, decimals), decimal(high * 100.0, decimals))
    });
    (format!("{} %", decimal(value, decimals)), interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_from_ten_thousand_on() {
        assert_eq!(count(9999), "9999");
        assert_eq!(count(12_800), "12\u{2009}800");
        assert_eq!(count(1_234_567), "1\u{2009}234\u{2009}567");
    }

    #[test]
    fn zero_has_no_sign_and_negative_numbers_have_a_true_minus() {
        assert_eq!(decimal(-0.001, 1), "0.0");
        assert_eq!(decimal(-0.25, 2), "−0.25");
    }

    #[test]
    fn an_interval_narrower_than_three_digits_adds_digits() {
        let narrow = Spread { value: 0.012_01, ci95: Some((0.011_99, 0.012_03)) };
        assert_eq!(spread(narrow), ("1.201 %".to_owned(), Some("1.199–1.203 %".to_owned())));
        let wide = Spread { value: 0.012_01, ci95: Some((0.01, 0.014)) };
        assert_eq!(spread(wide), ("1.20 %".to_owned(), Some("1.00–1.40 %".to_owned())));
    }

    #[test]
    fn per_cent_keeps_three_digits_from_tiny_to_huge() {
        assert_eq!(percent(0.0001), "0.0100 %");
        assert_eq!(percent(0.3), "30.0 %");
        assert_eq!(percent(0.0), "0.00 %");
    }
}
