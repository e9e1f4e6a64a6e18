//! What wakes us: documents of EventBridge, SQS and SNS. An event may wake us, never instruct us: nothing is taken from
//! one but the name of what to look at.

use planner::model::{GroupName, InstanceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::watcher::{Said, WatcherMessage};

/// What an event asks us to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Look at all enabled groups.
    Tick,
    /// Look at these groups: one entry for each SQS record.
    Groups(Vec<GroupMessage>),
    /// Look at these: one entry for an event, one for each SNS record. `Err` says what is wrong with a record; it never
    /// gets better: it is reported and dropped.
    Wake(Vec<Result<Wake, String>>),
}

/// What to look at, and what is said to have happened there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something happened in the group.
    Group(GroupName),
    /// The instance has another state.
    Instance(InstanceId),
    /// The end of the instance is said to be announced.
    Interruption(InstanceId),
    /// The instance is said to be at risk.
    Rebalance(InstanceId),
    /// The workload on the instance is said to be able to take over.
    Ready(InstanceId),
    /// The workload on the instance is said to have been drained.
    Drained(InstanceId),
}

/// One record of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMessage {
    /// SQS message id, for the partial batch answer.
    pub message_id: String,
    /// The group; `Err` says what is wrong with the body. A bad body never gets better: it is reported and dropped.
    pub group: Result<GroupName, String>,
}

/// Body of a message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupBody {
    /// Version of this format: 1.
    pub v: u32,
    /// Name of the group.
    pub group: String,
}

impl GroupBody {
    /// The body for a group.
    pub fn new(group: &GroupName) -> Self {
        Self { v: 1, group: group.to_string() }
    }

    fn parse(body: &str) -> Result<GroupName, String> {
        let parsed: GroupBody = serde_json::from_str(body).map_err(|error| format!("{error} in {body:?}"))?;
        match parsed {
            GroupBody { v: 1, group } if !group.is_empty() => Ok(GroupName::new(group)),
            GroupBody { v, .. } => Err(format!("version {v} or empty group in {body:?}")),
        }
    }
}

/// An event that we do not know. Answered with success: a retry would not make it better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event: {0}")]
pub struct UnknownEvent(pub String);

#[derive(Deserialize)]
struct SqsRecord {
    #[serde(rename = "messageId")]
    message_id: String,
    body: String,
}

impl Trigger {
    /// Reads an event document.
    pub fn parse(event: &Value) -> Result<Trigger, UnknownEvent> {
        if let Some(records) = event.get("Records").and_then(Value::as_array) {
            return Self::records(records);
        }
        // EventBridge Scheduler delivers whatever input the template defines: `{"spotward":"tick"}`.
        if event.get("spotward").and_then(Value::as_str) == Some("tick") {
            return Ok(Trigger::Tick);
        }
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let wake = match (text("source"), text("detail-type")) {
            ("aws.events", "Scheduled Event") => return Ok(Trigger::Tick),
            ("aws.ec2", "EC2 Spot Instance Interruption Warning") => Wake::Interruption(instance_of(event)?),
            ("aws.ec2", "EC2 Instance Rebalance Recommendation") => Wake::Rebalance(instance_of(event)?),
            ("aws.ec2", "EC2 Instance State-change Notification") => Wake::Instance(instance_of(event)?),
            (
                "aws.autoscaling",
                "EC2 Instance Launch Successful"
                | "EC2 Instance Launch Unsuccessful"
                | "EC2 Instance Terminate Successful"
                | "EC2 Instance Terminate Unsuccessful",
            ) => Wake::Group(group_of(event)?),
            _ => return Err(UnknownEvent(describe(event))),
        };
        Ok(Trigger::Wake(vec![Ok(wake)]))
    }

    fn records(records: &[Value]) -> Result<Trigger, UnknownEvent> {
        let all_from = |key: &str, source: &str| {
            !records.is_empty() && records.iter().all(|record| record.get(key).and_then(Value::as_str) == Some(source))
        };
        if all_from("EventSource", "aws:sns") {
            return Ok(Trigger::Wake(records.iter().map(said).collect()));
        }
        if !all_from("eventSource", "aws:sqs") {
            return Err(UnknownEvent("records that are not from one queue or topic".to_owned()));
        }
        let read = |record: &Value| {
            let record: SqsRecord = serde_json::from_value(record.clone())
                .map_err(|error| UnknownEvent(format!("queue record: {error}")))?;
            Ok(GroupMessage { message_id: record.message_id, group: GroupBody::parse(&record.body) })
        };
        records.iter().map(read).collect::<Result<Vec<_>, _>>().map(Trigger::Groups)
    }
}

/// One record of the watcher's topic. The region that it names is not compared: an instance of elsewhere is not found
/// here, and what is found here is judged by what EC2 says of it.
fn said(record: &Value) -> Result<Wake, String> {
    let text = record.pointer("/Sns/Message").and_then(Value::as_str).ok_or("an SNS record without a message")?;
    let WatcherMessage { instance, said, .. } = WatcherMessage::parse(text).map_err(|bad| bad.to_string())?;
    Ok(match said {
        Said::Interruption { .. } => Wake::Interruption(instance),
        Said::Rebalance { .. } => Wake::Rebalance(instance),
        Said::Ready { .. } => Wake::Ready(instance),
        Said::Drained { .. } => Wake::Drained(instance),
    })
}

/// The id in `detail`, never the one in the ARN.
fn instance_of(event: &Value) -> Result<InstanceId, UnknownEvent> {
    let id = event.pointer("/detail/instance-id").and_then(Value::as_str).unwrap_or_default();
    let digits = id.strip_prefix("i-").unwrap_or_default();
    let is_id = (8..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        Ok(InstanceId::new(id))
    } else {
        Err(UnknownEvent(format!("{}, without an instance id", describe(event))))
    }
}

/// Auto Scaling's names have at most 255 characters, without control characters.
fn group_of(event: &Value) -> Result<GroupName, UnknownEvent> {
    let name = event.pointer("/detail/AutoScalingGroupName").and_then(Value::as_str).unwrap_or_default();
    let is_name = (1..=255).contains(&name.chars().count()) && !name.chars().any(|c| c.is_control() || c == ':');
    if is_name { Ok(GroupName::new(name)) } else { Err(UnknownEvent(format!("{}, without a group", describe(event)))) }
}

/// Enough to recognise an event by, without its contents.
fn describe(event: &Value) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("?");
    match event {
        Value::Object(_) => {
            let short = |key: &str| text(key).chars().take(80).collect::<String>();
            format!("source {}, detail-type {}", short("source"), short("detail-type"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            "not a JSON object".to_owned()
        }
    }
}
