//! The sweep: a fresh look before anything is taken away, one failure at a time, silence when all is well.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use engine::CloudError;
use engine::tidy::{Reach, Tidy, sweep, sweep_line};
use jiff::Timestamp;
use planner::model::{GroupName, InstanceId, PurchaseOption, RunState};
use planner::policy::Config;
use planner::traces::{Removal, Trace, Traces, Whereabouts};

/// Orphans by id on each look, the last look again and again; what was asked is noted.
struct Region {
    looks: RefCell<Vec<Vec<&'static str>>>,
    members: Vec<&'static str>,
    failing: Option<&'static str>,
    said: RefCell<Vec<String>>,
}

impl Region {
    fn of(looks: &[&[&'static str]]) -> Self {
        Self {
            looks: RefCell::new(looks.iter().rev().map(|ids| ids.to_vec()).collect()),
            members: Vec::new(),
            failing: None,
            said: RefCell::new(Vec::new()),
        }
    }
}

fn orphan(id: &str) -> Trace {
    let tags = [("role", "replica"), ("asg", "gone"), ("stack", "spotward"), ("deadline", "1700000000")];
    let tags = tags.into_iter().filter(|(key, _)| !(id == "i-timeless" && *key == "deadline"));
    Trace {
        id: InstanceId::new(id),
        state: RunState::Running,
        purchase: PurchaseOption::Spot,
        tags: tags.map(|(key, value)| (format!("spotward:{key}"), value.to_owned())).collect(),
    }
}

impl Tidy for Region {
    async fn traces(&self, reach: Reach) -> Result<Traces, CloudError> {
        self.said.borrow_mut().push(format!("look {reach:?}"));
        let mut looks = self.looks.borrow_mut();
        let ids = if looks.len() > 1 { looks.pop().expect("more than one") } else { looks[0].clone() };
        let instances = ids.into_iter().map(orphan).collect();
        let now = Timestamp::from_second(1_700_010_000).expect("a time");
        Ok(Traces { now, instances, templates: Vec::new(), groups: Vec::new() })
    }

    async fn whereabouts(&self, instances: &[InstanceId], groups: &[GroupName]) -> Result<Whereabouts, CloudError> {
        self.said.borrow_mut().push(format!("where are {instances:?}"));
        let group = |id: &InstanceId| self.members.contains(&id.as_str()).then(|| GroupName::new("web"));
        Ok(Whereabouts {
            member_of: instances.iter().map(|id| (id.clone(), group(id))).collect(),
            exists: groups.iter().map(|name| (name.clone(), false)).collect::<BTreeMap<_, _>>(),
        })
    }

    async fn remove(&self, removal: &Removal) -> Result<(), CloudError> {
        self.said.borrow_mut().push(removal.to_string());
        match removal {
            Removal::End { instance } if self.failing == Some(instance.as_str()) => {
                Err(CloudError::Denied("TerminateInstances".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this region answers at once"),
    }
}

#[test]
fn where_nothing_is_left_over_one_look_is_all() {
    let region = Region::of(&[&[]]);
    let swept = run(sweep(&region, &Config::default())).expect("it looks");
    assert_eq!(*region.said.borrow(), ["look InFlight"]);
    assert!(swept.is_quiet());
    assert_eq!(sweep_line(&swept, "spotward"), None);
}

#[test]
fn an_orphan_is_looked_at_twice_and_ended_once() {
    let region = Region::of(&[&["i-1"]]);
    run(sweep(&region, &Config::default())).expect("it looks");
    let asked = "where are [i-1]";
    assert_eq!(*region.said.borrow(), ["look InFlight", asked, "look InFlight", asked, "terminate i-1"]);
}

#[test]
fn what_is_gone_on_the_second_look_is_left_alone() {
    let region = Region::of(&[&["i-1"], &[]]);
    let swept = run(sweep(&region, &Config::default())).expect("it looks");
    assert!(swept.done.is_empty());
    assert_eq!(swept.refused.len(), 1);
}

#[test]
fn a_member_is_never_ended() {
    let region = Region { members: vec!["i-1"], ..Region::of(&[&["i-1"]]) };
    assert!(run(sweep(&region, &Config::default())).expect("it looks").is_quiet());
}

#[test]
fn one_failure_does_not_stop_the_others_and_the_line_names_all() {
    let region = Region { failing: Some("i-1"), ..Region::of(&[&["i-1", "i-2", "i-timeless"]]) };
    let swept = run(sweep(&region, &Config::default())).expect("it looks");
    let line = sweep_line(&swept, "spotward").expect("there is something to say");
    assert_eq!(line["done"], serde_json::json!(["terminate i-2"]));
    assert_eq!(line["failed"], serde_json::json!(["terminate i-1: not permitted: TerminateInstances"]));
    assert_eq!(line["unaccountable"], serde_json::json!(["i-timeless"]));
}
