//! The `alora` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    alora::cli::main()
}
