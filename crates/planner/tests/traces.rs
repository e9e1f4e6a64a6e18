//! What the sweep ends and what an uninstall takes away; and what neither may touch.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use planner::guard::check_removal;
use planner::model::{GroupName, InstanceId, PurchaseOption, RunState, Tags};
use planner::policy::Config;
use planner::traces::{DerivedTemplate, Extent, Removal, TaggedGroup, Trace, Traces, Whereabouts, sweep, uninstall};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

fn tags(text: &str) -> Tags {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.replace('~', "spotward:"), value.to_owned()))
        .collect()
}

/// An instance by id, minutes since its deadline, and more tags; `~` is our namespace, `-key` takes a tag off.
fn instance(id: &str, minutes_late: i64, more: &str) -> Trace {
    let deadline = now() - SignedDuration::from_mins(minutes_late);
    let mut all = tags("~role=replica ~asg=gone ~victim=i-0 ~stack=spotward ~win=1");
    all.insert("spotward:deadline".to_owned(), deadline.as_second().to_string());
    all.extend(tags(more));
    for key in more.split_whitespace().filter_map(|word| word.strip_prefix('-')) {
        all.remove(&key.replace('~', "spotward:"));
    }
    Trace { id: InstanceId::new(id), state: RunState::Running, purchase: PurchaseOption::Spot, tags: all }
}

fn region(instances: Vec<Trace>, templates: Vec<DerivedTemplate>, groups: &[(&str, &str)]) -> Traces {
    let group = |(name, text): &(&str, &str)| TaggedGroup { name: GroupName::new(*name), tags: tags(text) };
    Traces { now: now(), instances, templates, groups: groups.iter().map(group).collect() }
}

fn template(id: &str, is_needed: bool, minutes_old: i64) -> DerivedTemplate {
    DerivedTemplate {
        id: id.to_owned(),
        name: format!("spotward-{id}"),
        made_at: now() - SignedDuration::from_mins(minutes_old),
        tags: tags("~role=lt ~stack=spotward"),
        is_needed,
    }
}

/// Auto Scaling was asked for all of them: nobody is a member of anything, `here` exists and `gone` does not.
fn nowhere(traces: &Traces) -> Whereabouts {
    let exists = BTreeMap::from([(GroupName::new("here"), true), (GroupName::new("gone"), false)]);
    Whereabouts { member_of: traces.instances.iter().map(|trace| (trace.id.clone(), None)).collect(), exists }
}

