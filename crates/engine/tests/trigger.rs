//! What wakes us, from the documents that AWS sends.

use engine::trigger::{GroupBody, Trigger, Wake};
use expect_test::{Expect, expect};
use planner::model::GroupName;

/// What the document asks for, as text.
fn check(document: &str, expected: Expect) {
    let event = serde_json::from_str(document).expect("JSON");
    let text = match Trigger::parse(&event) {
        Ok(Trigger::Tick) => "look at all groups".to_owned(),
        Ok(Trigger::Groups(messages)) => {
            let line = |group: &Result<GroupName, String>| match group {
                Ok(name) => format!("look at {name}"),
                Err(why) => format!("drop: {why}"),
            };
            let lines: Vec<String> =
                messages.iter().map(|message| format!("{}: {}", message.message_id, line(&message.group))).collect();
            lines.join("\n")
        }
        Ok(Trigger::Wake(wakes)) => {
            let lines: Vec<String> = wakes
                .iter()
                .map(|wake| wake.as_ref().map_or_else(|why| format!("drop: {why}"), |wake| format!("{wake:?}")))
                .collect();
            lines.join("\n")
        }
        Err(unknown) => unknown.to_string(),
    };
    expected.assert_eq(&text);
}

/// An SQS document with one record.
fn queued(body: &str) -> String {
    let body = serde_json::to_string(body).expect("a string");
    format!(
        r#"{{"Records":[{{"messageId":"m-1","receiptHandle":"r","body":{body},
            "attributes":{{"ApproximateReceiveCount":"1","SentTimestamp":"1790000000000",
                "MessageGroupId":"0a1b","MessageDeduplicationId":"2c3d"}},
            "messageAttributes":{{}},"md5OfBody":"x","eventSource":"aws:sqs",
            "eventSourceARN":"arn:aws:sqs:us-east-1:111122223333:groups.fifo","awsRegion":"us-east-1"}}]}}"#
    )
}

#[test]
fn our_schedule_is_a_tick() {
    check(r#"{"spotward":"tick"}"#, expect!["look at all groups"]);
}

#[test]
fn a_scheduled_rule_is_a_tick() {
    check(
        r#"{"version":"0","id":"e-1","detail-type":"Scheduled Event","source":"aws.events","account":"111122223333",
            "time":"2026-11-22T12:05:00Z","region":"us-east-1",
            "resources":["arn:aws:events:us-east-1:111122223333:rule/x"],"detail":{}}"#,
        expect!["look at all groups"],
    );
}

