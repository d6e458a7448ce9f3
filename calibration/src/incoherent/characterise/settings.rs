//! Random settings of the whole bank.

use rand::RngExt;

use super::{
    bank::{BIAS, BankModel},
    observations::{Drive, Observations},
    probe::{Receiver, frame_of, generator, power_of, stream},
    program::{Wanted, heats_for},
};
use crate::{
    characterise::{Bench, CharacteriseError, Question},
    observer::Event,
};

/// Settings of one question.
const BLOCK: usize = 32;
/// Share of the rings that are set to a random level of their line; the others get a random heat.
const ON_THE_LINE: f64 = 0.6;
/// Levels that are asked for, of the line's height.
const LEVELS: std::ops::Range<f64> = 0.04..0.98;
/// Random heats go so far beyond resonance.
const BEYOND: f64 = 1.15;

/// Puts `count` random settings to the bank, in blocks named after `name`; from setting `first` of the plan's stream on.
pub(super) async fn ask(
    bench: &mut Bench<'_>,
    receiver: &Receiver<'_>,
    model: &BankModel,
    exponent: f64,
    (seed, first): (u64, u64),
    (name, count, on_the_line): (&'static str, usize, bool),
    observations: &mut Observations,
) -> Result<(), CharacteriseError> {
    let descriptor = receiver.descriptor;
    bench.tell(Event::Started { stage: name, steps: count as u64 });
    for block in 0..count.div_ceil(BLOCK) {
        let size = BLOCK.min(count - block * BLOCK);
        let rng = &mut generator(seed, stream::SETTINGS + first + block as u64);
        let share = if on_the_line { ON_THE_LINE } else { 0.0 };
        let mut frames = Vec::new();
        let mut inputs = Vec::new();
        for _ in 0..size {
            let wanted: Vec<Wanted> = (0..model.rings.len())
                .map(|ring| {
                    let (kind, size): (f64, f64) = (rng.random(), rng.random());
                    if kind < share {
                        let level = LEVELS.start + size * (LEVELS.end - LEVELS.start);
                        Wanted::Phase(model.line.phase_for(level))
                    } else {
                        Wanted::Heat(BEYOND * size * (-model.rings[ring][BIAS]).max(0.0))
                    }
                })
                .collect();
            let heats = heats_for(model, &wanted);
            frames.push(frame_of(descriptor, exponent, |ring| model.power_for(ring, heats[ring])));
            inputs.push(receiver.all_inputs(rng));
        }
        let question = Question {
            name: format!("{name}-{block:03}"),
            frames: frames.clone(),
            inputs: inputs.clone(),
            repeats: 1,
        };
        let readouts = bench.ask(question).await?;
        for ((readout, frame), batch) in readouts.iter().zip(&frames).zip(&inputs) {
            let codes = frame.0.iter().zip(&descriptor.limits);
            let powers = codes.map(|(&code, &limit)| power_of(code, limit, exponent)).collect();
            let group = observations.new_group(std::slice::from_ref(readout), true);
            let setting = observations.add_setting(Drive::All(powers), group);
            observations.take(receiver.readings(readout, batch, setting));
            bench.tell(Event::Step);
        }
    }
    bench.tell(Event::Finished);
    Ok(())
}
