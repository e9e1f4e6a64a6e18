//! `spotward drill`: an interruption that is none, through AWS Fault Injection Service, to see what follows from it.
//!
//! FIS is driven by the owner's own AWS CLI: an SDK for three calls a year would cost more than it gives.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use engine::{Cloud, Scope};
use planner::model::{InstanceId, LifecycleState, Observation, PurchaseOption};
use planner::policy::{Config, enabled};
use planner::swap::Swap;
use serde_json::{Value, json};

use crate::args;
use crate::aws_cli::{self, NoAnswer};
use crate::cloud::World;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Tone};

const EXAMPLES: &str = "\
Examples:
  spotward drill i-0123456789abcdef0 --role arn:aws:iam::123456789012:role/fis-spot --print
                                        what would be asked of FIS, and the commands; nothing is started
  spotward drill i-0123456789abcdef0 --role arn:aws:iam::123456789012:role/fis-spot
                                        the same, and after a question it is done

The role is one that FIS may assume (principal fis.amazonaws.com), with the permission
ec2:SendSpotInstanceInterruptions on the instance. The AWS CLI has to be installed.

Exit status:
  0  started, or printed, or you said no
  1  a mistake of the caller: not a spot member of an enabled group, a swap in flight, no AWS CLI
  3  AWS refused";

/// Interrupt one spot member through AWS FIS, after asking, to see what follows
///
/// The instance gets the notice that EC2 gives, and is ended two minutes later. It is a real end: whatever it does is
/// drained and replaced as on any other day. Only spot members in service of an enabled group that stands still.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The member
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Role that FIS assumes
    #[arg(long, value_name = "ARN")]
    pub role: String,
    /// From the start to the end; what is more than two minutes comes after a rebalance recommendation
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = args::duration)]
    pub ends_in: Duration,
    /// Print what would be asked of FIS and start nothing
    #[arg(long)]
    pub print: bool,
    /// Start without asking
    #[arg(long, conflicts_with = "print")]
    pub yes: bool,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region, conflicts_with = "snapshot")]
    pub region: Option<String>,
    /// Check against a saved look; only with --print
    #[arg(long, value_name = "FILE", requires = "print")]
    pub snapshot: Option<PathBuf>,
}

/// What is to be interrupted, checked.
struct Target {
    instance: InstanceId,
    group: String,
    region: String,
    arn: String,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = match &args.snapshot {
        Some(path) => World::saved(path, config)?,
        None => World::live(config, args.region.as_deref()).await?,
    };
    let id = InstanceId::new(args.instance.as_str());
    out.waiting_for(format!("looking for {id}"));
    let seen = world.observe(&Scope::GroupOf(id.clone())).await.map_err(|error| world.failure(&error))?;
    out.done();
    let target = check(&id, seen, config)?;
    let document = experiment(&target, &args.role, args.ends_in)?;
    out.print(&told(&target, &document, &out));
    if args.print {
        return Ok(Exit::Nothing);
    }
    if !args.yes && !is_wanted(&out, &target)? {
        out.print("Nothing was started.\n");
        return Ok(Exit::Nothing);
    }
    let (template, experiment) = start(aws_cli::PROGRAM, &target.region, &document)?;
    out.print(&format!("started: experiment {experiment}\n"));
    out.print(&format!(
        "watch    spotward run {} --until-settled, or `spotward plan {}`\n",
        target.group, target.group
    ));
    let forget = format!("aws --region {} fis delete-experiment-template --id {template}", target.region);
    out.print(&format!("after it {forget}\n"));
    Ok(Exit::Nothing)
}

