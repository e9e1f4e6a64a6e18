//! AutoSpotting's options: the manual's table is the command's table, every tag is known, values mean what they meant.
//! `UPDATE_DOCS=1 cargo test -p planner --test predecessor` writes the manual's table.

// The planner itself reads no files; this test does.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::Path;

use planner::model::Tags;
use planner::policy::{Config, Policy, SETTINGS};
use planner::predecessor::{Counterpart, OPTIONS, translate};

const BEGIN: &str = "<!-- options: begin -->";
const END: &str = "<!-- options: end -->";

fn tags(text: &str) -> Tags {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn table() -> String {
    let mut table =
        String::from("\n| option | parameter | tag | here | what differs, or why not |\n|---|---|---|---|---|\n");
    let code = |text: Option<&str>| match text {
        Some(names) => names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        None => "–".to_owned(),
    };
    for known in OPTIONS {
        let here = match known.counterpart {
            Counterpart::Setting(key) => format!("`spotward:{key}`"),
            Counterpart::Stack(what) => what.to_owned(),
            Counterpart::EnablingTag => "`spot-enabled=true`".to_owned(),
            Counterpart::BuiltIn => "built in".to_owned(),
            Counterpart::None => "none".to_owned(),
        };
        let (parameter, tag) = (code(known.parameter), code(known.tag));
        table += &format!("| `{}` | {parameter} | {tag} | {here} | {} |\n", known.option, known.note);
    }
    table
}

#[test]
fn the_manual_has_the_commands_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migrate-from-autospotting.md");
    let manual = std::fs::read_to_string(&path).expect("docs/migrate-from-autospotting.md is there");
    let (head, rest) = manual.split_once(BEGIN).expect("the manual has the begin marker");
    let (_, tail) = rest.split_once(END).expect("the manual has the end marker");
    let expected = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("the manual can be written");
        return;
    }
    assert!(manual == expected, "out of date: UPDATE_DOCS=1 cargo test -p planner --test predecessor");
}

#[test]
fn every_alias_of_a_setting_is_an_option_that_leads_to_it() {
    let mut led: BTreeSet<(&str, &str)> = BTreeSet::new();
    for known in OPTIONS {
        if let (Some(tag), Counterpart::Setting(key)) = (known.tag, known.counterpart) {
            led.insert((tag, key));
        }
    }
    let aliases: BTreeSet<(&str, &str)> =
        SETTINGS.iter().flat_map(|setting| setting.aliases.iter().map(|alias| (*alias, setting.key))).collect();
    assert_eq!(led, aliases);
    let options: BTreeSet<&str> = OPTIONS.iter().map(|known| known.option).collect();
    assert_eq!(options.len(), OPTIONS.len(), "each option once");
    assert!(OPTIONS.iter().all(|known| !known.note.is_empty() || known.option == "version"));
}

#[test]
fn the_translation_asks_for_what_the_old_tags_ask_for() {
    let config = Config::default();
    for text in [
        "autospotting_min_on_demand_number=2",
        "autospotting_min_on_demand_percentage=12.5",
        "autospotting_min_on_demand_number=2\nautospotting_min_on_demand_percentage=30",
        "autospotting_allowed_instance_types=m5.*, c5.*",
        "autospotting_allowed_instance_types=current",
        "autospotting_disallowed_instance_types=t2.* t3.*",
        "autospotting_spot_allocation_strategy=lowest-price",
        "autospotting_cron_schedule=9-18 1-5\nautospotting_cron_timezone=Europe/Berlin\nautospotting_cron_schedule_state=off",
        "autospotting_instance_termination_method=autoscaling",
        "autospotting_instance_termination_method=detach",
    ] {
        let old = tags(text);
        let translation = translate(&old, &config);
        assert_eq!(translation.problems, [""; 0], "{text}");
        let new: Tags = translation.tags.iter().filter_map(|line| line.becomes.clone()).collect();
        assert!(new.keys().all(|key| key.starts_with("spotward:")) && !new.is_empty(), "{text}: {new:?}");
        assert_eq!(Policy::of_tags(&new, &config), Policy::of_tags(&old, &config), "{text} became {new:?}");
        assert!(translation.tags.iter().all(|line| line.read_as_is), "{text}");
    }
}

fn told(text: &str) -> String {
    let translation = translate(&tags(text), &Config::default());
    let mut lines: Vec<String> = translation
        .tags
        .iter()
        .map(|line| match &line.becomes {
            Some((key, value)) => format!("{} -> {key}={value}", line.tag),
            None => format!("{} -> nothing", line.tag),
        })
        .collect();
    lines.extend(translation.problems.iter().map(|problem| format!("problem: {problem}")));
    lines.join("\n")
}

#[test]
fn the_old_word_for_a_removal_becomes_ours() {
    let word = "autospotting_instance_termination_method";
    assert_eq!(told(&format!("{word}=autoscaling")), format!("{word} -> spotward:removal=terminate"));
    assert_eq!(told(&format!("{word}=detach")), format!("{word} -> spotward:removal=detach"));
}

#[test]
fn what_has_no_counterpart_and_what_nobody_knows_is_said() {
    assert_eq!(told("autospotting_bidding_policy=normal"), "autospotting_bidding_policy -> nothing");
    let unknown = translate(&tags("autospotting_min_on_demand=1"), &Config::default());
    assert!(unknown.tags[0].note.starts_with("No option that is known"), "{unknown:?}");
}

#[test]
fn a_value_that_cannot_be_read_is_a_problem_that_names_the_tag() {
    let told = told("autospotting_spot_allocation_strategy=lowestPrice");
    assert!(told.contains("problem: ") && told.contains("autospotting_spot_allocation_strategy"), "{told}");
}

#[test]
fn our_own_tag_wins_over_the_old_one() {
    let told = told("autospotting_min_on_demand_number=2\nspotward:min-on-demand=1");
    assert_eq!(told, "autospotting_min_on_demand_number -> nothing");
}

#[test]
fn the_enabling_tag_is_the_same_and_its_value_is_compared_exactly() {
    assert!(translate(&tags("spot-enabled=true"), &Config::default()).enabled);
    for other in ["True", "yes", "false", ""] {
        let translation = translate(&tags(&format!("spot-enabled={other}")), &Config::default());
        assert!(!translation.enabled && !translation.tags[0].read_as_is, "{other}");
    }
}
