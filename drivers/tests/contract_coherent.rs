//! The coherent mock keeps the contract, preset by preset.

use alora_drivers::{
    contract,
    mock::{Script, Spec, coherent},
};

#[tokio::test]
async fn every_coherent_preset_keeps_every_clause_of_the_contract() {
    for name in coherent::PRESETS {
        let connect = async || match Spec::preset(name) {
            Some(spec) => spec.connect(5, Script::default()),
            None => unreachable!("{name} is a preset"),
        };
        let violations = contract::check(connect).await.err();
        assert!(violations.is_none(), "{name}: {violations:?}");
    }
}
