//! The JSON that we promise, whole: a change here is a change of an interface.

mod support;

use engine::view::{GroupPlan, action, error_kind, notice_line, pass_line, tick_line};
use engine::{CloudError, look, reconcile, survey};
use expect_test::{Expect, expect};
use jiff::Timestamp;
use planner::action::{Action, Expect as Still, Finished};
use planner::journal::{Journal, RaisedMax};
use planner::model::{GroupName, InstanceId};
use serde_json::Value;
use support::{Script, run};

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

fn web() -> GroupName {
    GroupName::new("web")
}

/// One group as `plan --json` shows it.
fn check_plan(text: &str, expected: Expect) {
    let script = Script::of(&[text]);
    let look =
        run(look(&script, &script.config(), &web())).expect("looks never fail here").expect("the group is there");
    expected.assert_eq(&pretty(&serde_json::to_value(GroupPlan::of(&look)).expect("JSON")));
}

fn line(script: &Script) -> Value {
    let pass = run(reconcile(script, &script.config(), &web())).expect("looks never fail here");
    pass_line(&pass, "spotward", 1_795_349_100_000)
}

/// The line of one pass, without the declaration of its metrics.
fn check_line(script: Script, expected: Expect) {
    let mut line = line(&script);
    line.as_object_mut().expect("an object").remove("_aws").expect("declared");
    expected.assert_eq(&pretty(&line));
}

