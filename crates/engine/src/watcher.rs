//! What the watcher on an instance says: `docs/schema/watcher-message.schema.json`, the text of one SNS message.
//!
//! Every message is a hint that anybody with an instance's role can forge. Nothing follows from one but a look.

use jiff::Timestamp;
use planner::action::Action;
use planner::guard;
use planner::model::{InstanceId, Replica, Role, RunState};
use planner::plan::Plan;
use planner::policy::Config;
use planner::reason::Wait;
use planner::swap::Swap;
use serde::{Deserialize, Deserializer};

use crate::{Cloud, CloudError, Look, Outcome, Pass, Scope};

/// The version that we understand.
const VERSION: u64 = 1;
/// Longer texts are not read at all: the watcher writes less than 600 bytes, SNS carries up to 256 KiB.
const MOST_BYTES: usize = 4096;

/// One message, with every member that we use in the form that the schema asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherMessage {
    /// The same for the same notice, however often it is told: 32 hexadecimal digits. Act once per id.
    pub id: String,
    /// Whom it is about; not who sent it: SNS does not tell.
    pub instance: InstanceId,
    /// Region of the instance; the topic's may be another.
    pub region: String,
    /// Account of the instance.
    pub account: String,
    /// When the watcher saw it.
    pub seen: Timestamp,
    /// What it says.
    pub said: Said,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// EC2 takes the instance back.
    Interruption {
        /// EC2's word: today `terminate`, `stop` or `hibernate`.
        action: String,
        /// When, approximately.
        time: Timestamp,
    },
    /// EC2 thinks that it may.
    Rebalance {
        /// When the recommendation was given.
        time: Timestamp,
    },
    /// The workload there can take over.
    Ready {
        /// Which boot.
        boot: String,
    },
    /// The owner's drain has ended.
    Drained {
        /// The interruption's action, or `rebalance` or `terminated`: what the drain began for.
        action: String,
        /// The interruption's time or the recommendation's.
        time: Option<Timestamp>,
        /// How it ended.
        result: DrainResult,
    },
}

impl Said {
    /// The message's `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Said::Interruption { .. } => "interruption",
            Said::Rebalance { .. } => "rebalance",
            Said::Ready { .. } => "ready",
            Said::Drained { .. } => "drained",
        }
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainResult {
    /// Exit status 0.
    Ok,
    /// Another one.
    Failed,
    /// Ended at its deadline.
    Late,
    /// Begun under an earlier run of the watcher, which took the knowledge with it.
    Unknown,
}

/// A message that is not one. A retry would not make it better: it is reported and dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the watcher: {why} in {start:?}")]
pub struct BadMessage {
    /// What is wrong.
    pub why: String,
    /// Its first characters, to recognise it by.
    pub start: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Interruption,
    Rebalance,
    Ready,
    Drained,
}

/// The message as written. Members that we do not know are ignored, those that we know come at most once.
#[derive(Deserialize)]
struct Written {
    id: String,
    kind: Kind,
    instance: String,
    region: String,
    account: String,
    seen: String,
    #[serde(default, deserialize_with = "present")]
    action: Option<String>,
    #[serde(default, deserialize_with = "present")]
    time: Option<String>,
    #[serde(default, deserialize_with = "present")]
    boot: Option<String>,
    #[serde(default, deserialize_with = "present")]
    result: Option<DrainResult>,
    #[serde(default, deserialize_with = "present")]
    watcher: Option<String>,
}

/// Absent is fine, `null` is not.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl WatcherMessage {
    /// Reads the text of one SNS message. Refuses another version, a member of another form than the schema's, a
    /// time that no calendar has, and anything beyond 4 KiB.
    pub fn parse(text: &str) -> Result<WatcherMessage, BadMessage> {
        let bad = |why: String| BadMessage { why, start: text.chars().take(80).collect() };
        if text.len() > MOST_BYTES {
            return Err(bad(format!("{} bytes", text.len())));
        }
        // The version first: another one may have other members.
        let Version { v } = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if v != VERSION {
            return Err(bad(format!("version {v}")));
        }
        let written: Written = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        written.check().map_err(|member| bad(format!("{member:?} is missing or malformed")))
    }
}

