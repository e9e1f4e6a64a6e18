//! Messages of the watcher: the examples that both ends test against, and strangers' input against the schema itself.
//!
//! `PROPTEST_CASES` says how many inputs each property gets; `make watcher-bench` gives a hundred thousand.

use std::sync::LazyLock;

use engine::watcher::{DrainResult, Said, WatcherMessage};
use proptest::prelude::*;
use regex_lite::Regex;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../docs/schema/watcher-message.schema.json");
const EXAMPLES: &str = include_str!("../../../docs/schema/watcher-message-examples.json");

fn examples() -> Vec<(String, bool, Value)> {
    let examples: Vec<Value> = serde_json::from_str(EXAMPLES).unwrap();
    let read = |example: &Value| {
        (example["name"].as_str().unwrap().to_owned(), example["valid"].as_bool().unwrap(), example["message"].clone())
    };
    examples.iter().map(read).collect()
}

fn parse(message: &Value) -> Result<WatcherMessage, String> {
    WatcherMessage::parse(&message.to_string()).map_err(|error| error.to_string())
}

#[test]
fn examples_are_read_and_refused_as_they_say() {
    let examples = examples();
    assert!(examples.len() >= 29);
    for (name, valid, message) in examples {
        let read = parse(&message);
        assert_eq!(read.is_ok(), valid, "{name}: {read:?}");
        let Ok(read) = read else { continue };
        assert_eq!(read.id, message["id"], "{name}");
        assert_eq!(read.instance.as_str(), message["instance"], "{name}");
        assert_eq!(read.region, message["region"], "{name}");
        assert_eq!(read.account, message["account"], "{name}");
        assert_eq!(read.seen.to_string(), message["seen"], "{name}");
        assert_eq!(read.said.kind(), message["kind"], "{name}");
        match read.said {
            Said::Interruption { action, time } => {
                assert_eq!(action, message["action"], "{name}");
                assert_eq!(time.to_string(), message["time"], "{name}");
            }
            Said::Rebalance { time } => assert_eq!(time.to_string(), message["time"], "{name}"),
            Said::Ready { boot } => assert_eq!(boot, message["boot"], "{name}"),
            Said::Drained { action, time, result } => {
                assert_eq!(action, message["action"], "{name}");
                let time = time.map_or(Value::Null, |time| json!(time.to_string()));
                assert_eq!(time, message["time"], "{name}");
                let word = match result {
                    DrainResult::Ok => "ok",
                    DrainResult::Failed => "failed",
                    DrainResult::Late => "late",
                    DrainResult::Unknown => "unknown",
                };
                assert_eq!(word, message["result"], "{name}");
            }
        }
    }
}

fn ready() -> Value {
    examples().into_iter().find(|(name, ..)| name == "ready").unwrap().2
}

/// A `ready` with one member written as `text`.
fn with(member: &str, text: &str) -> String {
    let mut message = ready();
    message[member] = json!("HERE");
    message.to_string().replace("\"HERE\"", text)
}

