//! Phase sweeps: slope and response of every shifter, phase of every output.
//!
//! With every other interferometer at the data sheet's bar (θ = π), light runs nearly straight through, and the shifters of a
//! column are swept at once: each modulates its own outputs as `A + B e^{i (1+ρ) γ V²}`, whatever the phases around it.
//! For φ the column is set to 50:50, where the fields of both inputs meet. A shifter that shows little is swept again on its
//! own, at random settings and on all outputs, before it is called silent.

use std::f64::consts::{FRAC_PI_2, PI};

use alora_drivers::{Code, Detection, InputBatch};
use ndarray::Array2;
use num_complex::Complex64;

use super::{
    bench::{Bench, QuarterTurn},
    model::{ChipModel, Parameters},
    questions::{Questions, VECTORS},
    sinusoid::{Sinusoid, real_phasor, real_slope, solve},
};
use crate::{
    calibration::{CalibrateError, go_on},
    mesh::Topology,
    observer::{Event, Observer},
};

/// Drive range of a sweep: a little more than one turn.
const SWEEP_TURN: f64 = 2.0 * PI * 1.02;
/// A shifter that modulates less than this share of the usual is looked at again.
const WEAK: f64 = 0.3;
/// One that still modulates less than this share of others at the same settings does not respond.
const SILENT: f64 = 0.15;
/// Points of a look at the response of one shifter, and settings of the second look.
const LOOK_POINTS: usize = 5;
const SECOND_LOOKS: usize = 4;

/// One interferometer or attenuator of a column.
#[derive(Clone, Copy, Debug)]
struct Swept {
    theta: usize,
    upper: usize,
    attenuator: bool,
}

/// Columns in propagation order: V mesh, attenuators, U mesh.
fn columns(topology: &Topology) -> Vec<Vec<Swept>> {
    let modes = topology.modes();
    let mesh = |theta_of: &dyn Fn(usize) -> usize| {
        let mut columns = vec![Vec::new(); modes];
        for (position, site) in topology.sites().iter().enumerate() {
            let swept = Swept { theta: theta_of(position), upper: site.upper, attenuator: false };
            columns[site.column].push(swept);
        }
        columns
    };
    let attenuators = (0..modes)
        .map(|mode| Swept { theta: topology.attenuator_theta(mode), upper: mode, attenuator: true })
        .collect();
    let mut all = mesh(&|position| topology.v_theta(position));
    all.push(attenuators);
    all.extend(mesh(&|position| topology.u_theta(position)));
    all.retain(|column| !column.is_empty());
    all
}

/// What the sweeps found.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) parameters: Parameters,
    /// Shifters that showed no modulation, in frame order.
    pub(super) silent: Vec<usize>,
}

/// The sweeps of one processor.
pub(super) struct Sweeps<'a, 'b> {
    pub(super) questions: &'a mut Questions<'b>,
    pub(super) bench: &'a mut Bench<'b>,
    pub(super) model: &'b ChipModel,
    pub(super) points: usize,
}

/// Series of one sweep: `fields[vector][output]` at each point.
struct Series {
    drive: Vec<f64>,
    /// `[point][vector][output]`
    fields: Vec<Vec<Vec<Complex64>>>,
}

impl Series {
    fn of(&self, vector: usize, output: usize) -> Vec<Complex64> {
        self.fields.iter().map(|point| point[vector][output]).collect()
    }

    /// Total modulation `|B|` at the nominal slope, all vectors and outputs.
    fn swing(&self) -> f64 {
        let vectors = self.fields.first().map_or(0, Vec::len);
        let outputs = self.fields.first().and_then(|point| point.first()).map_or(0, Vec::len);
        (0..vectors)
            .flat_map(|vector| (0..outputs).map(move |output| (vector, output)))
            .map(|(vector, output)| solve(&self.drive, &self.of(vector, output), 0.0).1.norm_sqr())
            .sum::<f64>()
            .sqrt()
    }
}

impl Sweeps<'_, '_> {
    /// Sweeps everything and returns start values for the common fit.
    pub(super) async fn run(
        mut self,
        mut parameters: Parameters,
        observer: &mut dyn Observer,
    ) -> Result<Start, CalibrateError> {
        let columns = columns(&self.model.topology);
        let steps = 2 * columns.len() + 1;
        observer.on(Event::Started { stage: "phase sweeps", steps: steps as u64 });
        if self.bench.descriptor.detection == Detection::Homodyne {
            self.find_quarter_turns(&mut parameters).await?;
        }
        let mut responses = vec![0.0; self.model.topology.shifters()];
        for column in &columns {
            go_on(observer)?;
            self.sweep_theta(column, &mut parameters, &mut responses).await?;
            observer.on(Event::Step);
            self.sweep_phi(column, &mut parameters, &mut responses).await?;
            observer.on(Event::Step);
        }
        self.sweep_outputs(&mut parameters, &mut responses).await?;
        observer.on(Event::Step);
        observer.on(Event::Finished);
        // The slope of a weak modulation is worth less than the data sheet's.
        self.weak(&responses).into_iter().for_each(|shifter| parameters.rho[shifter] = 0.0);
        let silent = self.silent(observer).await?;
        silent.iter().for_each(|&shifter| parameters.rho[shifter] = -1.0);
        Ok(Start { parameters, silent })
    }

