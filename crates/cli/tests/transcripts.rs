//! The command line as its users see it: command, output, exit status, all golden.
//!
//! Each file of `transcripts/` holds commands and what they answer. `UPDATE_EXPECT=1 cargo test --release -p cli`
//! writes the answers anew: read the difference before you commit it. The commands run in `snapshots/`, without network,
//! credentials or anything else of the caller's environment.

mod refusal;
mod schema;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SPOTWARD: &str = env!("CARGO_BIN_EXE_spotward");

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs `NAME=value … spotward argument …`. Quotes are not needed here, so they are not understood. `{expired}` is the
/// address of an AWS that answers everybody that their session is over.
fn run(line: &str) -> Output {
    let line = &line.replace("{expired}", refusal::address());
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
        for call in ["DescribeInstances:", "DescribeAutoScalingGroups:", "DescribeRegions:"] {
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

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

fn schema_of(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schema/{name}.schema.json"));
    json(&fs::read(path).expect("the schema is there"))
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
fn answers_for_programs_keep_to_their_schemas() {
    const SAVED: [&str; 5] =
        ["region.json", "region.json --all", "settled.json", "warming.json", "region.json web nope"];
    let saved = |command: &str| -> Vec<String> {
        SAVED.iter().map(|arguments| format!("spotward {command} --json --snapshot {arguments}")).collect()
    };
    let lines = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| (*line).to_owned()).collect() };
    let explained = [
        "spotward explain api --json --snapshot region.json",
        "spotward explain web i-51 --json --snapshot region.json",
        "spotward explain batch i-11 --json --snapshot region.json",
        "spotward explain legacy --json --snapshot region.json",
        "spotward explain web --json --snapshot risky.json",
    ];
    let told = [
        "spotward status --json --snapshot region.json",
        "spotward status --json --snapshot warming.json",
        "spotward status web nope --json --snapshot region.json",
    ];
    let doctor = [
        "AWS_ENDPOINT_URL={expired} AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y spotward doctor --region us-east-1 --json",
    ];
    let types = [
        "spotward advise --vcpus 4 --offline --limit 5 --json",
        "spotward advise --type m6i.large --data prices --json",
        "spotward advise --vcpus 4 --region us-east-1 --limit 1 --json",
    ];
    let groups = [
        "spotward advise --all --snapshot region.json --json",
        "spotward advise --group web --group nope --snapshot region.json --json",
        "spotward advise --all --snapshot settled.json --json",
    ];
    let prices = [
        "spotward prices m6i.large --data prices --json",
        "spotward prices p3.2xlarge --region eu-west-1 --zone c --offline --json",
    ];
    for (name, lines) in [
        ("plan", saved("plan")),
        ("explain", lines(&explained)),
        ("status", lines(&told)),
        ("doctor", lines(&doctor)),
        ("advise-types", lines(&types)),
        ("advise-groups", lines(&groups)),
        ("prices", lines(&prices)),
    ] {
        let schema = schema_of(name);
        for line in lines {
            let errors = schema::errors(&schema, &json(&run(&line).stdout));
            assert!(errors.is_empty(), "{line}:\n{}", errors.join("\n"));
        }
        assert!(!schema::errors(&schema, &json(b"{}")).is_empty(), "{name}: the schema is a rubber stamp");
    }
    let mut document = json(&run("spotward plan --json --snapshot region.json").stdout);
    document["groups"][0]["desired"] = serde_json::json!(-1);
    document["groups"][0]["swapp"] = serde_json::json!("idle");
    document["groups"][1]["members"][0]["purchase"] = serde_json::json!("rented");
    document["regions"][0]["failed"] = Value::Null;
    assert_eq!(schema::errors(&schema_of("plan"), &document).len(), 4);
}

/// The ranks of `explain` are the pools of the launch that `plan` shows.
#[test]
fn explain_and_plan_name_the_same_types() {
    let plan = json(&run("spotward plan api --json --snapshot region.json").stdout);
    let pools: Vec<&Value> = plan["groups"][0]["action"]["pools"]
        .as_array()
        .expect("it launches")
        .iter()
        .map(|pool| &pool["instance_type"])
        .collect();
    let victim = plan["groups"][0]["action"]["victim"].as_str().expect("a victim");
    let told = json(&run(&format!("spotward explain api {victim} --json --snapshot region.json")).stdout);
    let candidates = told["members"][0]["candidates"].as_array().expect("candidates");
    let ranked: Vec<&Value> = candidates
        .iter()
        .filter(|candidate| !candidate["rank"].is_null())
        .map(|candidate| &candidate["instance_type"])
        .collect();
    assert_eq!(ranked, pools);
    assert!(candidates.iter().any(|candidate| !candidate["mismatches"].as_array().expect("a list").is_empty()));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let help = String::from_utf8(run("spotward --help").stdout).expect("text");
    let mut commands = Vec::new();
    let mut in_list = false;
    for line in help.lines().skip_while(|line| !line.starts_with("Usage:")).take_while(|line| *line != "Options:") {
        in_list = if line.ends_with(':') { true } else { in_list && !line.is_empty() };
        if let Some(name) = line.strip_prefix("  ").filter(|_| in_list).and_then(|line| line.split_whitespace().next())
        {
            commands.push(name.to_owned());
        }
    }
    assert!(commands.len() >= 8 && commands.contains(&"doctor".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(run(&format!("spotward completions {shell}")).stdout).expect("text");
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell} does not know {command}");
        }
    }
    let script = run("spotward completions bash").stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(std::process::Stdio::piped()).spawn().expect("bash is there");
    std::io::Write::write_all(&mut bash.stdin.take().expect("piped"), &script).expect("bash reads");
    assert!(bash.wait().expect("it ends").success(), "bash cannot read its completions");
    for command in &commands {
        let page = run(&format!("spotward man {command}"));
        let text = String::from_utf8(page.stdout).expect("text");
        assert!(
            page.status.success() && text.contains(".SH NAME") && text.contains("Exit status"),
            "{command}: {text}"
        );
    }
    let overview = String::from_utf8(run("spotward man").stdout).expect("text");
    assert!(commands.iter().all(|command| overview.contains(&format!("spotward\\-{command}(1)"))), "{overview}");
}

