//! `spotward doctor`: is everything there that the other commands need, and how to mend what is not. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws::Aws;
use aws::probe::{Probe, SPOT_QUOTA, Verdict, is_standard};
use engine::{Cloud, CloudError, Scope};
use futures_util::StreamExt;
use planner::model::{Group, InstanceType, LifecycleState, Member, PurchaseOption};
use planner::policy::{Config, Policy};
use serde_json::{Value, json};

use crate::args;
use crate::cloud::World;
use crate::document;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Tone};

const EXAMPLES: &str = "\
Examples:
  spotward doctor
  spotward doctor --region eu-west-1 --stack spotward-blue
  AWS_PROFILE=ops spotward doctor --json | jq '.checks[] | select(.result == \"wrong\")'

Exit status:
  0  nothing is wrong
  1  a mistake of the caller: no region, wrong flag
  3  something is wrong: no credentials, a permission is missing, or the quota leaves no room for one spot instance";

/// Check credentials, permissions and the account, and say how to mend what is wrong
///
/// Asks AWS only to describe, or to answer dry runs about things that do not exist: nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region)]
    pub region: Option<String>,
    /// One JSON document on stdout (docs/schema/doctor.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is broken.
    Note,
    /// Nobody can tell from here.
    Unknown,
    /// Something will not work.
    Wrong,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Good => Tone::Act,
            Self::Note => Tone::Mind,
            Self::Unknown => Tone::Faint,
            Self::Wrong => Tone::Bad,
        }
    }
}

/// One line of the answer.
struct Check {
    /// What was looked at; stable.
    name: &'static str,
    outcome: Outcome,
    text: String,
    /// What to do, if anything.
    fix: Option<String>,
}

fn check(name: &'static str, outcome: Outcome, text: impl Into<String>, fix: Option<String>) -> Check {
    Check { name, outcome, text: text.into(), fix }
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = World::live(config, args.region.as_deref()).await?;
    out.waiting_for(format!("asking {}", world.region()));
    let mut checks = vec![check("region", Outcome::Good, world.region(), None)];
    if let Some(aws) = world.aws() {
        checks.push(identity(aws).await);
        // Whoever is nobody is refused everything else for that reason alone.
        if checks.iter().all(|check| check.outcome != Outcome::Wrong) {
            checks.push(permissions("reading", "plan, explain, status", aws.probe_reads().await));
            checks.push(permissions("writing", "run", aws.probe_writes().await));
            checks.push(spot_role(aws).await);
            checks.push(quota(aws, &world, config).await);
            checks.push(deployment(aws, config).await);
            checks.push(groups(&world, config).await);
        }
    }
    out.done();
    if args.json {
        out.print(&document::text(&said(&world, config, &checks)));
    } else {
        out.print(&told(&checks, &out));
    }
    let wrong = checks.iter().any(|check| check.outcome == Outcome::Wrong);
    Ok(if wrong { Exit::Refused } else { Exit::Nothing })
}

async fn identity(aws: &Aws) -> Check {
    match aws.identity().await {
        Ok(who) => check("credentials", Outcome::Good, format!("{} of account {}", who.arn, who.account), None),
        Err(error) => {
            let failure = Failure::aws(&error);
            check("credentials", Outcome::Wrong, failure.what, Some(failure.hint))
        }
    }
}

