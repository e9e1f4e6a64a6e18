//! The deployment's configuration from the texts that flags and environment variables carry: one reading for the
//! function and for the command line.

use std::collections::BTreeMap;

use planner::policy::{Config, NAMESPACE, Policy};

/// The deployment's configuration, or one line that says what is wrong with it: which part, what was found, what is
/// allowed.
///
/// `defaults` is `key=value;key=value` with the keys of [`planner::policy::SETTINGS`]; it may be empty.
pub fn config(stack: &str, enable_key: &str, enable_value: &str, defaults: &str) -> Result<Config, String> {
    let config = Config {
        stack: stack_name(stack)?,
        enable_key: tag_key(enable_key)?,
        enable_value: enable_value.to_owned(),
        defaults: pairs(defaults)?,
    };
    match Policy::defaults(&config) {
        Ok(_) => Ok(config),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// The enabling tag as one text, `key=value`. The value may contain `=`, the key may not.
pub fn enable_tag(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=')
        .ok_or_else(|| format!("enabling tag = {text:?}: allowed is key=value, as in spot-enabled=true"))
}

/// The name goes into a field of the journal tag and into tag values.
fn stack_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("stack = {text:?}: allowed are 1 to 64 letters, digits, `-`, `_` and `.`"))
}

/// Reserved keys cannot be set by an owner, and a key in our namespace would be read as a setting.
fn tag_key(text: &str) -> Result<String, String> {
    let reserved = text.starts_with("aws:") || text.starts_with(NAMESPACE);
    if !text.is_empty() && text.chars().count() <= 128 && !reserved {
        return Ok(text.to_owned());
    }
    Err(format!("enabling tag key = {text:?}: allowed are 1 to 128 characters, not beginning with aws: or {NAMESPACE}"))
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| format!("defaults = {part:?}: allowed is key=value;key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("defaults = {part:?}: {key} is there twice"));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(stack: &str, enable: &str, defaults: &str, expected: Expect) {
        let read = enable_tag(enable).and_then(|(key, value)| config(stack, key, value, defaults));
        let text = match read {
            Ok(Config { enable_key, enable_value, stack, defaults }) => {
                format!("{stack}: {enable_key} = {enable_value:?}, {defaults:?}")
            }
            Err(error) => error,
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn nothing_said_is_the_built_in_configuration() {
        let config = config("spotward", "spot-enabled", "true", "").expect("the defaults are fine");
        assert_eq!(config, Config::default());
    }

    #[test]
    fn pairs_are_read_with_or_without_spaces_and_a_last_semicolon() {
        check(
            "blue",
            "team=web=1",
            "min-on-demand=2, 25%; quiet = 90s;",
            expect![[r#"blue: team = "web=1", {"min-on-demand": "2, 25%", "quiet": "90s"}"#]],
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_what_is_allowed() {
        let error = config("s", "k", "v", "min_on_demand=2").expect_err("no such setting");
        assert!(
            error.starts_with(r#"default min_on_demand = "2": allowed is one of the settings min-on-demand,"#),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        check(
            "s",
            "k=v",
            "quiet=1 day;settle=-3s",
            expect![[
                r#"default quiet = "1 day": allowed is a duration; default settle = "-3s": allowed is a duration"#
            ]],
        );
    }

    #[test]
    fn what_is_not_a_pair_is_refused() {
        check("s", "k=v", "quiet", expect![[r#"defaults = "quiet": allowed is key=value;key=value"#]]);
        check("s", "k=v", "quiet=1m;quiet=2m", expect![[r#"defaults = "quiet=2m": quiet is there twice"#]]);
        check("s", "k", "", expect![[r#"enabling tag = "k": allowed is key=value, as in spot-enabled=true"#]]);
    }

    #[test]
    fn names_that_would_break_our_tags_are_refused() {
        check("a;b", "k=v", "", expect!["stack = \"a;b\": allowed are 1 to 64 letters, digits, `-`, `_` and `.`"]);
        check(
            "s",
            "spotward:quiet=1m",
            "",
            expect![[
                r#"enabling tag key = "spotward:quiet": allowed are 1 to 128 characters, not beginning with aws: or spotward:"#
            ]],
        );
    }
}
