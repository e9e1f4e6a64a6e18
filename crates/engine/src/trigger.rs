//! What wakes us: EventBridge and SQS documents. An event may wake us, never instruct us.

use planner::model::GroupName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an event asks us to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Look at all enabled groups.
    Tick,
    /// Look at these groups: one entry for each SQS record.
    Groups(Vec<GroupMessage>),
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
        let scheduled = event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event");
        if scheduled || event.get("spotward").and_then(Value::as_str) == Some("tick") {
            return Ok(Trigger::Tick);
        }
        Err(UnknownEvent(describe(event)))
    }

    fn records(records: &[Value]) -> Result<Trigger, UnknownEvent> {
        let from_queue = |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
        if records.is_empty() || !records.iter().all(from_queue) {
            return Err(UnknownEvent("records that are not from a queue".to_owned()));
        }
        let read = |record: &Value| {
            let record: SqsRecord = serde_json::from_value(record.clone())
                .map_err(|error| UnknownEvent(format!("queue record: {error}")))?;
            Ok(GroupMessage { message_id: record.message_id, group: GroupBody::parse(&record.body) })
        };
        records.iter().map(read).collect::<Result<Vec<_>, _>>().map(Trigger::Groups)
    }
}

/// Enough to recognise an event by, without its contents.
fn describe(event: &Value) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("?");
    match event {
        Value::Object(_) => format!("source {}, detail-type {}", text("source"), text("detail-type")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            "not a JSON object".to_owned()
        }
    }
}
