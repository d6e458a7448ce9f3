//! The contract suite of [`crate::PhotonicBackend`]: every driver passes it.