/// Whether the instance is one that may be interrupted here.
fn check(id: &InstanceId, seen: Vec<Observation>, config: &Config) -> Result<Target, Failure> {
    let hint = "name a spot member in service of an enabled group: `spotward plan` lists them";
    let no = |what: String| Failure::user(what, hint);
    let Some(Observation { now, group }) = seen.into_iter().next() else {
        return Err(no(format!("{id} is not a member of any group")));
    };
    let member = group.member(id).ok_or_else(|| no(format!("{id} is not a member of {}", group.name)))?;
    if enabled(&group, config).is_none() {
        return Err(no(format!("{} does not carry {}={}", group.name, config.enable_key, config.enable_value)));
    }
    if member.purchase != PurchaseOption::Spot {
        return Err(no(format!("{id} is {}", member.purchase)));
    }
    if member.lifecycle != LifecycleState::InService {
        return Err(no(format!("{id} is {}", member.lifecycle)));
    }
    let swap = Swap::read(&group, config, now);
    if !matches!(swap, Swap::Idle) || !group.is_stable() {
        let what = format!("{} does not stand still (swap: {})", group.name, swap.name());
        return Err(Failure::user(what, "wait until it does: `spotward plan` shows it"));
    }
    // arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:…
    let parts: Vec<&str> = group.arn.split(':').collect();
    let [_, partition, _, region, account, ..] = parts.as_slice() else {
        return Err(no(format!("{}: the ARN {:?} cannot be read", group.name, group.arn)));
    };
    Ok(Target {
        instance: id.clone(),
        group: group.name.to_string(),
        region: (*region).to_owned(),
        arn: format!("arn:{partition}:ec2:{region}:{account}:instance/{id}"),
    })
}

/// The experiment template: one action on one instance.
/// <https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html#send-spot-instance-interruptions>
fn experiment(target: &Target, role: &str, ends_in: Duration) -> Result<Value, Failure> {
    let role_parts: Vec<&str> = role.splitn(6, ':').collect();
    let is_role = matches!(role_parts.as_slice(), ["arn", _, "iam", "", _, name] if name.starts_with("role/"));
    if !is_role {
        return Err(Failure::user(
            format!("--role {role:?} is not the ARN of a role"),
            "arn:aws:iam::ACCOUNT:role/NAME",
        ));
    }
    let minutes = ends_in.as_secs() / 60;
    if !(2..=15).contains(&minutes) || !ends_in.as_secs().is_multiple_of(60) {
        return Err(Failure::user("--ends-in is not 2 to 15 whole minutes", "FIS interrupts no sooner and no later"));
    }
    Ok(json!({
        "description": format!("spotward drill: {} of {}", target.instance, target.group),
        "targets": {
            "member": {
                "resourceType": "aws:ec2:spot-instance",
                "resourceArns": [target.arn],
                "selectionMode": "ALL",
            },
        },
        "actions": {
            "interrupt": {
                "actionId": "aws:ec2:send-spot-instance-interruptions",
                "parameters": { "durationBeforeInterruption": format!("PT{minutes}M") },
                "targets": { "SpotInstances": "member" },
            },
        },
        "stopConditions": [{ "source": "none" }],
        "roleArn": role,
        "tags": { "Name": "spotward-drill" },
    }))
}

fn told(target: &Target, document: &Value, out: &Output) -> String {
    let Target { instance, group, region, .. } = target;
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    let head = out.paint(Tone::Head, &format!("{instance}, a spot member of {group} in {region}, will be interrupted"));
    format!(
        "{head}\n\
         experiment.json\n{text}\n\
         aws --region {region} fis create-experiment-template --cli-input-json file://experiment.json\n\
         aws --region {region} fis start-experiment --experiment-template-id ID\n"
    )
}

/// Asks for the instance's id: "y" is too easily said to the end of a machine.
fn is_wanted(out: &Output, target: &Target) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user("there is nobody to ask", "say --yes, or --print to see what would be done"));
    }
    out.print(&format!("{} will be ended. To go on, type its id: ", target.instance));
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(answer.trim() == target.instance.as_str())
}

/// Makes the template and starts the experiment; their ids.
fn start(program: &str, region: &str, document: &Value) -> Result<(String, String), Failure> {
    let text = document.to_string();
    let answer = fis(program, region, &["create-experiment-template", "--cli-input-json", &text])?;
    let template = id_in(&answer, "/experimentTemplate/id")?;
    let answer = fis(program, region, &["start-experiment", "--experiment-template-id", &template])?;
    Ok((template, id_in(&answer, "/experiment/id")?))
}

fn id_in(answer: &Value, place: &str) -> Result<String, Failure> {
    let id = answer.pointer(place).and_then(Value::as_str).filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| {
        Failure::user(
            format!("the AWS CLI answered without {place}"),
            "look into the FIS console whether it was started",
        )
    })
}

