//! The command line: one definition for parsing, for the help that teaches, for completions and for the man page.
//!
//! Here is what all commands share. Each command's own arguments stand in its module.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use jiff::SignedDuration;
use planner::policy::Config;

use crate::cloud::World;
use crate::failure::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  spotward plan                         what would happen to the enabled groups now
  spotward plan --all                   the same for every group, as if it were enabled
  spotward plan web --json | jq .       one group, for programs
  spotward explain web                  why these types, and why not those
  spotward status --watch               what runs now
  spotward advise --all                 what every group could save, and how
  spotward prices m6i.large             what a type cost as spot, zone by zone
  spotward run --once                   one step for each enabled group (for cron)
  spotward run web --until-settled      swap until nothing is left to do, then show before and after
  spotward simulate --seed 7            the same decisions in a simulated region, without an account

Enable a group by its tag, disable it by deleting the tag:
  aws autoscaling create-or-update-tags --tags \\
    ResourceId=web,ResourceType=auto-scaling-group,Key=spot-enabled,Value=true,PropagateAtLaunch=false

Credentials and region come from the standard AWS configuration (AWS_PROFILE, AWS_REGION, …).";

/// Replaces the on-demand members of Auto Scaling groups by compatible, cheaper spot instances.
///
/// One at a time, never below desired capacity, only in groups that carry the enabling tag.
#[derive(Debug, Parser)]
#[command(name = "spotward", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub deployment: Deployment,
}

/// What the deployment says; the same as the stack's parameters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub struct Deployment {
    /// Name of the deployment: what another one launched is not touched
    #[arg(long, global = true, env = "SPOTWARD_STACK", default_value = "spotward", value_name = "NAME")]
    pub stack: String,
    /// The tag that enables a group
    #[arg(
        long,
        global = true,
        env = "SPOTWARD_ENABLE_TAG",
        default_value = "spot-enabled=true",
        value_name = "KEY=VALUE"
    )]
    pub enable_tag: String,
    /// Defaults of the settings, `key=value;key=value`, as in `min-on-demand=1;quiet=2m`
    #[arg(
        long,
        global = true,
        env = "SPOTWARD_DEFAULTS",
        default_value = "",
        hide_default_value = true,
        value_name = "SETTINGS"
    )]
    pub defaults: String,
    #[command(flatten)]
    pub files: crate::cloud::Files,
    /// Diagnostics on stderr (RUST_LOG chooses which)
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// Where to look.
#[derive(Debug, Args)]
pub struct Place {
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = region, conflicts_with = "snapshot")]
    pub region: Option<String>,
    /// A saved look instead of AWS
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

impl Place {
    /// The world there.
    pub async fn world(&self, config: &Config) -> Result<World, Failure> {
        match &self.snapshot {
            Some(path) => World::saved(path, config),
            None => World::live(config, self.region.as_deref()).await,
        }
    }
}

/// Every command: its heading in the help, its name here, its module. A module has `Args`, whose doc comment is its help,
/// and `command(Args, &Config)`. A new command is one row here and one `mod` in `main.rs`.
macro_rules! commands {
    ($($heading:literal { $($name:ident = $module:ident,)+ })+) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($($name(crate::$module::Args),)+)+
        }

        impl Command {
            /// Does it.
            pub async fn execute(self, config: &Config) -> Result<Exit, Failure> {
                match self {
                    $($(Self::$name(args) => crate::$module::command(args, config).await,)+)+
                }
            }
        }

        /// Headings of the help, with the names of their commands in order.
        const HEADINGS: &[(&str, &[&str])] = &[$(($heading, &[$(stringify!($module)),+])),+];
    };
}

commands! {
    "Look" {
        Plan = plan,
        Migrate = migrate,
        Explain = explain,
        Status = status,
        Doctor = doctor,
        Report = report,
        Advise = advise,
        Prices = prices,
    }
    "Act" {
        Run = run,
        Revert = revert,
        Uninstall = uninstall,
    }
    "Try out" {
        Simulate = simulate,
        Drill = drill,
    }
    "This program" {
        Completions = completions,
        Man = man,
    }
}

/// The definition: for completions and the man page.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Reads the process's arguments.
pub fn parse() -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&grouped().try_get_matches()?)
}

/// The definition with a list of commands under headings, which clap does not have: so its own list is hidden.
fn grouped() -> clap::Command {
    let mut command = definition().override_usage("spotward [OPTIONS] <COMMAND>");
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{{all-args}}{{after-help}}",
        list(&command)
    );
    command.build();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let hidden = names.iter().fold(command, |command, name| command.mut_subcommand(name, |sub| sub.hide(true)));
    hidden.help_template(template)
}

/// Commands under their headings, one line each.
fn list(command: &clap::Command) -> String {
    let (heading_style, name_style) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let width = HEADINGS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let mut list = String::new();
    for (heading, names) in HEADINGS {
        list.push_str(&format!("{heading_style}{heading}:{heading_style:#}\n"));
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            list.push_str(&format!("  {name_style}{name:<width$}{name_style:#}  {about}\n"));
        }
        list.push('\n');
    }
    list
}

/// A typo must not become the name of a host that is waited for.
pub fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let well_formed = match parts.split_last() {
        Some((number, names)) => {
            names.len() >= 2 && names.iter().all(letters) && number.len() <= 2 && number.parse::<u8>().is_ok()
        }
        None => false,
    };
    if well_formed { Ok(text.to_owned()) } else { Err("a region is written like us-east-1".to_owned()) }
}

pub fn pause(text: &str) -> Result<std::time::Duration, String> {
    let allowed = "allowed are seconds from 0.1 to 300";
    let seconds: f64 = text.parse().map_err(|_| allowed.to_owned())?;
    if (0.1..=300.0).contains(&seconds) {
        Ok(std::time::Duration::from_secs_f64(seconds))
    } else {
        Err(allowed.to_owned())
    }
}

pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let allowed = "allowed is a duration like 90s, 20m or 2h";
    let duration: SignedDuration = text.parse().map_err(|_| allowed.to_owned())?;
    std::time::Duration::try_from(duration).ok().filter(|duration| !duration.is_zero()).ok_or(allowed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn the_list_of_commands_fits_a_terminal() {
        for line in list(&definition().styles(clap::builder::Styles::plain())).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn every_command_has_one_line_of_help_and_examples() {
        for command in definition().get_subcommands() {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about:?}");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("spotward {name}")), "{name} has no example");
            assert!(after.contains("Exit status:"), "{name} does not say how it ends");
        }
    }

    #[test]
    fn regions_are_told_from_typos() {
        for good in ["us-east-1", "eu-central-2", "us-gov-west-1", "cn-north-1", "ap-southeast-5"] {
            assert_eq!(region(good).as_deref(), Ok(good));
        }
        for bad in ["", "us-east", "useast1", "US-EAST-1", "us-east-1a", "us-east-", "-east-1", "mars"] {
            assert!(region(bad).is_err(), "{bad}");
        }
    }
}
