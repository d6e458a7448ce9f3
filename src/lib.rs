//! alora.
