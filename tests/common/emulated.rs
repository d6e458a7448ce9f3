//! The program, and its emulated devices in another process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// The program, at the root of the project, with records of its own and as many threads as one test may take.
pub(crate) fn alora() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alora"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("OPENBLAS_NUM_THREADS", "1").stdin(Stdio::null());
    // Not into the records of whoever runs the tests; and what one test leaves undone is none of another's.
    let test = format!("state-{}-{:?}", std::process::id(), std::thread::current().id());
    command.env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join(test));
    command
}

/// `alora emulate`, until dropped.
pub(crate) struct Emulated {
    process: Child,
    devices: Vec<Value>,
}

impl Emulated {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = alora().arg("emulate").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { devices: ready["devices"].as_array().unwrap().clone(), process }
    }

    /// The port of the device of that name, as a station file writes it.
    pub(crate) fn port(&self, name: &str) -> String {
        let device = self.devices.iter().find(|device| device["name"] == name).unwrap();
        match (&device["path"], &device["address"]) {
            (Value::String(path), _) => path.clone(),
            (_, Value::String(address)) => format!("tcp:{address}"),
            _ => unreachable!("{device}"),
        }
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
