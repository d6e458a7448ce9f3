//! A device behind wires.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until},
};

use super::{Device, FaultPlan, Line, injector::Injector, line::Flow};
use crate::link::{InMemory, Transport};

/// Bytes that the host's side buffers before a writer has to wait, as the driver of a serial port does.
const BACKLOG: usize = 4096;

/// Why a wire is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The host has closed it.
    HostLeft,
    /// The fault plan pulled the plug; the device can be reached again after so long.
    Unplugged(Duration),
}

/// A device, the line before it and the faults on the way: served to one host at a time, over any number of wires.
pub struct Emulator<D> {
    shared: Arc<Shared<D>>,
}

impl<D> Clone for Emulator<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<D> {
    started: Instant,
    line: Line,
    injector: Mutex<Injector>,
    unplugged_until: Mutex<Option<Instant>>,
    device: Mutex<D>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Device + 'static> Emulator<D> {
    /// Powers the device.
    #[must_use]
    pub fn new(device: D, line: Line, plan: FaultPlan) -> Self {
        Self {
            shared: Arc::new(Shared {
                started: Instant::now(),
                line,
                injector: Mutex::new(Injector::new(plan, device.requests())),
                unplugged_until: Mutex::new(None),
                device: Mutex::new(device),
            }),
        }
    }

    /// Wires in memory to this device; each is served by a task of its own, so this needs a runtime.
    #[must_use]
    pub fn connector(&self, place: impl Into<String>) -> InMemory {
        let emulator = self.clone();
        InMemory::new(place, move |wire| {
            let plugged = emulator.is_plugged();
            if plugged {
                let emulator = emulator.clone();
                tokio::spawn(async move {
                    emulator.serve(wire).await;
                    emulator.live_on().await;
                });
            }
            plugged
        })
    }
}

impl<D: Device> Emulator<D> {
    /// The device itself, for whoever judges what a driver says of it.
    pub fn device(&self) -> MutexGuard<'_, D> {
        held(&self.shared.device)
    }

    /// False while the fault plan keeps the plug out.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        held(&self.shared.unplugged_until).is_none_or(|until| until <= Instant::now())
    }

    /// Puts other faults onto the wire.
    pub fn plan(&self, plan: FaultPlan) {
        let requests = self.device().requests();
        *held(&self.shared.injector) = Injector::new(plan, requests);
    }

    /// Serves one wire until it ends.
    pub async fn serve(&self, wire: impl Transport) -> Ended {
        let (mut reader, mut writer) = tokio::io::split(wire);
        let start = Instant::now();
        let mut inbound = Flow::to_device(self.shared.line, start);
        let mut outbound = Flow::to_host(self.shared.line, start);
        let mut ready: Vec<u8> = Vec::new();
        let mut buffer = vec![0_u8; BACKLOG];
        loop {
            let now = Instant::now();
            if let Some(unplugged) = self.step(now, &mut inbound, &mut outbound) {
                return Ended::Unplugged(unplugged);
            }
            ready.extend(outbound.arrived(now));
            let wake = [inbound.next(), outbound.next(), self.next_tick()].into_iter().flatten().min();
            tokio::select! {
                sent = writer.write(&ready), if !ready.is_empty() => match sent {
                    Ok(0) | Err(_) => return Ended::HostLeft,
                    Ok(count) => drop(ready.drain(..count)),
                },
                read = reader.read(&mut buffer), if inbound.under_way() < BACKLOG => match read {
                    Ok(0) | Err(_) => return Ended::HostLeft,
                    Ok(count) => inbound.send(&buffer[..count], Instant::now()),
                },
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Lets a device without a wire live on until nothing more can happen by itself: its watchdog ends, say.
    pub async fn live_on(&self) {
        while let Some(next) = self.next_tick() {
            sleep_until(next).await;
            // Heard by nobody.
            let mut answers = Vec::new();
            self.device().tick(self.shared.started.elapsed(), &mut answers);
        }
    }

    fn next_tick(&self) -> Option<Instant> {
        self.device().next_tick().map(|next| self.shared.started + next)
    }

    /// Gives the device what has arrived, and sends its answers. `Some` when the plug is pulled.
    fn step(&self, now: Instant, inbound: &mut Flow, outbound: &mut Flow) -> Option<Duration> {
        let age = now.saturating_duration_since(self.shared.started);
        let mut device = held(&self.shared.device);
        let mut injector = held(&self.shared.injector);
        let mut unasked = Vec::new();
        device.tick(age, &mut unasked);
        let mut answers = vec![injector.unasked(unasked, age)];
        let arrived = inbound.arrived(now);
        if !arrived.is_empty() {
            answers.extend(injector.pass(&mut *device, &arrived, age));
        }
        for answer in answers {
            if !answer.late.is_zero() {
                outbound.hold(answer.late, now);
            }
            if let Some(unplugged) = answer.unplugged {
                *held(&self.shared.unplugged_until) = Some(now + unplugged);
                return Some(unplugged);
            }
            outbound.send(&answer.bytes, now);
        }
        None
    }
}
