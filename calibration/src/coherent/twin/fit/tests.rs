//! The linearised fit against differences of what it is the derivative of.

use super::*;

fn wave(k: usize, step: f64) -> f64 {
    (k as f64 * step + 0.3).sin()
}

/// A chip of every kind of imperfection, and two settings that it did not make.
fn problem(modes: usize) -> (Layout, Twin, Vec<Setting>) {
    let layout = Layout::new(modes);
    let mut twin = Twin::zeros(&layout);
    let blocks = twin.blocks.clone();
    for (k, value) in twin.values.iter_mut().enumerate() {
        *value = if blocks.phase.contains(&k) { 3.0 * wave(k, 1.7) } else { 0.05 * wave(k, 1.1) };
    }
    let width = 3;
    let settings = (0..2)
        .map(|setting| {
            let mut inputs = Fields::dark(modes, width);
            let mut shown = Fields::dark(modes, width);
            let mut valid = Fields::dark(modes, width);
            for mode in 0..modes {
                for vector in 0..width {
                    inputs.row_mut(mode)[vector] = wave(mode + 5 * vector + setting, 2.3);
                }
                shown.row_mut(mode).iter_mut().enumerate().for_each(|(k, v)| *v = 0.3 * wave(k + mode, 0.9));
                valid.row_mut(mode).fill(1.0);
            }
            valid.row_mut(1)[2] = 0.0;
            Setting {
                drive: (0..layout.shifters()).map(|k| 3.0 + 3.0 * wave(k + setting, 0.7)).collect(),
                inputs,
                shown,
                valid,
                oscillator: vec![0.4, 2.0, -1.0],
            }
        })
        .collect();
    (layout, twin, settings)
}

fn flat(fields: &Fields, modes: usize) -> Vec<f64> {
    (0..modes).flat_map(|mode| fields.row(mode).to_vec()).collect()
}

#[test]
fn the_image_is_the_derivative_of_what_the_twin_shows_and_the_transpose_its_adjoint() {
    let modes = 5;
    let (layout, twin, settings) = problem(modes);
    let prior = Prior { mean: vec![0.0; twin.values.len()], sd: vec![1.0; twin.values.len()] };
    let noise = Noise { quadrature: 1.0, oscillator: 1e-9 };
    let fit = Fit { layout: &layout, settings: &settings, noise, prior: &prior, rounds: 1 };
    let step: Vec<f64> = (0..twin.values.len()).map(|k| wave(k, 3.1)).collect();
    let parts = twin.parts();
    let seen = settings.iter().map(|setting| setting.seen(&layout, &twin, &parts, None)).collect();
    let point = Point { twin: &twin, parts: &parts, seen, noise };
    for (index, setting) in settings.iter().enumerate() {
        let image = flat(&fit.image(&point, index, &step), modes);
        let h = 1e-6;
        let moved = |sign: f64| {
            let mut moved = twin.clone();
            moved.values.iter_mut().zip(&step).for_each(|(value, step)| *value += sign * h * step);
            flat(&setting.seen(&layout, &moved, &moved.parts(), None).residual, modes)
        };
        let (ahead, behind) = (moved(1.0), moved(-1.0));
        for (k, image) in image.iter().enumerate() {
            let numeric = (behind[k] - ahead[k]) / (2.0 * h);
            assert!((numeric - image).abs() < 1e-7 * (1.0 + image.abs()), "{numeric} against {image}");
        }
        let mut back = Fields::dark(modes, 3);
        (0..modes).for_each(|m| {
            back.row_mut(m).iter_mut().enumerate().for_each(|(k, v)| *v = wave(k + 7 * m, 1.9));
        });
        let direct: f64 = flat(&back, modes).iter().zip(&image).map(|(l, j)| l * j).sum();
        // An unlocked entry is masked in the image only, so mask it here too.
        for mode in 0..modes {
            let valid = setting.valid.row(mode).to_vec();
            back.row_mut(mode).iter_mut().zip(valid).for_each(|(b, v)| *b *= v);
        }
        let mut sum = vec![0.0; step.len()];
        fit.add_transpose(&point, index, back, &mut sum);
        let adjoint: f64 = sum.iter().zip(&step).map(|(g, x)| g * x).sum();
        assert!((direct - adjoint).abs() < 1e-9 * direct.abs().max(1.0), "{direct} against {adjoint}");
    }
}

#[test]
fn the_gradient_of_the_step_is_that_of_the_objective_with_the_oscillators_phases_at_their_best() {
    let modes = 4;
    let (layout, twin, mut settings) = problem(modes);
    // Residuals that are small against the fields, and a reference that is a little off.
    for setting in &mut settings {
        let seen = setting.seen(&layout, &twin, &twin.parts(), None);
        for mode in 0..modes {
            let residual = seen.residual.row(mode).to_vec();
            setting.shown.row_mut(mode).iter_mut().zip(residual).for_each(|(shown, r)| *shown -= 0.97 * r);
        }
        setting.oscillator.iter_mut().for_each(|phase| *phase += 0.05);
    }
    let prior = Prior { mean: vec![0.0; twin.values.len()], sd: vec![1.0; twin.values.len()] };
    // The reference is neither trusted blindly nor useless.
    let noise = Noise { quadrature: 0.1, oscillator: 0.05 };
    let fit = Fit { layout: &layout, settings: &settings, noise, prior: &prior, rounds: 1 };
    let parts = twin.parts();
    let point = fit.at(&twin, &parts, noise);
    let gradient = fit.gradient(&point);
    for k in (0..twin.values.len()).step_by(7) {
        let h = 1e-5;
        let moved = |sign: f64| {
            let mut moved = twin.clone();
            moved.values[k] += sign * h;
            fit.objective(&moved, noise)
        };
        let numeric = (moved(-1.0) - moved(1.0)) / (4.0 * h);
        assert!(
            (numeric - gradient[k]).abs() < 1e-3 * (1.0 + gradient[k].abs()),
            "{k}: {numeric} against {}",
            gradient[k]
        );
    }
}

#[test]
fn the_curvature_is_what_tangent_and_adjoint_make_of_it() {
    let modes = 4;
    let (layout, twin, settings) = problem(modes);
    let prior = Prior { mean: vec![0.0; twin.values.len()], sd: vec![1.0; twin.values.len()] };
    let noise = Noise { quadrature: 1.0, oscillator: 2.0 };
    let fit = Fit { layout: &layout, settings: &settings, noise, prior: &prior, rounds: 1 };
    let curvature = fit.curvature(&twin);
    let parts = twin.parts();
    // The noise of the curvature is what the residual shows.
    let noise = Noise { quadrature: fit.rms(&twin).max(1.0), ..noise };
    let point = fit.at(&twin, &parts, noise);
    for (column, &parameter) in curvature.parameters.iter().enumerate() {
        let mut step = vec![0.0; twin.values.len()];
        step[parameter] = 1.0;
        let exact = fit.normal(&point, &step);
        for (row, &other) in curvature.parameters.iter().enumerate() {
            let found = curvature.matrix[(row, column)] * settings.len() as f64 / noise.quadrature.powi(2);
            assert!(
                (found - exact[other]).abs() < 1e-9 * (1.0 + exact[other].abs()),
                "{other} by {parameter}: {found} against {}",
                exact[other]
            );
        }
    }
}
