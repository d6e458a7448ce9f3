//! `alora supervise`: started by commands that drive devices, not by people.

use std::{
    io::{self, stdin, stdout},
    os::fd::AsFd,
    sync::Arc,
};

use alora_drivers::safety::{self, Outcome, SafeAction, Timing};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::super::{args::Supervise, say};
use crate::error::Error;

pub(super) async fn supervise(arguments: &Supervise) -> Result<(), Error> {
    let (host, ready) = pipes().map_err(|_| Error::Input {
        path: "alora supervise".into(),
        reason: "commands that drive devices start it themselves; to zero devices, use `alora safe`"
            .to_owned(),
    })?;
    let actions = arguments.devices.0.iter().map(|device| Arc::new(device.clone()) as Arc<dyn SafeAction>);
    let timing = Timing { end_hanging_host: true, ..Timing::default() };
    if let Outcome::MadeSafe { reason, done } =
        safety::supervise(host, ready, actions.collect(), timing).await
    {
        // Only now: a terminal that takes nothing must not hold up what matters.
        for device in done {
            say(&format!("supervisor: {reason}: {device}"));
        }
    }
    Ok(())
}

fn pipes() -> io::Result<(Receiver, Sender)> {
    let host = Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
    let ready = Sender::from_owned_fd(stdout().as_fd().try_clone_to_owned()?)?;
    Ok((host, ready))
}
