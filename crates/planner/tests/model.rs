//! How AWS's words are read, and ours.

mod support;

use planner::model::{Cause, Platform, Price, Provenance, Role, RunState, Tags, tag};
use support::picture;

#[test]
fn a_price_is_a_positive_decimal_number() {
    assert_eq!(Price::parse(" 0.0960000000 "), Some(Price(96_000)));
    assert_eq!(Price::parse("0.0000005"), Some(Price(1)), "to the nearest micro-dollar");
    assert_eq!(Price::parse("999999999"), Some(Price(999_999_999_000_000)));
    for text in ["", "free", "0", "0.0000000000", "0.0000004", "-0.1", "NaN", "inf", "-inf", "1000000000"] {
        assert_eq!(Price::parse(text), None, "{text}");
    }
}

#[test]
fn a_platform_is_priced_as_it_is_billed() {
    for (platform, operation) in [
        (Platform::Linux, "RunInstances"),
        (Platform::Rhel, "RunInstances:0010"),
        (Platform::Suse, "RunInstances:000g"),
        (Platform::Windows, "RunInstances:0002"),
    ] {
        assert_eq!(platform.usage_operation(), operation);
        assert_eq!(Platform::from_usage_operation(operation), Some(platform));
    }
}

#[test]
fn a_group_has_a_platform_if_all_members_have_the_same() {
    let of = |second: Option<Platform>| {
        let mut group = picture("group web\n i-1  on-demand\n i-2  on-demand\n i-3  on-demand").observation.group;
        group.members[1].ec2.as_mut().expect("EC2 shows it").platform = second;
        group.platform()
    };
    assert_eq!(of(Some(Platform::Linux)), Some(Platform::Linux));
    assert_eq!((of(Some(Platform::Rhel)), of(None)), (None, None));
    assert_eq!(picture("group web\n i-1  on-demand\n i-2  on-demand  unseen").observation.group.platform(), None);
}

#[test]
fn states_of_ec2_are_read_and_an_unknown_one_does_not_run() {
    use RunState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
    let words = ["pending", "running", "stopping", "stopped", "shutting-down", "terminated", "hovering"];
    assert_eq!(words.map(RunState::parse), [Pending, Running, Stopping, Stopped, ShuttingDown, Terminated, Pending]);
}

#[test]
fn causes_and_roles_are_written_as_they_are_read() {
    for (cause, name) in [(Cause::Swap, "swap"), (Cause::Notice, "notice"), (Cause::Rebalance, "rebalance")] {
        assert_eq!((cause.as_str(), Cause::from_tag(Some(name))), (name, cause));
    }
    assert_eq!((Cause::from_tag(None), Cause::from_tag(Some("412"))), (Cause::Swap, Cause::Swap));
    for (role, name) in [(Role::Replica, "replica"), (Role::Member, "member"), (Role::Doomed, "doomed")] {
        let all = [(tag::ROLE, name), (tag::GROUP, "web"), (tag::VICTIM, "i-1"), (tag::DEADLINE, "1790001800")];
        let mut tags: Tags = all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        tags.insert(tag::STACK.to_owned(), "spotward".to_owned());
        assert_eq!(role.as_str(), name);
        assert_eq!(Provenance::from_tags(&tags).map(|ours| ours.role), Some(role));
    }
}
