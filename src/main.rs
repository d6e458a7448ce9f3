//! The `alora` command.
fn main() {}
