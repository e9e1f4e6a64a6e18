//! Which groups and which members are fit for a swap: one case on each side of every edge.

mod support;

use expect_test::expect;
use planner::model::Platform;
use support::{check, planned};

// The group.

#[test]
fn an_ordinary_group_is_fit() {
    check(
        "group web
           i-1  on-demand",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_group_that_is_not_enabled_is_left_alone() {
    check(
        "group web  not-enabled
           i-1  on-demand",
        expect![[r#"
            idle
              blocked the group does not carry the enabling tag
        "#]],
    );
}

#[test]
fn the_enabling_value_is_compared_exactly() {
    check(
        "group web
           i-1  on-demand
           tag  spot-enabled=True",
        expect![[r#"
            idle
              blocked the group does not carry the enabling tag
        "#]],
    );
}

#[test]
fn a_wrong_setting_disables_its_group_aloud() {
    check(
        "group web
           i-1  on-demand
           set  min-on-demand=lots",
        expect![[r#"
            idle
              blocked settings that cannot be understood: spotward:min-on-demand = "lots": allowed is a number, a percentage of desired (`25%`), or both (`2, 25%`)
        "#]],
    );
}

#[test]
fn an_unknown_setting_disables_its_group_aloud() {
    let plan = planned(
        "group web
           i-1  on-demand
           set  min-on-demnd=2",
    );
    // The list of settings that follows grows.
    let says =
        r#"blocked settings that cannot be understood: spotward:min-on-demnd = "2": allowed is one of the settings"#;
    assert!(plan.starts_with(&format!("idle\n  {says}")), "{plan}");
    assert_eq!(plan.lines().count(), 2, "{plan}");
}

#[test]
fn a_group_that_is_being_deleted_is_left_alone() {
    check(
        "group web  deleting
           i-1  on-demand",
        expect![[r#"
            idle
              blocked the group's status is "Delete in progress"
        "#]],
    );
}

#[test]
fn a_group_with_an_operator_is_left_alone() {
    check(
        "group web  operator eks.amazonaws.com
           i-1  on-demand",
        expect![[r#"
            idle
              blocked only eks.amazonaws.com may change the group
        "#]],
    );
}

#[test]
fn a_group_sized_in_something_else_is_left_alone() {
    check(
        "group web  sized-in vcpu
           i-1  on-demand",
        expect![[r#"
            idle
              blocked the group is sized in vcpu, not in instances
        "#]],
    );
}

#[test]
fn a_group_with_a_warm_pool_is_left_alone() {
    check(
        "group web  warm-pool
           i-1  on-demand",
        expect![[r#"
            idle
              blocked warm pools cannot hold spot instances
        "#]],
    );
}

#[test]
fn a_group_that_protects_its_new_members_is_left_alone() {
    check(
        "group web  new-members-protected
           i-1  on-demand",
        expect![[r#"
            idle
              blocked new members are protected from scale-in
        "#]],
    );
}

#[test]
fn an_eks_node_group_is_left_alone() {
    check(
        "group web
           i-1  on-demand
           tag  eks:nodegroup-name=ng",
        expect![[r#"
            idle
              blocked the group belongs to an EKS managed node group
        "#]],
    );
}

#[test]
fn an_elastic_beanstalk_group_is_left_alone() {
    check(
        "group web
           i-1  on-demand
           tag  elasticbeanstalk:environment-id=e-1",
        expect![[r#"
            idle
              blocked the group belongs to Elastic Beanstalk
        "#]],
    );
}

#[test]
fn a_group_with_a_suspended_process_that_a_swap_needs_is_left_alone() {
    check(
        "group web
           i-1  on-demand
           suspended  Launch Terminate HealthCheck ReplaceUnhealthy",
        expect![[r#"
            idle
              blocked the process Launch is suspended
              blocked the process Terminate is suspended
              blocked the process HealthCheck is suspended
              blocked the process ReplaceUnhealthy is suspended
        "#]],
    );
}

#[test]
fn other_processes_may_be_suspended() {
    check(
        "group web
           i-1  on-demand
           suspended  AZRebalance AlarmNotification ScheduledActions InstanceRefresh AddToLoadBalancer",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn with_a_load_balancer_members_must_be_added_to_it() {
    check(
        "group web  load-balanced
           i-1  on-demand
           suspended  AddToLoadBalancer",
        expect![[r#"
            idle
              blocked the process AddToLoadBalancer is suspended
        "#]],
    );
}

#[test]
fn a_mixed_instances_policy_decides_for_itself() {
    check(
        "group web  mixed
           i-1  on-demand",
        expect![[r#"
            idle
              blocked a mixed instances policy decides between spot and on-demand: set its spot share instead
        "#]],
    );
}

#[test]
fn a_group_without_a_template_is_left_alone() {
    check(
        "group web  no-template
           i-1  on-demand",
        expect![[r#"
            idle
              blocked the group has neither launch template nor launch configuration
        "#]],
    );
}

#[test]
fn a_launch_configuration_is_as_good_as_a_template() {
    check(
        "group web  configuration
           i-1  on-demand  no-version",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_template_that_cannot_be_read_blocks() {
    check(
        "group web
           i-1  on-demand
           template  unreadable",
        expect![[r#"
            idle
              blocked what the group launches cannot be read: no permission
        "#]],
    );
}

#[test]
fn a_template_that_asks_for_spot_itself_blocks() {
    check(
        "group web
           i-1  on-demand
           template  spot",
        expect![[r#"
            idle
              blocked the group's template asks for spot itself
        "#]],
    );
}

#[test]
fn a_template_that_names_types_by_attributes_blocks() {
    check(
        "group web
           i-1  on-demand
           template  requirements",
        expect![[r#"
            idle
              blocked the template names types by attributes
        "#]],
    );
}

#[test]
fn what_spot_cannot_have_blocks() {
    check(
        "group web
           i-1  on-demand
           template  tenancy dedicated  protection  hibernation  kernel  marketplace",
        expect![[r#"
            idle
              blocked the template asks for tenancy other than default
              blocked the template asks for termination or stop protection, which spot instances cannot have
              blocked the template asks for hibernation, which works differently on spot instances
              blocked the template asks for a kernel or RAM disk
              blocked the template asks for a Marketplace image, offered on some types only
        "#]],
    );
}

#[test]
fn default_tenancy_by_name_is_fine() {
    check(
        "group web
           i-1  on-demand
           template  tenancy default",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn an_image_that_is_gone_blocks() {
    check(
        "group web
           i-1  on-demand
           template  image-gone",
        expect![[r#"
            idle
              blocked the image ami-1 is not available
        "#]],
    );
}

#[test]
fn an_image_without_a_spot_price_of_its_own_blocks() {
    check(
        "group web
           i-1  on-demand
           template  billed RunInstances:0006",
        expect![[r#"
            idle
              blocked instances billed as "RunInstances:0006" (Windows with SQL Server) have no spot price of their own
        "#]],
    );
    check(
        "group web
           i-1  on-demand
           template  billed RunInstances:9999",
        expect![[r#"
            idle
              blocked instances billed as "RunInstances:9999" have no spot price of their own
        "#]],
    );
}

#[test]
fn every_operation_has_a_platform_or_a_reason() {
    // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html
    let priced = [
        ("RunInstances", "Linux/UNIX"),
        ("RunInstances:00g0", "Linux/UNIX"),
        ("RunInstances:0010", "Red Hat Enterprise Linux"),
        ("RunInstances:000g", "SUSE Linux"),
        ("RunInstances:0002", "Windows"),
    ];
    for (operation, product) in priced {
        let platform = Platform::from_usage_operation(operation).expect(operation);
        assert_eq!(platform.spot_product(), product);
        assert_eq!(Platform::unsupported_name(operation), None);
    }
    let refused = [
        "0800", "0g00", "0006", "0102", "0202", "0004", "0100", "0200", "0014", "0110", "0210", "1010", "1014", "1110",
    ];
    for code in refused {
        let operation = format!("RunInstances:{code}");
        assert_eq!(Platform::from_usage_operation(&operation), None, "{operation}");
        assert!(Platform::unsupported_name(&operation).is_some(), "{operation}");
    }
}

#[test]
fn another_platform_needs_its_own_market() {
    check(
        "group web
           i-1  on-demand
           template  billed RunInstances:0002",
        expect![[r#"
            idle
              need    market of Windows
        "#]],
    );
}

#[test]
fn launch_hooks_block() {
    check(
        "group web
           i-1  on-demand
           hooks  launch register",
        expect![[r#"
            idle
              blocked launch lifecycle hooks would not run on attach: register (spotward:launch-hooks=ignore accepts that, spotward:readiness=watcher waits for your own check)
        "#]],
    );
}

#[test]
fn launch_hooks_may_be_ignored_by_wish() {
    check(
        "group web
           i-1  on-demand
           hooks  launch register
           set  launch-hooks=ignore",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn launch_hooks_do_not_matter_where_the_owners_own_check_is_waited_for() {
    check(
        "group web
           i-1  on-demand
           hooks  launch register
           set  readiness=watcher",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn termination_hooks_do_not_block() {
    check(
        "group web
           i-1  on-demand
           hooks  termination drain",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn an_instance_refresh_blocks() {
    check(
        "group web
           i-1  on-demand
           refresh  InProgress",
        expect![[r#"
            idle
              blocked an instance refresh is InProgress
        "#]],
    );
}

#[test]
fn removal_by_detach_needs_the_enabling_tag_on_the_instances() {
    check(
        "group web
           i-1  on-demand
           set  removal=detach",
        expect![[r#"
            idle
              blocked spotward:removal=detach needs the enabling tag on the instances: set PropagateAtLaunch on it
        "#]],
    );
}

#[test]
fn removal_by_detach_is_fine_with_the_enabling_tag_on_the_instances() {
    check(
        "group web
           i-1  on-demand
           set  removal=detach
           propagates  spot-enabled=true",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn weights_block() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  weighted",
        expect![[r#"
            idle
              blocked i-2 counts with a weight
        "#]],
    );
}

#[test]
fn standby_detaching_and_unknown_states_block() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-2  on-demand  Standby
           i-3  on-demand  EnteringStandby
           i-4  on-demand  Detaching
           i-5  on-demand  Quarantined
           i-6  on-demand  ReplacingRootVolume:Wait",
        expect![[r#"
            idle
              blocked i-2 is Standby
              blocked i-3 is EnteringStandby
              blocked i-4 is Detaching
              blocked i-5 is Quarantined
              blocked i-6 is ReplacingRootVolume:Wait
              blocked 1 of 1 members serve, or members come and go
              leave   i-2 is Standby
              leave   i-3 is EnteringStandby
              leave   i-4 is Detaching
              leave   i-5 is Quarantined
              leave   i-6 is ReplacingRootVolume:Wait
        "#]],
    );
}

#[test]
fn a_doomed_member_that_drains_does_not_block() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-4  on-demand  Detaching  doomed",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-4 is Detaching
        "#]],
    );
}

#[test]
fn a_retained_member_is_not_counted_and_does_not_block() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-4  on-demand  Terminating:Retained",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-4 is Terminating:Retained
        "#]],
    );
}

// Whether it stands still.

#[test]
fn pending_members_block() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Pending:Wait",
        expect![[r#"
            idle
              blocked 1 of 2 members serve, or members come and go
              leave   i-2 is Pending
        "#]],
    );
}

#[test]
fn members_that_leave_block() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Terminating:Wait",
        expect![[r#"
            idle
              blocked 1 of 1 members serve, or members come and go
              leave   i-2 is Terminating
        "#]],
    );
}

#[test]
fn an_earlier_victim_in_a_long_termination_hook_does_not_block() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Terminating:Wait
           i-3  spot  type m6i.large  finished  replaces i-2
           activity  i-2  started 10m  running",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-2 is Terminating
              leave   i-3 is bought as it should be
        "#]],
    );
}

#[test]
fn fewer_serving_members_than_desired_block() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand",
        expect![[r#"
            idle
              blocked 2 of 3 members serve, or members come and go
        "#]],
    );
}

#[test]
fn more_serving_members_than_desired_block() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-2  on-demand",
        expect![[r#"
            idle
              blocked 2 of 1 members serve, or members come and go
        "#]],
    );
}

#[test]
fn an_unhealthy_member_makes_the_group_unstable() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  unhealthy",
        expect![[r#"
            idle
              blocked 1 of 2 members serve, or members come and go
              leave   i-2 is unhealthy
        "#]],
    );
}

#[test]
fn an_unhealthy_target_makes_the_group_unstable() {
    check(
        "group web  load-balanced
           i-1  on-demand  targets-healthy
           i-2  on-demand  targets-unhealthy",
        expect![[r#"
            idle
              blocked 1 of 2 members serve, or members come and go
              leave   i-2 is unhealthy
        "#]],
    );
}

#[test]
fn an_activity_that_is_not_over_blocks() {
    check(
        "group web
           i-1  on-demand
           activity  i-7  started 10m  running",
        expect![[r#"
            idle
              blocked a scaling activity is in progress
        "#]],
    );
}

#[test]
fn an_activity_that_has_just_ended_blocks() {
    check(
        "group web
           i-1  on-demand
           activity  i-7  started 10m  ended 59s",
        expect![[r#"
            idle
              blocked quiet period after the last scaling activity, until 12:05:01
        "#]],
    );
}

#[test]
fn after_the_quiet_period_the_group_is_fit() {
    check(
        "group web
           i-1  on-demand
           activity  i-7  started 10m  ended 60s",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn the_quiet_period_is_the_owners_choice() {
    check(
        "group web
           i-1  on-demand
           set  quiet=10m
           activity  i-7  started 10m  ended 5m",
        expect![[r#"
            idle
              blocked quiet period after the last scaling activity, until 12:10:00
        "#]],
    );
}

#[test]
fn a_scheduled_action_ten_minutes_ahead_blocks() {
    check(
        "group web
           i-1  on-demand
           scheduled  +600s",
        expect![[r#"
            idle
              blocked a scheduled action is due at 12:15:00
        "#]],
    );
}

#[test]
fn a_scheduled_action_further_ahead_does_not_block() {
    check(
        "group web
           i-1  on-demand
           scheduled  +601s",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_scheduled_action_ten_minutes_ago_blocks() {
    check(
        "group web
           i-1  on-demand
           scheduled  -600s",
        expect![[r#"
            idle
              blocked a scheduled action is due at 11:55:00
        "#]],
    );
}

#[test]
fn a_scheduled_action_longer_ago_does_not_block() {
    check(
        "group web
           i-1  on-demand
           scheduled  -601s",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_full_group_is_fit_since_maxsize_may_be_raised() {
    check(
        "group web  max 1
           i-1  on-demand",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_full_group_is_left_alone_if_its_owner_forbids_raising_maxsize() {
    check(
        "group web  max 1
           i-1  on-demand
           set  on-max=skip",
        expect![[r#"
            idle
              blocked desired equals MaxSize 1, and spotward:on-max=skip forbids raising it
        "#]],
    );
}

#[test]
fn a_group_with_room_does_not_care_about_on_max() {
    check(
        "group web  max 2
           i-1  on-demand
           set  on-max=skip",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn every_blocker_is_named_at_once() {
    check(
        "group web  warm-pool  mixed
           i-1  on-demand
           suspended  Terminate",
        expect![[r#"
            idle
              blocked warm pools cannot hold spot instances
              blocked the process Terminate is suspended
              blocked a mixed instances policy decides between spot and on-demand: set its spot share instead
        "#]],
    );
}

// The member.

#[test]
fn what_keeps_a_member_is_named_member_by_member() {
    check(
        "group web
           i-1  spot
           i-2  on-demand  protected
           i-3  on-demand  termination-protected
           i-4  on-demand  unseen
           i-5  on-demand  elastic-ip
           i-6  on-demand  attached-later
           i-7  on-demand  reserved
           i-8  on-demand  subnet subnet-old",
        expect![[r#"
            idle
              leave   i-1 is bought as it should be
              leave   i-2 is protected from scale-in
              leave   i-3 has EC2 termination protection
              leave   i-4 is not shown by EC2 yet
              leave   i-5 has an Elastic IP address that would be lost
              leave   i-6 has volumes or interfaces that were attached after its launch
              leave   i-7 runs in a capacity reservation that is paid for anyway
              leave   i-8 is in a subnet that the group no longer uses
        "#]],
    );
}

#[test]
fn a_member_that_is_not_in_service_or_not_healthy_stays() {
    check(
        "group web
           i-1  on-demand  Pending
           i-2  on-demand  Terminating
           i-3  on-demand  unhealthy
           i-4  on-demand  targets-unhealthy
           i-5  on-demand  stopping",
        expect![[r#"
            idle
              leave   i-1 is Pending
              leave   i-2 is Terminating
              leave   i-3 is unhealthy
              leave   i-4 is unhealthy
              leave   i-5 is unhealthy
        "#]],
    );
}

#[test]
fn a_member_as_old_as_the_minimum_age_may_go() {
    check(
        "group web
           i-1  on-demand  age 5m
           set  payback=ignore",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_younger_member_stays() {
    check(
        "group web
           i-1  on-demand  age 299s",
        expect![[r#"
            idle
              leave   i-1 is too young until 12:05:01
        "#]],
    );
}

#[test]
fn a_member_of_another_template_version_stays() {
    check(
        "group web
           i-1  on-demand  version 2
           template  version 3",
        expect![[r#"
            idle
              leave   i-1 runs template version 2, the group launches 3 (spotward:roll-forward=true accepts that)
        "#]],
    );
}

#[test]
fn a_member_of_another_template_version_may_go_if_its_owner_rolls_forward() {
    check(
        "group web
           i-1  on-demand  version 2
           template  version 3
           set  roll-forward=true",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn a_member_without_a_recorded_version_may_go() {
    check(
        "group web
           i-1  on-demand  no-version
           template  version 3",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
        "#]],
    );
}

#[test]
fn termination_protection_is_looked_up_for_the_one_victim_only() {
    check(
        "group web
           i-1  on-demand  not-looked-closer
           i-2  on-demand  not-looked-closer",
        expect![[r#"
            idle
              need    a closer look at i-1
              leave   i-2 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_protected_victim_makes_way_for_the_next() {
    check(
        "group web
           i-1  on-demand  termination-protected
           i-2  on-demand  not-looked-closer",
        expect![[r#"
            idle
              need    a closer look at i-2
              leave   i-1 has EC2 termination protection
        "#]],
    );
}

// The floor.

#[test]
fn at_the_floor_everybody_stays() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           set  min-on-demand=2",
        expect![[r#"
            idle
              leave   i-1 stays on-demand: the floor is 2
              leave   i-2 stays on-demand: the floor is 2
        "#]],
    );
}

#[test]
fn one_above_the_floor_one_goes() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           set  min-on-demand=1",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-2 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_percentage_rounds_up() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-3  spot
           set  min-on-demand=34%",
        expect![[r#"
            idle
              leave   i-1 stays on-demand: the floor is 2
              leave   i-2 stays on-demand: the floor is 2
              leave   i-3 is bought as it should be
        "#]],
    );
}

#[test]
fn a_percentage_that_divides_evenly_is_not_rounded() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           i-3  spot  type m6i.large
           i-4  spot  type m6i.large
           set  min-on-demand=25%",
        expect![[r#"
            idle
              do      launch spot for i-1 in us-east-1a: m5.large $0.0400/h
              leave   i-3 is bought as it should be
              leave   i-4 is bought as it should be
              leave   i-2 comes later: one swap at a time
        "#]],
    );
}

#[test]
fn a_floor_larger_than_the_group_protects_all_of_it() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand
           set  min-on-demand=100",
        expect![[r#"
            idle
              leave   i-1 stays on-demand: the floor is 2
              leave   i-2 stays on-demand: the floor is 2
        "#]],
    );
}

#[test]
fn a_floor_larger_than_the_group_does_not_bring_back_more_than_the_group() {
    check(
        "group web
           i-1  on-demand
           i-2  spot  finished
           set  min-on-demand=100",
        expect![[r#"
            idle
              do      launch on-demand for i-2 in us-east-1a: m5.large $0.1000/h
              leave   i-1 is bought as it should be
        "#]],
    );
}

#[test]
fn a_member_that_is_not_in_service_does_not_hold_the_floor() {
    check(
        "group web
           i-1  on-demand
           i-2  on-demand  Pending
           set  min-on-demand=1",
        expect![[r#"
            idle
              leave   i-1 stays on-demand: the floor is 1
              leave   i-2 is Pending
        "#]],
    );
}
