//! What the owner asked for: one table of options, read from the command line first and from the environment second.

use crate::cloud_names::{Topic, Variant};
use crate::ready::{Check, Rule};
use crate::sns::proxy_for;
use crate::url::{Url, split_port};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// One option: `--name VALUE`, or `SPOTWARD_NAME=VALUE` in the environment.
pub struct Opt {
    /// Without the dashes.
    pub name: &'static str,
    /// What to write after it.
    pub value: &'static str,
    /// Empty if there is none.
    pub default: &'static str,
    /// For people.
    pub sentence: &'static str,
}

const fn opt(name: &'static str, value: &'static str, default: &'static str, sentence: &'static str) -> Opt {
    Opt { name, value, default, sentence }
}

/// Every option there is. docs/watcher.md lists the same; tests/docs.rs compares.
pub const OPTIONS: [Opt; 22] = [
    opt(
        "topic",
        "ARN|none",
        "",
        "SNS topic that the Lambda listens to; `none` to watch and drain without telling anybody (required)",
    ),
    opt("action-every", "SECONDS", "2", "how often to ask for the interruption notice (1 to 60)"),
    opt(
        "other-every",
        "SECONDS",
        "5",
        "how often to ask for the rebalance recommendation and the group's target state (1 to 60)",
    ),
    opt(
        "hook",
        "COMMAND",
        "",
        "drain command, split at spaces, no shell; gets EVENT, ACTION, TIME and DEADLINE_S in its environment",
    ),
    opt(
        "drain-on",
        "LIST",
        "",
        "drain also on `rebalance` and/or `terminated` (comma-separated), not only on the interruption",
    ),
    opt("drain-seconds", "SECONDS", "300", "time for a drain whose event has no time of its own (10 to 7200)"),
    opt("drain-margin", "SECONDS", "10", "how long before the interruption the drain must have ended (5 to 60)"),
    opt(
        "state-dir",
        "DIR",
        "/run/spotward-watcher",
        "notice.json and the marks of what was done; systemd's RUNTIME_DIRECTORY comes before the default",
    ),
    opt(
        "ready-uptime",
        "SECONDS",
        "30",
        "say `ready` no sooner than this after boot; giving it arms `ready` even without a check",
    ),
    opt("ready-times", "COUNT", "3", "how often in a row the checks must pass (1 to 100)"),
    opt("ready-http", "URL", "", "ready when this http:// address answers 200"),
    opt("ready-tcp", "HOST:PORT", "", "ready when this accepts connections"),
    opt("ready-command", "COMMAND", "", "ready when this exits with 0 within 10 s; split at spaces, no shell"),
    opt("ready-file", "PATH", "", "ready when this file is there"),
    opt(
        "sns-endpoint",
        "URL",
        "",
        "https:// address of a VPC endpoint without private DNS; http:// only on loopback (AWS_ENDPOINT_URL_SNS)",
    ),
    opt("sns-variant", "NAME", "plain", "`plain`, `fips`, `dual-stack` or `fips-dual-stack` endpoint"),
    opt("ca-bundle", "PATH", "", "CA certificates in PEM, instead of the system's (AWS_CA_BUNDLE, SSL_CERT_FILE)"),
    opt("imds-endpoint", "URL", "", "address of the metadata service (AWS_EC2_METADATA_SERVICE_ENDPOINT)"),
    opt("imds-mode", "IPv4|IPv6", "IPv4", "which of its two addresses to use (AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE)"),
    opt("any-lifecycle", "yes|no", "no", "go on watching on an instance that is not spot"),
    opt(
        "pin-memory",
        "yes|no",
        "yes",
        "keep the program's pages from being paged out, where the limit on locked memory allows it",
    ),
    opt(
        "test-pace",
        "FACTOR",
        "1",
        "TEST ONLY: all waits between polls and retries are this many times shorter (1 to 10000)",
    ),
];

/// The options, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to publish; `None` to publish nothing.
    pub sns: Option<SnsSettings>,
    /// Between looks at the interruption notice.
    pub action_every: Duration,
    /// Between looks at the other items.
    pub other_every: Duration,
    /// The drain command; empty if there is none.
    pub hook: Vec<String>,
    /// Drain on a rebalance recommendation.
    pub drains_on_rebalance: bool,
    /// Drain when the group moves us to `Terminated`.
    pub drains_on_terminated: bool,
    /// For drains without a time of their own.
    pub drain_time: Duration,
    /// Before the interruption.
    pub drain_margin: Duration,
    /// On a tmpfs.
    pub state_directory: PathBuf,
    /// `None` if `ready` is never said.
    pub ready: Option<Rule>,
    /// The metadata service.
    pub imds: SocketAddr,
    /// Stay on instances that are not spot.
    pub any_lifecycle: bool,
    /// Try mlockall.
    pub pin_memory: bool,
    /// 1 except in tests.
    pub pace: u32,
}

