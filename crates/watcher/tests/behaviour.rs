//! What the watcher does when nothing is broken: drains, ready, the ways to SNS.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::imds::{ACTION, LIFE_CYCLE, REBALANCE, TARGET};
use support::sns::{Fate, MockSns, Tls};
use support::{Stage, in_seconds, lock, wait_until};

fn stage() -> Stage {
    Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"))
}

/// A drain command that writes down what it was told.
fn noting_drain(stage: &Stage) -> String {
    stage.directory.script(
        "drain",
        &format!("echo $EVENT $ACTION $TIME $DEADLINE_S \"$@\" >> {}", stage.directory.file("drains").display()),
    )
}

fn wait_for_drained(stage: &Stage, count: usize) {
    wait_until("drained is reported", || stage.sns.of_kind("drained").len() >= count);
}

// Drains.

#[test]
fn the_drain_is_told_what_comes_and_how_long_it_has() {
    let stage = stage();
    let hook = format!("{} --fast now", noting_drain(&stage));
    let _watcher = stage.run(&["--hook", &hook]);
    stage.imds.notice("stop", 100);
    wait_for_drained(&stage, 1);
    let words: Vec<String> = stage.directory.text("drains").split_whitespace().map(str::to_owned).collect();
    assert_eq!(
        (words.len(), words[0].as_str(), words[1].as_str(), words[4..].join(" ").as_str()),
        (6, "interruption", "stop", "--fast now")
    );
    let seconds: i64 = words[3].parse().unwrap();
    assert!((80..=90).contains(&seconds), "ten seconds before the end: {seconds}");
    let drained = &stage.sns.of_kind("drained")[0];
    assert_eq!((drained.get("action"), drained.get("result"), drained.get("time")), ("stop", "ok", words[2].as_str()));
}

#[test]
fn the_message_goes_before_the_drain() {
    let stage = stage();
    let hook = noting_drain(&stage);
    stage.sns.plan(&[Fate::Refuse(500, "InternalFailure")]);
    let watcher = stage.run(&["--hook", &hook]);
    stage.imds.notice("terminate", 100);
    wait_for_drained(&stage, 1);
    let log = watcher.log();
    assert!(
        log.find("publishing: 500").unwrap() < log.find("drain: begun").unwrap(),
        "after the first attempt, though it failed: {log}"
    );
    let kinds: Vec<String> = stage.sns.accepted().iter().map(|accepted| accepted.get("kind").to_owned()).collect();
    assert_eq!(kinds, ["interruption", "drained"], "nothing overtakes the interruption");
}

#[test]
fn a_drain_that_fails_is_reported_and_not_fatal() {
    let stage = stage();
    let hook = stage.directory.script("drain", "exit 3");
    let mut watcher = stage.run(&["--hook", &hook]);
    stage.imds.notice("terminate", 100);
    wait_for_drained(&stage, 1);
    assert_eq!(stage.sns.of_kind("drained")[0].get("result"), "failed");
    assert!(watcher.log().contains("drain: failed with status 3"));
    assert!(watcher.is_running());
    let missing = Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"));
    let _watcher = missing.run(&["--hook", "/no/such/command"]);
    missing.imds.notice("terminate", 100);
    wait_for_drained(&missing, 1);
    assert_eq!(missing.sns.of_kind("drained")[0].get("result"), "failed");
}

#[test]
fn a_drain_that_is_late_gets_term_then_kill() {
    let stage = stage();
    let file = stage.directory.file("signals").display().to_string();
    let hook =
        stage.directory.script("drain", &format!("trap 'echo TERM >> {file}' TERM; while true; do sleep 0.1; done"));
    let _watcher = stage.run(&["--hook", &hook]);
    // Seen so late that only the shortest drain is left: two seconds, then five of grace.
    stage.imds.notice("terminate", 12);
    wait_for_drained(&stage, 1);
    assert_eq!(stage.directory.text("signals"), "TERM\n");
    assert_eq!(stage.sns.of_kind("drained")[0].get("result"), "late");
}

#[test]
fn no_drain_twice_for_one_notice() {
    let stage = stage();
    let hook = noting_drain(&stage);
    for _ in 0..3 {
        let watcher = stage.run(&["--hook", &hook]);
        if stage.directory.text("drains").is_empty() {
            stage.imds.notice("terminate", 100);
        }
        wait_for_drained(&stage, 1);
        let polls = stage.imds.count(ACTION);
        wait_until("more polls", || stage.imds.count(ACTION) > polls + 3);
        drop(watcher);
    }
    assert_eq!(stage.directory.text("drains").lines().count(), 1);
    assert_eq!(stage.sns.ids("drained").len(), 1);
}

