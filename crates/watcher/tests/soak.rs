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

/// Killed at any moment of a notice, again and again: two hundred kills over twenty notices.
#[test]
fn kill_9_again_and_again_loses_no_notice_and_doubles_none() {
    const NOTICES: i64 = 20;
    const KILLS: u64 = 10;
    let stage = support::Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"));
    let drain =
        stage.directory.script("drain", &format!("echo $TIME >> {}", stage.directory.file("drained").display()));
    let options = ["--test-pace", "100", "--hook", &drain];
    let mut random: u64 = 0x5eed;
    for number in 0..NOTICES {
        // Further apart than what counts as the same notice.
        let time = support::in_seconds(600 + number * 400).to_iso();
        stage.imds.set(support::imds::ACTION, &format!("{{\"action\":\"terminate\",\"time\":\"{time}\"}}"));
        for _ in 0..KILLS {
            let mut watcher = stage.run(&options);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(std::time::Duration::from_millis(random % 60));
            watcher.kill();
        }
        let mut last = stage.run(&options);
        let published = || stage.sns.of_kind("interruption").iter().any(|accepted| accepted.get("time") == time);
        support::wait_until("the notice is accepted", published);
        last.kill();
        let accepted = stage.sns.of_kind("interruption");
        let mut ids: Vec<&str> = accepted
            .iter()
            .filter(|accepted| accepted.get("time") == time)
            .map(|accepted| accepted.get("id"))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1, "one effective message for {time}: {ids:?}");
        stage.imds.remove(support::imds::ACTION);
    }
    let drained = stage.directory.text("drained");
    let mut times: Vec<&str> = drained.lines().collect();
    let runs = times.len();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), runs, "no drain runs twice for one notice: {drained}");
    assert_eq!(stage.imds.violations(), Vec::<String>::new());
}
