//! Interlocks block for a reason, keep their hysteresis, and never pass on a reading that is not there.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alora_drivers::{
    Celsius, Watts,
    safety::{Change, Condition, Interlocks, Reading, Readings},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    interlock: Vec<Condition>,
}

const ALL: &str = r#"
    [[interlock]]
    condition = "temperature"
    min = "24 °C"
    max = "26 °C"
    hysteresis = "0.5 C"

    [[interlock]]
    condition = "tec_locked"

    [[interlock]]
    condition = "laser_power"
    min = "1 mW"
    max = "20 mW"
    hysteresis = "1 mW"
    max_age = "200 ms"

    [[interlock]]
    condition = "door_closed"
"#;

fn interlocks() -> Interlocks {
    Interlocks::new(&toml::from_str::<File>(ALL).unwrap().interlock)
}

fn now<T>(value: T) -> Option<Reading<T>> {
    Some(Reading { value, age: Duration::ZERO })
}

fn good() -> Readings {
    Readings {
        temperature: now(Celsius(25.0)),
        tec_locked: now(true),
        laser_power: now(Watts(0.01)),
        door_closed: now(true),
    }
}

fn at(celsius: f64) -> Readings {
    Readings { temperature: now(Celsius(celsius)), ..good() }
}

#[test]
fn all_met_goes() {
    assert_eq!(interlocks().evaluate(&good()).allow(), Ok(()));
}

#[test]
fn every_condition_blocks_the_start_and_says_why() {
    let verdict = interlocks().evaluate(&Readings {
        temperature: now(Celsius(30.0)),
        tec_locked: now(false),
        laser_power: None,
        door_closed: now(false),
    });
    assert_eq!(
        verdict.allow().unwrap_err().to_string(),
        "interlock: temperature: 30 °C is outside 24.5 °C to 25.5 °C; tec_locked: it is not locked; laser_power: there is \
         no reading; door_closed: it is open; nothing was sent. Outputs stay as they are until the condition is met"
    );
}

#[test]
fn a_missing_a_stale_and_a_senseless_reading_block() {
    let stale = Readings {
        laser_power: Some(Reading { value: Watts(0.01), age: Duration::from_millis(201) }),
        ..good()
    };
    let text = interlocks().evaluate(&stale).blocked[0].to_string();
    assert_eq!(text, "laser_power: the last reading is 0.201 s old, at most 0.2 s is taken");
    for readings in [at(f64::NAN), at(f64::INFINITY), Readings { door_closed: None, ..good() }] {
        let mut running = interlocks();
        assert!(running.evaluate(&good()).allow().is_ok());
        assert!(running.evaluate(&readings).allow().is_err(), "{readings:?}");
    }
}

#[test]
fn a_temperature_at_the_edge_does_not_flicker() {
    let mut interlocks = interlocks();
    let mut goes = |celsius| interlocks.evaluate(&at(celsius)).blocked.is_empty();
    assert!(!goes(25.8), "the start needs the hysteresis to spare");
    assert!(goes(25.4));
    assert!(goes(25.8), "within the range, once met");
    assert!(!goes(26.1));
    assert!(!goes(25.8), "back in the range, not yet by the hysteresis");
    assert!(goes(25.5));
}

#[test]
fn changes_are_told_once_for_the_record() {
    let mut interlocks = interlocks();
    assert_eq!(interlocks.evaluate(&good()).changed.len(), 4);
    assert_eq!(interlocks.evaluate(&good()).changed, []);
    let changed = interlocks.evaluate(&at(27.0)).changed;
    assert_eq!(changed[0].to_string(), "blocked by temperature: 27 °C is outside 24 °C to 26 °C");
    assert_eq!(interlocks.evaluate(&at(28.0)).changed, []);
    assert_eq!(interlocks.evaluate(&good()).changed, [Change::Allows { condition: "temperature" }]);
}

#[test]
fn a_senseless_condition_is_refused_where_it_is_read() {
    for (from, to, sentence) in [
        ("min = \"24 °C\"", "min = \"27 °C\"", "min = \"27 °C\", max = \"26 °C\"; allowed: min below max"),
        ("\"0.5 C\"", "\"1 C\"", "hysteresis = \"1 °C\"; allowed: at least 0, less than half of max - min"),
        ("\"200 ms\"", "\"0 s\"", "max_age = \"0 s\"; allowed: 0.01 s to 3600 s"),
        ("max_age", "age", "unknown field `age`"),
        ("\"door_closed\"", "\"window\"", "unknown variant `window`"),
        ("\"24 °C\"", "\"24 V\"", "`24 V` is not a number with a unit of °C, C"),
    ] {
        let text = toml::from_str::<File>(&ALL.replace(from, to)).err().unwrap().to_string();
        assert!(text.contains(sentence), "{text}");
    }
}