#[test]
fn every_manual_page_is_written() {
    let directory = std::env::temp_dir().join(format!("spotward-man-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let wrote = run(&format!("spotward man --dir {}", directory.display()));
    let pages = fs::read_dir(&directory).expect("it is there").count();
    fs::remove_dir_all(&directory).expect("it is ours");
    assert!(wrote.status.success() && pages >= 9, "{pages} pages");
    assert_eq!(run("spotward man --dir /nonexistent").status.code(), Some(1));
}

#[test]
fn a_snapshot_saved_from_a_plan_plans_the_same() {
    // The mirror of --save-snapshot is --snapshot; saving needs a live region, which the end-to-end tests have. Here:
    // the same file answers the same whoever asks, with every group in any order.
    let names = ["web", "api", "batch", "checkout", "legacy", "search"];
    let all = run("spotward plan --json --all --snapshot region.json");
    let named = run(&format!("spotward plan --json --snapshot region.json {}", names.join(" ")));
    let groups = |output: &Output| {
        let document = json(&output.stdout);
        let mut groups = document["groups"].as_array().expect("groups").clone();
        groups.sort_by_key(|group| group["group"].to_string());
        groups
    };
    assert_eq!(groups(&all).len(), names.len());
    assert_eq!(groups(&all), groups(&named));
}

#[test]
fn pictures_are_written_and_what_is_exported_reads_back() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = |name: &str| directory.join(name).display().to_string();
    let (svg, html, csv) = (path("prices.svg"), path("prices.html"), path("prices.csv"));
    let made = run(&format!("spotward prices m6i.large --data prices --csv --svg {svg} --html {html}"));
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let picture = fs::read_to_string(svg).expect("written");
    assert!(picture.starts_with("<svg ") && picture.contains("us-east-1c") && picture.ends_with("</svg>\n"));
    let page = fs::read_to_string(html).expect("written");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("held at 25/50/100 %") && page.ends_with("</html>\n"));
    fs::write(&csv, &made.stdout).expect("written");
    let prices = |data: &str| {
        let output = run(&format!("spotward prices m6i.large --json --data {data}"));
        let mut document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        document["types"][0]["sources"].take();
        // The export ends with a record at the end, which holds for one second more.
        let zones = document["types"][0]["zones"].as_array_mut().expect("zones");
        zones.iter_mut().map(|zone| (zone["zone"].take(), zone["prices"].take())).collect::<Vec<_>>()
    };
    assert_eq!(prices("prices"), prices(&csv));
}