    /// Codes with every interferometer and attenuator at bar, everything else at 0.
    fn straight(&self, parameters: &Parameters) -> Vec<Code> {
        let mut codes = vec![0; parameters.phi0.len()];
        for swept in columns(&self.model.topology).into_iter().flatten() {
            codes[swept.theta] = self.model.code_for(parameters, swept.theta, PI);
        }
        for (mode, turn) in self.bench.quarter_turns.iter().flatten().enumerate() {
            codes[self.model.topology.output_phase(mode)] = turn.base;
        }
        codes
    }

    /// Two vectors: all upper inputs of the column, all lower inputs.
    fn rails(&self, column: &[Swept]) -> InputBatch {
        let modes = self.model.topology.modes();
        let mut inputs = Array2::zeros((2, modes));
        for swept in column {
            inputs[[0, swept.upper]] = 1.0;
            if !swept.attenuator {
                inputs[[1, swept.upper + 1]] = 1.0;
            }
        }
        self.bench.input_codes(&inputs)
    }

    async fn sweep(
        &mut self,
        codes: &[Code],
        shifters: &[usize],
        inputs: &InputBatch,
        points: usize,
        quadratures: bool,
    ) -> Result<Series, CalibrateError> {
        let mut series = Series { drive: Vec::new(), fields: Vec::new() };
        for point in 0..points {
            let wanted = SWEEP_TURN * point as f64 / (points - 1) as f64;
            let unit = self.model.drive(1);
            let limit = shifters.iter().map(|&k| self.bench.descriptor.limits[k]).min().unwrap_or(0);
            let code = ((wanted / unit).sqrt().round() as Code).min(limit);
            let mut codes = codes.to_vec();
            shifters.iter().for_each(|&shifter| codes[shifter] = code);
            let measured = if quadratures {
                self.bench.fields(&mut codes, inputs).await?
            } else {
                self.bench.shown(&codes, inputs).await?
            };
            let (vectors, outputs) = (inputs.0.nrows(), self.bench.descriptor.outputs);
            series.drive.push(self.model.drive(code));
            series.fields.push(
                (0..vectors)
                    .map(|vector| (0..outputs).map(|output| measured.fields.row(output)[vector]).collect())
                    .collect(),
            );
        }
        Ok(series)
    }

    async fn sweep_theta(
        &mut self,
        column: &[Swept],
        parameters: &mut Parameters,
        responses: &mut [f64],
    ) -> Result<(), CalibrateError> {
        let codes = self.straight(parameters);
        let shifters: Vec<_> = column.iter().map(|swept| swept.theta).collect();
        let series = self.sweep(&codes, &shifters, &self.rails(column), self.points, true).await?;
        for swept in column {
            let mut straight = vec![series.of(0, swept.upper)];
            if !swept.attenuator {
                straight.push(series.of(1, swept.upper + 1));
            }
            let fit = Sinusoid::fit(&series.drive, &straight);
            responses[swept.theta] = fit.strength();
            parameters.rho[swept.theta] = fit.rho;
        }
        Ok(())
    }

    async fn sweep_phi(
        &mut self,
        column: &[Swept],
        parameters: &mut Parameters,
        responses: &mut [f64],
    ) -> Result<(), CalibrateError> {
        let mut codes = self.straight(parameters);
        for swept in column.iter().filter(|swept| !swept.attenuator) {
            codes[swept.theta] = self.model.code_for(parameters, swept.theta, FRAC_PI_2);
        }
        let shifters: Vec<_> = column.iter().map(|swept| swept.theta + 1).collect();
        let series = self.sweep(&codes, &shifters, &self.rails(column), self.points, true).await?;
        for swept in column {
            let phi = swept.theta + 1;
            let mut shown = vec![series.of(0, swept.upper)];
            if !swept.attenuator {
                shown.push(series.of(0, swept.upper + 1));
            }
            let fit = Sinusoid::fit(&series.drive, &shown);
            responses[phi] = fit.strength();
            parameters.rho[phi] = fit.rho;
        }
        Ok(())
    }

