//! `spotward doctor`: is everything there that the other commands need, and how to mend what is not. Changes nothing.

use aws::Aws;
use aws::probe::{Probe, Verdict};
use engine::CloudError;
use futures_util::StreamExt;
use planner::policy::Config;
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
  3  something is wrong: no credentials, or a permission is missing

What it cannot look at it says, with the command that does: the quota for spot vCPUs, which only Service Quotas tells.";

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
            checks.push(quota());
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

/// Service Quotas is a service of its own, whose client would be carried by everybody for this one number.
fn quota() -> Check {
    let command = "`aws service-quotas get-service-quota --service-code ec2 --quota-code L-34B43A08` tells how many vCPUs \
                   of standard types may run as spot at a time";
    check("spot quota", Outcome::Unknown, "not looked at", Some(command.to_owned()))
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