#[test]
fn a_queued_group_is_looked_at() {
    check(&queued(r#"{"v":1,"group":"web"}"#), expect!["m-1: look at web"]);
}

#[test]
fn what_we_put_into_the_queue_is_what_we_read() {
    let name = GroupName::new("web \"quoted\" / ünusual");
    let body = serde_json::to_string(&GroupBody::new(&name)).expect("a body");
    check(&queued(&body), expect![[r#"m-1: look at web "quoted" / ünusual"#]]);
}

#[test]
fn several_records_are_several_groups() {
    check(
        r#"{"Records":[
            {"messageId":"m-1","body":"{\"v\":1,\"group\":\"web\"}","eventSource":"aws:sqs"},
            {"messageId":"m-2","body":"{\"v\":1,\"group\":\"api\"}","eventSource":"aws:sqs"}]}"#,
        expect![[r#"
            m-1: look at web
            m-2: look at api"#]],
    );
}

#[test]
fn one_bad_body_does_not_hide_the_others() {
    check(
        r#"{"Records":[
            {"messageId":"m-1","body":"hello","eventSource":"aws:sqs"},
            {"messageId":"m-2","body":"{\"v\":1,\"group\":\"api\"}","eventSource":"aws:sqs"}]}"#,
        expect![[r#"
            m-1: drop: expected value at line 1 column 1 in "hello"
            m-2: look at api"#]],
    );
}

#[test]
fn a_later_version_of_the_body_is_dropped() {
    check(
        &queued(r#"{"v":2,"group":"web"}"#),
        expect![[r#"m-1: drop: version 2 or empty group in "{\"v\":2,\"group\":\"web\"}""#]],
    );
}

#[test]
fn a_body_without_a_group_is_dropped() {
    check(&queued(r#"{"v":1}"#), expect![[r#"m-1: drop: missing field `group` at line 1 column 7 in "{\"v\":1}""#]]);
}

#[test]
fn a_body_with_an_empty_group_is_dropped() {
    check(
        &queued(r#"{"v":1,"group":""}"#),
        expect![[r#"m-1: drop: version 1 or empty group in "{\"v\":1,\"group\":\"\"}""#]],
    );
}

#[test]
fn a_group_that_is_not_a_text_is_dropped() {
    check(
        &queued(r#"{"v":1,"group":["web","api"]}"#),
        expect![[
            r#"m-1: drop: invalid type: sequence, expected a string at line 1 column 15 in "{\"v\":1,\"group\":[\"web\",\"api\"]}""#
        ]],
    );
}

// An event may wake us, never instruct us: what we do not know is named and left.

#[test]
fn a_topics_record_is_read_as_the_watchers() {
    check(
        r#"{"Records":[{"EventVersion":"1.0","EventSubscriptionArn":"arn","EventSource":"aws:sns",
            "Sns":{"Type":"Notification","MessageId":"m","TopicArn":"arn","Subject":null,"Message":"{\"v\":1,\"group\":\"web\"}",
                "Timestamp":"2026-11-22T12:05:00Z","MessageAttributes":{}}}]}"#,
        expect![[
            r#"drop: not a message of the watcher: missing field `id` at line 1 column 21 in "{\"v\":1,\"group\":\"web\"}""#
        ]],
    );
}

#[test]
fn an_event_of_a_customers_own_cannot_pose_as_ec2s() {
    check(
        r#"{"detail-type":"EC2 Spot Instance Interruption Warning","source":"com.example",
            "detail":{"instance-id":"i-0123456789abcdef0"}}"#,
        expect!["unknown event: source com.example, detail-type EC2 Spot Instance Interruption Warning"],
    );
}

/// Every document of the collection wakes what its index says, and nothing else.
#[test]
fn the_collected_events_wake_what_they_should() {
    let events = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events");
    let read = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(events.join(format!("{name}.json"))).expect("a document");
        serde_json::from_str(&text).expect("JSON")
    };
    let index = read("index");
    let index = index.as_object().expect("an object");
    assert!(index.len() > 40, "the collection is there");
    for (name, row) in index {
        let expected: Vec<&str> = row["wakes"].as_array().expect("a list").iter().filter_map(|w| w.as_str()).collect();
        let woken: Vec<String> = match Trigger::parse(&read(name)) {
            Ok(Trigger::Tick) => vec!["tick".to_owned()],
            Ok(Trigger::Groups(messages)) => messages
                .into_iter()
                .filter_map(|message| message.group.ok())
                .map(|name| format!("group {name}"))
                .collect(),
            Ok(Trigger::Wake(wakes)) => wakes.into_iter().filter_map(Result::ok).map(|wake| text(&wake)).collect(),
            Err(_) => Vec::new(),
        };
        assert_eq!(woken, expected, "{name}");
    }
}

fn text(wake: &Wake) -> String {
    match wake {
        Wake::Group(name) => format!("group {name}"),
        Wake::Instance(id) => format!("instance {id}"),
        Wake::Interruption(id) => format!("interruption {id}"),
        Wake::Rebalance(id) => format!("rebalance {id}"),
        Wake::Ready(id) => format!("ready {id}"),
        Wake::Drained(id) => format!("drained {id}"),
    }
}

#[test]
fn a_mixture_of_records_is_unknown() {
    check(
        r#"{"Records":[
            {"messageId":"m-1","body":"{\"v\":1,\"group\":\"web\"}","eventSource":"aws:sqs"},
            {"messageId":"m-2","body":"{\"v\":1,\"group\":\"api\"}","eventSource":"aws:kinesis"}]}"#,
        expect!["unknown event: records that are not from one queue or topic"],
    );
}

#[test]
fn no_records_at_all_are_unknown() {
    check(r#"{"Records":[]}"#, expect!["unknown event: records that are not from one queue or topic"]);
}

#[test]
fn a_record_without_a_message_id_is_unknown() {
    check(
        r#"{"Records":[{"body":"{\"v\":1,\"group\":\"web\"}","eventSource":"aws:sqs"}]}"#,
        expect!["unknown event: queue record: missing field `messageId`"],
    );
}

#[test]
fn another_events_detail_cannot_pose_as_a_tick() {
    check(
        r#"{"detail-type":"EC2 Spot Instance Request Fulfillment","source":"aws.ec2",
            "detail":{"spotward":"tick","spot-instance-request-id":"sir-1","instance-id":"i-1"}}"#,
        expect!["unknown event: source aws.ec2, detail-type EC2 Spot Instance Request Fulfillment"],
    );
}

#[test]
fn a_launch_hook_is_unknown() {
    check(
        r#"{"detail-type":"EC2 Instance-launch Lifecycle Action","source":"aws.autoscaling","resources":["arn"],
            "detail":{"LifecycleActionToken":"t","AutoScalingGroupName":"web","LifecycleHookName":"h","EC2InstanceId":"i-1",
                "LifecycleTransition":"autoscaling:EC2_INSTANCE_LAUNCHING","Origin":"EC2","Destination":"AutoScalingGroup"}}"#,
        expect!["unknown event: source aws.autoscaling, detail-type EC2 Instance-launch Lifecycle Action"],
    );
}

#[test]
fn an_event_is_described_without_its_contents() {
    check(
        r#"{"detail-type":"AWS API Call via CloudTrail","source":"aws.ec2","detail":{"secret":"do not log"}}"#,
        expect!["unknown event: source aws.ec2, detail-type AWS API Call via CloudTrail"],
    );
}

#[test]
fn what_is_no_object_is_unknown() {
    check("[1, 2]", expect!["unknown event: not a JSON object"]);
}

#[test]
fn an_empty_object_is_unknown() {
    check("{}", expect!["unknown event: source ?, detail-type ?"]);
}
