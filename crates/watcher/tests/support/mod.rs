//! The stage of the watcher's tests: a metadata service and an SNS that misbehave on demand, and the real binary between them.
//!
//! Signatures and messages are judged by botocore and jsonschema (verify.py), not by code of ours.
#![allow(dead_code, reason = "each test file uses its part of the stage")]

pub mod imds;
pub mod sns;
pub mod soak;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use watcher::time::Epoch;

pub const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:spotward";
pub const INSTANCE: &str = "i-0123456789abcdef0";

/// Long enough for a busy machine of two cores; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn now() -> Epoch {
    Epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64)
}

pub fn in_seconds(seconds: i64) -> Epoch {
    Epoch(now().0 + seconds)
}

/// `Sun, 22 Nov 2026 02:00:34 GMT`
pub fn http_date(time: Epoch) -> String {
    let iso = time.to_iso();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[iso[5..7].parse::<usize>().unwrap() - 1];
    format!("Thu, {} {month} {} {} GMT", &iso[8..10], &iso[0..4], &iso[11..19])
}

/// Waits until `question` says yes; fails with `what` and the log otherwise.
pub fn wait_until(what: &str, mut question: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !question() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A directory of its own for each test, removed at its end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watcher-test-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// An executable shell script. Written by a child: one that is open for writing here, or in a process that another
    /// test has just forked, cannot be started.
    pub fn script(&self, name: &str, body: &str) -> String {
        let path = self.file(name).to_str().unwrap().to_owned();
        let write = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
        assert!(Command::new("sh").args(["-c", write, "sh", &path, body]).status().unwrap().success());
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary under test: the release build if `SPOTWARD_WATCHER_BIN` names it, else the one of this test run.
pub fn binary(test_build: &str) -> PathBuf {
    std::env::var_os("SPOTWARD_WATCHER_BIN").map_or_else(|| test_build.into(), PathBuf::from)
}

/// A metadata service, an SNS and a state directory.
pub struct Stage {
    pub imds: imds::MockImds,
    pub sns: sns::MockSns,
    pub directory: Directory,
    pub binary: PathBuf,
}

impl Stage {
    pub fn new(test_build: &str) -> Self {
        let directory = Directory::new();
        let sns = sns::MockSns::start(&directory.file("ca.pem"), sns::Tls::Both);
        Self { imds: imds::MockImds::start(), sns, directory, binary: binary(test_build) }
    }

    pub fn run(&self, more: &[&str]) -> Watcher {
        self.run_with(more, &[])
    }

    /// Starts the watcher ten times faster than life.
    pub fn run_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Watcher {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(["--topic", TOPIC, "--test-pace", "10"])
            .args(["--sns-endpoint", &self.sns.url()])
            .args(["--imds-endpoint", &self.imds.url()])
            .arg("--ca-bundle")
            .arg(self.directory.file("ca.pem"))
            .arg("--state-dir")
            .arg(self.directory.file("state"))
            .args(more)
            .envs(environment.iter().copied());
        Watcher::spawn(command)
    }

    pub fn state(&self, name: &str) -> String {
        self.directory.text(&format!("state/{name}"))
    }
}

/// A running watcher and what it has said.
pub struct Watcher {
    pub child: Child,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Watcher {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the watcher starts");
        let log = Arc::new(Mutex::new(String::new()));
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let copy = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                let mut log = lock(&copy);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reader }
    }

    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    pub fn wait_for(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < until, "not in the log: {words}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the watcher ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // What it said last is still in the pipe; a child of its own may hold that open longer.
        let until = Instant::now() + Duration::from_secs(1);
        while !self.reader.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        status.unwrap()
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Only a failing test shows it.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- the watcher said:\n{}", self.log()).as_bytes(),
            );
        }
    }
}
