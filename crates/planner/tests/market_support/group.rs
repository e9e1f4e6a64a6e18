//! Groups of a few members for tests about risk and pace.

use std::collections::BTreeMap;

use jiff::Timestamp;
use planner::model::{
    Cause, Ec2Facts, Group, InstanceId, LaunchSource, LifecycleState, Member, Platform, Provenance, PurchaseOption,
    Replica, Role, RunState,
};

/// A moment in 2026, and minutes after it.
pub fn minute(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-11-02T12:00:00Z".parse().expect("a moment");
    Timestamp::from_second(start.as_second() + minutes * 60).expect("a moment")
}

/// A group without members.
pub fn group(desired: u32) -> Group {
    Group {
        name: "web".into(),
        arn: "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web".to_owned(),
        desired,
        min_size: 0,
        max_size: 100,
        subnets: Vec::new(),
        zones: Vec::new(),
        tags: BTreeMap::new(),
        propagated_tags: BTreeMap::new(),
        suspended: Default::default(),
        source: LaunchSource::Missing,
        status: None,
        operator: None,
        warm_pool: false,
        capacity_rebalance: false,
        desired_capacity_type: None,
        new_members_protected: false,
        grace_seconds: 300,
        load_balanced: false,
        placement_group: None,
        members: Vec::new(),
        replicas: Vec::new(),
        details: None,
    }
}

/// A member of `type/zone` that was launched then.
pub fn member(id: &str, pool: &str, purchase: PurchaseOption, launched_at: Timestamp) -> Member {
    let (instance_type, zone) = pool.split_once('/').expect("type/zone");
    Member {
        id: id.into(),
        zone: zone.into(),
        instance_type: instance_type.into(),
        purchase,
        lifecycle: LifecycleState::InService,
        healthy: true,
        targets_healthy: None,
        protected: false,
        weighted: false,
        template_version: Some(1),
        ec2: Some(Ec2Facts {
            state: RunState::Running,
            launched_at,
            subnet: "subnet-1".into(),
            image: "ami-1".into(),
            platform: Some(Platform::Linux),
            interrupted: false,
            ends_at: None,
            elastic_ip: false,
            attached_later: false,
            reserved: false,
            enabled: false,
            termination_protected: Some(false),
        }),
        ours: None,
    }
}

/// What our tags say about an instance that we launched.
pub fn ours(role: Role) -> Provenance {
    Provenance {
        role,
        group: "web".into(),
        victim: InstanceId::new("i-0"),
        stands_for: None,
        bid: None,
        deadline: minute(600),
        stack: "spotward".to_owned(),
        journal: None,
        ready_at: None,
        cause: Cause::Swap,
    }
}

/// A replica outside the group.
pub fn replica(id: &str, pool: &str, launched_at: Timestamp) -> Replica {
    let (instance_type, zone) = pool.split_once('/').expect("type/zone");
    Replica {
        id: id.into(),
        zone: zone.into(),
        instance_type: instance_type.into(),
        purchase: PurchaseOption::Spot,
        state: RunState::Running,
        checks_ok: Some(true),
        launched_at,
        was_member: false,
        interrupted: false,
        ours: ours(Role::Replica),
    }
}
