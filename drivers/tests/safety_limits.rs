//! Limits refuse a plan whole, and ramps keep them on the way.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alora_drivers::{
    Volts,
    safety::{LimitError, Limits, LimitsSpec, ParkSpec, Ramp, RampError},
};
use proptest::prelude::*;

const ALL: &str = r#"
    v_max = "4.5 V"
    v_min = "-1 V"
    i_max = "20 mA"
    p_max = "20 mW"
    resistance = "800 Ohm"
    step = "2 mW"
    settle = "5 ms"
"#;

fn spec(more: &str) -> Result<LimitsSpec, toml::de::Error> {
    toml::from_str(&format!("{ALL}{more}"))
}

fn limits(more: &str) -> Limits {
    spec(more).unwrap().for_channels(4).unwrap()
}

fn refusal(more: &str, plan: [f64; 4]) -> String {
    limits(more).check(&plan.map(Volts)).unwrap_err().to_string()
}

#[test]
fn a_plan_within_all_limits_passes() {
    assert_eq!(limits("").check(&[0.0, 4.0, 2.5, -1.0].map(Volts)), Ok(()));
}

#[test]
fn one_value_above_a_limit_refuses_the_whole_plan_in_a_sentence() {
    assert_eq!(
        refusal("", [0.0, 4.6, 0.0, 0.0]),
        "channel 1: 4.6 V is outside its limits of -1 V to 4.5 V; nothing was sent"
    );
    assert_eq!(
        refusal("", [0.0, 0.0, 4.2, 0.0]),
        "channel 2: 4.2 V makes 0.022050 W in 800 Ohm, above its limit of 0.02 W; nothing was sent"
    );
    assert_eq!(
        refusal("[[channel]]\nindex = 3\ni_max = \"1 mA\"", [0.0, 0.0, 0.0, 1.0]),
        "channel 3: 1 V drives 0.001250 A through 800 Ohm, above its limit of 0.001 A; nothing was sent"
    );
    assert_eq!(refusal("", [f64::NAN, 0.0, 0.0, 0.0]), "channel 0: NaN V is not a voltage; nothing was sent");
    assert!(matches!(limits("").check(&[Volts(0.0)]), Err(LimitError::Length { channels: 4, found: 1 })));
}

#[test]
fn sums_of_power_are_kept_over_all_channels_groups_and_neighbours() {
    let plan = [2.0, 2.0, 2.0, 2.0]; // 5 mW each
    assert_eq!(
        refusal("total_power = \"19 mW\"", plan),
        "all channels: 0.020000 W together, above the limit of 0.019 W; nothing was sent"
    );
    assert_eq!(
        refusal("[[group]]\nchannels = [0, 3]\npower = \"9 mW\"", plan),
        "channels 0, 3: 0.010000 W together, above the limit of 0.009 W; nothing was sent"
    );
    assert_eq!(
        refusal("[neighbours]\nreach = 1\npower = \"12 mW\"", plan),
        "channel 1 and its neighbours: 0.015000 W together, above the limit of 0.012 W; nothing was sent"
    );
    let apart = [2.0, 0.0, 0.0, 2.0].map(Volts);
    assert_eq!(limits("[neighbours]\nreach = 1\npower = \"12 mW\"").check(&apart), Ok(()));
}

#[test]
fn a_write_above_the_step_is_told_to_ramp() {
    let text = limits("").check_write(&[Volts(0.0); 4], &[0.0, 2.0, 0.0, 0.0].map(Volts)).unwrap_err();
    assert_eq!(
        text.to_string(),
        "channel 1: from 0 V to 2 V changes its power by 0.005000 W in one write, above its step of 0.002 W; ramp it. \
         Nothing was sent"
    );
    let unknown = [Volts(f64::NAN), Volts(0.0), Volts(0.0), Volts(0.0)];
    assert!(limits("").check_write(&unknown, &[Volts(0.0); 4]).is_err());
}

#[test]
fn a_station_file_with_a_senseless_limit_is_refused_where_it_is_read() {
    for (more, sentence) in [
        ("slew = \"0 W/s\"", "slew = \"0 W/s\" is out of range"),
        (
            "[[channel]]\nindex = 2\nv_min = \"1 V\"",
            "channel 2: v_min = \"1 V\" is out of range; allowed: -100 V",
        ),
        ("total_power = \"0 W\"", "total_power = \"0 W\" is out of range"),
        (
            "[neighbours]\nreach = 0\npower = \"1 W\"",
            "neighbours.reach = \"0\" is out of range; allowed: 1 to 1000",
        ),
        ("[[channel]]\nindex = 1\nsettle = \"0 s\"\nslew = \"1 W/s\"", "only with a settle above 0 s"),
        ("vmax = \"3 V\"", "unknown field `vmax`"),
        ("[[channel]]\nindex = 1\nvmax = \"3 V\"", "unknown field `vmax`"),
    ] {
        let text = spec(more).unwrap_err().to_string();
        assert!(text.contains(sentence), "{more}: {text}");
    }
    let missing = spec("[[channel]]\nindex = 4").unwrap().for_channels(4).unwrap_err().to_string();
    assert_eq!(missing, "channel 4 is named, but the device has 4 channels, 0 to 3");
}

