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
async fn a_chip_without_noise_keeps_the_contract() {
    let mut spec = incoherent::preset("incoherent-8x8").unwrap();
    spec.physics = incoherent::IncoherentPhysics::ideal();
    let violations =
        contract::check(async || Spec::Incoherent(spec.clone()).connect(3, Script::default())).await;
    assert_eq!(violations, Ok(()));
}
