//! The `alora` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    alora::memory::keep_freed();
    alora::cli::main()
}
