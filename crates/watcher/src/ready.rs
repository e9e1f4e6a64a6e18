//! "I am ready": the machine is up for long enough, and the owner's checks passed several times in a row.

use crate::drain::{End, Running};
use crate::http::{Timed, Trouble, read_status};
use crate::url::{Url, split_port};
use std::io::Write;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A check that takes longer has failed. It also bounds how long a notice may wait for a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands run beside us, so they may take longer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// One question to the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The address answers 200.
    Http(Url),
    /// Somebody accepts connections at `host:port`.
    Tcp(String),
    /// The command exits with 0.
    Command(Vec<String>),
    /// The file is there.
    File(PathBuf),
}

/// What must hold before this instance calls itself ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Since boot.
    pub uptime_seconds_min: u64,
    /// Passes in a row.
    pub times: u32,
    /// All of them; none means that the uptime is enough.
    pub checks: Vec<Check>,
}

/// The state of the rule: how often in a row it held.
pub struct Readiness {
    rule: Rule,
    in_a_row: u32,
    round: Option<Round>,
}

/// One time through the checks. Commands take several turns, so a round is remembered between turns.
struct Round {
    next: usize,
    command: Option<Running>,
}

/// What a look says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask again.
    NotYet(String),
    /// A command is running: ask again soon.
    Asking,
    /// As often as it takes.
    Ready,
}

impl Readiness {
    /// Nothing asked yet.
    pub fn new(rule: Rule) -> Self {
        Self { rule, in_a_row: 0, round: None }
    }

    /// Asks once. `target_state` is the state that the group moves us to, where there is one; `uptime_seconds` counts from
    /// boot.
    pub fn look(&mut self, target_state: Option<&str>, uptime_seconds: u64) -> Verdict {
        // Alone it proves nothing (it says InService from the start of a launch), but Warmed:… and Terminated do say no.
        if let Some(state) = target_state.filter(|state| *state != "InService") {
            return self.fail(format!("the group moves this instance to {state}"));
        }
        if uptime_seconds < self.rule.uptime_seconds_min {
            return self.fail(format!("up for less than {} s", self.rule.uptime_seconds_min));
        }
        let mut round = self.round.take().unwrap_or(Round { next: 0, command: None });
        while let Some(check) = self.rule.checks.get(round.next) {
            let result = match check {
                Check::Http(url) => ask_http(url),
                Check::Tcp(address) => ask_tcp(address),
                Check::File(path) => path.exists().then_some(()).ok_or_else(|| "is not there".to_owned()),
                Check::Command(argv) => match ask_command(argv, &mut round.command) {
                    Some(result) => result,
                    None => {
                        self.round = Some(round);
                        return Verdict::Asking;
                    }
                },
            };
            if let Err(why) = result {
                let text = format!("{}: {why}", describe(check));
                return self.fail(text);
            }
            round.next += 1;
        }
        self.in_a_row += 1;
        if self.in_a_row >= self.rule.times { Verdict::Ready } else { Verdict::NotYet("the checks pass".to_owned()) }
    }

    fn fail(&mut self, why: String) -> Verdict {
        self.in_a_row = 0;
        self.round = None;
        Verdict::NotYet(why)
    }
}

fn describe(check: &Check) -> String {
    match check {
        Check::Http(url) => format!("http://{}{}", url.host_header(), url.path),
        Check::Tcp(address) => address.clone(),
        Check::Command(argv) => argv.first().cloned().unwrap_or_default(),
        Check::File(path) => path.display().to_string(),
    }
}

fn ask_http(url: &Url) -> Result<(), String> {
    let until = Instant::now() + CHECK_TIMEOUT;
    let addresses: Vec<_> =
        (url.host.as_str(), url.port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let mut stream = Timed::connect(&addresses, CHECK_TIMEOUT, until).map_err(|trouble| trouble.to_string())?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: spotward-watcher\r\nConnection: close\r\n\r\n",
        url.path,
        url.host_header()
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    // Only the status matters: a long page is no failure.
    match read_status(&mut stream) {
        Ok(200) => Ok(()),
        Ok(status) => Err(Trouble::Status(status).to_string()),
        Err(trouble) => Err(trouble.to_string()),
    }
}

fn ask_tcp(address: &str) -> Result<(), String> {
    let (host, port) = split_port(address).ok_or("not HOST:PORT")?;
    let addresses: Vec<_> =
        (host, port.ok_or("not HOST:PORT")?).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    Timed::connect(&addresses, CHECK_TIMEOUT, Instant::now() + CHECK_TIMEOUT)
        .map(drop)
        .map_err(|trouble| trouble.to_string())
}

fn ask_command(argv: &[String], command: &mut Option<Running>) -> Option<Result<(), String>> {
    if command.is_none() {
        match Running::start(argv, &[], Instant::now() + COMMAND_TIMEOUT) {
            Ok(running) => *command = Some(running),
            Err(error) => return Some(Err(error.to_string())),
        }
    }
    let end = command.as_mut()?.look()?;
    *command = None;
    Some(match end {
        End::Well => Ok(()),
        End::Badly(status) => Err(format!("exit status {status}")),
        End::Late => Err(format!("took more than {} s", COMMAND_TIMEOUT.as_secs())),
        End::Unknown => Err("its end was not seen".to_owned()),
    })
}

/// Since boot, sleep included.
pub fn uptime_seconds() -> u64 {
    std::fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split('.').next()?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_ready_before_the_uptime() {
        let mut readiness = Readiness::new(Rule { uptime_seconds_min: 30, times: 1, checks: Vec::new() });
        assert_eq!(readiness.look(None, 29), Verdict::NotYet("up for less than 30 s".to_owned()));
        assert_eq!(readiness.look(None, 30), Verdict::Ready);
    }

    #[test]
    fn a_relapse_counts_from_the_beginning() {
        let mut readiness = Readiness::new(Rule { uptime_seconds_min: 0, times: 2, checks: Vec::new() });
        let mut look = |state| readiness.look(Some(state), 60);
        assert_eq!(look("InService"), Verdict::NotYet("the checks pass".to_owned()));
        assert_eq!(
            look("Warmed:Stopped"),
            Verdict::NotYet("the group moves this instance to Warmed:Stopped".to_owned())
        );
        assert_eq!(look("InService"), Verdict::NotYet("the checks pass".to_owned()));
        assert_eq!(look("InService"), Verdict::Ready);
    }
}
