//! Making one device safe.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    link::{LinkError, Port},
    safety::make_safe::{self, Made, Protocol},
    station::DeviceEntry,
};

/// What makes one device safe, whatever state it and its wire are in.
#[async_trait]
pub trait SafeAction: Send + Sync {
    /// Which device, and where it is.
    fn place(&self) -> String;

    /// Makes it safe. Repeatable: it is tried again after an error, and when the device does not say that it is safe.
    ///
    /// # Errors
    /// The wire does not open or take the bytes.
    async fn make_safe(&self) -> Result<Made, LinkError>;
}

/// A device that is watched over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedDevice {
    /// Name in the station file.
    pub name: String,
    /// What it speaks, as the station file calls it.
    pub protocol: String,
    /// Where it is.
    pub port: Port,
}

impl WatchedDevice {
    /// The device of that name in a station file.
    #[must_use]
    pub fn of(name: &str, entry: &DeviceEntry) -> Self {
        Self { name: name.to_owned(), protocol: entry.protocol().to_owned(), port: entry.port().clone() }
    }
}

#[async_trait]
impl SafeAction for WatchedDevice {
    fn place(&self) -> String {
        format!("{} ({})", self.name, self.port)
    }

    async fn make_safe(&self) -> Result<Made, LinkError> {
        make_safe::zero(&self.port, Protocol::of(&self.protocol)).await
    }
}