/// One line for all calls of a kind: the first that is denied is told in AWS's words.
fn permissions(name: &'static str, for_what: &str, probes: Vec<Probe>) -> Check {
    let all = probes.len();
    let mut denied: Vec<(&str, String)> = Vec::new();
    let mut unknown: Vec<(&str, String)> = Vec::new();
    for Probe { call, verdict } in probes {
        match verdict {
            Verdict::Allowed => {}
            Verdict::Denied(why) => denied.push((call, why)),
            Verdict::Unknown(why) => unknown.push((call, why)),
        }
    }
    let names = |calls: &[(&str, String)]| calls.iter().map(|(call, _)| *call).collect::<Vec<_>>().join(", ");
    match (denied.first(), unknown.first()) {
        (Some((_, why)), _) => check(
            name,
            // Whoever only looks needs no permission to write.
            if name == "writing" { Outcome::Note } else { Outcome::Wrong },
            format!("{} of {all} calls for {for_what} are denied: {}", denied.len(), one_line(why)),
            Some(format!("if these credentials are meant for it, allow them in IAM: {}", names(&denied))),
        ),
        (None, Some((call, why))) => check(
            name,
            Outcome::Unknown,
            format!(
                "{} of {all} calls for {for_what} cannot be judged, {call} for instance: {}",
                unknown.len(),
                one_line(why)
            ),
            None,
        ),
        (None, None) => check(name, Outcome::Good, format!("all {all} calls for {for_what} that can be asked"), None),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn spot_role(aws: &Aws) -> Check {
    let name = "spot role";
    let fix = "see `aws iam get-role --role-name AWSServiceRoleForEC2Spot`; where it is missing: \
               `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`";
    match aws.has_asked_for_spot().await {
        Ok(true) => check(name, Outcome::Good, "spot instances have been asked for here: the role exists", None),
        Ok(false) => {
            check(name, Outcome::Unknown, "no spot instance has been asked for here lately", Some(fix.to_owned()))
        }
        Err(error) => unknown(name, &error),
    }
}

/// vCPUs of standard types, as EC2 counts them against the quota.
struct Vcpus {
    /// All that run as spot in the account's region, whoever started them.
    running: u32,
    /// What the on-demand members above the floors of the enabled groups have: so many more once they are converted, or
    /// some more where a larger type is cheaper.
    left: u32,
    /// The smallest of these members.
    least: Option<u32>,
}

async fn quota(aws: &Aws, world: &World, config: &Config) -> Check {
    let name = "spot quota";
    let vcpus = match vcpus(aws, world, config).await {
        Ok(vcpus) => vcpus,
        Err(error) => return unknown(name, &error),
    };
    match aws.spot_quota().await {
        Ok(quota) => judged(name, quota, &vcpus, world.region()),
        Err(error) => {
            let Failure { what, hint, .. } = Failure::aws(&error);
            let by_hand = format!(
                "by hand: `aws --region {} service-quotas get-service-quota --service-code ec2 --quota-code {SPOT_QUOTA}`",
                world.region()
            );
            let fix = if matches!(error, CloudError::Denied(_)) { hint } else { by_hand };
            check(name, Outcome::Unknown, format!("{what}; {}", vcpus.told()), Some(fix))
        }
    }
}

fn judged(name: &'static str, quota: u32, vcpus: &Vcpus, region: &str) -> Check {
    let wanted = vcpus.running + vcpus.left;
    let text = format!("{quota} vCPUs of standard types may run as spot; {}", vcpus.told());
    if wanted <= quota {
        return check(name, Outcome::Good, text, None);
    }
    let has_room = vcpus.least.is_none_or(|least| vcpus.running + least <= quota);
    let fix = format!(
        "ask for more: `aws --region {region} service-quotas request-service-quota-increase --service-code ec2 \
         --quota-code {SPOT_QUOTA} --desired-value {wanted}`; until then a launch beyond it fails, and its group stays \
         as it is"
    );
    check(name, if has_room { Outcome::Note } else { Outcome::Wrong }, text, Some(fix))
}

impl Vcpus {
    fn told(&self) -> String {
        format!("{} do, and {} more will once the enabled groups are converted", self.running, self.left)
    }
}

async fn vcpus(aws: &Aws, world: &World, config: &Config) -> Result<Vcpus, CloudError> {
    let running = aws.running_spot().await?;
    let seen = world.observe(&Scope::Enabled).await?;
    let members = seen.iter().flat_map(|seen| above_the_floor(&seen.group, config));
    let members: Vec<&InstanceType> = members.filter(|name| is_standard(name)).collect();
    let running = running.into_iter().filter(|(name, _)| is_standard(name)).collect::<BTreeMap<_, _>>();
    let types: BTreeSet<&InstanceType> = running.keys().chain(members.iter().copied()).collect();
    let sizes = aws.vcpus(&types.into_iter().cloned().collect::<Vec<_>>()).await?;
    let of = |name: &InstanceType| sizes.get(name).copied().unwrap_or(0);
    Ok(Vcpus {
        running: running.iter().map(|(name, count)| count * of(name)).sum(),
        left: members.iter().map(|name| of(name)).sum(),
        least: members.iter().map(|name| of(name)).min(),
    })
}

/// Types of the on-demand members that spot may take the place of: as many as are above the floor, whichever they are.
fn above_the_floor<'a>(group: &'a Group, config: &Config) -> impl Iterator<Item = &'a InstanceType> {
    // A group whose settings cannot be understood is left alone.
    let floor = Policy::of(group, config).map_or(u32::MAX, |policy| policy.min_on_demand.of(group.desired));
    let count = group.in_service(PurchaseOption::OnDemand).saturating_sub(floor);
    let on_demand =
        |member: &&Member| member.lifecycle == LifecycleState::InService && member.purchase == PurchaseOption::OnDemand;
    group.members.iter().filter(on_demand).take(count as usize).map(|member| &member.instance_type)
}

