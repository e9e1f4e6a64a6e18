//! Faults on command: throttles, lost replies, stalls, and calls held in the air so that a test can kill its caller.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::wire::{Call, Refusal};

/// One rule: which calls it is for, which of them it lets pass, and what it does to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub account: Option<String>,
    pub region: Option<String>,
    pub service: Option<String>,
    pub action: Option<String>,
    /// Only calls that change something, or only calls that do not.
    pub mutating: Option<bool>,
    /// A word that the client's user agent must contain, such as `aws-sdk-rust`.
    pub agent: Option<String>,
    /// A word that the request's parameters must contain.
    pub containing: Option<String>,
    /// How many matching calls pass untouched first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls the rule applies to after that.
    #[serde(default = "once")]
    pub times: u32,
    #[serde(rename = "do")]
    pub effect: Effect,
    /// How many calls have matched so far.
    #[serde(default)]
    pub seen: u32,
}

fn once() -> u32 {
    1
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The service's own throttling error.
    Throttle,
    /// 503 ServiceUnavailable.
    Unavailable,
    /// Any error.
    Error { status: u16, code: String, message: String },
    /// The connection is closed; nothing was done.
    Drop,
    /// The call is done; the connection is closed without a reply.
    LoseReply,
    /// The call is kept waiting, not done. When the caller dies, it never happens.
    Hold,
    /// The call is done; its reply is kept back.
    HoldReply,
    /// The call is done after so many seconds.
    Stall { seconds: f64 },
}

impl Rule {
    fn is_for(&self, call: &Call) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let agent = call.headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or("");
        same(&self.account, &call.account)
            && same(&self.region, &call.region)
            && same(&self.service, &call.service)
            && same(&self.action, &call.action)
            && self.mutating.is_none_or(|wanted| wanted == call.is_mutating())
            && self.agent.as_ref().is_none_or(|word| agent.contains(word.as_str()))
            && self.containing.as_ref().is_none_or(|word| call.params.to_form().contains(word.as_str()))
    }
}

/// All rules, and the calls that are held now.
#[derive(Default)]
pub struct Rules {
    rules: Mutex<Vec<Rule>>,
    held: Mutex<Vec<Held>>,
    changed: Notify,
}

/// One call in the air.
#[derive(Clone)]
struct Held {
    number: u64,
    account: String,
    released: Arc<Notify>,
}

impl Rules {
    /// What is to happen to this call. The first rule that applies decides; all rules count.
    pub fn effect(&self, call: &Call) -> Option<Effect> {
        let mut decided = None;
        for rule in lock(&self.rules).iter_mut() {
            if !rule.is_for(call) {
                continue;
            }
            rule.seen += 1;
            let applies = rule.seen > rule.skip && rule.seen - rule.skip <= rule.times;
            if applies && decided.is_none() {
                decided = Some(rule.effect.clone());
            }
        }
        decided
    }

    pub fn add(&self, rules: Vec<Rule>) {
        lock(&self.rules).extend(rules);
    }

    pub fn list(&self) -> Vec<Rule> {
        lock(&self.rules).clone()
    }

    /// Drops the rules of one account, or all. Calls in the air stay there: one whose caller was just killed must not
    /// be let go before its connection is seen to be gone.
    pub fn clear(&self, account: Option<&str>) {
        lock(&self.rules).retain(|rule| account.is_some() && rule.account.as_deref() != account);
    }

    /// Lets the held calls of one account go on, or all.
    pub fn release(&self, account: Option<&str>) {
        for held in lock(&self.held).iter().filter(|held| account.is_none_or(|account| held.account == account)) {
            held.released.notify_one();
        }
    }

    /// Keeps a call waiting until it is released, or for ever if its caller dies first (then this future is dropped).
    pub async fn hold(&self, number: u64, account: &str) {
        let released = Arc::new(Notify::new());
        lock(&self.held).push(Held { number, account: account.to_owned(), released: Arc::clone(&released) });
        self.changed.notify_waiters();
        let _entry = Entry { rules: self, number };
        released.notified().await;
    }

    /// The numbers of the calls of one account, or all, that are held now.
    pub fn held(&self, account: Option<&str>) -> Vec<u64> {
        let of_account = |held: &&Held| account.is_none_or(|account| held.account == account);
        lock(&self.held).iter().filter(of_account).map(|held| held.number).collect()
    }

    /// Waits until some call is held.
    pub async fn wait_held(&self, account: Option<&str>, timeout: Duration) -> Vec<u64> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let changed = self.changed.notified();
            let held = self.held(account);
            if !held.is_empty() || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return held;
            }
        }
    }
}

/// Takes a call out of the list of held ones when it goes on, or when its caller has gone.
struct Entry<'a> {
    rules: &'a Rules,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(&self.rules.held).retain(|held| held.number != self.number);
        self.rules.changed.notify_waiters();
    }
}

/// The throttling error as each service words it.
pub fn throttled(service: &str) -> Refusal {
    match service {
        "ec2" => Refusal::new(503, "RequestLimitExceeded", "Request limit exceeded."),
        "autoscaling" | "elasticloadbalancing" => Refusal::new(400, "Throttling", "Rate exceeded"),
        _ => Refusal::new(400, "ThrottlingException", "Rate exceeded"),
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while holding the lock has already failed the test; the data is still good to look at.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
