//! The ledger's lines, read from the function's log group through the owner's AWS CLI.

use jiff::{SignedDuration, Timestamp};
use ledger::keeper::REPEAT;

use crate::aws_cli::{self, NoAnswer};
use crate::failure::Failure;
use crate::report::show;

/// Lines from so long before and after the time of a report belong to it: a group at rest is written down once in
/// [`REPEAT`], and an end may be told half an hour late.
const MARGIN: SignedDuration = SignedDuration::from_secs(2 * REPEAT.as_secs());

/// What CloudWatch Logs lets through: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
const LEDGER: &str = r#"{ $.spotward = "ledger" }"#;

/// Where the function of a deployment writes, as `template.yaml` names it.
pub fn group(stack: &str) -> String {
    format!("/aws/lambda/{stack}")
}

/// A time and a place.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub region: &'a str,
    pub stack: &'a str,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// All lines of the ledger there. `program` is the AWS CLI.
pub fn lines(program: &str, wanted: Wanted<'_>) -> Result<String, NoAnswer> {
    let millis = |at: Result<Timestamp, jiff::Error>, or: Timestamp| at.unwrap_or(or).as_millisecond().to_string();
    let name = group(wanted.stack);
    let start = millis(wanted.since.checked_sub(MARGIN), Timestamp::UNIX_EPOCH);
    let end = millis(wanted.until.checked_add(MARGIN), wanted.until);
    let asked = ["--log-group-name", &name, "--filter-pattern", LEDGER, "--start-time", &start, "--end-time", &end];
    // As text, each page is printed when it comes; as JSON, the AWS CLI holds a month of lines until the last.
    let shown = ["--query", "events[].[message]"];
    let arguments = [&["logs", "filter-log-events"], asked.as_slice(), &shown].concat();
    let answer = aws_cli::ask(program, wanted.region, "text", &arguments)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Why there are no lines, for people.
pub fn failure(no: NoAnswer, wanted: Wanted<'_>) -> Failure {
    let (region, name) = (wanted.region, group(wanted.stack));
    if no.is("ResourceNotFoundException") {
        return Failure::user(
            format!("{region}: there is no log group {name}"),
            "name the deployment with --stack and its region with --region; a stack that was deleted took its log along",
        );
    }
    let hint = no.is("AccessDenied").then(|| {
        format!(
            "allow logs:FilterLogEvents on {name} to these credentials, use others (AWS_PROFILE), or say --from FILE"
        )
    });
    let is_of_region = matches!(no, NoAnswer::Refused(_));
    let failure = no.failure("export the lines elsewhere and name the file with --from: docs/report.md");
    Failure {
        what: if is_of_region { format!("{region}: {}", failure.what) } else { failure.what },
        hint: hint.unwrap_or(failure.hint),
        exit: failure.exit,
    }
}

/// The log group is there, and holds none of what was asked for.
pub fn nothing(regions: &[String], stack: &str, since: Timestamp, until: Timestamp) -> Failure {
    Failure::user(
        format!(
            "{}: {} has no lines of the ledger from {} to {}",
            regions.join(", "),
            group(stack),
            show::minute(since),
            show::minute(until)
        ),
        "the function writes them from its first tick on, for groups that are enabled; --since looks further back",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_group_is_the_one_of_the_template() {
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
        let template = std::fs::read_to_string(template).unwrap();
        let name = group("${AWS::StackName}");
        assert!(template.contains(&format!("LogGroupName: !Sub {name}\n")), "{name}");
    }
}
