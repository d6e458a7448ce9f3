//! What a simulated chip was made with, for those who examine a finished characterisation.

use super::{Element, IncoherentSpec, Truth, bank::Bank};

/// The making of one simulated chip. A characterisation never sees it; who compares a finished one against it does.
#[derive(Clone, Debug)]
pub struct IncoherentAnswers {
    /// Detector rows.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// What all elements are made to.
    pub nominal: Element,
    /// What fabrication gave.
    pub truth: Truth,
    bank: Bank,
}

impl IncoherentAnswers {
    /// Phase that `from` brings to `element` per unit of its own, both as `(row, column)`.
    #[must_use]
    pub fn crosstalk(&self, element: (usize, usize), from: (usize, usize)) -> f64 {
        self.bank.crosstalk().coefficient(element, from)
    }
}

impl IncoherentSpec {
    /// The chip of that seed.
    #[must_use]
    pub fn answers(&self, seed: u64) -> IncoherentAnswers {
        IncoherentAnswers {
            rows: self.rows,
            cols: self.cols,
            nominal: self.element,
            truth: Truth::draw(self, seed),
            bank: Bank::of(self, seed),
        }
    }
}
