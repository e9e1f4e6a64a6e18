//! The owner's own AWS CLI, for what is asked so seldom that an SDK for it would cost everybody more than it gives.

use std::process::{Command, Stdio};

use engine::CloudError;

use crate::failure::{Exit, Failure, SESSION_OVER};

/// What it is called; found on `PATH`.
pub const PROGRAM: &str = "aws";

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// It cannot be started; the system's words.
    NoProgram(String),
    /// It was started and failed: its words, in one line.
    Refused(String),
}

/// What the AWS CLI says of a session that is over …
const OVER: [&str; 4] = ["ExpiredToken", "SSO", "sso login", "Token has expired"];
/// … and of credentials that are missing, wrong, or not enough.
const DENIED: [&str; 3] = ["AccessDenied", "credential", "security token"];
/// What it says if it reached nobody, or was told to wait.
const LATER: [&str; 4] = ["Could not connect", "timeout", "Throttling", "Rate exceeded"];

impl NoAnswer {
    /// For people, with what they can do instead of using the AWS CLI.
    pub fn failure(self, instead: &str) -> Failure {
        let said = match self {
            Self::NoProgram(what) => {
                return Failure::user(what, format!("install the AWS CLI (https://aws.amazon.com/cli), or {instead}"));
            }
            Self::Refused(said) => said,
        };
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let hint = if has(&OVER) {
            SESSION_OVER.to_owned()
        } else if has(&DENIED) {
            Failure::aws(&CloudError::Denied(said.clone())).hint
        } else if has(&LATER) {
            Failure::aws(&CloudError::Throttled(said.clone())).hint
        } else {
            format!("the AWS CLI says so: try it by hand, or {instead}")
        };
        Failure { what: said, hint, exit: Exit::Refused }
    }

    /// Whether AWS said this: the code of an error.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused(said) if said.contains(code))
    }
}

/// Runs it to its end, with the caller's credentials and settings; what it wrote to standard output.
pub fn ask(program: &str, region: &str, output: &str, arguments: &[&str]) -> Result<Vec<u8>, NoAnswer> {
    let mut command = Command::new(program);
    command.args(["--region", region, "--output", output]).args(arguments);
    // Version 2 has a flag for it as well, which version 1 does not know.
    command.env("AWS_PAGER", "").env("AWS_CLI_AUTO_PROMPT", "off").stdin(Stdio::null());
    let done =
        command.output().map_err(|error| NoAnswer::NoProgram(format!("{program} cannot be started: {error}")))?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(NoAnswer::Refused(if said.is_empty() { format!("{program}: {}", done.status) } else { said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_the_hint_that_helps() {
        let hint = |said: &str| NoAnswer::Refused(said.to_owned()).failure("use something else").hint;
        let sso = "The SSO session associated with this profile has expired or is otherwise invalid. To refresh this SSO \
                   session run aws sso login with the corresponding profile.";
        for over in [sso, "An error occurred (ExpiredTokenException) when calling the FilterLogEvents operation"] {
            assert_eq!(hint(over), SESSION_OVER);
        }
        assert!(hint("Unable to locate credentials.").starts_with("no credentials that work"));
        assert!(hint("An error occurred (AccessDenied): not authorized").contains("in IAM"));
        assert!(hint("Could not connect to the endpoint URL").starts_with("the network"));
        assert!(hint("The config profile (ops) could not be found").ends_with("or use something else"));
        let missing = NoAnswer::NoProgram("aws cannot be started".to_owned()).failure("use something else");
        assert_eq!((missing.exit, missing.hint.ends_with("or use something else")), (Exit::User, true));
    }
}
