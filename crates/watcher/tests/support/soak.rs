//! Many ticks of bad weather at a hundred times the pace of life and more, with notices and SNS faults in between.

use super::imds::{ACTION, Fault};
use super::sns::Fate;
use super::{Stage, in_seconds, lock, wait_until};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a soak found.
#[derive(Debug)]
pub struct Soak {
    pub ticks: u64,
    pub faults: u64,
    pub notices: usize,
    /// Notices of which SNS accepted nothing.
    pub missed: usize,
    /// Notices of which SNS accepted more than one id.
    pub doubled: usize,
    /// Anonymous memory after the first tenth, and at the end.
    pub anonymous_kib: (u64, u64),
    pub threads: u64,
    pub seconds: f64,
}

/// Runs `ticks` polls of the notice with a new notice in about every `between`.
pub fn run(stage: &Stage, ticks: u64, between: u64, seed: u64) -> Soak {
    let began = std::time::Instant::now();
    let polls = Arc::new(AtomicU64::new(0));
    let faults = Arc::new(AtomicU64::new(0));
    let (count_polls, count_faults) = (Arc::clone(&polls), Arc::clone(&faults));
    let mut random = seed | 1;
    let weather = move |path: &str| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if path == ACTION {
            count_polls.fetch_add(1, Ordering::Relaxed);
        }
        // Of 100,000 requests: what waits out a time-out is rare, the rest is not.
        let fault = match random % 100_000 {
            0..2 => Fault::Hang,
            2..4 => Fault::Drip,
            4..1_000 => Fault::Status(503),
            1_000..1_400 => Fault::Reset,
            1_400..1_800 => Fault::Cut,
            1_800..2_000 => Fault::Garbage,
            2_000..2_200 => Fault::ForgetTokens,
            2_200..2_700 => Fault::Http10,
            2_700..2_800 => Fault::Status(403),
            _ => return None,
        };
        count_faults.fetch_add(1, Ordering::Relaxed);
        Some(fault)
    };
    {
        let mut state = lock(&stage.imds.state);
        state.keeps_requests = false;
        state.weather = Some(Box::new(weather));
    }
    let watcher = stage.run(&["--test-pace", "2000", "--ready-uptime", "0"]);
    let anonymous = || status(watcher.child.id(), "RssAnon:");
    let mut expected = Vec::new();
    let mut early = 0;
    let mut next = between / 4;
    while polls.load(Ordering::Relaxed) < ticks {
        std::thread::sleep(std::time::Duration::from_millis(2));
        let done = polls.load(Ordering::Relaxed);
        if early == 0 && done > ticks / 10 {
            early = anonymous();
        }
        if done < next {
            continue;
        }
        // In the first tenth as many notices as there is memory for: what is measured after it is growth, not filling.
        next = done + if done < ticks / 10 { between / 20 } else { between };
        // Further apart than what counts as the same notice.
        let number = expected.len() as i64;
        let time = in_seconds(600 + number * 400).to_iso();
        if number % 3 == 1 {
            stage.sns.plan(&[Fate::Refuse(503, "ServiceUnavailable"), Fate::Close]);
        }
        if number % 5 == 2 {
            stage.sns.plan(&[Fate::Refuse(400, "Throttling")]);
        }
        stage.imds.set(ACTION, &format!("{{\"action\":\"terminate\",\"time\":\"{time}\"}}"));
        wait_until("the notice is accepted", || {
            stage.sns.of_kind("interruption").iter().any(|accepted| accepted.get("time") == time)
        });
        stage.imds.remove(ACTION);
        expected.push(time);
    }
    let late = anonymous();
    let threads = status(watcher.child.id(), "Threads:");
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for accepted in stage.sns.of_kind("interruption") {
        let list = ids.entry(accepted.get("time").to_owned()).or_default();
        if !list.iter().any(|id| id == accepted.get("id")) {
            list.push(accepted.get("id").to_owned());
        }
    }
    assert_eq!(stage.imds.violations(), Vec::<String>::new());
    Soak {
        ticks: polls.load(Ordering::Relaxed),
        faults: faults.load(Ordering::Relaxed),
        notices: expected.len(),
        missed: expected.iter().filter(|time| !ids.contains_key(*time)).count(),
        doubled: ids.values().filter(|list| list.len() > 1).count() + (ids.len() - expected.len().min(ids.len())),
        anonymous_kib: (early, late),
        threads,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// A number from /proc/PID/status.
pub fn status(process: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
