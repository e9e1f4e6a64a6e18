//! The watcher against its goals: size, memory, start, system calls, instructions, CPU, latency, and a soak of 100,000 ticks.
//!
//! `make watcher-bench` runs it. The release build is named by SPOTWARD_WATCHER_BIN; the rows go to docs/performance-watcher.md.
//! `WATCHER_BENCH=memory,latency` runs only these parts; `WATCHER_SOAK_TICKS` changes the length of the soak.
#![allow(clippy::print_stdout, reason = "prints a table for people")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::imds::ACTION;
use support::soak::status;
use support::{Stage, Watcher, in_seconds, lock, wait_until};

fn main() {
    let binary =
        PathBuf::from(std::env::var_os("SPOTWARD_WATCHER_BIN").expect("SPOTWARD_WATCHER_BIN names the release build"));
    let wanted = std::env::var("WATCHER_BENCH").unwrap_or_default();
    println!("| measure | result | goal | |\n| --- | --- | --- | --- |");
    type Part = (&'static str, fn(&Path));
    let parts: [Part; 9] = [
        ("size", size),
        ("start", start),
        ("memory", memory),
        ("syscalls", syscalls),
        ("instructions", instructions),
        ("cpu", cpu),
        ("latency", latency),
        ("pace", pace),
        ("soak", soak),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.split(',').any(|word| word == name) {
            part(&binary);
        }
    }
    if wanted.is_empty() || wanted.contains("alternatives") {
        alternatives();
    }
}

fn row(measure: &str, result: &str, goal: &str, holds: Option<bool>) {
    let verdict = match holds {
        Some(true) => "holds",
        Some(false) => "**missed**",
        None => "",
    };
    println!("| {measure} | {result} | {goal} | {verdict} |");
}

fn is_musl(binary: &Path) -> bool {
    binary.to_string_lossy().contains("musl")
}

fn stage() -> Stage {
    Stage::new("")
}

/// The system's bundle and the mock's CA together: what a real instance reads at each publish.
fn trust_the_world(stage: &Stage) -> usize {
    let own = stage.directory.text("ca.pem");
    let world = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
    let all = world + &own;
    std::fs::write(stage.directory.file("ca.pem"), &all).unwrap();
    all.matches("BEGIN CERTIFICATE").count()
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn spread(mut values: Vec<f64>) -> (f64, f64, String) {
    values.sort_by(f64::total_cmp);
    let (middle, high) = (percentile(&values, 0.5), percentile(&values, 0.99));
    (
        middle,
        high,
        format!("p50 {middle:.1}, p99 {high:.1}, max {:.1} ms (n={})", values[values.len() - 1], values.len()),
    )
}

fn size(binary: &Path) {
    let bytes = std::fs::metadata(binary).unwrap().len();
    let max = if is_musl(binary) { 1_300_000 } else { 1_400_000 };
    row("file", &format!("{bytes} B"), &format!("≤ {max} B"), Some(bytes <= max));
    let packed =
        Command::new("gzip").args(["-9", "-c"]).arg(binary).output().map(|output| output.stdout.len()).unwrap_or(0);
    row("file, gzip -9", &format!("{packed} B"), "≤ 700000 B", Some(packed <= 700_000));
}

fn start(_: &Path) {
    let mut times = Vec::new();
    for _ in 0..40 {
        let stage = stage();
        let began = Instant::now();
        let _watcher = stage.run(&["--topic", "none"]);
        wait_until("the first request", || !lock(&stage.imds.state).requests.is_empty());
        times.push((lock(&stage.imds.state).requests[0].0 - began).as_secs_f64() * 1_000.0);
    }
    let (middle, _, text) = spread(times);
    row("exec → first metadata request", &text, "≤ 10 ms", Some(middle <= 10.0));
}

fn publish_once(stage: &Stage, watcher: &Watcher, number: i64) {
    let time = in_seconds(600 + number * 400).to_iso();
    stage.imds.set(ACTION, &format!("{{\"action\":\"terminate\",\"time\":\"{time}\"}}"));
    wait_until("accepted", || stage.sns.of_kind("interruption").iter().any(|accepted| accepted.get("time") == time));
    // The answer must be read too before the next one is posted.
    let expected = stage.sns.of_kind("interruption").len();
    wait_until("booked", || watcher.log().matches("interruption: published").count() >= expected);
    stage.imds.remove(ACTION);
}

fn memory(binary: &Path) {
    let stage = stage();
    let roots = trust_the_world(&stage);
    let watcher = stage.run(&[]);
    let process = watcher.child.id();
    wait_until("it has settled", || stage.imds.count(ACTION) >= 20);
    let idle = status(process, "VmRSS:");
    let idle_max = if is_musl(binary) { 1_280 } else { 3_379 };
    row("resident, idle", &format!("{idle} KiB"), &format!("≤ {idle_max} KiB"), Some(idle <= idle_max));
    publish_once(&stage, &watcher, 0);
    std::thread::sleep(Duration::from_secs(2));
    let (after, anonymous) = (status(process, "VmRSS:"), status(process, "RssAnon:"));
    let after_max = if is_musl(binary) { 1_792 } else { 3_379 };
    row(
        &format!("resident, after publishing ({roots} roots)"),
        &format!("{after} KiB"),
        &format!("≤ {after_max} KiB"),
        Some(after <= after_max),
    );
    row("anonymous, after publishing", &format!("{anonymous} KiB"), "≤ 384 KiB", Some(anonymous <= 384));
    let threads = status(process, "Threads:");
    row("threads", &threads.to_string(), "1", Some(threads == 1));
}

fn syscalls(_: &Path) {
    let stage = stage();
    let watcher = stage.run(&["--topic", "none", "--test-pace", "50"]);
    wait_until("it has settled", || stage.imds.count(ACTION) >= 5);
    let counts = stage.directory.file("counts");
    let Ok(mut strace) = Command::new("strace")
        .args(["-c", "-f", "-U", "name,calls", "-o"])
        .arg(&counts)
        .args(["-p", &watcher.child.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
    else {
        return row("system calls per GET", "not measured: no strace", "≤ 12", None);
    };
    std::thread::sleep(Duration::from_secs(1));
    let before = stage.imds.count("GET");
    wait_until("GETs", || stage.imds.count("GET") >= before + 400);
    let gets = stage.imds.count("GET");
    let _ = Command::new("/bin/kill").args(["-INT", &strace.id().to_string()]).status();
    let _ = strace.wait();
    let table = std::fs::read_to_string(counts).unwrap_or_default();
    let connects = call_count(&table, "connect").max(1);
    let all: u64 = table
        .lines()
        .filter_map(|line| Some((line.split_whitespace().next()?, line.split_whitespace().nth(1)?.parse().ok()?)))
        .filter(|(name, _): &(&str, u64)| *name != "total" && !name.contains("nanosleep"))
        .map(|(_, calls)| calls)
        .sum();
    assert!(gets > 0);
    let each = all as f64 / connects as f64;
    row("system calls per GET", &format!("{each:.1}"), "≤ 12", Some(each <= 12.0));
}

fn call_count(table: &str, name: &str) -> u64 {
    table.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Two runs of different length under callgrind: the difference is what GETs cost.
fn instructions(binary: &Path) {
    let run = |polls: usize| -> Option<(f64, f64)> {
        let stage = stage();
        let out = stage.directory.file("callgrind");
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
            .arg(binary)
            .args(["--topic", "none", "--test-pace", "100", "--pin-memory", "no", "--imds-endpoint", &stage.imds.url()])
            .arg("--state-dir")
            .arg(stage.directory.file("state"));
        let mut child = command.stderr(Stdio::null()).spawn().ok()?;
        wait_until("polls under callgrind", || stage.imds.count(ACTION) >= polls);
        let gets = stage.imds.count("GET");
        let _ = Command::new("/bin/kill").args(["-TERM", &child.id().to_string()]).status();
        let _ = child.wait();
        let total = stage
            .directory
            .text("callgrind")
            .lines()
            .find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok())?;
        Some((total, gets as f64))
    };
    let (Some(short), Some(long)) = (run(50), run(450)) else {
        return row("user instructions per GET", "not measured: no valgrind", "≤ 6000", None);
    };
    let each = (long.0 - short.0) / (long.1 - short.1);
    row("user instructions per GET", &format!("{each:.0}"), "≤ 6000", Some(each <= 6_000.0));
}

/// Nanoseconds on a processor so far.
fn cpu_ns(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn cpu(_: &Path) {
    let stage = stage();
    let watcher = stage.run(&["--topic", "none", "--test-pace", "50"]);
    wait_until("it has settled", || stage.imds.count(ACTION) >= 20);
    let process = watcher.child.id();
    let (before, asked) = (cpu_ns(process), stage.imds.count("GET"));
    std::thread::sleep(Duration::from_secs(20));
    let each = (cpu_ns(process) - before) / (stage.imds.count("GET") - asked) as f64;
    // Three items each five seconds, as the goal counts; the default pace asks for the notice each two.
    let hour = each * 3.0 * 720.0 / 1e9;
    row("CPU per hour, 3 GETs per 5 s", &format!("{hour:.2} s"), "≤ 0.5 s", Some(hour <= 0.5));
    row(
        "CPU per hour, default pace",
        &format!("{:.2} s ({:.0} µs per GET)", each * (1_800.0 + 1_440.0) / 1e9, each / 1e3),
        "",
        None,
    );
}

fn latency(_: &Path) {
    let stage = stage();
    let roots = trust_the_world(&stage);
    let watcher = stage.run(&["--test-pace", "20"]);
    watcher.wait_for("asks");
    wait_until("credentials are in hand", || stage.imds.count("security-credentials/web") >= 1);
    let times = (0..120)
        .map(|number| {
            lock(&stage.imds.state).notice_answered = None;
            publish_once(&stage, &watcher, number);
            let answered = lock(&stage.imds.state).notice_answered.unwrap();
            let read = stage.sns.of_kind("interruption").last().unwrap().at;
            (read - answered).as_secs_f64() * 1_000.0
        })
        .collect();
    let (middle, high, text) = spread(times);
    row(
        &format!("notice seen → request complete at SNS (TLS 1.3, {roots} roots)"),
        &text,
        "p50 ≤ 15, p99 ≤ 60 ms",
        Some(middle <= 15.0 && high <= 60.0),
    );
}

/// At the pace of life: no factor.
fn pace(_: &Path) {
    let stage = stage();
    let watcher = stage.run(&["--test-pace", "1"]);
    wait_until("credentials are in hand", || stage.imds.count("security-credentials/web") >= 1);
    let mut waits = Vec::new();
    for number in 0..16 {
        // At changing distances from the poll.
        std::thread::sleep(Duration::from_millis(137 * (number as u64 % 15)));
        let posted = Instant::now();
        publish_once(&stage, &watcher, number);
        let read = stage.sns.of_kind("interruption").last().unwrap().at;
        waits.push((read - posted).as_secs_f64());
    }
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let max = waits.iter().copied().fold(0.0, f64::max);
    row(
        "notice posted → SNS, at the default pace",
        &format!("mean {mean:.2}, max {max:.2} s (n={})", waits.len()),
        "mean ≤ 1.1, max ≤ 2.1 s",
        Some(mean <= 1.1 && max <= 2.1),
    );
}

fn soak(_: &Path) {
    let ticks = std::env::var("WATCHER_SOAK_TICKS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let stage = stage();
    let soak = support::soak::run(&stage, ticks, 2_000, 0x5eed);
    let text =
        format!("{} ticks, {} faults, {} notices in {:.0} s", soak.ticks, soak.faults, soak.notices, soak.seconds);
    row("soak", &text, "≥ 100000 ticks", Some(soak.ticks >= 100_000));
    row(
        "soak: notices missed / effective doubles",
        &format!("{} / {}", soak.missed, soak.doubled),
        "0 / 0",
        Some(soak.missed + soak.doubled == 0),
    );
    let (early, late) = soak.anonymous_kib;
    row(
        "soak: anonymous memory after 10 % → at the end",
        &format!("{early} → {late} KiB"),
        "± 16 KiB",
        Some(late <= early + 16),
    );
}

/// What else could do this job, as far as it can be built here: the same metadata service, the same SNS, the same paces.
fn alternatives() {
    println!(
        "\n| alternative | resident, idle | after publishing | CPU per tick of 3 GETs | notice seen → SNS, p50 |\n| --- | --- | --- | --- | --- |"
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/alternatives");
    let python = std::env::var("SPOTWARD_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    alternative("bash + curl (`--aws-sigv4`)", &["bash", here.join("loop.sh").to_str().unwrap()]);
    alternative("python + botocore", &[&python, here.join("loop.py").to_str().unwrap()]);
}

fn alternative(name: &str, argv: &[&str]) {
    let stage = stage();
    trust_the_world(&stage);
    let spawned = Command::new(argv[0])
        .args(&argv[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs([
            ("IMDS", stage.imds.url()),
            ("SNS", stage.sns.url()),
            ("TOPIC", support::TOPIC.to_owned()),
            ("INSTANCE", support::INSTANCE.to_owned()),
        ])
        .env("CA", stage.directory.file("ca.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = spawned else { return println!("| {name} | not here | | | |") };
    // Ended with this function, also when it panics.
    let child = Ended(child);
    wait_until("it polls", || stage.imds.count(ACTION) >= 10);
    let process = child.0.id();
    let idle = status(process, "VmRSS:");
    let (before, asked) = (cpu_with_children(process), stage.imds.count(ACTION));
    wait_until("it polls on", || stage.imds.count(ACTION) >= asked + 40);
    let tick = (cpu_with_children(process) - before) / (stage.imds.count(ACTION) - asked) as f64;
    let mut times = Vec::new();
    for number in 0..10 {
        lock(&stage.imds.state).notice_answered = None;
        let time = in_seconds(600 + number * 400).to_iso();
        stage.imds.set(ACTION, &format!("{{\"action\":\"terminate\",\"time\":\"{time}\"}}"));
        wait_until("accepted", || {
            stage.sns.of_kind("interruption").iter().any(|accepted| accepted.get("time") == time)
        });
        stage.imds.remove(ACTION);
        let answered = lock(&stage.imds.state).notice_answered.unwrap();
        times.push((stage.sns.of_kind("interruption").last().unwrap().at - answered).as_secs_f64() * 1_000.0);
        let polls = stage.imds.count(ACTION);
        wait_until("it polls again", || stage.imds.count(ACTION) >= polls + 2);
    }
    let after = status(process, "VmRSS:");
    let (middle, _, _) = spread(times);
    println!("| {name} | {idle} KiB | {after} KiB | {:.1} ms | {middle:.0} ms |", tick * 1_000.0);
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds of CPU, of a process and of its children that have ended.
fn cpu_with_children(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<f64> = text
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|word| word.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    // utime, stime, cutime, cstime, in the kernel's 100 ticks per second.
    fields.get(11..15).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}
