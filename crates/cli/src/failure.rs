//! What went wrong, what to do about it, and the exit status that says so to programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use engine::CloudError;

/// Exit status. The numbers are promised in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to do, or settled.
    Nothing,
    /// The caller's mistake.
    User,
    /// `plan`: something would be done.
    WouldAct,
    /// AWS refused.
    Refused,
    /// `run`: not settled in time.
    Unsettled,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::User => 1,
            Self::WouldAct => 2,
            Self::Refused => 3,
            Self::Unsettled => 4,
        }
    }

    /// The one to report when several groups end differently: what the caller has to see first.
    pub fn worse(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Nothing => 0,
            Exit::WouldAct => 1,
            Exit::Unsettled => 2,
            Exit::User => 3,
            Exit::Refused => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// One line what, one line what to do.
#[derive(Clone, Debug)]
pub struct Failure {
    pub what: String,
    pub hint: String,
    pub exit: Exit,
}

impl Failure {
    pub fn user(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), exit: Exit::User }
    }

    /// What AWS said, with what its reader can do about it.
    pub fn aws(error: &CloudError) -> Self {
        let what = one_line(error);
        Self { hint: hint(error, &what).to_owned(), what, exit: Exit::Refused }
    }

    pub fn print(&self) {
        let mut stderr = std::io::stderr().lock();
        let (red, bold, off) = if crate::output::colours(stderr.is_terminal()) {
            ("\x1b[1;31m", "\x1b[1m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(stderr, "{red}error:{off} {}", self.what);
        let _ = writeln!(stderr, " {bold}hint:{off} {}", self.hint);
    }
}

/// For whoever was somebody until a while ago.
pub const SESSION_OVER: &str = "the session is over: log in again (`aws sso login`)";

/// The error without the debug form that the SDK adds to failures of the network, and without the list of all places
/// where no credentials were found; `--verbose` shows both.
pub fn one_line(error: &CloudError) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = [" (DispatchFailure(", " (TimeoutError(", " (ResponseError(", " (ConstructionFailure(", ". Attempted:"];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..end].to_owned()
}

fn hint(error: &CloudError, what: &str) -> &'static str {
    match error {
        CloudError::Denied(_) if what.contains("ExpiredToken") => SESSION_OVER,
        CloudError::Denied(_) if what.to_lowercase().contains("credential") => {
            "no credentials that work: set AWS_PROFILE or AWS_ACCESS_KEY_ID, or log in (`aws sso login`)"
        }
        CloudError::Denied(_) => "allow the call named above to these credentials in IAM, or use others (AWS_PROFILE)",
        CloudError::Throttled(_) => "the network, the endpoint (AWS_ENDPOINT_URL) or AWS itself: try again in a minute",
        CloudError::InsufficientCapacity(_) => "EC2 has none of the types just now: later, or allow more types",
        CloudError::Limit(_) => "raise the account's limit in Service Quotas, or end instances that nobody needs",
        CloudError::NotFound(_) => "it was there a moment ago: try again",
        CloudError::Conflict(_) => "somebody else is changing the group: try again in a minute",
        CloudError::Rejected(_) => "AWS does not take the request as it is: `--verbose` shows it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_network_is_told_in_one_line() {
        let long =
            "DescribeX: dispatch failure: io error: connection refused\n (DispatchFailure(DispatchFailure { … }))";
        let told = one_line(&CloudError::Throttled(long.to_owned()));
        assert_eq!(told, "throttled or temporarily failing: DescribeX: dispatch failure: io error: connection refused");
    }

    #[test]
    fn the_worst_end_is_reported() {
        assert_eq!(Exit::WouldAct.worse(Exit::User), Exit::User);
        assert_eq!(Exit::Refused.worse(Exit::User), Exit::Refused);
        assert_eq!(Exit::Nothing.worse(Exit::WouldAct), Exit::WouldAct);
    }
}