#[test]
fn what_is_written_reads_back_equal() {
    let spec = spec("slew = \"1 W/s\"\n[[channel]]\nindex = 2\nv_max = \"3 V\"").unwrap();
    let text = toml::to_string(&spec).unwrap();
    assert_eq!(toml::from_str::<LimitsSpec>(&text).unwrap(), spec);
}

#[test]
fn a_place_to_park_has_to_keep_the_limits() {
    let park: ParkSpec = toml::from_str("[[channel]]\nindex = 1\npolicy = \"park:5 V\"").unwrap();
    assert!(matches!(park.check(&limits("")), Err(LimitError::Voltage { channel: 1, .. })));
    assert_eq!(ParkSpec::default().check(&limits("")), Ok(()));
}

#[test]
fn an_unknown_start_is_told_to_zero_first() {
    let held = [Some(Volts(0.0)), None, Some(Volts(0.0)), Some(Volts(0.0))];
    let error = Ramp::new(&held, &[Volts(1.0); 4], &limits("")).unwrap_err();
    assert_eq!(error, RampError::UnknownStart { channel: 1 });
    assert!(error.to_string().contains("zero all channels first"), "{error}");
    let held = [Some(Volts(f64::NAN)); 4];
    assert!(matches!(
        Ramp::new(&held, &[Volts(1.0); 4], &limits("")),
        Err(RampError::UnknownStart { channel: 0 })
    ));
}

#[test]
fn a_ramp_goes_in_equal_steps_of_power_and_takes_the_longest_settling() {
    let limits = limits("[[channel]]\nindex = 3\nsettle = \"20 ms\"");
    let ramp = Ramp::new(&[Some(Volts(0.0)); 4], &[0.0, 4.0, 0.0, 1.0].map(Volts), &limits).unwrap();
    assert_eq!((ramp.left(), ramp.time_left()), (10, Duration::from_millis(200))); // 20 mW in steps of 2 mW
    let second: Vec<_> = ramp.map(|step| step.volts[1].0).collect();
    assert!((second[4] - 8f64.sqrt()).abs() < 1e-12, "half the power at half the way: {second:?}");
}

#[test]
fn a_slew_makes_the_steps_as_small_as_the_settling_asks() {
    let limits = limits("slew = \"100 mW/s\""); // 0.5 mW in 5 ms
    let ramp = Ramp::new(&[Some(Volts(0.0)); 4], &[0.0, 4.0, 0.0, 0.0].map(Volts), &limits).unwrap();
    assert_eq!(ramp.left(), 40);
}

#[test]
fn a_ramp_to_where_the_device_is_writes_nothing() {
    let held = [0.0, 1.0, 2.0, 3.0].map(Volts);
    assert_eq!(Ramp::new(&held.map(Some), &held, &limits("")).unwrap().count(), 0);
}

fn voltage() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(4.0), -1.0..4.0f64]
}

proptest! {
    #[test]
    fn a_ramp_never_overshoots_is_monotone_keeps_its_step_and_ends_at_the_target(
        from in prop::array::uniform4(voltage()),
        to in prop::array::uniform4(voltage()),
    ) {
        let limits = limits("total_power = \"80 mW\"\n[[channel]]\nindex = 2\nstep = \"0.3 mW\"");
        let points: Vec<Vec<Volts>> = Ramp::new(&from.map(|v| Some(Volts(v))), &to.map(Volts), &limits)
            .unwrap()
            .map(|step| step.volts)
            .collect();
        let mut held = from.map(Volts).to_vec();
        for volts in &points {
            // Every write keeps every limit and the step of every channel.
            prop_assert_eq!(limits.check_write(&held, volts), Ok(()));
            for channel in 0..4 {
                let (low, high) = (from[channel].min(to[channel]), from[channel].max(to[channel]));
                prop_assert!((low..=high).contains(&volts[channel].0), "overshoot");
                let (before, after) = (held[channel].0, volts[channel].0);
                let forward = if to[channel] >= from[channel] { after >= before } else { after <= before };
                prop_assert!(forward, "goes back: {before} to {after}");
            }
            held.clone_from(volts);
        }
        prop_assert_eq!(held, to.map(Volts).to_vec());
    }

    #[test]
    fn sums_of_power_are_kept_on_the_whole_way_between_two_plans_that_keep_them(
        from in prop::array::uniform4(0.0..3.0f64),
        to in prop::array::uniform4(0.0..3.0f64),
    ) {
        let free = limits("");
        let highest = free.total_power(&from.map(Volts)).0.max(free.total_power(&to.map(Volts)).0);
        let held = from.map(|v| Some(Volts(v)));
        for step in Ramp::new(&held, &to.map(Volts), &free).unwrap() {
            prop_assert!(free.total_power(&step.volts).0 <= highest * (1.0 + 1e-9));
        }
    }
}
