//! The fault matrix: whatever breaks, exactly one effective message per notice, while at least 20 s remain.

mod support;

use std::time::Duration;
use support::imds::{ACTION, DOCUMENT, Fault, LIFE_CYCLE, MockImds, ROLE, ROLES};
use support::sns::{Fate, MockSns, Tls};
use support::{Stage, Watcher, in_seconds, lock, now, wait_until};

/// What a notice leaves in life, once it has been read.
const SECONDS_LEFT: i64 = 108;

fn stage() -> Stage {
    Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"))
}

/// Posts a notice and waits for its message.
fn interrupt(stage: &Stage) {
    stage.imds.notice("terminate", SECONDS_LEFT);
    wait_until("the interruption is accepted", || !stage.sns.of_kind("interruption").is_empty());
}

/// After a moment for duplicates to show: one id, one acceptance, in time; and no request that a version 2 client must not send.
fn check_exactly_one(stage: &Stage, watcher: &mut Watcher) {
    std::thread::sleep(Duration::from_millis(300));
    let accepted = stage.sns.of_kind("interruption");
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    check_message(stage);
    assert!(watcher.is_running());
}

fn check_message(stage: &Stage) {
    assert_eq!(stage.sns.ids("interruption").len(), 1);
    let first = &stage.sns.of_kind("interruption")[0];
    assert_eq!((first.get("action"), first.get("instance")), ("terminate", support::INSTANCE));
    let offset = lock(&stage.imds.state).date_offset_seconds;
    let time = watcher::time::Epoch::from_iso(first.get("time")).unwrap();
    assert!(time.0 - offset - first.when.0 >= 20, "in time");
    assert_eq!(stage.imds.violations(), Vec::<String>::new());
}

#[test]
fn calm_one_notice_is_one_message() {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    wait_until("three quiet polls", || stage.imds.count(ACTION) >= 3);
    assert_eq!(stage.sns.attempts(), 0);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    // 404 is quiet.
    assert_eq!(watcher.log().lines().count(), 3, "{}", watcher.log());
}

#[test]
fn a_401_renews_the_token_within_the_same_tick() {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    wait_until("quiet polls", || stage.imds.count(ACTION) >= 2);
    for _ in 0..3 {
        let before = stage.imds.count(ACTION);
        stage.imds.forget_tokens();
        wait_until("more polls", || stage.imds.count(ACTION) >= before + 4);
    }
    let lines = stage.imds.lines();
    let renewals: Vec<usize> =
        (1..lines.len()).filter(|&at| lines[at].starts_with("PUT") && lines[at - 1].starts_with("GET")).collect();
    assert!(renewals.len() >= 3);
    // The very item that met the 401 is asked again, at once, with the new token.
    assert!(renewals.iter().all(|&at| lines[at - 1] == lines[at + 1]), "{lines:?}");
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn a_token_is_renewed_at_half_of_its_life_without_a_401() {
    let stage = stage();
    lock(&stage.imds.state).token_ttl_seconds = 2;
    let mut watcher = stage.run(&[]);
    wait_until("renewals", || stage.imds.count("PUT") >= 3);
    let puts: Vec<_> = lock(&stage.imds.state)
        .requests
        .iter()
        .filter(|(_, line)| line.starts_with("PUT"))
        .map(|(at, _)| *at)
        .collect();
    assert!(puts.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(950)), "not before half of its life");
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
}