/// How to reach the topic.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    /// The topic.
    pub topic: Topic,
    /// Its endpoint.
    pub endpoint: Url,
    /// On the way there.
    pub proxy: Option<Url>,
    /// Instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// What the command line asks for.
pub enum Wish {
    /// Watch.
    Run(Box<Settings>),
    /// Print this and end well.
    Print(String),
}

impl Settings {
    /// A wait as tests want it: shorter.
    pub fn paced(&self, wait: Duration) -> Duration {
        wait / self.pace
    }
}

/// Reads the command line; `environment` looks up variables.
pub fn read(arguments: &[String], environment: &dyn Fn(&str) -> Option<String>) -> Result<Wish, String> {
    let mut given: [Option<String>; OPTIONS.len()] = [const { None }; OPTIONS.len()];
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(Wish::Print(help()));
        }
        if matches!(argument.as_str(), "--version" | "-V") {
            return Ok(Wish::Print(format!("spotward-watcher {}\n", env!("CARGO_PKG_VERSION"))));
        }
        let name = argument.strip_prefix("--").ok_or_else(|| format!("{argument}: not an option; see --help"))?;
        let (name, inline) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
        let place = OPTIONS
            .iter()
            .position(|option| option.name == name)
            .ok_or_else(|| format!("--{name}: no such option; see --help"))?;
        let value = match inline {
            Some(value) => value.to_owned(),
            None => rest.next().ok_or_else(|| format!("--{name} needs {}", OPTIONS[place].value))?.clone(),
        };
        given[place] = Some(value);
    }
    for (place, option) in OPTIONS.iter().enumerate() {
        if given[place].is_none() {
            given[place] = environment(&variable(option.name)).filter(|value| !value.is_empty());
        }
    }
    Form { given, environment }.settings().map(|settings| Wish::Run(Box::new(settings)))
}

/// `SPOTWARD_ACTION_EVERY`
pub fn variable(name: &str) -> String {
    format!("SPOTWARD_{}", name.replace('-', "_").to_ascii_uppercase())
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = "spotward-watcher: sees the spot interruption notice on the instance, tells the Lambda, lets the workload drain.\n\nUsage: spotward-watcher --topic ARN [OPTIONS]\n\nEvery option can be set in the environment too: --action-every is SPOTWARD_ACTION_EVERY.\n\n".to_owned();
    for option in &OPTIONS {
        let default = if option.default.is_empty() { String::new() } else { format!(" [{}]", option.default) };
        text.push_str(&format!("  --{} {}\n        {}{default}\n", option.name, option.value, option.sentence));
    }
    text.push_str("\nExit status: 0 not a spot instance (or --help, --version), 64 wrong options. Nothing else ends it but a signal.\n");
    text
}

