//! The command line as its users see it: command, output, exit status, all golden.
//!
//! Each file of `transcripts/` holds commands and what they answer. `UPDATE_EXPECT=1 cargo test --release -p cli`
//! writes the answers anew: read the difference before you commit it. The commands run in `snapshots/`, without network,
//! credentials or anything else of the caller's environment.

mod schema;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SPOTWARD: &str = env!("CARGO_BIN_EXE_spotward");

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs `NAME=value … spotward argument …`. Quotes are not needed here, so they are not understood.
fn run(line: &str) -> Output {
    let mut command = Command::new(SPOTWARD);
    command.current_dir(here().join("snapshots")).env_clear();
    command.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_MAX_ATTEMPTS", "1");
    let mut words = line.split_whitespace();
    for word in words.by_ref() {
        match word.split_once('=') {
            Some((name, value)) => command.env(name, value),
            None => {
                assert_eq!(word, "spotward", "a command line is `NAME=value … spotward …`: {line}");
                break;
            }
        };
    }
    command.args(words).output().expect("the binary was built")
}

fn told(line: &str) -> String {
    let output = run(line);
    let mut text = format!("$ {line}\n");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            let _ = write!(text, "--- {name}\n{}", steady(&String::from_utf8_lossy(bytes)));
            if !bytes.ends_with(b"\n") {
                text.push_str("\n(no newline)\n");
            }
        }
    }
    let _ = writeln!(text, "--- exit {}", output.status.code().map_or("by signal".to_owned(), |code| code.to_string()));
    text
}

/// What differs from run to run, or changes with every setting that is added, is cut out.
fn steady(text: &str) -> String {
    const LIST: &str = "one of the settings ";
    let mut steady = String::new();
    for line in text.split_inclusive('\n') {
        let clock = line.len() > 8
            && line.bytes().take(8).enumerate().all(|(at, byte)| match at {
                2 | 5 => byte == b':',
                _ => byte.is_ascii_digit(),
            });
        let mut rest = if clock { format!("hh:mm:ss{}", &line[8..]) } else { line.to_owned() };
        while let Some((before, list)) = rest.split_once(LIST) {
            let end = list.find(|c: char| !(c.is_ascii_lowercase() || "-, ".contains(c))).unwrap_or(list.len());
            let after = list[end..].to_owned();
            let _ = write!(steady, "{before}one of the settings […]");
            rest = after;
        }
        // Calls are made side by side: whichever fails first is told.
        for call in ["DescribeInstances:", "DescribeAutoScalingGroups:"] {
            rest = rest.replace(call, "Describe…:");
        }
        steady.push_str(&rest);
    }
    steady
}

#[test]
fn every_command_answers_as_its_transcript_says() {
    let mut files: Vec<PathBuf> = fs::read_dir(here().join("transcripts"))
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts");
    let mut wrong = Vec::new();
    for file in files {
        let golden = fs::read_to_string(&file).expect("it is text");
        // What stands before the first command is a remark.
        let remark: String =
            golden.lines().take_while(|line| !line.starts_with("$ ")).map(|l| format!("{l}\n")).collect();
        let commands = golden.lines().filter_map(|line| line.strip_prefix("$ "));
        let answers: Vec<String> = commands.map(told).collect();
        assert!(!answers.is_empty(), "{}: no command", file.display());
        let actual = remark + &answers.join("\n");
        if actual == golden {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, &actual).expect("it can be written");
        } else {
            wrong.push(format!("{}\n{}", file.display(), first_difference(&golden, &actual)));
        }
    }
    assert!(wrong.is_empty(), "{}\n\nUPDATE_EXPECT=1 writes the answers anew", wrong.join("\n\n"));
}

fn first_difference(golden: &str, actual: &str) -> String {
    let (mut old, mut new) = (golden.lines(), actual.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (old.next(), new.next()) {
            (None, None) => return "only the ends of lines differ".to_owned(),
            (old, new) if old == new => {}
            (old, new) => {
                let shown = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return format!("line {number}\n  expected  {}\n  actual    {}", shown(old), shown(new));
            }
        }
    }
}

#[test]
fn reports_for_programs_keep_to_their_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/report.schema.json");
    let schema = serde_json::from_str(&fs::read_to_string(path).expect("the schema is there")).expect("it is JSON");
    let output = run("spotward report --from ledger.jsonl --offline --json");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document on stdout");
    assert_eq!(schema::errors(&schema, &document), Vec::<String>::new());
    assert_eq!(document["groups"].as_array().map(Vec::len), Some(2));
}

#[test]
fn plans_for_programs_keep_to_their_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/plan.schema.json");
    let read = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("it is JSON") };
    let schema = read(&fs::read_to_string(path).expect("the schema is there"));
    let commands = ["region.json", "region.json --all", "settled.json", "warming.json", "region.json web nope"];
    for arguments in commands {
        let output = run(&format!("spotward plan --json --snapshot {arguments}"));
        let document = read(&String::from_utf8_lossy(&output.stdout));
        let errors = schema::errors(&schema, &document);
        assert!(errors.is_empty(), "{arguments}:\n{}", errors.join("\n"));
    }
    // The schema is no rubber stamp.
    let output = run("spotward plan --json --snapshot region.json");
    let mut document = read(&String::from_utf8_lossy(&output.stdout));
    document["groups"][0]["desired"] = serde_json::json!(-1);
    document["groups"][0]["swapp"] = serde_json::json!("idle");
    document["groups"][1]["members"][0]["purchase"] = serde_json::json!("rented");
    document["summary"]["failed"] = serde_json::Value::Null;
    assert_eq!(schema::errors(&schema, &document).len(), 4);
    assert!(!schema::errors(&schema, &read("{}")).is_empty());
}

#[test]
fn a_snapshot_saved_from_a_plan_plans_the_same() {
    // The mirror of --save-snapshot is --snapshot; saving needs a live region, which the end-to-end tests have. Here:
    // the same file answers the same whoever asks, with every group in any order.
    let names = ["web", "api", "batch", "checkout", "legacy", "search"];
    let all = run("spotward plan --json --all --snapshot region.json");
    let named = run(&format!("spotward plan --json --snapshot region.json {}", names.join(" ")));
    let groups = |output: &Output| {
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut groups = document["groups"].as_array().expect("groups").clone();
        groups.sort_by_key(|group| group["group"].to_string());
        groups
    };
    assert_eq!(groups(&all).len(), names.len());
    assert_eq!(groups(&all), groups(&named));
}