#[test]
fn a_recommendation_is_published_and_drained_for_only_if_asked() {
    let quiet = stage();
    let hook = noting_drain(&quiet);
    let watcher = quiet.run(&["--hook", &hook]);
    let time = in_seconds(-3).to_iso();
    quiet.imds.set(REBALANCE, &format!("{{\"noticeTime\":\"{time}\"}}"));
    wait_until("published", || !quiet.sns.of_kind("rebalance").is_empty());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(quiet.sns.of_kind("rebalance").len(), 1);
    assert_eq!(quiet.sns.of_kind("rebalance")[0].get("time"), time);
    assert_eq!(quiet.directory.text("drains"), "");
    drop(watcher);
    let asked = stage();
    let hook = noting_drain(&asked);
    let _watcher = asked.run(&["--hook", &hook, "--drain-on", "rebalance", "--drain-seconds", "20"]);
    asked.imds.set(REBALANCE, &format!("{{\"noticeTime\":\"{time}\"}}"));
    wait_for_drained(&asked, 1);
    let told = asked.directory.text("drains");
    assert!(
        told == format!("rebalance rebalance {time} 20\n") || told == format!("rebalance rebalance {time} 19\n"),
        "{told}"
    );
    assert_eq!(asked.sns.of_kind("drained")[0].get("action"), "rebalance");
}

#[test]
fn the_interruption_of_a_draining_instance_hurries_the_drain_that_runs() {
    let stage = stage();
    let file = stage.directory.file("runs").display().to_string();
    let hook = stage.directory.script("drain", &format!("echo $EVENT >> {file}; exec sleep 60"));
    let watcher = stage.run(&["--hook", &hook, "--drain-on", "rebalance"]);
    stage.imds.set(REBALANCE, &format!("{{\"noticeTime\":\"{}\"}}", in_seconds(0).to_iso()));
    watcher.wait_for("drain: begun");
    stage.imds.notice("terminate", 13);
    wait_for_drained(&stage, 2);
    assert_eq!(stage.directory.text("runs"), "rebalance\n");
    let mut actions: Vec<String> = stage
        .sns
        .of_kind("drained")
        .iter()
        .map(|drained| format!("{} {}", drained.get("action"), drained.get("result")))
        .collect();
    actions.sort();
    assert_eq!(actions, ["rebalance late", "terminate late"]);
}

#[test]
fn a_scale_in_drains_if_asked() {
    let stage = stage();
    let hook = noting_drain(&stage);
    stage.imds.set(TARGET, "InService");
    let _watcher = stage.run(&["--hook", &hook, "--drain-on", "terminated"]);
    wait_until("polls", || stage.imds.count(TARGET) >= 2);
    assert_eq!(stage.directory.text("drains"), "");
    stage.imds.set(TARGET, "Terminated");
    wait_for_drained(&stage, 1);
    assert!(stage.directory.text("drains").starts_with("terminated terminated "));
    assert_eq!(stage.sns.of_kind("drained")[0].get("action"), "terminated");
    assert_eq!(stage.sns.of_kind("interruption").len(), 0);
}

#[test]
fn without_a_command_a_file_appears_whole_and_somebody_else_says_drained() {
    let stage = stage();
    let _watcher = stage.run(&[]);
    stage.imds.notice("hibernate", 100);
    wait_until("notice.json", || !stage.state("notice.json").is_empty());
    let notice: serde_json::Value = serde_json::from_str(&stage.state("notice.json")).unwrap();
    assert_eq!(
        (&notice["v"], &notice["event"], &notice["action"]),
        (&1.into(), &"interruption".into(), &"hibernate".into())
    );
    let until = watcher::time::Epoch::from_iso(notice["drain_until"].as_str().unwrap()).unwrap();
    let time = watcher::time::Epoch::from_iso(notice["time"].as_str().unwrap()).unwrap();
    assert!((9..=12).contains(&(time.0 - until.0)), "{notice}");
    std::fs::write(stage.directory.file("state/drained"), "").unwrap();
    wait_for_drained(&stage, 1);
    assert_eq!(stage.sns.of_kind("drained")[0].get("result"), "ok");
}

#[test]
fn without_a_topic_it_still_drains() {
    let stage = stage();
    let hook = noting_drain(&stage);
    let _watcher = stage.run(&["--topic", "none", "--hook", &hook]);
    stage.imds.notice("terminate", 100);
    wait_until("the drain ran", || !stage.directory.text("drains").is_empty());
    assert_eq!(lock(&stage.sns.state).connections, 0);
    assert_eq!(stage.imds.count("iam/"), 0, "nor does it ask for credentials");
}

// Ready.

const SOON: [&str; 2] = ["--ready-uptime", "0"];