#[test]
fn a_plan_names_the_launch_and_why_the_others_stay() {
    check_plan(
        "group web  min 1  max 4
           i-1  on-demand
           i-2  on-demand  protected  zone b
           i-3  spot  type m6i.large",
        expect![[r#"
            {
              "action": {
                "client_token": "spotward-i-1-2992248-0733ca41488c98f9",
                "name": "launch",
                "pools": [
                  {
                    "instance_type": "m5.large",
                    "usd_per_hour": 0.04,
                    "zone": "us-east-1a"
                  }
                ],
                "purchase": "spot",
                "strategy": "price-capacity-optimized",
                "subnet": "subnet-a",
                "victim": "i-1"
              },
              "at": "2026-11-22T12:05:00Z",
              "blockers": [],
              "desired": 3,
              "group": "web",
              "max_size": 4,
              "members": [
                {
                  "id": "i-1",
                  "instance_type": "m5.large",
                  "left_alone": null,
                  "purchase": "on-demand",
                  "state": "InService",
                  "zone": "us-east-1a"
                },
                {
                  "id": "i-2",
                  "instance_type": "m5.large",
                  "left_alone": {
                    "code": "protected",
                    "text": "is protected from scale-in"
                  },
                  "purchase": "on-demand",
                  "state": "InService",
                  "zone": "us-east-1b"
                },
                {
                  "id": "i-3",
                  "instance_type": "m6i.large",
                  "left_alone": {
                    "code": "spot",
                    "text": "is bought as it should be"
                  },
                  "purchase": "spot",
                  "state": "InService",
                  "zone": "us-east-1a"
                }
              ],
              "min_size": 1,
              "need": null,
              "on_demand": 2,
              "spot": 1,
              "swap": "idle",
              "wait": null
            }
        "#]],
    );
}

#[test]
fn a_plan_names_what_it_waits_for() {
    check_plan(
        "group web
           i-1  on-demand
           i-9  spot  unattached  pending  replaces i-1",
        expect![[r#"
            {
              "action": null,
              "at": "2026-11-22T12:05:00Z",
              "blockers": [],
              "desired": 1,
              "group": "web",
              "max_size": 10,
              "members": [
                {
                  "id": "i-1",
                  "instance_type": "m5.large",
                  "left_alone": null,
                  "purchase": "on-demand",
                  "state": "InService",
                  "zone": "us-east-1a"
                }
              ],
              "min_size": 0,
              "need": null,
              "on_demand": 1,
              "spot": 0,
              "swap": "warming",
              "wait": {
                "code": "booting",
                "text": "i-9 is booting"
              }
            }
        "#]],
    );
}

#[test]
fn a_plan_names_its_blockers() {
    check_plan(
        "group web  warm-pool
           i-1  on-demand
           suspended  Launch",
        expect![[r#"
            {
              "action": null,
              "at": "2026-11-22T12:05:00Z",
              "blockers": [
                {
                  "code": "warm-pool",
                  "text": "warm pools cannot hold spot instances"
                },
                {
                  "code": "process-suspended",
                  "text": "the process Launch is suspended"
                }
              ],
              "desired": 1,
              "group": "web",
              "max_size": 10,
              "members": [
                {
                  "id": "i-1",
                  "instance_type": "m5.large",
                  "left_alone": null,
                  "purchase": "on-demand",
                  "state": "InService",
                  "zone": "us-east-1a"
                }
              ],
              "min_size": 0,
              "need": null,
              "on_demand": 1,
              "spot": 0,
              "swap": "idle",
              "wait": null
            }
        "#]],
    );
}

#[test]
fn the_line_of_a_launch() {
    check_line(
        Script::of(&["group web
           i-1  on-demand"]),
        expect![[r#"
            {
              "Acted": 1,
              "Denied": 0,
              "Failed": 0,
              "Launched": 1,
              "Refused": 0,
              "Swapped": 0,
              "action": {
                "client_token": "spotward-i-1-2992248-0733ca41488c98f9",
                "name": "launch",
                "pools": [
                  {
                    "instance_type": "m5.large",
                    "usd_per_hour": 0.04,
                    "zone": "us-east-1a"
                  }
                ],
                "purchase": "spot",
                "strategy": "price-capacity-optimized",
                "subnet": "subnet-a",
                "victim": "i-1"
              },
              "blockers": [],
              "desired": 1,
              "group": "web",
              "kind": "pass",
              "max_size": 10,
              "on_demand": 1,
              "outcome": "acted",
              "spot": 0,
              "stack": "spotward",
              "swap": "idle",
              "v": 1,
              "wait": null
            }
        "#]],
    );
}

#[test]
fn the_line_of_a_victims_end_counts_a_swap() {
    check_line(
        Script::of(&["group web
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1"]),
        expect![[r#"
            {
              "Acted": 1,
              "Denied": 0,
              "Failed": 0,
              "Launched": 0,
              "Refused": 0,
              "Swapped": 1,
              "action": {
                "desired": 2,
                "member": "i-1",
                "name": "terminate"
              },
              "blockers": [],
              "desired": 2,
              "group": "web",
              "kind": "pass",
              "max_size": 10,
              "on_demand": 1,
              "outcome": "acted",
              "spot": 1,
              "stack": "spotward",
              "swap": "attached",
              "v": 1,
              "wait": null
            }
        "#]],
    );
}

#[test]
fn a_replica_that_leaves_again_is_no_swap() {
    let script = Script::of(&["group web  not-enabled
                                 i-1  on-demand
                                 i-9  spot  replaces i-1
                                 journal  i-9 for i-1  desired 1"]);
    let line = line(&script);
    assert_eq!((&line["action"]["member"], &line["Acted"], &line["Swapped"]), (&"i-9".into(), &1.into(), &0.into()));
}

#[test]
fn every_line_declares_its_metrics_for_the_deployment_as_a_whole() {
    expect![[r#"{"CloudWatchMetrics":[{"Dimensions":[["stack"]],"Metrics":[{"Name":"Refused","Unit":"Count"},{"Name":"Failed","Unit":"Count"},{"Name":"Denied","Unit":"Count"},{"Name":"Launched","Unit":"Count"},{"Name":"Swapped","Unit":"Count"}],"Namespace":"spotward"}],"Timestamp":1795349100000}"#]].assert_eq(&line(&Script::of(&[]))["_aws"].to_string());
}

/// The line of a tick over these groups, and the metrics that it declares.
fn check_tick(pictures: &[&str], expected: Expect) {
    let script = Script::of(pictures);
    let looks = run(survey(&script, &script.config())).expect("looks never fail here");
    let mut line = tick_line(&looks, 1, "spotward", 1_795_349_100_000);
    line.as_object_mut().expect("an object").remove("_aws").expect("declared");
    expected.assert_eq(&(line.to_string() + "\n"));
}

#[test]
fn the_line_of_a_tick_counts_members_pools_that_cool_and_the_age_of_the_oldest_swap() {
    check_tick(
        &[
            "group web
               i-1  on-demand
               i-2  spot
               tag  spotward:backoff=v1;t=29922485;us-east-1a=m5.large+30*1,m6i.large-5*1;us-east-1b=m5.large+9*2!",
            "group workers
               i-1  on-demand
               i-9  spot  replaces i-1
               journal  i-9 for i-1  desired 1  age 90m",
        ],
        expect![[r#"
            {"CoolingPools":2,"OldestSwap":5400,"OnDemand":2,"Spot":2,"groups":2,"kind":"tick","queued":1,"stack":"spotward","v":1}
        "#]],
    );
}

#[test]
fn an_unreadable_journal_is_an_old_one() {
    check_tick(
        &["group web
             i-1  on-demand
             tag  spotward:swap=nonsense"],
        expect![[r#"
            {"CoolingPools":0,"OldestSwap":7200,"OnDemand":1,"Spot":0,"groups":1,"kind":"tick","queued":1,"stack":"spotward","v":1}
        "#]],
    );
}

#[test]
fn no_group_at_all_is_a_line_too() {
    check_tick(
        &[],
        expect![[r#"
        {"CoolingPools":0,"OldestSwap":0,"OnDemand":0,"Spot":0,"groups":0,"kind":"tick","queued":1,"stack":"spotward","v":1}
    "#]],
    );
}

#[test]
fn all_lines_together_declare_no_more_metrics_than_cloudwatch_gives_for_nothing() {
    let names = |line: Value| -> Vec<String> {
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().expect("a list").clone();
        for metric in &metrics {
            assert!(line[metric["Name"].as_str().expect("a name")].is_u64(), "{metric} is declared and not there");
        }
        metrics.iter().map(|metric| metric["Name"].as_str().expect("a name").to_owned()).collect()
    };
    let mut all = names(line(&Script::of(&[])));
    all.extend(names(tick_line(&[], 0, "spotward", 0)));
    all.extend(names(notice_line(&web(), &InstanceId::new("i-1"), "spotward", 0)));
    assert!(all.len() <= 10, "{all:?}");
}

#[test]
fn the_line_of_a_refusal() {
    check_line(
        Script::of(&[
            "group web
               i-1  on-demand
               i-9  spot  replaces i-1
               journal  i-9 for i-1  desired 1",
            "group web  desired 4
               i-1  on-demand
               i-9  spot  replaces i-1
               journal  i-9 for i-1  desired 1",
        ]),
        expect![[r#"
            {
              "Acted": 1,
              "Denied": 0,
              "Failed": 0,
              "Launched": 0,
              "Refused": 1,
              "Swapped": 0,
              "action": {
                "drop_journal": null,
                "name": "finish",
                "replica": "i-9"
              },
              "blockers": [],
              "desired": 4,
              "group": "web",
              "kind": "pass",
              "max_size": 10,
              "on_demand": 1,
              "outcome": "acted",
              "refusal": "terminate: desired is 4, not 1 + 1",
              "spot": 1,
              "stack": "spotward",
              "swap": "forfeit",
              "v": 1,
              "wait": null
            }
        "#]],
    );
}

#[test]
fn the_line_of_a_failure_counts_nothing_done() {
    let denied = CloudError::Denied("ec2:CreateFleet".to_owned());
    check_line(
        Script::of(&["group web
           i-1  on-demand"])
        .answering(denied),
        expect![[r#"
            {
              "Acted": 0,
              "Denied": 1,
              "Failed": 1,
              "Launched": 0,
              "Refused": 0,
              "Swapped": 0,
              "action": {
                "client_token": "spotward-i-1-2992248-0733ca41488c98f9",
                "name": "launch",
                "pools": [
                  {
                    "instance_type": "m5.large",
                    "usd_per_hour": 0.04,
                    "zone": "us-east-1a"
                  }
                ],
                "purchase": "spot",
                "strategy": "price-capacity-optimized",
                "subnet": "subnet-a",
                "victim": "i-1"
              },
              "blockers": [],
              "desired": 1,
              "error": {
                "kind": "denied",
                "text": "not permitted: ec2:CreateFleet"
              },
              "group": "web",
              "kind": "pass",
              "max_size": 10,
              "on_demand": 1,
              "outcome": "failed",
              "spot": 0,
              "stack": "spotward",
              "swap": "idle",
              "v": 1,
              "wait": null
            }
        "#]],
    );
}

#[test]
fn the_line_of_a_group_that_is_gone() {
    check_line(
        Script::of(&[]),
        expect![[r#"
            {
              "Acted": 0,
              "Denied": 0,
              "Failed": 0,
              "Launched": 0,
              "Refused": 0,
              "Swapped": 0,
              "group": "web",
              "kind": "pass",
              "outcome": "gone",
              "stack": "spotward",
              "v": 1
            }
        "#]],
    );
}

/// Every action under its name, with everything that it carries.
#[test]
fn every_action_has_its_view() {
    let id = InstanceId::new;
    let max = RaisedMax { original: 2, raised: 3 };
    let expect = Still { desired: 3, serving: 3 };
    let written_at = Timestamp::from_second(1_790_000_000).expect("in range");
    let journal = Journal {
        id: "1a2b3c4d".to_owned(),
        replica: id("i-9"),
        victim: id("i-1"),
        desired: 2,
        raised_max: Some(max),
        suspends_az_rebalance: true,
        written_at,
        stack: "spotward".to_owned(),
    };
    let actions = [
        Action::Discard { replica: id("i-9") },
        Action::Arm { journal },
        Action::Prepare { suspend_az_rebalance: true, raise_max: Some(max) },
        Action::Attach { replica: id("i-9"), expect },
        Action::Doom { victim: id("i-1"), deadline: written_at, brought: false },
        Action::Pardon { victim: id("i-1"), brought: false },
        Action::Detach { victim: id("i-1"), expect },
        Action::Terminate { member: id("i-1"), expect },
        Action::Compensate { from: 1, to: 2 },
        Action::Restore { max: Some(max), resume_az_rebalance: true },
        Action::Finish { replica: Some(Finished::Member(id("i-9"))), drop_journal: Some("1a2b3c4d".to_owned()) },
        Action::Finish { replica: None, drop_journal: Some("1a2b3c4d".to_owned()) },
        Action::EndDoomed { victim: id("i-1") },
        Action::RecordReady { replica: id("i-9"), at: written_at },
    ];
    let lines: String = actions.iter().map(|done| format!("{}\n", action(done))).collect();
    expect![[r#"
        {"name":"discard","replica":"i-9"}
        {"journal":"v1;id=1a2b3c4d;in=i-9;out=i-1;d=2;max=2>3;az=1;t=1790000000;by=spotward","name":"arm"}
        {"max_size":{"from":2,"to":3},"name":"prepare","suspend_az_rebalance":true}
        {"desired":3,"name":"attach","replica":"i-9"}
        {"deadline":"2026-09-21T14:13:20Z","name":"doom","victim":"i-1"}
        {"name":"pardon","victim":"i-1"}
        {"desired":3,"name":"detach","victim":"i-1"}
        {"desired":3,"member":"i-1","name":"terminate"}
        {"desired":{"from":1,"to":2},"name":"compensate"}
        {"max_size":{"from":3,"to":2},"name":"restore","resume_az_rebalance":true}
        {"drop_journal":"1a2b3c4d","name":"finish","replica":"i-9"}
        {"drop_journal":"1a2b3c4d","name":"finish","replica":null}
        {"name":"end-doomed","victim":"i-1"}
        {"at":"2026-09-21T14:13:20Z","name":"record-ready","replica":"i-9"}
    "#]]
    .assert_eq(&lines);
}

#[test]
fn every_error_has_its_kind() {
    let text = String::new;
    let kinds: Vec<&str> = [
        CloudError::InsufficientCapacity(text().into()),
        CloudError::Limit(text()),
        CloudError::Throttled(text()),
        CloudError::Denied(text()),
        CloudError::NotFound(text()),
        CloudError::Conflict(text()),
        CloudError::Rejected(text()),
    ]
    .iter()
    .map(error_kind)
    .collect();
    expect!["insufficient-capacity limit throttled denied not-found conflict rejected"].assert_eq(&kinds.join(" "));
}
