//! The settings are declared once, in `policy::SETTINGS`; the manual repeats that table and may not drift from it.
//! `UPDATE_DOCS=1 cargo test -p planner --test documentation` writes it.

// The planner itself reads no files; this test does.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use planner::policy::SETTINGS;

const BEGIN: &str = "<!-- settings: begin -->";
const END: &str = "<!-- settings: end -->";

fn table() -> String {
    let mut table = String::from("\n| tag | values | default | what it does | also read |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let aliases: Vec<String> = setting.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let default = if setting.default.is_empty() { "(none)".to_owned() } else { format!("`{}`", setting.default) };
        table += &format!(
            "| `spotward:{}` | {} | {default} | {} | {} |\n",
            setting.key,
            setting.values,
            setting.sentence,
            aliases.join(", ")
        );
    }
    table
}

#[test]
fn the_manual_lists_every_setting_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let manual = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    let (head, rest) = manual.split_once(BEGIN).expect("the manual has the begin marker");
    let (_, tail) = rest.split_once(END).expect("the manual has the end marker");
    let expected = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("the manual can be written");
        return;
    }
    assert!(
        manual == expected,
        "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p planner --test documentation"
    );
}

#[test]
fn keys_fit_a_tag_and_are_unique() {
    let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
    assert!(
        keys.iter().all(|key| key.len() <= 100 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    );
}
