//! An emulated board: the firmware of the protocol crate, in front of a mock.

use std::time::Duration;

use alora_board_protocol::{Codes, Firmware, Hardware, Identity, Memory, Sense, max_encoded};
use ndarray::Array2;

use super::Device;
use crate::{
    ActuatorFrame, Code, Descriptor, InputBatch, InputCode, ProcessorKind,
    mock::{Chip, Script, Spec},
};

/// Payload that a board takes and gives.
const PAYLOAD: usize = 65_535;
/// Replies that a board remembers: as many as a host has frames under way at most.
const WINDOW: usize = 64;
const FIRMWARE: (u8, u8) = (1, 0);
/// Laser power that a board reports, in µW.
const LASER_UW: u32 = 10_000;
const FREEZING_K: f64 = 273.15;

/// A board with a simulated chip on it.
pub struct BoardDevice {
    firmware: Firmware<Converters, Vec<u16>, Vec<u8>>,
    boots: u32,
}

/// A chip that a board cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoardError {
    /// Counts that do not fit.
    #[error(
        "counts of this chip reach {found}, a board reports 16 bits (32767 at most); take fewer bits or gains"
    )]
    Counts {
        /// Largest count.
        found: i32,
    },
    /// Actuators that cannot be numbered.
    #[error("this chip has {found} actuators, a board numbers 65535 at most")]
    Actuators {
        /// Actuators.
        found: usize,
    },
}

impl BoardDevice {
    /// Powers a board with the chip of that seed.
    ///
    /// # Errors
    /// A chip whose counts or actuators do not fit into 16 bits.
    pub fn new(spec: Spec, seed: u64, script: Script) -> Result<Self, BoardError> {
        let most = spec.counts_at_limit().into_iter().map(i32::abs).max().unwrap_or(0);
        if most > i32::from(i16::MAX) + 1 {
            return Err(BoardError::Counts { found: most });
        }
        let chip = spec.chip(seed, script);
        let actuators = chip.descriptor().limits.len();
        if actuators > usize::from(u16::MAX) {
            return Err(BoardError::Actuators { found: actuators });
        }
        let memory = Memory {
            staged: vec![0; actuators],
            limits: vec![0; actuators],
            incoming: vec![0; max_encoded(PAYLOAD)],
            outgoing: vec![0; WINDOW * max_encoded(PAYLOAD)],
            payload: vec![0; PAYLOAD],
        };
        let boots = boot_seed(&chip.descriptor().id.0);
        let mut firmware = Firmware::new(Converters::new(chip), memory, boots);
        firmware.hardware_mut().powered = true;
        Ok(Self { firmware, boots })
    }

    /// The codes in effect: what only the board itself knows for certain.
    #[must_use]
    pub fn applied(&self) -> &[Code] {
        &self.firmware.hardware().applied
    }

    /// True from a trip until the board is parked.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.firmware.is_tripped()
    }
}

/// A boot id that differs from board to board (FNV-1a).
fn boot_seed(serial: &str) -> u32 {
    serial.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn micros(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

impl Device for BoardDevice {
    fn receive(&mut self, bytes: &[u8], now: Duration, answers: &mut Vec<u8>) {
        self.firmware.receive(bytes, micros(now), &mut |frame| answers.extend_from_slice(frame));
    }

    fn tick(&mut self, now: Duration, answers: &mut Vec<u8>) {
        self.firmware.tick(micros(now), &mut |frame| answers.extend_from_slice(frame));
    }

    fn next_tick(&self) -> Option<Duration> {
        self.firmware.deadline_us().map(Duration::from_micros)
    }

    fn requests(&self) -> u64 {
        self.firmware.requests()
    }

    fn reset(&mut self, now: Duration, answers: &mut Vec<u8>) {
        self.boots = self.boots.wrapping_add(1);
        self.firmware.reset(self.boots, micros(now), &mut |frame| answers.extend_from_slice(frame));
    }

    fn stick(&mut self, channel: usize, stuck: bool) {
        let stuck_channels = &mut self.firmware.hardware_mut().stuck;
        stuck_channels.retain(|&held| held != channel);
        if stuck {
            stuck_channels.push(channel);
        }
    }
}

/// The chip as the board's converters see it.
struct Converters {
    chip: Box<dyn Chip>,
    descriptor: Descriptor,
    applied: Vec<Code>,
    stuck: Vec<usize>,
    /// False until the firmware has come up: that it zeroes a chip without power changes nothing on it.
    powered: bool,
}

impl Converters {
    fn new(chip: Box<dyn Chip>) -> Self {
        let descriptor = chip.descriptor().clone();
        let applied = vec![0; descriptor.limits.len()];
        Self { chip, descriptor, applied, stuck: Vec::new(), powered: false }
    }
}

impl Hardware for Converters {
    fn identity(&self) -> Identity<'_> {
        let bits = self.descriptor.bits;
        Identity {
            firmware: FIRMWARE,
            kind: match self.descriptor.kind {
                ProcessorKind::Incoherent => 1,
                ProcessorKind::Coherent => 2,
            },
            inputs: self.descriptor.input_width() as u16,
            outputs: self.descriptor.channels() as u16,
            bits: [bits.actuator, bits.input, bits.output],
            serial: self.descriptor.id.0.as_bytes(),
        }
    }

    fn write(&mut self, codes: &[u16]) {
        for (actuator, (applied, &code)) in self.applied.iter_mut().zip(codes).enumerate() {
            if !self.stuck.contains(&actuator) {
                *applied = code;
            }
        }
        self.chip.write(&ActuatorFrame(self.applied.clone()));
    }

    fn read(&self, actuator: usize) -> u16 {
        self.applied[actuator]
    }

    fn execute(
        &mut self,
        repeats: u8,
        frames: u8,
        codes: Codes<'_>,
        put: &mut dyn FnMut(i16),
    ) -> Option<bool> {
        let (lowest, highest) = self.descriptor.input_range();
        let signed = lowest < 0;
        let code =
            |code: u16| if signed { InputCode::from(code.cast_signed()) } else { InputCode::from(code) };
        let codes: Vec<InputCode> = codes.iter().map(code).collect();
        if codes.iter().any(|code| !(lowest..=highest).contains(code)) {
            return None;
        }
        let shape = (usize::from(frames), self.descriptor.input_width());
        let inputs = InputBatch(Array2::from_shape_vec(shape, codes).ok()?);
        let (counts, at_limit) = self.chip.go_on(&inputs, usize::from(repeats));
        counts.iter().for_each(|&count| put(count.clamp(i16::MIN.into(), i16::MAX.into()) as i16));
        Some(at_limit.iter().any(|&flag| flag))
    }

    fn sense(&mut self) -> Sense {
        let kelvin = self.chip.begin().0 + FREEZING_K;
        Sense { millikelvin: (kelvin * 1000.0).round() as u32, microwatt: LASER_UW, uptime_us: 0 }
    }

    fn zero(&mut self) {
        if self.powered {
            // Zero is a path of its own: it reaches stuck channels too.
            self.applied.fill(0);
            self.chip.park();
        }
    }
}