struct Form<'a> {
    given: [Option<String>; OPTIONS.len()],
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Form<'_> {
    fn settings(&self) -> Result<Settings, String> {
        Ok(Settings {
            sns: self.sns()?,
            action_every: self.seconds("action-every", 1, 60)?,
            other_every: self.seconds("other-every", 1, 60)?,
            hook: words(self.text("hook")),
            drains_on_rebalance: self.drains_on("rebalance")?,
            drains_on_terminated: self.drains_on("terminated")?,
            drain_time: self.seconds("drain-seconds", 10, 7_200)?,
            drain_margin: self.seconds("drain-margin", 5, 60)?,
            state_directory: self
                .path_or("state-dir", &["RUNTIME_DIRECTORY"])
                .unwrap_or_else(|| self.text("state-dir").into()),
            ready: self.ready()?,
            imds: self.imds()?,
            any_lifecycle: self.yes("any-lifecycle")?,
            pin_memory: self.yes("pin-memory")?,
            pace: self.number("test-pace", 1, 10_000)? as u32,
        })
    }

    fn place(name: &str) -> usize {
        // A name that is not in the table is a slip of ours; every one is asked for in the tests.
        OPTIONS.iter().position(|option| option.name == name).expect("an option of the table")
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.given[Self::place(name)].as_deref()
    }

    fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or(OPTIONS[Self::place(name)].default)
    }

    fn text_or(&self, name: &str, variables: &[&str]) -> Option<String> {
        let fallback =
            || variables.iter().find_map(|variable| (self.environment)(variable).filter(|value| !value.is_empty()));
        self.given(name).map(str::to_owned).or_else(fallback)
    }

    fn path_or(&self, name: &str, variables: &[&str]) -> Option<PathBuf> {
        self.text_or(name, variables).map(PathBuf::from)
    }

    fn number(&self, name: &str, min: u64, max: u64) -> Result<u64, String> {
        let text = self.text(name);
        text.parse()
            .ok()
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| format!("--{name} {text}: not a whole number from {min} to {max}"))
    }

    fn seconds(&self, name: &str, min: u64, max: u64) -> Result<Duration, String> {
        self.number(name, min, max).map(Duration::from_secs)
    }

    fn yes(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            "yes" => Ok(true),
            "no" => Ok(false),
            other => Err(format!("--{name} {other}: neither yes nor no")),
        }
    }

    fn drains_on(&self, event: &str) -> Result<bool, String> {
        let list = self.text("drain-on");
        let mut events = list.split(',').map(str::trim).filter(|event| !event.is_empty());
        if let Some(other) = events.clone().find(|event| !["rebalance", "terminated"].contains(event)) {
            return Err(format!("--drain-on {other}: neither rebalance nor terminated"));
        }
        Ok(events.any(|listed| listed == event))
    }

    fn sns(&self) -> Result<Option<SnsSettings>, String> {
        let topic = match self.text("topic") {
            "" => return Err("--topic ARN is required (or --topic none)".to_owned()),
            "none" => return Ok(None),
            arn => Topic::read(arn).map_err(|error| format!("--topic: {error}"))?,
        };
        let variant = match self.text("sns-variant") {
            "plain" => Variant::Plain,
            "fips" => Variant::Fips,
            "dual-stack" => Variant::DualStack,
            "fips-dual-stack" => Variant::FipsDualStack,
            other => return Err(format!("--sns-variant {other}: neither plain, fips, dual-stack nor fips-dual-stack")),
        };
        let endpoint = match self.text_or("sns-endpoint", &["AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL"]) {
            Some(_) if variant != Variant::Plain => return Err("--sns-endpoint excludes --sns-variant".to_owned()),
            Some(text) => Url::read(&text)
                .filter(|url| url.path == "/" && url.user_info.is_none() && (url.is_tls || url.is_loopback()))
                .ok_or_else(|| format!("--sns-endpoint {text}: not https://HOST[:PORT] (http:// only on loopback)"))?,
            None => Url { is_tls: true, user_info: None, host: topic.host(variant), port: 443, path: "/".to_owned() },
        };
        let proxy = if endpoint.is_tls { proxy_for(&endpoint.host, self.environment)? } else { None };
        Ok(Some(SnsSettings {
            topic,
            endpoint,
            proxy,
            ca_bundle: self.path_or("ca-bundle", &["AWS_CA_BUNDLE", "SSL_CERT_FILE"]),
        }))
    }

    fn ready(&self) -> Result<Option<Rule>, String> {
        let mut checks = Vec::new();
        let bad = |name: &str, what: &str| format!("--{name}: not {what}");
        if let Some(text) = self.given("ready-http") {
            let url = Url::read(text).filter(|url| !url.is_tls && url.user_info.is_none());
            checks.push(Check::Http(url.ok_or_else(|| bad("ready-http", "an http:// address"))?));
        }
        if let Some(text) = self.given("ready-tcp") {
            let has_port = split_port(text).is_some_and(|(_, port)| port.is_some());
            checks.push(Check::Tcp(has_port.then(|| text.to_owned()).ok_or_else(|| bad("ready-tcp", "HOST:PORT"))?));
        }
        if let Some(text) = self.given("ready-file") {
            checks.push(Check::File(text.into()));
        }
        // Commands last: they cost the most, and a round ends at the first check that fails.
        if let Some(text) = self.given("ready-command") {
            let argv = words(text);
            checks.push(Check::Command(
                (!argv.is_empty()).then_some(argv).ok_or_else(|| bad("ready-command", "a command"))?,
            ));
        }
        let rule = Rule {
            uptime_seconds_min: self.number("ready-uptime", 0, 86_400)?,
            times: self.number("ready-times", 1, 100)? as u32,
            checks,
        };
        let is_armed = !rule.checks.is_empty() || self.given("ready-uptime").is_some();
        Ok(is_armed.then_some(rule))
    }

    fn imds(&self) -> Result<SocketAddr, String> {
        let mode =
            self.text_or("imds-mode", &["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]).unwrap_or_else(|| "IPv4".to_owned());
        let default = match mode.to_ascii_lowercase().as_str() {
            "ipv4" => "http://169.254.169.254",
            "ipv6" => "http://[fd00:ec2::254]",
            _ => return Err(format!("--imds-mode {mode}: neither IPv4 nor IPv6")),
        };
        let text =
            self.text_or("imds-endpoint", &["AWS_EC2_METADATA_SERVICE_ENDPOINT"]).unwrap_or_else(|| default.to_owned());
        let refuse = || format!("--imds-endpoint {text}: not http://ADDRESS[:PORT]");
        let url = Url::read(&text).filter(|url| !url.is_tls && url.path == "/").ok_or_else(refuse)?;
        // An address is taken as it is. A name is looked up once, here: the polls must not depend on a name service.
        (url.host.as_str(), url.port).to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(refuse)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws-cn:sns:cn-north-1:123456789012:spotward";

    fn settings(arguments: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match read(&words(arguments), &lookup)? {
            Wish::Run(settings) => Ok(*settings),
            Wish::Print(text) => Err(text),
        }
    }

    #[test]
    fn a_topic_is_enough() {
        let settings = settings(&format!("--topic {TOPIC}"), &[]).unwrap();
        let sns = settings.sns.unwrap();
        assert_eq!(sns.endpoint.host, "sns.cn-north-1.amazonaws.com.cn");
        assert_eq!((sns.endpoint.port, sns.proxy, sns.ca_bundle), (443, None, None));
        assert_eq!(settings.imds.to_string(), "169.254.169.254:80");
        assert_eq!((settings.action_every.as_secs(), settings.other_every.as_secs()), (2, 5));
        assert_eq!(settings.ready, None);
        assert_eq!(settings.state_directory.to_str(), Some("/run/spotward-watcher"));
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let environment = [
            ("SPOTWARD_TOPIC", TOPIC),
            ("SPOTWARD_ACTION_EVERY", "3"),
            ("SPOTWARD_OTHER_EVERY", "7"),
            ("RUNTIME_DIRECTORY", "/run/x"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6"),
            ("AWS_ENDPOINT_URL_SNS", "https://vpce.example:8443"),
            ("SSL_CERT_FILE", "/ca.pem"),
        ];
        let settings = settings("--action-every=1 --ready-file /x --ready-uptime 0", &environment).unwrap();
        let sns = settings.sns.unwrap();
        assert_eq!((settings.action_every.as_secs(), settings.other_every.as_secs()), (1, 7));
        assert_eq!((sns.endpoint.host.as_str(), sns.endpoint.port), ("vpce.example", 8443));
        assert_eq!(sns.ca_bundle.unwrap().to_str(), Some("/ca.pem"));
        assert_eq!(settings.imds.to_string(), "[fd00:ec2::254]:80");
        assert_eq!(settings.state_directory.to_str(), Some("/run/x"));
        assert_eq!(settings.ready.unwrap().checks, [Check::File("/x".into())]);
    }

    #[test]
    fn the_proxy_never_stands_before_the_metadata_service() {
        let settings = settings(
            &format!("--topic {TOPIC}"),
            &[("HTTPS_PROXY", "http://proxy:3128"), ("HTTP_PROXY", "http://proxy:3128")],
        )
        .unwrap();
        assert_eq!(settings.imds.to_string(), "169.254.169.254:80");
        assert_eq!(settings.sns.unwrap().proxy.unwrap().host, "proxy");
    }

    #[test]
    fn wrong_options_are_refused_by_name() {
        for (arguments, complaint) in [
            ("", "--topic"),
            ("--topic x", "--topic"),
            ("--topic", "--topic"),
            ("--tropic none", "--tropic"),
            ("topic", "topic"),
            ("--topic none --action-every 0", "--action-every"),
            ("--topic none --action-every 61", "--action-every"),
            ("--topic none --action-every 1.5", "--action-every"),
            ("--topic none --drain-on x", "--drain-on"),
            ("--topic none --ready-http https://x", "--ready-http"),
            ("--topic none --ready-tcp x", "--ready-tcp"),
            ("--topic none --imds-mode 4", "--imds-mode"),
            ("--topic none --imds-endpoint https://x", "--imds-endpoint"),
            ("--topic none --any-lifecycle maybe", "--any-lifecycle"),
            ("--topic arn:aws:sns:us-east-1:123456789012:t --sns-endpoint http://sns.example", "--sns-endpoint"),
            (
                "--topic arn:aws:sns:us-east-1:123456789012:t --sns-endpoint https://x --sns-variant fips",
                "--sns-variant",
            ),
        ] {
            let refusal = settings(arguments, &[]).err().unwrap_or_default();
            assert!(refusal.contains(complaint), "{arguments}: {refusal}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let help = settings("--help", &[]).unwrap_err();
        assert!(OPTIONS.iter().all(|option| help.contains(&format!("--{} {}", option.name, option.value))));
    }
}
