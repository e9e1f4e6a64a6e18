//! A short soak for every test run; `make watcher-bench` runs the long one of 100,000 ticks.

mod support;

#[test]
fn five_thousand_ticks_of_bad_weather_miss_nothing_and_double_nothing() {
    let stage = support::Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"));
    let soak = support::soak::run(&stage, 5_000, 500, 0x5eed);
    assert!(soak.ticks >= 5_000 && soak.faults >= 100 && soak.notices >= 10, "{soak:?}");
    assert_eq!((soak.missed, soak.doubled, soak.threads), (0, 0, 1), "{soak:?}");
    let (early, late) = soak.anonymous_kib;
    assert!(late <= early + 64, "memory grew: {soak:?}");
    assert_eq!(stage.sns.of_kind("ready").len(), 1);
}