/// Takes note that a watcher said `ready` about `instance`, if that is a running replica of ours outside its group:
/// what the message says besides does not matter, and its counterpart comes from our own tags.
///
/// `None`: it is nothing of ours that could become ready. `Outcome::Quiet`: known already. `Outcome::Waiting`: EC2 does
/// not show it, or not as running yet; the message has to come again, since a watcher says it once per boot. After
/// `Outcome::Acted` a pass over the group goes on with its swap.
pub async fn record_ready(
    cloud: &impl Cloud,
    config: &Config,
    instance: &InstanceId,
) -> Result<Option<Pass>, CloudError> {
    let seen = cloud.observe(&Scope::GroupOf(instance.clone())).await?;
    let Some(observation) = seen.into_iter().next() else { return Ok(None) };
    let (group, now) = (&observation.group, observation.now);
    if group.member(instance).is_some() {
        return Ok(None);
    }
    let mut plan = Plan { swap: Swap::read(group, config, now).name(), ..Plan::default() };
    let outcome = match group.replica(instance) {
        Some(replica) if !could_join(replica, config) => return Ok(None),
        Some(replica) if replica.ours.ready_at.is_some() => Outcome::Quiet,
        Some(replica) if replica.state == RunState::Running => {
            let action = plan.action.insert(Action::RecordReady { replica: instance.clone(), at: now });
            match guard::check(&observation, action, config) {
                Err(refusal) => Outcome::Refused(refusal),
                Ok(()) => match cloud.apply(&group.name, action).await {
                    Ok(()) => Outcome::Acted,
                    Err(error) => Outcome::Failed(error),
                },
            }
        }
        // Its own tags name the group, and the search by tag does not show it yet; or it boots.
        Some(_) | None => {
            plan.wait = Some(Wait::Booting(instance.clone()));
            Outcome::Waiting
        }
    };
    Ok(Some(Pass { group: group.name.clone(), look: Some(Look { observation, plan }), outcome, refused_first: None }))
}

fn could_join(replica: &Replica, config: &Config) -> bool {
    let coming = match replica.state {
        RunState::Pending | RunState::Running => true,
        RunState::Stopping | RunState::Stopped | RunState::ShuttingDown | RunState::Terminated => false,
    };
    coming && replica.ours.role == Role::Replica && replica.ours.stack == config.stack && !replica.was_member
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

impl Written {
    /// `Err` names the first member that is not as the schema has it.
    fn check(self) -> Result<WatcherMessage, &'static str> {
        let Written { id, kind, instance, region, account, seen, action, time, boot, result, watcher } = self;
        require(id.len() == 32 && is_hexadecimal(&id), "id")?;
        require(is_instance(&instance), "instance")?;
        require(is_region(&region), "region")?;
        require(account.len() == 12 && is_digits(&account), "account")?;
        let seen = timestamp(&seen).ok_or("seen")?;
        let time = time.map(|text| timestamp(&text).ok_or("time")).transpose()?;
        require(action.as_deref().is_none_or(is_word), "action")?;
        require(boot.as_ref().is_none_or(|boot| boot.chars().count() <= 64), "boot")?;
        require(watcher.is_none_or(|version| version.chars().count() <= 32), "watcher")?;
        let said = match kind {
            Kind::Interruption => Said::Interruption { action: action.ok_or("action")?, time: time.ok_or("time")? },
            Kind::Rebalance => Said::Rebalance { time: time.ok_or("time")? },
            Kind::Ready => Said::Ready { boot: boot.ok_or("boot")? },
            Kind::Drained => Said::Drained { action: action.ok_or("action")?, time, result: result.ok_or("result")? },
        };
        Ok(WatcherMessage { id, instance: InstanceId::new(instance), region, account, seen, said })
    }
}

fn require(holds: bool, member: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(member) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `i-` and 8 to 17 hexadecimal digits.
fn is_instance(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|digits| (8..=17).contains(&digits.len()) && is_hexadecimal(digits))
}

/// `eu-central-1`, `us-gov-east-1`: words of letters, then a number.
fn is_region(text: &str) -> bool {
    let letters = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = text.split('-').collect();
    match words.as_slice() {
        [first, middle @ .., number] => {
            first.len() >= 2
                && letters(first)
                && !middle.is_empty()
                && middle.iter().all(|word| letters(word))
                && is_digits(number)
        }
        [_] | [] => false,
    }
}

/// One of EC2's words: up to 32 lower-case letters and dashes.
fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// `2026-11-22T02:02:00Z`, in this form only.
fn timestamp(text: &str) -> Option<Timestamp> {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let formed = text.len() == FORM.len() && text.bytes().zip(FORM.iter().copied()).all(fits);
    formed.then(|| text.parse().ok()).flatten()
}