fn fis(program: &str, region: &str, arguments: &[&str]) -> Result<Value, Failure> {
    let answer = aws_cli::ask(program, region, "json", &[&["fis"], arguments].concat()).map_err(|no| match no {
        NoAnswer::NoProgram(_) => no.failure("use the printed commands elsewhere"),
        NoAnswer::Refused(said) => Failure {
            what: format!("fis {}: {said}", arguments[0]),
            hint: "see what FIS and its role need: spotward drill --help".into(),
            exit: Exit::Refused,
        },
    })?;
    serde_json::from_slice(&answer).map_err(|error| {
        Failure::user(format!("the AWS CLI's answer cannot be read: {error}"), "use the printed commands")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            instance: InstanceId::new("i-9"),
            group: "web".to_owned(),
            region: "us-east-1".to_owned(),
            arn: "arn:aws:ec2:us-east-1:123456789012:instance/i-9".to_owned(),
        }
    }

    const ROLE: &str = "arn:aws:iam::123456789012:role/fis";

    /// A program in the place of the AWS CLI, and where it notes how it was called.
    fn stand_in(name: &str, body: &str) -> (String, PathBuf) {
        let directory = std::env::temp_dir().join(format!("spotward-drill-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (program, notes) = (directory.join("aws"), directory.join("notes"));
        let text = format!("#!/bin/sh\necho \"$*\" >> {}\n{body}\n", notes.display());
        // Written by somebody else: a file that is open for writing here, or in a child that another test has just forked,
        // cannot be started.
        let write = "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let arguments = ["-c", write, "sh", program.to_str().unwrap(), &text];
        assert!(std::process::Command::new("sh").args(arguments).status().unwrap().success());
        (program.to_str().unwrap().to_owned(), notes)
    }

    #[test]
    fn makes_the_template_then_starts_it() {
        let (program, notes) = stand_in(
            "well",
            "case $6 in create-*) echo '{\"experimentTemplate\":{\"id\":\"EXT1\"}}';; *) echo '{\"experiment\":{\"id\":\"EXP1\"}}';; esac",
        );
        let document = experiment(&target(), ROLE, Duration::from_secs(120)).unwrap();
        assert_eq!(start(&program, "us-east-1", &document).unwrap(), ("EXT1".to_owned(), "EXP1".to_owned()));
        let calls = std::fs::read_to_string(&notes).unwrap();
        let _ = std::fs::remove_dir_all(notes.parent().unwrap());
        let lines: Vec<&str> = calls.lines().collect();
        assert_eq!(lines.len(), 2, "{calls}");
        let start = "--region us-east-1 --output json fis create-experiment-template --cli-input-json ";
        let sent: Value = serde_json::from_str(lines[0].strip_prefix(start).unwrap()).unwrap();
        assert_eq!(sent, document);
        assert_eq!(sent["targets"]["member"]["resourceArns"], json!([target().arn]), "one instance, by its name");
        assert_eq!(sent["actions"]["interrupt"]["parameters"]["durationBeforeInterruption"], "PT2M");
        assert!(lines[1].ends_with("fis start-experiment --experiment-template-id EXT1"), "{calls}");
    }

    #[test]
    fn what_aws_refuses_is_said_and_nothing_is_started() {
        let (program, notes) = stand_in("refused", "echo 'An error occurred (AccessDeniedException)' >&2; exit 254");
        let document = experiment(&target(), ROLE, Duration::from_secs(120)).unwrap();
        let failure = start(&program, "us-east-1", &document).unwrap_err();
        let calls = std::fs::read_to_string(&notes).unwrap();
        let _ = std::fs::remove_dir_all(notes.parent().unwrap());
        assert_eq!(calls.lines().count(), 1);
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.what.contains("AccessDeniedException"), "{}", failure.what);
    }

    #[test]
    fn without_the_aws_cli_it_says_so() {
        let failure = start("/nonexistent/aws", "us-east-1", &json!({})).unwrap_err();
        assert!(failure.hint.contains("install the AWS CLI"));
    }

    #[test]
    fn role_and_time_are_checked_before_anything_is_asked_of_aws() {
        for role in ["", "fis", "arn:aws:iam::123456789012:user/me", "arn:aws:sts::123456789012:role/fis"] {
            assert!(experiment(&target(), role, Duration::from_secs(120)).is_err(), "{role}");
        }
        for seconds in [0, 60, 119, 150, 960] {
            assert!(experiment(&target(), ROLE, Duration::from_secs(seconds)).is_err(), "{seconds}");
        }
    }
}