fn told(removals: &[Removal]) -> String {
    removals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What the sweep does with one instance, and that the guard agrees.
fn swept(trace: Trace) -> String {
    let traces = region(vec![trace], Vec::new(), &[]);
    let removals = sweep(&traces, &nowhere(&traces), &Config::default());
    for removal in &removals {
        let verdict = check_removal(&traces, &nowhere(&traces), removal, Extent::Sweep, &Config::default());
        assert_eq!(verdict, Ok(()), "{removal}");
    }
    told(&removals)
}

#[test]
fn an_orphan_is_ended_five_minutes_after_its_deadline_and_not_before() {
    assert_eq!(swept(instance("i-1", 5, "")), "terminate i-1");
    assert_eq!(swept(instance("i-1", 4, "")), "");
    assert_eq!(swept(instance("i-1", -10, "")), "");
}

#[test]
fn what_a_group_can_see_to_is_left_to_its_passes_for_an_hour() {
    assert_eq!(swept(instance("i-1", 59, "~asg=here")), "");
    assert_eq!(swept(instance("i-1", 60, "~asg=here")), "terminate i-1");
}

#[test]
fn what_no_pass_would_see_to_is_ended() {
    assert_eq!(swept(instance("i-1", 6, "-~asg")), "terminate i-1", "no group is named");
    let marked = instance("i-1", 6, "~asg=here aws:autoscaling:groupName=here");
    assert_eq!(swept(marked), "terminate i-1", "passes leave what looks like a member of another group");
    assert_eq!(swept(instance("i-1", 6, "~role=doomed")), "terminate i-1");
}

#[test]
fn the_sweep_ends_nothing_else() {
    for kept in [
        "~role=member",
        "~role=lt",
        "~stack=another",
        "-~stack",
        "-~role",
        "-~deadline",
        "~deadline=soon",
        "~deadline=17",
    ] {
        assert_eq!(swept(instance("i-1", 600, kept)), "", "{kept}");
    }
    let gone = Trace { state: RunState::Terminated, ..instance("i-1", 600, "") };
    assert_eq!(swept(gone), "");
}

#[test]
fn members_of_any_group_are_never_ended_nor_what_nobody_asked_about() {
    let config = Config::default();
    let traces = region(vec![instance("i-1", 600, "")], Vec::new(), &[]);
    let member = Whereabouts {
        member_of: BTreeMap::from([(InstanceId::new("i-1"), Some(GroupName::new("other")))]),
        exists: BTreeMap::from([(GroupName::new("gone"), false)]),
    };
    let end = Removal::End { instance: InstanceId::new("i-1") };
    for whereabouts in [member, Whereabouts::default()] {
        assert_eq!(sweep(&traces, &whereabouts, &config), []);
        let refusal = check_removal(&traces, &whereabouts, &end, Extent::Sweep, &config);
        assert!(refusal.is_err(), "{whereabouts:?}");
    }
}

#[test]
fn the_guard_looks_at_the_fresh_region_only() {
    let config = Config::default();
    let end = Removal::End { instance: InstanceId::new("i-1") };
    for changed in ["~role=member", "~stack=another", "-~deadline"] {
        let fresh = region(vec![instance("i-1", 600, changed)], Vec::new(), &[]);
        assert!(check_removal(&fresh, &nowhere(&fresh), &end, Extent::Sweep, &config).is_err(), "{changed}");
    }
    let empty = region(Vec::new(), Vec::new(), &[]);
    assert!(check_removal(&empty, &Whereabouts::default(), &end, Extent::Sweep, &config).is_err());
}

#[test]
fn the_guard_ends_nothing_before_its_grace_is_over_and_knows_one_group_from_another() {
    let config = Config::default();
    let end = Removal::End { instance: InstanceId::new("i-1") };
    let late = |minutes: i64| {
        let traces = region(vec![instance("i-1", minutes, "")], Vec::new(), &[]);
        check_removal(&traces, &nowhere(&traces), &end, Extent::Sweep, &config)
    };
    assert_eq!(late(5), Ok(()));
    assert!(late(4).is_err());
    let swap = "~swap=v1;id=abc;in=i-1;out=i-2;d=2;t=1795348800;by=spotward ~backoff=x";
    let traces = region(Vec::new(), Vec::new(), &[("busy", swap), ("idle", "~backoff=x")]);
    let untag = |group: &str| {
        let removal = Removal::GroupTags { group: GroupName::new(group), keys: vec!["spotward:backoff".to_owned()] };
        check_removal(&traces, &nowhere(&traces), &removal, Extent::Uninstall, &config)
    };
    assert_eq!(untag("idle"), Ok(()));
    assert!(untag("busy").is_err());
}

#[test]
fn templates_go_when_their_launch_configuration_is_gone() {
    let all = vec![template("lt-1", false, 6), template("lt-2", true, 600), template("lt-3", false, 4)];
    let traces = region(Vec::new(), all, &[]);
    assert_eq!(told(&sweep(&traces, &Whereabouts::default(), &Config::default())), "delete launch template lt-1");
    let needed = Removal::Template { id: "lt-2".to_owned() };
    let check = |extent| check_removal(&traces, &Whereabouts::default(), &needed, extent, &Config::default());
    assert!(check(Extent::Sweep).is_err());
    assert_eq!(check(Extent::Uninstall), Ok(()));
}

#[test]
fn instances_without_a_readable_deadline_are_reported() {
    let traces =
        region(vec![instance("i-1", 0, "-~deadline"), instance("i-2", 0, "~role=member -~deadline")], vec![], &[]);
    let config = Config::default();
    let timeless: Vec<&str> = traces.timeless(&config).map(|trace| trace.id.as_str()).collect();
    assert_eq!(timeless, ["i-1"]);
}

#[test]
fn nor_those_of_others_or_that_are_gone() {
    let gone = Trace { state: RunState::Terminated, ..instance("i-3", 0, "-~deadline") };
    let all = vec![instance("i-1", 0, "-~deadline ~stack=another"), instance("i-2", 0, ""), gone];
    assert_eq!(region(all, vec![], &[]).timeless(&Config::default()).count(), 0);
}

#[test]
fn spot_members_are_what_we_brought_as_spot_and_whose_swap_is_over() {
    let back = Trace { purchase: PurchaseOption::OnDemand, ..instance("i-4", 0, "~role=member") };
    let all = vec![
        instance("i-1", 0, "~role=member"),
        instance("i-2", 0, ""),
        instance("i-3", 0, "~role=member ~stack=another"),
        back,
    ];
    let (traces, config) = (region(all, vec![], &[]), Config::default());
    let members: Vec<&str> = traces.spot_members(&config).map(|trace| trace.id.as_str()).collect();
    assert_eq!(members, ["i-1"]);
}

#[test]
fn a_group_is_in_flight_by_its_journal_alone() {
    let journal = |by: &str| format!("~swap=v1;id=abc;in=i-1;out=i-2;d=2;t=1795348800;by={by}");
    let (ours, theirs) = (journal("spotward"), journal("another"));
    let groups = [("ours", ours.as_str()), ("theirs", &theirs), ("unreadable", "~swap=v1;id"), ("idle", "team=web")];
    let in_flight = region(vec![], vec![], &groups).in_flight(&Config::default());
    assert_eq!(in_flight.iter().map(GroupName::as_str).collect::<Vec<_>>(), ["ours", "unreadable"]);
}

#[test]
fn each_removal_has_a_name() {
    let (id, keys) = ("i-1".to_owned(), Vec::new());
    let instance = InstanceId::new("i-1");
    let removals = [
        Removal::End { instance: instance.clone() },
        Removal::Template { id },
        Removal::InstanceTags { instance, fleet: None, keys: keys.clone() },
        Removal::GroupTags { group: GroupName::new("web"), keys },
    ];
    assert_eq!(removals.map(|removal| removal.name()), ["end", "delete-template", "untag-instance", "untag-group"]);
}

fn uninstalled(traces: &Traces, extent: Extent) -> Vec<String> {
    let config = Config::default();
    let removals = uninstall(traces, extent, &config);
    for removal in &removals {
        let verdict = check_removal(traces, &nowhere(traces), removal, extent, &config);
        assert_eq!(verdict, Ok(()), "{removal}");
    }
    removals.iter().map(ToString::to_string).collect()
}

#[test]
fn an_uninstall_takes_our_tags_and_templates_and_leaves_the_owners_settings() {
    let member = instance("i-1", 0, "~role=member team=web ~min-on-demand=1");
    let groups = [("web", "spot-enabled=true ~backoff=x ~min-on-demand=1 team=web"), ("api", "spot-enabled=true")];
    let traces = region(vec![member], vec![template("lt-1", true, 0)], &groups);
    assert_eq!(
        uninstalled(&traces, Extent::Uninstall),
        [
            "untag i-1: spotward:asg, spotward:deadline, spotward:role, spotward:stack, spotward:victim, spotward:win",
            "untag group web: spotward:backoff",
            "delete launch template lt-1",
        ]
    );
    assert_eq!(
        uninstalled(&traces, Extent::UninstallWithSettings)[1..],
        [
            "untag group web: spot-enabled, spotward:backoff, spotward:min-on-demand",
            "untag group api: spot-enabled",
            "delete launch template lt-1",
        ]
    );
}

#[test]
fn nothing_of_a_swap_in_flight_is_taken_away() {
    let config = Config::default();
    let journal = "~swap=v1;id=abc;in=i-1;out=i-2;d=2;t=1795348800;by=spotward ~backoff=x";
    let traces = region(vec![instance("i-1", 0, "~asg=web")], vec![template("lt-1", true, 9)], &[("web", journal)]);
    assert_eq!(uninstalled(&traces, Extent::UninstallWithSettings), [""; 0]);
    assert_eq!(traces.in_flight(&config).len(), 1);
    let by_hand = [
        Removal::GroupTags { group: GroupName::new("web"), keys: vec!["spotward:swap".to_owned()] },
        Removal::InstanceTags { instance: InstanceId::new("i-1"), fleet: None, keys: vec!["spotward:swap".to_owned()] },
    ];
    for removal in by_hand {
        let verdict = check_removal(&traces, &Whereabouts::default(), &removal, Extent::Uninstall, &config);
        assert!(verdict.is_err(), "{removal}");
    }
}

#[test]
fn another_deployments_swaps_and_instances_stay() {
    let journal = "~swap=v1;id=abc;in=i-1;out=i-2;d=2;t=1795348800;by=another ~backoff=x";
    let theirs = instance("i-1", 0, "~asg=web ~role=member ~stack=another");
    let foreign = DerivedTemplate { tags: tags("~role=lt ~stack=another"), ..template("lt-1", false, 60) };
    let traces = region(vec![theirs], vec![foreign], &[("web", journal)]);
    assert_eq!(uninstalled(&traces, Extent::UninstallWithSettings), [""; 0]);
    assert!(traces.in_flight(&Config::default()).is_empty());
}

#[test]
fn only_our_keys_are_ever_deleted() {
    let config = Config::default();
    let traces = region(vec![instance("i-1", 0, "~role=member team=web")], vec![], &[("web", "team=web ~backoff=x")]);
    let check = |removal: &Removal, extent| check_removal(&traces, &Whereabouts::default(), removal, extent, &config);
    for key in ["team", "Name", "aws:autoscaling:groupName", "spot-enabled"] {
        let instance =
            Removal::InstanceTags { instance: InstanceId::new("i-1"), fleet: None, keys: vec![key.to_owned()] };
        let group = Removal::GroupTags { group: GroupName::new("web"), keys: vec![key.to_owned()] };
        assert!(check(&instance, Extent::Uninstall).is_err(), "{key}");
        assert!(check(&group, Extent::Uninstall).is_err(), "{key}");
    }
    let group = Removal::GroupTags { group: GroupName::new("web"), keys: vec!["spotward:backoff".to_owned()] };
    assert!(check(&group, Extent::Sweep).is_err(), "the function deletes no tags this way");
}
