//! The record of every call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::rules::lock;
use crate::wire::Call;

/// One call as a test sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    pub n: u64,
    pub at: String,
    pub service: String,
    pub action: String,
    pub account: String,
    pub region: String,
    pub mutating: bool,
    pub agent: String,
    pub params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// What a rule did to the call, if one did.
    pub fault: Option<String>,
    /// The answer's status; none while the call is held or when the caller got no answer.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub ms: Option<u64>,
    #[serde(skip)]
    started: Option<Instant>,
}

#[derive(Default)]
pub struct Calls {
    all: Mutex<Vec<Recorded>>,
    last: AtomicU64,
}

/// Which calls a test wants to see.
#[derive(Debug, Default)]
pub struct Wanted {
    pub account: Option<String>,
    pub region: Option<String>,
    pub agent: Option<String>,
    pub since: u64,
    pub mutating: Option<bool>,
}

impl Calls {
    pub fn begin(&self, call: &Call) -> u64 {
        let mut all = lock(&self.all);
        // Counted under the lock, so that the record is in order; never reset, so that no number is given twice.
        let n = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        all.push(Recorded {
            n,
            at: jiff::Timestamp::now().to_string(),
            service: call.service.clone(),
            action: call.action.clone(),
            account: call.account.clone(),
            region: call.region.clone(),
            mutating: call.is_mutating(),
            agent: call.headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned(),
            params: call
                .params
                .pairs()
                .filter(|(name, _)| !matches!(*name, "Action" | "Version"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            json: call.json.clone(),
            fault: None,
            status: None,
            error: None,
            ms: None,
            started: Some(Instant::now()),
        });
        n
    }

    pub fn fault(&self, n: u64, fault: String) {
        self.edit(n, |call| call.fault = Some(fault));
    }

    pub fn end(&self, n: u64, status: u16, error: Option<String>) {
        self.edit(n, |call| {
            call.status = Some(status);
            call.error = error;
            call.ms = call.started.map(|started| started.elapsed().as_millis() as u64);
        });
    }

    fn edit(&self, n: u64, change: impl FnOnce(&mut Recorded)) {
        let mut all = lock(&self.all);
        if let Ok(index) = all.binary_search_by_key(&n, |call| call.n) {
            change(&mut all[index]);
        }
    }

    pub fn select(&self, wanted: &Wanted) -> Vec<Recorded> {
        let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        lock(&self.all)
            .iter()
            .filter(|call| {
                call.n > wanted.since
                    && same(&wanted.account, &call.account)
                    && same(&wanted.region, &call.region)
                    && wanted.agent.as_ref().is_none_or(|word| call.agent.contains(word.as_str()))
                    && wanted.mutating.is_none_or(|mutating| mutating == call.mutating)
            })
            .cloned()
            .collect()
    }

    /// Forgets the calls of one account, or all.
    pub fn clear(&self, account: Option<&str>) {
        lock(&self.all).retain(|call| account.is_some_and(|account| call.account != account));
    }
}
