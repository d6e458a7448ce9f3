//! Every incoherent preset keeps the contract of the trait.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    contract,
    mock::{Script, Spec, incoherent},
};

#[tokio::test]
async fn every_incoherent_preset_keeps_the_contract() {
    for preset in incoherent::PRESETS {
        let violations =
            contract::check(async || Spec::preset(preset).unwrap().connect(3, Script::default())).await;
        assert_eq!(violations, Ok(()), "{preset}");
    }
}

#[tokio::test]
async fn a_chip_of_any_shape_and_kind_keeps_the_contract() {
    for kind in ["incoherent-lcos-16x16", "incoherent-mzi-16x16", "incoherent-ring-16x16"] {
        for (rows, cols) in [(1, 1), (3, 5), (5, 3)] {
            let mut spec = incoherent::preset(kind).unwrap();
            (spec.rows, spec.cols) = (rows, cols);
            let violations =
                contract::check(async || Spec::Incoherent(spec.clone()).connect(3, Script::default())).await;
            assert_eq!(violations, Ok(()), "{kind} {rows} × {cols}");
        }
    }
}

#[tokio::test]
async fn a_chip_without_noise_keeps_the_contract() {
    let mut spec = incoherent::preset("incoherent-8x8").unwrap();
    spec.physics = incoherent::IncoherentPhysics::ideal();
    let violations =
        contract::check(async || Spec::Incoherent(spec.clone()).connect(3, Script::default())).await;
    assert_eq!(violations, Ok(()));
}
