//! What only factory-fresh ring banks have, against analytic laws.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, PhotonicBackend,
    mock::{
        IncoherentMock, IncoherentSpec, Script,
        incoherent::{IncoherentPhysics, TrueDefectKind, preset},
    },
};

fn ideal() -> IncoherentPhysics {
    IncoherentPhysics::ideal()
}

/// A factory-fresh bank of 4 × 5 rings with nothing but what `physics` brings; 16 bits at the outputs.
fn rings(physics: IncoherentPhysics) -> IncoherentSpec {
    let mut spec = preset("factory-fresh-incoherent-16x16").unwrap();
    (spec.rows, spec.cols) = (4, 5);
    spec.physics = physics;
    spec
}

#[tokio::test]
async fn a_ring_takes_half_a_percent_of_the_channel_next_to_its_own() {
    let spacing = preset("factory-fresh-incoherent-16x16").unwrap().physics.channel_spacing_rad;
    let weights = |channel_spacing_rad| async move {
        let mut spec = rings(IncoherentPhysics { channel_spacing_rad, ..ideal() });
        // On resonance at rest.
        spec.drive.bias_rad = 0.0;
        IncoherentMock::new(spec, 1, Script::default()).true_weights()
    };
    let (alone, beside) = (weights(0.0).await, weights(spacing).await);
    // 1/(1 + (2 · 1.6 nm/0.228 nm)²) = 0.505 % of the drop peak of 0.695, from each side, of what passes the ring's own
    // through port (0.028): a weight changes by twice that. Lorentzian against Airy: (0.338 rad)²/12 = 1 %.
    let expected = 2.0 * 0.00505 * 0.695 * 0.0275;
    let change = |col: usize| beside[(1, col)] - alone[(1, col)];
    assert!((change(0) / expected - 1.0).abs() < 0.03, "{}", change(0));
    assert!((change(2) / (2.0 * expected) - 1.0).abs() < 0.03, "{}", change(2));
}

#[tokio::test]
async fn a_stuck_heater_keeps_its_phase_and_a_weak_one_reaches_part_of_its_range() {
    let spec = rings(IncoherentPhysics { stuck_fraction: 0.2, weak_fraction: 0.3, ..ideal() });
    let mut mock = IncoherentMock::new(spec, 3, Script::default());
    let rest = mock.true_weights();
    let _ = mock.apply(&ActuatorFrame(vec![2600; 20])).await.unwrap();
    let driven = mock.true_weights();
    let defects = mock.truth().defects.clone();
    let kinds = |of: fn(&TrueDefectKind) -> bool| defects.iter().filter(|defect| of(&defect.kind)).count();
    assert!(kinds(|kind| matches!(kind, TrueDefectKind::Stuck(_))) > 0);
    assert!(kinds(|kind| matches!(kind, TrueDefectKind::WeakHeater(_))) > 0);
    assert!(kinds(|kind| matches!(kind, TrueDefectKind::WeakLine(_))) > 0);
    for element in 0..20 {
        let cell = (element / 5, element % 5);
        let change = driven[cell] - rest[cell];
        // Code 2600 of 4095 brings 0.81 of 0.85 nm: close to resonance, a change of 1.4.
        match defects.iter().find(|defect| defect.actuator == element).map(|defect| defect.kind) {
            None => assert!(change > 1.2, "{element}: {change}"),
            Some(TrueDefectKind::Stuck(_)) => assert_eq!(change, 0.0, "{element}"),
            Some(TrueDefectKind::WeakHeater(_)) => {
                assert!(change > 0.0 && change < 0.2, "{element}: {change}")
            }
            Some(TrueDefectKind::WeakLine(share)) => {
                assert!((change / share - 1.4).abs() < 0.2, "{element}: {change}");
            }
        }
    }
}

#[test]
fn fractions_of_defects_change_nothing_else_of_a_chip() {
    let truth = |stuck_fraction| {
        let mut spec = preset("factory-fresh-incoherent-16x16").unwrap();
        spec.physics.stuck_fraction = stuck_fraction;
        spec.physics.weak_fraction = 0.0;
        let mut truth = IncoherentMock::new(spec, 5, Script::default()).truth().clone();
        truth.defects.clear();
        truth
    };
    assert_eq!(truth(0.0), truth(0.5));
}

#[tokio::test]
async fn a_quartic_heater_brings_its_share_more_at_full_drive() {
    let mock = |heater_quartic| {
        let spec = rings(IncoherentPhysics { heater_quartic, phase_per_kelvin: 0.0, ..ideal() });
        IncoherentMock::new(spec, 1, Script::default())
    };
    let (mut linear, mut quartic) = (mock(0.0), mock(0.05));
    // A drive `u` whose phase with the quartic term is that of full drive without it: u² (1 + 0.05 u²) = 1.
    let u = (((1.0_f64 + 0.2).sqrt() - 1.0) / 0.1).sqrt();
    let _ = linear.apply(&ActuatorFrame(vec![4095; 20])).await.unwrap();
    let _ = quartic.apply(&ActuatorFrame(vec![(4095.0 * u).round() as u16; 20])).await.unwrap();
    let difference = (linear.true_weights() - quartic.true_weights()).mapv(f64::abs);
    // Half a code of 4095 is 1e-4 rad here, 10 half widths off resonance: less than 1e-4 in weight.
    assert!(difference.iter().all(|&difference| difference < 1e-4), "{difference}");
}

#[test]
fn crosstalk_of_pairs_spreads_within_its_bounds_and_reaches_the_second_ring() {
    let spec = rings(IncoherentPhysics {
        crosstalk: 0.025,
        crosstalk_spread: 0.6,
        crosstalk_second: 0.001,
        ..ideal()
    });
    let mock = IncoherentMock::new(spec, 1, Script::default());
    let near: Vec<f64> =
        [(0, 2), (2, 2), (1, 1), (1, 3)].map(|from| mock.true_crosstalk((1, 2), from)).to_vec();
    assert!(near.iter().all(|coefficient| (0.01..=0.04).contains(coefficient)), "{near:?}");
    assert!(near.windows(2).all(|pair| pair[0] != pair[1]), "{near:?}");
    let second: Vec<f64> =
        [(0, 1), (2, 3), (3, 2), (1, 4)].map(|from| mock.true_crosstalk((1, 2), from)).to_vec();
    assert!(second.iter().all(|coefficient| (0.0004..=0.0016).contains(coefficient)), "{second:?}");
    assert_eq!(mock.true_crosstalk((1, 2), (3, 3)), 0.0);
}
