//! `spotward migrate`: AutoSpotting's tags on a group, in our words. Reads only.

use std::path::PathBuf;

use planner::model::Tags;
use planner::policy::{ALIAS_NAMESPACE, Config, Policy};
use planner::predecessor::{Translated, Translation, translate};
use planner::traces::TaggedGroup;
use serde_json::{Value, json};

use crate::args;
use crate::cloud::World;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Tone};
use crate::plan::unknown;

/// Version of the JSON document.
const VERSION: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  spotward migrate                      every group with AutoSpotting's tags, or the enabling one
  spotward migrate web                  this one
  spotward migrate --all                groups without such tags as well
  spotward migrate --json | jq '.groups[].tags[] | select(.becomes == null)'
  spotward migrate --snapshot seen.json from a saved look, without an account

Nothing is written. Tags that are read as they are need no change; the commands at the end write the
same in our own words. Every option of AutoSpotting, tag or not: docs/migrate-from-autospotting.md

Exit status:
  0  every tag is understood, or has no counterpart and says why
  1  a mistake of the caller, or a value that cannot be understood: the group would be left alone
  3  AWS refused: no credentials, no permission";

/// Translate AutoSpotting's tags of existing groups; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Groups to translate; without any, all that carry such tags
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Every group of the region
    #[arg(long, conflicts_with = "groups")]
    pub all: bool,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region, conflicts_with = "snapshot")]
    pub region: Option<String>,
    /// One JSON document on stdout
    #[arg(long)]
    pub json: bool,
    /// Read a saved look instead of asking AWS
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = match &args.snapshot {
        Some(path) => World::saved(path, config)?,
        None => World::live(config, args.region.as_deref()).await?,
    };
    let groups = world.groups_with_tags().await.map_err(|error| world.failure(&error))?;
    let chosen = chosen(groups, &args, config);
    let found: Vec<(String, Translation)> =
        chosen.iter().map(|group| (group.name.to_string(), translate(&group.tags, config))).collect();
    if args.json {
        let groups: Vec<Value> = found.iter().map(|(name, translation)| document(name, translation)).collect();
        let document = json!({ "version": VERSION, "region": world.region(), "groups": groups });
        out.print(&format!("{document:#}\n"));
    } else if found.is_empty() && args.groups.is_empty() {
        out.print(&format!("No group in {} carries a tag of AutoSpotting.\n", world.region()));
    } else {
        let pages: Vec<String> =
            found.iter().map(|(name, translation)| page(name, translation, config, &out)).collect();
        out.print(&pages.join("\n"));
    }
    let missing: Vec<&String> =
        args.groups.iter().filter(|wanted| found.iter().all(|(name, _)| name != *wanted)).collect();
    for name in &missing {
        let Failure { what, hint, exit } = unknown(&world);
        out.fail(&Failure { what: format!("{name}: {what}"), hint, exit });
    }
    let understood = found.iter().all(|(_, translation)| translation.problems.is_empty());
    Ok(if understood && missing.is_empty() { Exit::Nothing } else { Exit::User })
}

fn chosen(groups: Vec<TaggedGroup>, args: &Args, config: &Config) -> Vec<TaggedGroup> {
    let concerns = |group: &TaggedGroup| {
        group.tags.keys().any(|key| key.starts_with(ALIAS_NAMESPACE) || *key == config.enable_key)
    };
    let mut chosen: Vec<TaggedGroup> = groups
        .into_iter()
        .filter(|group| match args.groups.is_empty() {
            true => args.all || concerns(group),
            false => args.groups.iter().any(|name| name == group.name.as_str()),
        })
        .collect();
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen
}

fn document(name: &str, translation: &Translation) -> Value {
    let tag = |line: &Translated| {
        json!({
            "tag": line.tag,
            "value": line.value,
            "becomes": line.becomes.as_ref().map(|(key, value)| json!({ "key": key, "value": value })),
            "read_as_is": line.read_as_is,
            "note": line.note,
        })
    };
    json!({
        "group": name,
        "enabled": translation.enabled,
        "tags": translation.tags.iter().map(tag).collect::<Vec<_>>(),
        "problems": translation.problems,
    })
}

fn page(name: &str, translation: &Translation, config: &Config, out: &Output) -> String {
    let mut text = out.paint(Tone::Head, name);
    text.push_str(if translation.enabled { ": enabled\n" } else { ": not enabled\n" });
    if translation.tags.is_empty() {
        text.push_str("  no tag of AutoSpotting\n");
    }
    for line in &translation.tags {
        let (tone, becomes) = match &line.becomes {
            Some((key, value)) => (Tone::Act, format!("{key}={value}")),
            None if line.read_as_is => (Tone::Act, "the same".to_owned()),
            None => (Tone::Mind, "nothing".to_owned()),
        };
        text.push_str(&format!("  {}={}  ->  {}\n", line.tag, line.value, out.paint(tone, &becomes)));
        if !line.note.is_empty() {
            text.push_str(&format!("      {}\n", out.paint(Tone::Faint, &line.note)));
        }
    }
    for problem in &translation.problems {
        text.push_str(&format!("  {} {problem}\n", out.paint(Tone::Bad, "not understood:")));
    }
    let mut new: Vec<&(String, String)> = translation.tags.iter().filter_map(|line| line.becomes.as_ref()).collect();
    new.sort();
    new.dedup();
    // Who copies a command that disables the group has not been helped.
    let (good, bad): (Vec<_>, Vec<_>) = new.into_iter().partition(|(key, value)| is_understood(key, value, config));
    if !good.is_empty() {
        text.push_str("  The old tags are read as they are. To write the same in our own words:\n");
        for (key, value) in good {
            text.push_str(&format!("    {}\n", command_line(name, key, value)));
        }
    }
    for (key, _) in bad {
        text.push_str(&format!("  {key} has to wait until its value is one that is allowed.\n"));
    }
    if !translation.enabled {
        let Config { enable_key, enable_value, .. } = config;
        text.push_str(match translation.problems.is_empty() {
            true => "  To enable the group, last of all:\n",
            false => "  To enable the group, once all of it is understood:\n",
        });
        text.push_str(&format!("    {}\n", command_line(name, enable_key, enable_value)));
    }
    text
}

/// Whether a group with this tag and no other would be understood.
fn is_understood(key: &str, value: &str, config: &Config) -> bool {
    Policy::of_tags(&Tags::from([(key.to_owned(), value.to_owned())]), config).is_ok()
}

/// The AWS CLI's command that writes a tag on a group. JSON, since values may hold commas and spaces.
pub fn command_line(group: &str, key: &str, value: &str) -> String {
    let tag = json!([{
        "ResourceId": group,
        "ResourceType": "auto-scaling-group",
        "Key": key,
        "Value": value,
        "PropagateAtLaunch": false,
    }]);
    format!("aws autoscaling create-or-update-tags --tags '{}'", tag.to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use planner::predecessor::translate;

    use super::*;

    #[test]
    fn only_what_is_understood_is_written_in_our_words() {
        let tags = [
            ("spot-enabled", "yes"),
            ("autospotting_min_on_demand_number", "1"),
            ("autospotting_spot_allocation_strategy", "lowestPrice"),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        let config = Config::default();
        let text = page("typo", &translate(&tags, &config), &config, &Output::plain());
        let commands: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("aws ")).collect();
        assert!(commands[0].contains(r#""Key":"spotward:min-on-demand""#), "{text}");
        assert!(commands.iter().all(|command| !command.contains("lowestPrice")), "{text}");
        assert!(text.contains("not understood: autospotting_spot_allocation_strategy"), "{text}");
    }
}
