//! A Qontrol chain under test.

use async_trait::async_trait;

use super::{SoakOutcome, Subject};
use crate::{
    Volts,
    link::{LinkError, LinkStatistics},
    qontrol::{Chain, ChainError, ChannelState, Outcome},
};

/// Step of the values: four decimals, as the modules print.
const STEP: f64 = 1e-4;

/// A chain that is connected.
pub struct ChainSubject {
    chain: Chain,
    highest: Volts,
}

impl ChainSubject {
    /// Values go up to `highest`.
    #[must_use]
    pub fn new(chain: Chain, highest: Volts) -> Self {
        Self { chain, highest }
    }

    fn held(&self, channel: usize) -> Option<f64> {
        match self.chain.state(channel) {
            ChannelState::Known(volts) => Some(as_printed(volts)),
            ChannelState::Unknown => None,
        }
    }
}

#[async_trait]
impl Subject for ChainSubject {
    fn protocol(&self) -> &'static str {
        "qontrol"
    }

    fn unit(&self) -> &'static str {
        "V"
    }

    fn channels(&self) -> Vec<usize> {
        self.chain.outputs()
    }

    fn range(&self, _channel: usize) -> (f64, f64) {
        (self.highest.0, STEP)
    }

    async fn set(&mut self, channel: usize, value: f64) -> (SoakOutcome, Option<f64>, String) {
        match self.chain.confirm(channel, Volts(value)).await {
            Outcome::Confirmed(held) => (SoakOutcome::Confirmed, Some(as_printed(held)), String::new()),
            Outcome::Refused(why) => (SoakOutcome::Refused, self.held(channel), why),
            Outcome::Unknown(why) => (SoakOutcome::Unknown, None, why),
        }
    }

    async fn recover(&mut self) -> Result<(), String> {
        let armed = match self.chain.rearm().await {
            Err(ChainError::Link(LinkError::Lost { .. } | LinkError::Timeout { .. })) => {
                self.chain.reconnect().await
            }
            other => other,
        };
        armed.map_err(|error| error.to_string())
    }

    async fn zero(&mut self) -> Result<(), String> {
        self.chain.zero().await.map_err(|error| error.to_string())
    }

    fn statistics(&self) -> LinkStatistics {
        self.chain.statistics()
    }
}

/// Four decimals, as the modules print.
fn as_printed(volts: Volts) -> f64 {
    (volts.0 / STEP).round() / (1.0 / STEP).round()
}
