//! The budgets that make it a watcher and not an agent: crates, threads, system calls, and the size of the shipped file.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::Stage;
use support::imds::ACTION;
use support::wait_until;

const CRATES_MAX: usize = 16;
const SYSCALLS_PER_GET_MAX: f64 = 12.0;
const MUSL_BYTES_MAX: u64 = 1_300_000;
const GNU_BYTES_MAX: u64 = 1_400_000;

fn stage() -> Stage {
    Stage::new(env!("CARGO_BIN_EXE_spotward-watcher"))
}

#[test]
fn few_crates_and_none_of_the_heavy_ones() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "watcher", "-e", "normal", "--prefix", "none", "--manifest-path"])
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    assert!((10..=CRATES_MAX).contains(&crates.len()), "{} crates: {crates:?}", crates.len());
    for foreign in ["planner", "engine", "aws", "tokio", "hyper", "serde_json", "aws-lc-rs"] {
        assert!(!crates.contains(foreign), "{foreign}");
    }
}

#[test]
fn one_thread_before_and_after_publishing() {
    let stage = stage();
    let watcher = stage.run(&[]);
    let threads = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", watcher.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim().to_owned()
    };
    wait_until("polls", || stage.imds.count(ACTION) >= 3);
    assert_eq!(threads(), "1");
    stage.imds.notice("terminate", 100);
    watcher.wait_for("interruption: published");
    assert_eq!(threads(), "1");
}

#[test]
fn few_system_calls_per_get() {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "strace is needed to count system calls: run `make watcher-test`, which installs it"
    );
    let stage = stage();
    // A quiet watcher: after its start there is nothing but GETs and sleeps.
    let watcher = stage.run(&["--topic", "none", "--test-pace", "50"]);
    wait_until("it has settled", || stage.imds.count(ACTION) >= 5);
    let counts = stage.directory.file("counts");
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-U", "name,calls", "-o"])
        .arg(&counts)
        .args(["-p", &watcher.child.id().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(strace.stderr.take().unwrap()), &mut line).unwrap();
    assert!(line.contains("attached"), "{line}");
    let before = stage.imds.count("GET");
    wait_until("a hundred GETs", || stage.imds.count("GET") >= before + 100);
    let gets = stage.imds.count("GET") - before;
    // SIGINT makes strace detach and write its table.
    let stopped = Command::new("/bin/kill").args(["-INT", &strace.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    strace.wait().unwrap();
    let table = std::fs::read_to_string(counts).unwrap();
    let calls: Vec<(String, u64)> = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, calls) = (words.next()?, words.next()?.parse().ok()?);
            (name != "total").then(|| (name.to_owned(), calls))
        })
        .collect();
    // Sleeping between polls is not part of a GET.
    let sum: u64 = calls.iter().filter(|(name, _)| !name.contains("nanosleep")).map(|(_, calls)| calls).sum();
    let per_get = sum as f64 / gets as f64;
    assert!(per_get > 4.0, "strace saw nothing: {table}");
    assert!(per_get <= SYSCALLS_PER_GET_MAX, "{per_get:.1} system calls per GET\n{table}");
}

#[test]
#[ignore = "needs the release build in SPOTWARD_WATCHER_BIN: make watcher-test"]
fn the_shipped_file_is_small() {
    let binary =
        PathBuf::from(std::env::var_os("SPOTWARD_WATCHER_BIN").expect("SPOTWARD_WATCHER_BIN names the release build"));
    let bytes = std::fs::metadata(&binary).unwrap().len();
    let is_musl = binary.to_string_lossy().contains("musl");
    let max = if is_musl { MUSL_BYTES_MAX } else { GNU_BYTES_MAX };
    assert!(bytes <= max, "{}: {bytes} bytes, more than {max}", binary.display());
    assert!(bytes > 300_000, "{} is no watcher with TLS in it", binary.display());
}

#[test]
fn the_build_refuses_a_static_glibc() {
    // The build script itself, as cargo runs it, with what cargo says about such a target.
    let directory = support::Directory::new();
    let script = directory.file("build-script");
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "-o"])
        .arg(&script)
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build.rs"))
        .status()
        .unwrap();
    assert!(compiled.success());
    for (env, features, is_fine) in
        [("gnu", "fxsr,sse,sse2", true), ("musl", "crt-static,sse2", true), ("gnu", "crt-static,sse2", false)]
    {
        let run = Command::new(&script)
            .env("CARGO_CFG_TARGET_ENV", env)
            .env("CARGO_CFG_TARGET_FEATURE", features)
            .output()
            .unwrap();
        assert_eq!(run.status.success(), is_fine, "{env} {features}");
    }
}
