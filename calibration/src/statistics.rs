//! Statistics of weight errors: pure functions of arrays, each with formula and source.
//!
//! Residuals are in units of the full scale. `r[p, i, j]` is the residual of the mean of `R` readings of the weight
//! at row `i`, column `j` of programming `p`. `kept[i, j]` is false for elements that are left out (stuck ones).

pub mod bootstrap;
pub mod components;
pub mod defects;
pub mod drift;
pub mod histogram;
pub mod interval;
pub mod linear;
pub mod moments;
pub mod noise_law;
pub mod normality;
pub mod probe;
pub mod repeats;
pub mod spatial;
pub mod state;
pub mod streaming;
pub mod structure;
pub mod superposition;