fn run_ready(stage: &Stage, more: &[&str]) -> support::Watcher {
    stage.run(&[&SOON[..], more].concat())
}

fn wait_for_ready(stage: &Stage) {
    wait_until("ready is published", || !stage.sns.of_kind("ready").is_empty());
}

#[test]
fn ready_is_said_once_per_boot() {
    let stage = stage();
    for _ in 0..3 {
        let watcher = run_ready(&stage, &["--ready-times", "2"]);
        wait_for_ready(&stage);
        let polls = stage.imds.count(ACTION);
        wait_until("more polls", || stage.imds.count(ACTION) > polls + 4);
        drop(watcher);
    }
    assert_eq!(stage.sns.of_kind("ready").len(), 1);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(stage.sns.of_kind("ready")[0].get("boot"), boot.trim());
}

#[test]
fn ready_is_never_said_unasked() {
    let stage = stage();
    let _watcher = stage.run(&[]);
    wait_until("polls", || stage.imds.count(ACTION) >= 6);
    assert_eq!(stage.sns.accepted().len(), 0);
}

#[test]
fn ready_is_never_said_before_its_uptime() {
    /// The longest that a watcher can be asked to wait for.
    const DAY: f64 = 86_400.0;
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap();
    let stage = stage();
    let waiting = stage.run(&["--ready-uptime", "86400"]);
    // A machine that has been up for a day is always ready by this rule; the edge itself is in `src/ready.rs`.
    if seconds > DAY - 600.0 {
        return wait_for_ready(&stage);
    }
    waiting.wait_for("not ready: up for less than 86400 s");
    wait_until("polls", || stage.imds.count(ACTION) >= 6);
    assert_eq!(stage.sns.accepted().len(), 0);
}

#[test]
fn ready_http_counts_passes_in_a_row() {
    let stage = stage();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", service.local_addr().unwrap());
    // Two passes, a failure, then passes: with --ready-times 3 only the sixth look is ready.
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in service.incoming().flatten() {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap_or(0);
            assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
            let number = {
                let mut number = lock(&count);
                *number += 1;
                *number
            };
            let status = if number == 3 { "503 Sorry" } else { "200 OK" };
            let page = "x".repeat(100_000);
            let _ = stream
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{page}", page.len()).as_bytes());
        }
    });
    let watcher = run_ready(&stage, &["--ready-http", &url]);
    wait_for_ready(&stage);
    assert_eq!(*lock(&asked), 6);
    assert!(watcher.log().contains("answered with status 503"));
}

#[test]
fn ready_tcp_file_and_command_must_all_pass() {
    let stage = stage();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (file, answer) = (stage.directory.file("up"), stage.directory.file("answer"));
    let command = stage.directory.script("check", &format!("sleep 0.1; test -e {}", answer.display()));
    let watcher = run_ready(
        &stage,
        &["--ready-tcp", &port.to_string(), "--ready-file", file.to_str().unwrap(), "--ready-command", &command],
    );
    watcher.wait_for(&format!("not ready: {port}: connection refused"));
    let _service = TcpListener::bind(port).unwrap();
    watcher.wait_for("up: is not there");
    std::fs::write(&file, "").unwrap();
    watcher.wait_for("check: exit status 1");
    assert_eq!(stage.sns.accepted().len(), 0);
    std::fs::write(&answer, "").unwrap();
    wait_for_ready(&stage);
}

#[test]
fn ready_waits_while_the_group_keeps_the_instance_warm() {
    let stage = stage();
    stage.imds.set(TARGET, "Warmed:Running");
    let watcher = run_ready(&stage, &["--ready-times", "1"]);
    watcher.wait_for("not ready: the group moves this instance to Warmed:Running");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(stage.sns.accepted().len(), 0);
    stage.imds.set(TARGET, "InService");
    wait_for_ready(&stage);
}

#[test]
fn an_on_demand_replica_says_ready_and_leaves() {
    let stage = stage();
    stage.imds.set(LIFE_CYCLE, "on-demand");
    let mut watcher = run_ready(&stage, &[]);
    assert_eq!(watcher.exit().code(), Some(0));
    assert_eq!(stage.sns.of_kind("ready").len(), 1);
}

// The way to SNS.

fn publishes_through(stage: &Stage, more: &[&str], environment: &[(&str, &str)]) {
    let _watcher = stage.run_with(more, environment);
    stage.imds.notice("terminate", 100);
    wait_until("the interruption is accepted", || !stage.sns.of_kind("interruption").is_empty());
}

#[test]
fn tls_1_2_and_1_3_alone() {
    for tls in [Tls::Only12, Tls::Only13] {
        let mut stage = stage();
        stage.sns = MockSns::start(&stage.directory.file("ca.pem"), tls);
        publishes_through(&stage, &[], &[]);
    }
}