#[test]
fn a_refusal_names_what_is_wrong() {
    let refused = |text: &str| WatcherMessage::parse(text).unwrap_err().why;
    assert_eq!(refused(&with("v", "2")), "version 2");
    assert_eq!(refused(r#"{"v": 7}"#), "version 7", "another version may have other members");
    assert_eq!(refused(&with("instance", r#""i-0;reboot""#)), r#""instance" is missing or malformed"#);
    assert_eq!(refused(&with("seen", r#""2026-02-30T00:00:00Z""#)), r#""seen" is missing or malformed"#);
    let long = with("later", &format!("{:?}", "x".repeat(5000)));
    assert_eq!(refused(&long), format!("{} bytes", long.len()));
    assert!(refused(&with("action", "null")).contains("null"), "null is not absent");
    assert!(refused(&with("later", r#"1,"id":"8a8fd421c5638c82de33eee90f7f29cb""#)).contains("duplicate field `id`"));
    assert!(refused("").contains("EOF"));
}

#[test]
fn what_is_quoted_back_is_short() {
    let error = WatcherMessage::parse(&"\u{1f980}\n".repeat(100_000)).unwrap_err();
    assert_eq!(error.start.chars().count(), 80);
    assert!(error.to_string().len() < 600 && !error.to_string().contains('\n'), "one line in the log");
}

#[test]
fn nesting_is_harmless() {
    let deep = format!("{}1{}", "[".repeat(1500), "]".repeat(1500));
    assert!(WatcherMessage::parse(&with("later", &deep)).is_ok(), "ignored like any other member");
    assert!(WatcherMessage::parse(&with("boot", &deep)).is_err());
    assert!(WatcherMessage::parse(&"[".repeat(4096)).is_err());
}

/// As much of JSON Schema as our schema uses; anything else in it is a failure here.
fn fits(schema: &Value, root: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, asks)| match keyword.as_str() {
        "$schema" | "$id" | "title" | "description" | "$defs" | "then" => true,
        "type" => match asks.as_str().unwrap() {
            "object" => value.is_object(),
            "string" => value.is_string(),
            other => panic!("type {other}"),
        },
        "required" => value
            .as_object()
            .is_none_or(|object| asks.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|object| {
            asks.as_object()
                .unwrap()
                .iter()
                .all(|(key, asks)| object.get(key).is_none_or(|value| fits(asks, root, value)))
        }),
        "const" => value == asks,
        "enum" => asks.as_array().unwrap().contains(value),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(asks.as_str().unwrap()).unwrap().is_match(text)),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= asks.as_u64().unwrap()),
        "$ref" => fits(root.pointer(asks.as_str().unwrap().trim_start_matches('#')).unwrap(), root, value),
        "allOf" => asks.as_array().unwrap().iter().all(|asks| fits(asks, root, value)),
        "if" => !fits(asks, root, value) || fits(&schema["then"], root, value),
        other => panic!("keyword {other}"),
    })
}

fn fits_schema(value: &Value) -> bool {
    static READ: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap());
    fits(&READ, &READ, value)
}

#[test]
fn the_judge_of_the_properties_agrees_with_the_examples() {
    for (name, valid, message) in examples() {
        assert_eq!(fits_schema(&message), valid, "{name}");
    }
}

/// The schema's pattern lets the 30th of February pass; a reader cannot.
fn has_real_times(value: &Value) -> bool {
    ["time", "seen"].iter().all(|key| value[key].as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok()))
}

/// A valid example with some members dropped, replaced, or added.
fn changed_message() -> impl Strategy<Value = Value> {
    let valid: Vec<Value> =
        examples().into_iter().filter(|(_, valid, _)| *valid).map(|(.., message)| message).collect();
    let member = prop::sample::select(vec![
        "v", "id", "kind", "instance", "region", "account", "action", "time", "boot", "result", "seen", "watcher",
        "later",
    ]);
    let value = prop_oneof![
        Just(None),
        prop::sample::select(vec!["interruption", "rebalance", "ready", "drained", "ok", "late", "terminate"])
            .prop_map(|word| Some(json!(word))),
        "[0-9a-f]{31,33}".prop_map(|text| Some(json!(text))),
        "i-[0-9a-f]{7,18}".prop_map(|text| Some(json!(text))),
        "[a-z]{1,3}(-[a-z]{0,3}){0,2}-?[0-9]{0,2}".prop_map(|text| Some(json!(text))),
        "[0-9]{11,13}".prop_map(|text| Some(json!(text))),
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z".prop_map(|text| Some(json!(text))),
        "[a-z-]{0,34}".prop_map(|text| Some(json!(text))),
        "\\PC{0,70}".prop_map(|text| Some(json!(text))),
        prop::sample::select(vec![
            json!(1),
            json!(0),
            json!(-1),
            json!(1.0),
            json!(1e300),
            json!(true),
            json!(null),
            json!([]),
            json!({})
        ])
        .prop_map(Some),
    ];
    (prop::sample::select(valid), prop::collection::vec((member, value), 0..4)).prop_map(|(mut message, changes)| {
        let members = message.as_object_mut().unwrap();
        for (member, value) in changes {
            match value {
                Some(value) => drop(members.insert(member.to_owned(), value)),
                None => drop(members.remove(member)),
            }
        }
        message
    })
}

/// A message as text with bytes cut out, put in and doubled.
fn damaged_text() -> impl Strategy<Value = String> {
    let texts: Vec<String> = examples().into_iter().map(|(.., message)| message.to_string()).collect();
    let salt = prop::sample::select(vec![
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\0",
        "\\u0000",
        "\\ud83d",
        "\\u0022",
        "é",
        "-",
        "0",
        "99999999999999999999",
        "1e999",
        "null",
        "true",
        "\n",
        "\"v\":1,",
        "\"v\":2,",
        "i-*",
        "Z",
        " ",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..12_usize, salt);
    (prop::sample::select(texts), prop::collection::vec(edit, 0..5)).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, cut, salt) in edits {
            let at = at.index(letters.len() + 1);
            let end = (at + cut).min(letters.len());
            letters.splice(at..end, salt.chars());
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn reads_what_the_schema_allows_and_nothing_else(message in changed_message()) {
        let read = parse(&message);
        prop_assert_eq!(read.is_ok(), fits_schema(&message) && has_real_times(&message), "{:?}", read);
    }

    #[test]
    fn damaged_text_is_refused_or_fits_the_schema(text in damaged_text()) {
        if let Ok(read) = WatcherMessage::parse(&text) {
            let message: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(fits_schema(&message));
            prop_assert_eq!(read.instance.as_str(), message["instance"].as_str().unwrap());
        }
    }

    #[test]
    fn any_text_is_harmless(text in "\\PC{0,300}") {
        let read = WatcherMessage::parse(&text);
        prop_assert!(read.is_err());
    }
}