/// The service breaks in one way for all requests, when the notice is already there.
fn imds_fault(fault: Fault, times: u32) {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    wait_until("quiet polls", || stage.imds.count(ACTION) >= 2);
    stage.imds.fail("/latest/", fault, times);
    interrupt(&stage);
    assert!(stage.imds.is_calm());
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn imds_503() {
    imds_fault(Fault::Status(503), 40);
}

#[test]
fn imds_500_at_the_token_only() {
    let stage = stage();
    stage.imds.fail("PUT", Fault::Status(500), 10);
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(watcher.log().matches("metadata service: answered with status 500").count(), 1, "{}", watcher.log());
}

#[test]
fn imds_hangs() {
    imds_fault(Fault::Hang, 4);
}

#[test]
fn imds_drips() {
    imds_fault(Fault::Drip, 3);
}

#[test]
fn imds_resets() {
    imds_fault(Fault::Reset, 30);
}

#[test]
fn imds_cuts_answers_short() {
    imds_fault(Fault::Cut, 30);
}

#[test]
fn imds_forgets_tokens_again_and_again() {
    imds_fault(Fault::ForgetTokens, 21);
}

#[test]
fn imds_speaks_http_1_0() {
    let stage = stage();
    stage.imds.fail("/latest/", Fault::Http10, u32::MAX);
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn imds_says_wrong_json() {
    let stage = stage();
    for path in [ACTION, DOCUMENT, ROLE, "events/recommendations"] {
        stage.imds.fail(path, Fault::Garbage, 5);
    }
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(
        watcher.log().matches("interruption notice: not a proper answer").count(),
        1,
        "said once: {}",
        watcher.log()
    );
}

#[test]
fn imds_is_not_there_at_all_then_comes() {
    let mut stage = stage();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut watcher = stage.run(&["--imds-endpoint", &format!("http://{address}")]);
    watcher.wait_for("metadata service: connection refused");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(watcher.log().matches("metadata service").count(), 1, "one clear line: {}", watcher.log());
    stage.imds = MockImds::start_at(address);
    interrupt(&stage);
    watcher.wait_for("metadata service: well again");
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn an_instance_without_a_role_publishes_as_soon_as_it_gets_one() {
    let stage = stage();
    stage.imds.remove(ROLES);
    let mut watcher = stage.run(&[]);
    stage.imds.notice("terminate", SECONDS_LEFT);
    watcher.wait_for("the instance has no profile with a role: it can watch and drain, but not publish");
    stage.imds.set(ROLES, "web");
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(watcher.log().matches("no profile").count(), 1);
}

#[test]
fn expired_credentials_are_replaced_when_better_ones_come() {
    let stage = stage();
    stage.imds.set_credentials("ASIAEXPIRED", -60);
    lock(&stage.sns.state).expired_keys.push("ASIAEXPIRED".to_owned());
    let mut watcher = stage.run(&[]);
    stage.imds.notice("terminate", SECONDS_LEFT);
    watcher.wait_for("ExpiredToken");
    stage.imds.set_credentials("ASIAFRESH", 6 * 3_600);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn expired_credentials_are_used_when_there_are_no_better_ones() {
    let stage = stage();
    stage.imds.set_credentials("ASIAEXPIRED", -60);
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn credentials_are_in_hand_before_the_notice_comes() {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    wait_until("credentials are fetched", || stage.imds.count(ROLE) >= 1);
    stage.imds.fail(ROLES, Fault::Status(503), u32::MAX);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(stage.imds.count(ROLE), 1);
}

/// The instance's clock is off against the rest of the world, metadata service included.
fn clock_off(seconds: i64) {
    let stage = stage();
    lock(&stage.imds.state).date_offset_seconds = seconds;
    lock(&stage.sns.state).date_offset_seconds = seconds;
    stage.imds.set_credentials("ASIAEXAMPLE1", 6 * 3_600 + seconds);
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(stage.sns.attempts(), 1, "the metadata service's clock is taken first");
}

#[test]
fn clock_an_hour_slow() {
    clock_off(3_600);
}

#[test]
fn clock_an_hour_fast() {
    clock_off(-3_600);
}

/// Only SNS's answer can tell: the metadata service says no date.
fn clock_off_against_sns(seconds: i64) {
    let stage = stage();
    lock(&stage.imds.state).has_date = false;
    lock(&stage.sns.state).date_offset_seconds = seconds;
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut watcher);
    assert_eq!(stage.sns.attempts(), 2, "refused once, signed again at once");
}

#[test]
fn clock_an_hour_slow_by_the_answer_of_sns() {
    clock_off_against_sns(3_600);
}

#[test]
fn clock_an_hour_fast_by_the_answer_of_sns() {
    clock_off_against_sns(-3_600);
}

fn sns_fault(fates: &[Fate]) {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    wait_until("quiet polls", || stage.imds.count(ACTION) >= 2);
    stage.sns.plan(fates);
    interrupt(&stage);
    assert_eq!(lock(&stage.sns.state).fates, []);
    check_exactly_one(&stage, &mut watcher);
}

#[test]
fn sns_5xx() {
    sns_fault(&[Fate::Refuse(500, "InternalFailure"), Fate::Refuse(503, "ServiceUnavailable"), Fate::Refuse(502, "")]);
}

#[test]
fn sns_throttles() {
    sns_fault(&[
        Fate::Refuse(400, "Throttling"),
        Fate::Refuse(429, "TooManyRequests"),
        Fate::Refuse(400, "Throttling"),
        Fate::Refuse(403, "ThrottledException"),
    ]);
}

#[test]
fn sns_403_until_a_policy_is_repaired() {
    sns_fault(&[
        Fate::Refuse(403, "AuthorizationError"),
        Fate::Refuse(404, "NotFound"),
        Fate::Refuse(400, "KMSAccessDenied"),
    ]);
}

#[test]
fn sns_does_not_know_the_token_yet() {
    sns_fault(&[Fate::Refuse(403, "InvalidClientTokenId"), Fate::Refuse(403, "ExpiredToken")]);
}

#[test]
fn sns_hangs_up_and_hangs() {
    sns_fault(&[Fate::Close, Fate::Close, Fate::Hang, Fate::EmptySuccess]);
}

#[test]
fn sns_answers_in_chunks() {
    sns_fault(&[Fate::Chunked]);
}

#[test]
fn what_sns_will_never_accept_is_reported_and_not_repeated() {
    let stage = stage();
    stage.sns.plan(&[Fate::Refuse(400, "InvalidParameter")]);
    let mut watcher = stage.run(&[]);
    stage.imds.notice("terminate", SECONDS_LEFT);
    watcher.wait_for("interruption: refused for good: 400 InvalidParameter: as planned");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((stage.sns.attempts(), watcher.is_running()), (1, true));
}

#[test]
fn a_name_service_that_fails_costs_neither_the_process_nor_the_drain() {
    let stage = stage();
    let drain =
        stage.directory.script("drain", &format!("echo $ACTION >> {}", stage.directory.file("drained").display()));
    let mut watcher = stage.run(&["--sns-endpoint", "https://no-such-host.invalid", "--hook", &drain]);
    stage.imds.notice("terminate", SECONDS_LEFT);
    wait_until("the drain ran", || stage.directory.text("drained") == "terminate\n");
    watcher.wait_for("no address");
    assert!(watcher.is_running());
}

#[test]
fn a_name_service_that_recovers_loses_nothing_and_is_not_needed_twice() {
    use std::sync::atomic::{AtomicU32, Ordering};
    use watcher::{cloud_names::Topic, credentials::Credentials, message, sns::Sns, time::Clock, url::Url};
    static LOOKUPS: AtomicU32 = AtomicU32::new(0);
    // Fails twice, works once, then fails for ever.
    fn resolve(_: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
        match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            2 => Ok(vec![([127, 0, 0, 1], port).into()]),
            _ => Err(std::io::Error::other("failure in name resolution")),
        }
    }
    let directory = support::Directory::new();
    let mock = MockSns::start(&directory.file("ca.pem"), Tls::Both);
    let mut sns = Sns::new(
        Topic::read(support::TOPIC).unwrap(),
        Url::read(&mock.url()).unwrap(),
        None,
        Some(directory.file("ca.pem")),
        resolve,
    );
    let message = message::Message {
        kind: message::Kind::Interruption,
        instance: support::INSTANCE.to_owned(),
        region: "eu-central-1".to_owned(),
        account: "123456789012".to_owned(),
        action: "terminate".to_owned(),
        time: Some(in_seconds(SECONDS_LEFT)),
        boot: None,
        result: None,
        seen: now(),
    };
    let key_id = "ASIAEXAMPLE1".to_owned();
    let credentials = Credentials {
        secret: support::sns::secret_of(&key_id),
        session_token: support::sns::session_token_of(&key_id),
        key_id,
        expires: in_seconds(3_600),
    };
    let clock = Clock::default();
    let results: Vec<bool> = (0..4).map(|_| sns.publish(&message, &credentials, &clock).is_ok()).collect();
    assert_eq!(results, [false, false, true, true]);
    assert_eq!((mock.ids("interruption").len(), LOOKUPS.load(Ordering::SeqCst)), (1, 3));
}

#[test]
fn kill_9_before_sns_has_answered() {
    let stage = stage();
    stage.sns.plan(&[Fate::Hang]);
    let mut first = stage.run(&[]);
    stage.imds.notice("terminate", SECONDS_LEFT);
    wait_until("the attempt hangs", || {
        lock(&stage.sns.state).connections >= 1 && lock(&stage.sns.state).fates.is_empty()
    });
    first.kill();
    let mut second = stage.run(&[]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut second);
}

#[test]
fn kill_9_after_sns_has_accepted_but_before_we_know() {
    let stage = stage();
    stage.sns.plan(&[Fate::AcceptMutely]);
    let mut first = stage.run(&[]);
    interrupt(&stage);
    first.kill();
    let second = stage.run(&[]);
    second.wait_for("interruption: published");
    std::thread::sleep(Duration::from_millis(300));
    // Sent twice, but with one id: one effective message.
    assert_eq!(stage.sns.of_kind("interruption").len(), 2);
    check_message(&stage);
}

#[test]
fn kill_9_after_the_publish_does_not_repeat_it() {
    let stage = stage();
    for _ in 0..3 {
        let mut watcher = stage.run(&[]);
        interrupt(&stage);
        wait_until("the mark is set", || {
            std::fs::read_dir(stage.directory.file("state")).is_ok_and(|list| {
                list.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".published.mark"))
            })
        });
        let polls = stage.imds.count(ACTION);
        wait_until("it sees the notice again", || stage.imds.count(ACTION) > polls + 2);
        watcher.kill();
    }
    assert_eq!(stage.sns.of_kind("interruption").len(), 1);
}

#[test]
fn kill_9_in_the_middle_of_the_drain_neither_repeats_nor_forgets_it() {
    let stage = stage();
    let runs = stage.directory.file("runs");
    let go = stage.directory.file("go");
    let drain = stage.directory.script(
        "drain",
        &format!(
            "echo run >> {}; while ! test -e {}; do sleep 0.05; done; echo end >> {}",
            runs.display(),
            go.display(),
            runs.display()
        ),
    );
    let mut first = stage.run(&["--hook", &drain]);
    interrupt(&stage);
    wait_until("the drain runs", || stage.directory.text("runs") == "run\n");
    first.wait_for("drain: begun");
    first.kill();
    let second = stage.run(&["--hook", &drain]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(stage.sns.of_kind("drained").is_empty(), "the drain still runs: {}", second.log());
    std::fs::write(go, "").unwrap();
    wait_until("drained is reported", || !stage.sns.of_kind("drained").is_empty());
    assert_eq!(stage.directory.text("runs"), "run\nend\n");
    assert_eq!(stage.sns.of_kind("drained")[0].get("result"), "unknown");
    check_message(&stage);
}

#[test]
fn a_notice_that_moves_a_little_is_the_same_notice() {
    let stage = stage();
    let mut watcher = stage.run(&[]);
    interrupt(&stage);
    stage.imds.notice("terminate", SECONDS_LEFT + 17);
    check_exactly_one(&stage, &mut watcher);
    drop(watcher);
    let mut again = stage.run(&[]);
    wait_until("polls", || stage.imds.count(ACTION) >= 8);
    check_exactly_one(&stage, &mut again);
}

#[test]
fn a_stale_notice_is_ignored_and_a_late_one_is_not() {
    let stage = stage();
    stage.imds.notice("terminate", -400);
    let watcher = stage.run(&[]);
    watcher.wait_for("is long past: ignored");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(stage.sns.attempts(), 0);
    stage.imds.notice("stop", -5);
    wait_until("the late one is published", || stage.sns.of_kind("interruption").len() == 1);
    assert_eq!(stage.sns.of_kind("interruption")[0].get("action"), "stop");
}

#[test]
fn not_a_spot_instance_ends_well_with_one_line() {
    let stage = stage();
    stage.imds.set(LIFE_CYCLE, "on-demand");
    let mut watcher = stage.run(&[]);
    assert_eq!(watcher.exit().code(), Some(0));
    assert_eq!(watcher.log().matches("not a spot instance").count(), 1);
    let mut told = stage.run(&["--any-lifecycle", "yes"]);
    interrupt(&stage);
    check_exactly_one(&stage, &mut told);
}

#[test]
fn wrong_options_end_with_64() {
    let stage = stage();
    let mut watcher = stage.run(&["--no-such-option", "1"]);
    assert_eq!(watcher.exit().code(), Some(64));
    assert_eq!(watcher.log().lines().count(), 1);
}