#[test]
fn nobody_but_the_certified_host_gets_the_message() {
    let stage = stage();
    let other = Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"));
    let watcher = stage.run(&["--ca-bundle", other.directory.file("ca.pem").to_str().unwrap()]);
    stage.imds.notice("terminate", 100);
    watcher.wait_for("TLS: invalid peer certificate");
    assert_eq!((stage.sns.attempts(), lock(&stage.sns.state).last_request.as_str()), (0, ""));
    let by_address = format!("https://127.0.0.1:{}", stage.sns.address.port());
    let stranger =
        stage.run(&["--state-dir", stage.directory.file("other").to_str().unwrap(), "--sns-endpoint", &by_address]);
    stranger.wait_for("TLS: invalid peer certificate");
    assert_eq!(stage.sns.attempts(), 0);
}

#[test]
fn the_ca_bundle_comes_from_the_customary_variables() {
    let stage = stage();
    let mut command = std::process::Command::new(&stage.binary);
    command
        .env_clear()
        .args(["--topic", support::TOPIC, "--test-pace", "10", "--imds-endpoint", &stage.imds.url()])
        .env("SPOTWARD_STATE_DIR", stage.directory.file("state"))
        .env("AWS_ENDPOINT_URL_SNS", stage.sns.url())
        .env("AWS_CA_BUNDLE", stage.directory.file("ca.pem"));
    let _watcher = support::Watcher::spawn(command);
    stage.imds.notice("terminate", 100);
    wait_until("the interruption is accepted", || !stage.sns.of_kind("interruption").is_empty());
}

/// A proxy that knows CONNECT, and writes down what it was asked.
fn proxy(target: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                if head.is_empty() {
                    return;
                }
                lock(&seen).push(String::from_utf8_lossy(&head).into_owned());
                let server = TcpStream::connect(target).unwrap();
                let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n");
                let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
                let (mut from_server, mut to_client) = (server, client);
                let _ = std::io::copy(&mut from_server, &mut to_client);
            });
        }
    });
    (address, heads)
}

#[test]
fn the_proxy_carries_sns_and_never_the_metadata_service() {
    let stage = stage();
    let (address, heads) = proxy(stage.sns.address);
    let url = format!("http://user:p%40ss@{address}");
    // The name exists only for the proxy.
    let endpoint = format!("https://sns.test:{}", stage.sns.address.port());
    let environment = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str()), ("http_proxy", url.as_str())];
    let _watcher = stage.run_with(&["--sns-endpoint", &endpoint], &environment);
    stage.imds.notice("terminate", 100);
    wait_until("a request through the proxy", || stage.sns.attempts() > 0);
    let heads = lock(&heads).clone();
    let expected = format!("CONNECT sns.test:{} HTTP/1.1\r\n", stage.sns.address.port());
    assert!(heads.iter().all(|head| head.starts_with(&expected)), "{heads:?}");
    assert!(heads[0].contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"));
    assert!(lock(&stage.sns.state).last_request.contains(&format!("Host: sns.test:{}\r\n", stage.sns.address.port())));
}

#[test]
fn no_proxy_is_obeyed() {
    let stage = stage();
    publishes_through(&stage, &[], &[("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "example.com,localhost")]);
}

#[test]
fn a_first_address_that_is_dead_does_not_hide_the_second() {
    use watcher::http::Timed;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(5);
    assert!(Timed::connect(&[dead, listener.local_addr().unwrap()], Duration::from_secs(1), until).is_ok());
    assert!(Timed::connect(&[dead], Duration::from_secs(1), until).is_err());
}

// What others may learn from us.

#[test]
fn secrets_are_neither_logged_nor_in_the_environment_nor_on_the_command_line() {
    let stage = stage();
    stage.sns.plan(&[Fate::Refuse(403, "ExpiredToken"), Fate::Refuse(403, "SignatureDoesNotMatch")]);
    let drain = stage.directory.script("drain", &format!("env > {}", stage.directory.file("environment").display()));
    let watcher = stage.run(&["--hook", &drain]);
    stage.imds.notice("terminate", 100);
    wait_for_drained(&stage, 1);
    let secret = support::sns::secret_of("ASIAEXAMPLE1");
    let token = support::sns::session_token_of("ASIAEXAMPLE1");
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", watcher.child.id())).unwrap();
    for text in [
        watcher.log(),
        stage.directory.text("environment"),
        command_line,
        lock(&stage.sns.state).last_request.replace(&format!("X-Amz-Security-Token: {token}"), ""),
    ] {
        assert!(!text.contains(&secret) && !text.contains(&token), "{text}");
    }
}