async fn deployment(aws: &Aws, config: &Config) -> Check {
    let name = "deployment";
    match aws.queues().await {
        Ok(Some(queues)) if queues.dead > 0 => check(
            name,
            Outcome::Note,
            format!("{} is here; {} messages were given up", config.stack, queues.dead),
            Some(format!("see the log group of the function, then the queue {}-dead.fifo", config.stack)),
        ),
        Ok(Some(queues)) => {
            check(name, Outcome::Good, format!("{} is here; {} groups wait", config.stack, queues.waiting), None)
        }
        Ok(None) => check(
            name,
            Outcome::Note,
            format!("no stack {} here: only `spotward run` replaces anything", config.stack),
            Some("deploy it with `sam deploy`, or name it with --stack".to_owned()),
        ),
        Err(error) => unknown(name, &error),
    }
}

async fn groups(world: &World, config: &Config) -> Check {
    let name = "groups";
    let mut names = std::collections::BTreeSet::new();
    let mut pages = std::pin::pin!(world.names(false));
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => names.extend(page),
            Err(error) => return unknown(name, &error),
        }
    }
    match names.len() {
        0 => check(
            name,
            Outcome::Note,
            "none is enabled",
            Some(format!(
                "`spotward plan --all` shows what there is; the tag {}={} enables one",
                config.enable_key, config.enable_value
            )),
        ),
        1 => check(name, Outcome::Good, "one is enabled", None),
        count => check(name, Outcome::Good, format!("{count} are enabled"), None),
    }
}

fn unknown(name: &'static str, error: &CloudError) -> Check {
    let failure = Failure::aws(error);
    check(name, Outcome::Unknown, failure.what, Some(failure.hint))
}

fn told(checks: &[Check], out: &Output) -> String {
    let mut text = String::new();
    for Check { name, outcome, text: what, fix } in checks {
        let outcome = out.paint(outcome.tone(), &format!("{:<7}", outcome.name()));
        text.push_str(&format!("{outcome} {name:<11}  {what}\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("{:21}{} {fix}\n", "", out.paint(Tone::Head, "fix:")));
        }
    }
    text
}

fn said(world: &World, config: &Config, checks: &[Check]) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "result": check.outcome.name(), "text": check.text, "fix": check.fix }))
        .collect();
    json!({
        "v": document::VERSION,
        "kind": "doctor",
        "region": world.region(),
        "deployment": config.stack,
        "checks": checks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten vCPUs run as spot, eight are left to convert, in members of two and more.
    const COUNTED: Vcpus = Vcpus { running: 10, left: 8, least: Some(2) };

    #[test]
    fn a_quota_that_stops_a_conversion_is_told_and_one_that_stops_every_swap_is_wrong() {
        let of = |quota| judged("spot quota", quota, &COUNTED, "us-east-1");
        assert_eq!([18, 17, 12, 11, 0].map(|quota| of(quota).outcome), {
            use Outcome::{Good, Note, Wrong};
            [Good, Note, Note, Wrong, Wrong]
        });
        assert!(of(18).fix.is_none());
        let fix = of(17).fix.unwrap_or_default();
        assert!(fix.contains("--quota-code L-34B43A08 --desired-value 18"), "{fix}");
        // Nothing is left to convert: whatever runs already runs.
        let settled = Vcpus { running: 10, left: 0, least: None };
        assert_eq!(judged("spot quota", 8, &settled, "us-east-1").outcome, Outcome::Note);
    }
}
