//! Uniform converters.

/// A signed analog-to-digital converter: counts `−2^(b−1) ..= 2^(b−1) − 1` over `±full_scale`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adc {
    full_scale: f64,
    bits: u8,
}

impl Adc {
    pub(crate) fn new(full_scale: f64, bits: u8) -> Self {
        Self { full_scale, bits }
    }

    /// The count, rounded to nearest, and whether it is at the converter's limit.
    pub(crate) fn convert(&self, value: f64) -> (i32, bool) {
        let half = f64::from(1u32 << (self.bits - 1));
        let count = (value / self.full_scale * half).round();
        let clipped = count.clamp(-half, half - 1.0);
        (clipped as i32, count >= half - 1.0 || count <= -half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_nearest_level_and_the_limits_are_flagged() {
        let adc = Adc::new(1.0, 8);
        assert_eq!(adc.convert(0.0), (0, false));
        assert_eq!(adc.convert(0.5), (64, false));
        assert_eq!(adc.convert(0.5 / 128.0 + 1e-9), (1, false));
        assert_eq!(adc.convert(2.0), (127, true));
        assert_eq!(adc.convert(-2.0), (-128, true));
    }
}
