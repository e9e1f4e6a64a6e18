//! What owners paste and install: the user data, the units, the policy, the options in the documentation.

mod support;

use std::path::PathBuf;
use std::process::Command;
use support::Directory;
use watcher::settings::{OPTIONS, variable};

fn packaging(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// EC2 takes 16 KiB of user data; most of it belongs to the owner.
const USER_DATA_BYTES_MAX: usize = 2_048;

#[test]
fn the_user_data_is_short_when_filled_in() {
    let text = packaging("user-data.sh")
        .replace("@SHA256_X86_64@", &"0".repeat(64))
        .replace("@SHA256_AARCH64@", &"0".repeat(64))
        .replace("@BUCKET@", &"b".repeat(63))
        .replace("@TOPIC@", &format!("arn:aws-us-gov:sns:us-gov-west-1:123456789012:{}", "t".repeat(64)))
        .replace("@REGION@", "ap-southeast-99")
        .replace("@SUFFIX@", "amazonaws.com.cn")
        .replace("@VERSION@", "100.100.100");
    assert!(!text.contains('@'), "{text}");
    assert!(text.len() < USER_DATA_BYTES_MAX, "{} bytes", text.len());
}

/// Runs the user data with a PATH on which `aws`, `tar` and `systemctl` only write down what they are asked.
fn run_user_data(archive: &str, recorded_for: &str, has_aws: bool) -> (bool, String) {
    let directory = Directory::new();
    let sum = |text: &str| watcher::sigv4::sha256_hex(text.as_bytes());
    let environment_file = directory.file("spotward-watcher.env");
    let script = packaging("user-data.sh")
        .replace("@SHA256_X86_64@", &sum(recorded_for))
        .replace("@SHA256_AARCH64@", &sum(recorded_for))
        .replace("@VERSION@", "1.2.3")
        .replace("@TOPIC@", support::TOPIC)
        .replace("@BUCKET@", "bucket")
        .replace("@REGION@", "eu-central-1")
        .replace("@SUFFIX@", "amazonaws.com")
        .replace("/etc/spotward-watcher.env", environment_file.to_str().unwrap());
    let user_data = directory.script("user-data", &script);
    let calls = directory.file("calls").display().to_string();
    std::fs::create_dir(directory.file("bin")).unwrap();
    // The last argument is the file to write for both of them.
    let fetch = format!(
        "echo \"$(basename $0) $*\" >> {calls}; for last; do :; done; case $0 in *curl) last=$5;; esac; printf %s '{archive}' > \"$last\""
    );
    if has_aws {
        directory.script("bin/aws", &fetch);
    }
    directory.script("bin/curl", &fetch);
    for name in ["tar", "systemctl"] {
        directory.script(&format!("bin/{name}"), &format!("echo \"{name} $*\" >> {calls}"));
    }
    let path = format!("{}:/usr/bin:/bin", directory.file("bin").display());
    let status =
        Command::new(user_data).env_clear().env("PATH", path).env("TMPDIR", &directory.0).output().unwrap().status;
    let told = directory.text("calls") + &directory.text("spotward-watcher.env");
    (status.success(), told)
}

#[test]
fn the_user_data_installs_what_has_the_recorded_sum() {
    for has_aws in [true, false] {
        let (is_well, told) = run_user_data("archive", "archive", has_aws);
        assert!(is_well);
        let machine = std::env::consts::ARCH;
        let file = format!("spotward-watcher-1.2.3-{machine}.tar.gz");
        let fetched = if has_aws {
            format!("aws s3 cp --quiet --region eu-central-1 s3://bucket/{file} {file}\n")
        } else {
            format!("curl -fsS -m 30 -o {file} https://bucket.s3.eu-central-1.amazonaws.com/{file}\n")
        };
        assert_eq!(
            told,
            format!(
                "{fetched}tar -xzf {file} -C / --no-same-owner\nsystemctl daemon-reload\nsystemctl enable --now spotward-watcher.service spot-interruption.path\nSPOTWARD_TOPIC={}\n",
                support::TOPIC
            )
        );
    }
}

#[test]
fn the_user_data_installs_nothing_else_and_lets_the_owner_go_on() {
    let (is_well, told) = run_user_data("tampered", "archive", true);
    assert!(is_well, "the owner's own lines follow");
    assert!(!told.contains("tar ") && !told.contains("systemctl") && !told.contains("SPOTWARD_TOPIC"), "{told}");
}

#[test]
fn the_policy_is_one_statement() {
    let policy: serde_json::Value = serde_json::from_str(&packaging("iam-policy.json")).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    assert_eq!((&statements[0]["Action"], &statements[0]["Resource"]), (&"sns:Publish".into(), &"@TOPIC@".into()));
}

#[test]
fn the_units_say_what_the_design_needs() {
    let unit = packaging("systemd/spotward-watcher.service");
    for line in [
        "Restart=on-failure",
        "RestartSec=1",
        "RestartPreventExitStatus=64",
        "StartLimitIntervalSec=0",
        "KillMode=process",
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "MemoryMax=16M",
        "TasksMax=8",
        "OOMScoreAdjust=-900",
        "RuntimeDirectory=spotward-watcher",
        "RuntimeDirectoryPreserve=yes",
        "LimitCORE=0",
        "CapabilityBoundingSet=",
    ] {
        assert!(unit.lines().any(|text| text == line), "{line}");
    }
    assert!(!unit.contains("After="), "it waits for nobody");
    let path = packaging("systemd/spot-interruption.path");
    assert!(path.contains("PathExists=/run/spotward-watcher/notice.json\nUnit=spot-interruption.target\n"));
    assert!(packaging("systemd/spot-drain.service.example").contains("WantedBy=spot-interruption.target"));
}

#[test]
fn the_documentation_lists_every_option_with_its_default() {
    let text = std::fs::read_to_string(support::root().join("docs/watcher.md")).unwrap();
    for option in &OPTIONS {
        let value = option.value.replace('|', "\\|");
        let default = if option.default.is_empty() { String::new() } else { format!("`{}`", option.default) };
        let row = format!("| `--{} {value}` | {default} | {} |", option.name, option.sentence);
        assert!(text.contains(&row), "docs/watcher.md lacks the row\n{row}");
    }
    assert!(text.contains(&variable("action-every")));
}
