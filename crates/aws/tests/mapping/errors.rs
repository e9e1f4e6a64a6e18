//! What AWS's codes mean, row by row, and what a broken answer means.

use aws::error::{Service, sort};
use engine::{Cloud, Scope};
use expect_test::expect;
use planner::policy::Config;

use crate::region::{Answer, Region, run};

fn table(service: Service, rows: &[(&str, &str)]) -> String {
    rows.iter().map(|(code, message)| format!("{code} {message} -> {:?}\n", sort(service, code, message))).collect()
}

#[test]
fn ec2() {
    let codes = [
        "InsufficientInstanceCapacity",
        "UnfulfillableCapacity",
        "SpotMaxPriceTooLow",
        "MaxFleetCountExceeded",
        "Unsupported",
        "InsufficientFreeAddressesInSubnet",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "InvalidFleetConfiguration",
        "InvalidAMIID.NotFound",
        "InvalidAMIID.Unavailable",
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.VersionNotFound",
        "InvalidLaunchTemplateName.NotFoundException",
        "InvalidParameterCombination",
        "OptInRequired",
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        "UnauthorizedOperation",
        "IdempotentParameterMismatch",
        "IdempotentInstanceTerminated",
        "RequestLimitExceeded",
        "Throttling",
        "InternalError",
        "SomethingNew",
    ];
    let rows: Vec<(&str, &str)> = codes.into_iter().map(|code| (code, "")).collect();
    expect![[r#"
        InsufficientInstanceCapacity  -> InsufficientCapacity
        UnfulfillableCapacity  -> InsufficientCapacity
        SpotMaxPriceTooLow  -> InsufficientCapacity
        MaxFleetCountExceeded  -> InsufficientCapacity
        Unsupported  -> InsufficientCapacity
        InsufficientFreeAddressesInSubnet  -> InsufficientCapacity
        MaxSpotInstanceCountExceeded  -> Limit
        VcpuLimitExceeded  -> Limit
        InvalidFleetConfiguration  -> Rejected
        InvalidAMIID.NotFound  -> NotFound
        InvalidAMIID.Unavailable  -> Rejected
        InvalidLaunchTemplateId.NotFound  -> NotFound
        InvalidLaunchTemplateId.VersionNotFound  -> NotFound
        InvalidLaunchTemplateName.NotFoundException  -> NotFound
        InvalidParameterCombination  -> Rejected
        OptInRequired  -> Rejected
        AuthFailure.ServiceLinkedRoleCreationNotPermitted  -> Denied
        UnauthorizedOperation  -> Denied
        IdempotentParameterMismatch  -> Conflict
        IdempotentInstanceTerminated  -> Conflict
        RequestLimitExceeded  -> Throttled
        Throttling  -> Throttled
        InternalError  -> Throttled
        SomethingNew  -> Rejected
    "#]]
    .assert_eq(&table(Service::Ec2, &rows));
}

#[test]
fn auto_scaling() {
    let rows = [
        ("Throttling", "Rate exceeded"),
        ("ResourceContention", "pending update"),
        ("ScalingActivityInProgress", ""),
        ("LimitExceeded", ""),
        ("ServiceLinkedRoleFailure", ""),
        ("AccessDenied", ""),
        ("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup web not found"),
        ("ValidationError", "Instance i-9 is already part of AutoScalingGroup:web"),
        ("ValidationError", "The instance i-1 is not part of Auto Scaling group web."),
        ("ValidationError", "The instance i-1 is not in InService or Standby."),
        ("ValidationError", "Instance i-9 is not in correct state. Instance(s) must be in 'running' state."),
        ("ValidationError", "Max bound, 1, must be greater than or equal to min bound, 2"),
    ];
    expect![[r#"
        Throttling Rate exceeded -> Throttled
        ResourceContention pending update -> Conflict
        ScalingActivityInProgress  -> Conflict
        LimitExceeded  -> Limit
        ServiceLinkedRoleFailure  -> Denied
        AccessDenied  -> Denied
        ValidationError AutoScalingGroup name not found - AutoScalingGroup web not found -> NotFound
        ValidationError Instance i-9 is already part of AutoScalingGroup:web -> Conflict
        ValidationError The instance i-1 is not part of Auto Scaling group web. -> NotFound
        ValidationError The instance i-1 is not in InService or Standby. -> Conflict
        ValidationError Instance i-9 is not in correct state. Instance(s) must be in 'running' state. -> Conflict
        ValidationError Max bound, 1, must be greater than or equal to min bound, 2 -> Rejected
    "#]]
    .assert_eq(&table(Service::AutoScaling, &rows));
}

#[test]
fn others() {
    let balancing = [("TargetGroupNotFound", ""), ("LoadBalancerNotFound", "")];
    let queue = [("QueueDoesNotExist", ""), ("OverLimit", ""), ("KmsAccessDenied", "")];
    let pricing = [("NotFoundException", ""), ("InvalidParameterException", ""), ("ThrottlingException", "")];
    let text =
        table(Service::LoadBalancing, &balancing) + &table(Service::Queue, &queue) + &table(Service::Pricing, &pricing);
    expect![[r#"
        TargetGroupNotFound  -> NotFound
        LoadBalancerNotFound  -> NotFound
        QueueDoesNotExist  -> NotFound
        OverLimit  -> Limit
        KmsAccessDenied  -> Denied
        NotFoundException  -> NotFound
        InvalidParameterException  -> Rejected
        ThrottlingException  -> Throttled
    "#]]
    .assert_eq(&text);
}

/// The error of a bulk look that is answered like this.
fn look_answered(answer: Answer) -> String {
    let region = Region::new(move |_| answer.clone());
    format!("{:?}", run(region.aws(Config::default()).observe(&Scope::Enabled)).unwrap_err())
}

#[test]
fn a_failing_service_is_a_matter_of_time() {
    expect![[r#"Throttled("DescribeAutoScalingGroups: SomethingNew: try later")"#]]
        .assert_eq(&look_answered(Answer::Error(503, "SomethingNew", "try later")));
    expect![[r#"Rejected("DescribeAutoScalingGroups: SomethingNew: no")"#]].assert_eq(&look_answered(Answer::Error(
        400,
        "SomethingNew",
        "no",
    )));
}
