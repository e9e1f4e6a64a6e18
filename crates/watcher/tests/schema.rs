//! The schema's examples are what the watcher writes, byte for byte, and what a reader must refuse.

use serde_json::Value;
use watcher::message::{Kind, Message};
use watcher::time::Epoch;

fn examples() -> Vec<Value> {
    let text = include_str!("../../../docs/schema/watcher-message-examples.json");
    serde_json::from_str(text).unwrap()
}

/// The message that an example describes, built by the watcher.
fn built(example: &Value) -> Option<Message> {
    let text = |key: &str| example[key].as_str().map(str::to_owned);
    let kind = [Kind::Interruption, Kind::Rebalance, Kind::Ready, Kind::Drained]
        .into_iter()
        .find(|kind| example["kind"] == kind.word())?;
    let result = ["ok", "failed", "late", "unknown"].into_iter().find(|result| example["result"] == *result);
    Some(Message {
        kind,
        instance: text("instance")?,
        region: text("region")?,
        account: text("account")?,
        action: text("action").unwrap_or_default(),
        time: text("time").and_then(|time| Epoch::from_iso(&time)),
        boot: text("boot"),
        result,
        seen: Epoch::from_iso(&text("seen")?)?,
    })
}

#[test]
fn every_valid_example_is_what_the_watcher_writes() {
    let examples: Vec<Value> = examples().into_iter().filter(|example| example["valid"] == true).collect();
    assert!(examples.len() >= 12);
    for example in examples {
        let mut expected = example["message"].clone();
        // What a later version may add is the one thing that this version does not write.
        expected.as_object_mut().unwrap().remove("later");
        let message = built(&expected).unwrap();
        let written: Value = serde_json::from_str(&message.to_json()).unwrap();
        assert_eq!(written, expected, "{}", example["name"]);
    }
}

#[test]
fn ids_tell_notices_apart_and_nothing_else() {
    let one = built(&examples()[0]["message"]).unwrap();
    let again = Message { seen: Epoch(one.seen.0 + 60), ..one.clone() };
    assert_eq!(one.id(), again.id());
    for other in [
        Message { instance: "i-0123456789abcdef1".to_owned(), ..one.clone() },
        Message { kind: Kind::Drained, ..one.clone() },
        Message { action: "stop".to_owned(), ..one.clone() },
        Message { time: Some(Epoch(one.time.unwrap().0 + 1)), ..one.clone() },
    ] {
        assert_ne!(one.id(), other.id());
    }
}