    /// Output phases, from straight light.
    async fn sweep_outputs(
        &mut self,
        parameters: &mut Parameters,
        responses: &mut [f64],
    ) -> Result<(), CalibrateError> {
        let codes = self.straight(parameters);
        let topology = &self.model.topology;
        let modes = topology.modes();
        let shifters: Vec<_> = (0..modes).map(|mode| topology.output_phase(mode)).collect();
        let inputs = self.bench.input_codes(&Array2::eye(modes));
        let homodyne = self.bench.quarter_turns.is_some();
        let series = self.sweep(&codes, &shifters, &inputs, self.points, false).await?;
        let mut at_zero = codes;
        shifters.iter().for_each(|&shifter| at_zero[shifter] = 0);
        let predicted = self.model.transfer(parameters, &at_zero);
        for (mode, &shifter) in shifters.iter().enumerate() {
            let shown = series.of(mode, mode);
            let (rho, phasor) = if homodyne {
                (parameters.rho[shifter], real_phasor(&series.drive, &shown, parameters.rho[shifter]))
            } else {
                let fit = Sinusoid::fit(&series.drive, &[shown]);
                (fit.rho, fit.terms[0].1)
            };
            let model = predicted.row(mode)[mode];
            responses[shifter] = phasor.norm();
            parameters.rho[shifter] = rho;
            parameters.phi0[shifter] += (phasor * model.conj()).arg();
        }
        Ok(())
    }

    /// Shifters that modulate far less than the median of their kind (θ, φ, output phase).
    fn weak(&self, responses: &[f64]) -> Vec<usize> {
        let topology = &self.model.topology;
        let kind = |shifter: usize| {
            if shifter >= topology.output_phase(0) { 2 } else { shifter % 2 }
        };
        let medians: Vec<f64> = (0..3)
            .map(|wanted| median((0..responses.len()).filter(|&k| kind(k) == wanted).map(|k| responses[k])))
            .collect();
        (0..responses.len()).filter(|&k| responses[k] < WEAK * medians[kind(k)]).collect()
    }

    /// Shifters that change nothing: each is swept on its own at a random setting, those that show little at
    /// several more.
    async fn silent(&mut self, observer: &mut dyn Observer) -> Result<Vec<usize>, CalibrateError> {
        let all: Vec<usize> = (0..self.model.topology.shifters()).collect();
        observer.on(Event::Started { stage: "responses", steps: 1 });
        let first = self.swings(&all, 1).await?;
        let usual = median(first.iter().copied());
        let weak: Vec<usize> = all.into_iter().filter(|&shifter| first[shifter] < WEAK * usual).collect();
        let again = self.swings(&weak, SECOND_LOOKS).await?;
        observer.on(Event::Step);
        observer.on(Event::Finished);
        let dark = SILENT * usual;
        Ok(weak
            .into_iter()
            .zip(again)
            .filter(|&(_, swing)| swing < dark)
            .map(|(shifter, _)| shifter)
            .collect())
    }

    /// Root mean square modulation by each of `shifters` alone, over `looks` random settings.
    async fn swings(&mut self, shifters: &[usize], looks: usize) -> Result<Vec<f64>, CalibrateError> {
        let mut squares = vec![0.0; shifters.len()];
        for _ in 0..looks {
            let codes = self.questions.codes(&self.bench.descriptor.limits);
            let inputs = self.bench.input_codes(&self.questions.vectors(VECTORS));
            for (square, &shifter) in squares.iter_mut().zip(shifters) {
                let series = self.sweep(&codes, &[shifter], &inputs, LOOK_POINTS, false).await?;
                *square += series.swing().powi(2) / looks as f64;
            }
        }
        Ok(squares.into_iter().map(f64::sqrt).collect())
    }

    /// Homodyne: the output shifters first, so that both quadratures can be had of everything after.
    async fn find_quarter_turns(&mut self, parameters: &mut Parameters) -> Result<(), CalibrateError> {
        let codes = self.straight(parameters);
        let topology = &self.model.topology;
        let modes = topology.modes();
        let shifters: Vec<_> = (0..modes).map(|mode| topology.output_phase(mode)).collect();
        let inputs = self.bench.input_codes(&Array2::eye(modes));
        let series = self.sweep(&codes, &shifters, &inputs, self.points, false).await?;
        let mut turns = Vec::with_capacity(modes);
        for (mode, &shifter) in shifters.iter().enumerate() {
            // Re z = (z + z̄)/2 turns both ways; a real series has B and its mirror image, so fit the real form.
            let shown: Vec<_> = (0..modes).map(|vector| series.of(vector, mode)).collect();
            parameters.rho[shifter] = real_slope(&series.drive, &shown);
            let slope = 1.0 + parameters.rho[shifter];
            let nearest = |phase: f64| ((phase / slope / self.model.drive(1)).sqrt().round()) as Code;
            let (base, turned) = (nearest(1.0), nearest(1.0 + FRAC_PI_2));
            let angle = slope * (self.model.drive(turned) - self.model.drive(base));
            turns.push(QuarterTurn { base, turned, angle });
        }
        self.bench.quarter_turns = Some(turns);
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
