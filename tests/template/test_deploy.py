"""The other templates and scripts of deploy/, without an account."""

import json
import os
import subprocess
import tomllib
import zipfile

import pytest
import yaml

from test_template import ROOT, Loader, template  # noqa: F401

SAM_PYTHON = ROOT / ".venv-sam/bin/python"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    output = tmp_path_factory.mktemp("plain") / "member.json"
    subprocess.run([SAM_PYTHON, ROOT / "deploy/expand.py", ROOT / "template.yaml", "spotward/0.zip", output], check=True)
    return output


def test_the_plain_template_is_one_that_cloudformation_knows(plain):
    subprocess.run([ROOT / ".venv/bin/cfn-lint", plain], check=True)


def test_the_plain_template_has_no_transform_and_keeps_every_choice(plain, template):  # noqa: F811
    expanded = json.loads(plain.read_text())
    assert "Transform" not in expanded
    assert set(expanded["Parameters"]) == {*template["Parameters"], "CodeBucketPrefix"}
    function = expanded["Resources"]["Function"]["Properties"]
    assert function["Code"] == {"S3Bucket": {"Fn::Sub": "${CodeBucketPrefix}-${AWS::Region}"}, "S3Key": "spotward/0.zip"}
    # The translator must not have put the defaults in.
    assert function["Architectures"] == [{"Ref": "Architecture"}] and function["MemorySize"] == {"Ref": "MemorySize"}
    text = plain.read_text()
    for name in expanded["Parameters"]:
        assert f'{{"Ref":"{name}"}}' in text or f"${{{name}}}" in text, f"{name} has no effect"
    assert "us-east-1" not in text and "arn:aws:" not in text, "it has to fit every region and partition"


def test_the_stack_set_hands_on_parameters_that_the_member_has(plain):
    stackset = yaml.load((ROOT / "deploy/stackset.yaml").read_text(), Loader)
    properties = stackset["Resources"]["StackSet"]["Properties"]
    handed = {parameter["ParameterKey"] for parameter in properties["Parameters"]}
    assert handed <= set(json.loads(plain.read_text())["Parameters"])
    assert properties["PermissionModel"] == "SERVICE_MANAGED" and properties["Capabilities"] == ["CAPABILITY_IAM"]
    # StackSet-NAME-UUID has to fit what the function takes as its deployment's name.
    assert len(f"StackSet-{properties['StackSetName']}-") + 36 <= 64


def test_the_example_of_samconfig_can_be_read_and_names_real_parameters(template):  # noqa: F811
    example = tomllib.loads((ROOT / "deploy/samconfig.toml.example").read_text())
    for pair in example["default"]["deploy"]["parameters"]["parameter_overrides"]:
        assert pair.split("=")[0] in template["Parameters"]
    for environment in ("default", "us"):
        assert example[environment]["deploy"]["parameters"]["capabilities"] == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


def test_the_package_script_names_what_is_wrong():
    done = subprocess.run([ROOT / "deploy/package.sh", "mips", "/nowhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "mips: allowed are arm64 and x86_64" in done.stderr


def tools(directory, newest_glibc):
    """A toolchain that builds at once: it writes down how it was called and leaves a file where cargo would."""
    scripts = {
        "cargo": 'echo "cargo $*" >>"$CALLED"; mkdir -p "$CARGO_TARGET_DIR/release"; echo native >"$CARGO_TARGET_DIR/release/bootstrap"',
        "cargo-zigbuild": 'echo "zig $*" >>"$CALLED"; for triple in aarch64 x86_64; do d="$CARGO_TARGET_DIR/$triple-unknown-linux-gnu/release"; mkdir -p "$d"; echo zig >"$d/bootstrap"; done',
        "objdump": f'echo "0000 DF *UND* 0000 (GLIBC_2.17) memcpy"; echo "0000 DF *UND* 0000 (GLIBC_{newest_glibc}) sscanf"',
        # Every target is there.
        "rustc": "pwd",
        "uname": "echo x86_64",
    }
    for name, text in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)


@pytest.mark.parametrize(
    ("arch", "glibc", "built_by", "target"),
    [
        ("x86_64", "2.34", "native", None),
        ("x86_64", "2.38", "zig", "x86_64-unknown-linux-gnu.2.34"),
        ("arm64", "2.34", "zig", "aarch64-unknown-linux-gnu.2.34"),
    ],
)
def test_the_package_runs_on_amazon_linux_whatever_built_it(tmp_path, arch, glibc, built_by, target):
    bin_dir, out, called = tmp_path / "bin", tmp_path / "out", tmp_path / "called"
    bin_dir.mkdir()
    tools(bin_dir, glibc)
    environment = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(tmp_path / "target"), "CALLED": str(called)}
    archives = set()
    for _ in range(2):
        subprocess.run([ROOT / "deploy/package.sh", arch, out], env=environment, check=True, capture_output=True)
        archives.add((out / f"spotward-{arch}.zip").read_bytes())
    assert len(archives) == 1, "the same input gives the same archive"
    assert (out / arch / "bootstrap").read_text() == f"{built_by}\n"
    assert (out / arch / "template.yaml").read_text() == (ROOT / "template.yaml").read_text()
    with zipfile.ZipFile(out / f"spotward-{arch}.zip") as archive:
        [entry] = archive.infolist()
        assert entry.filename == "bootstrap" and entry.external_attr >> 16 & 0o111 == 0o111
    last = called.read_text().splitlines()[-1]
    assert "rustc" in last and last.endswith("-- -C lto=fat -C relocation-model=static")
    assert target is None or f"--target {target} " in last


def test_the_package_is_linked_as_make_build_does():
    makefile = (ROOT / "Makefile").read_text()
    script = (ROOT / "deploy/package.sh").read_text()
    [link] = [line for line in makefile.splitlines() if line.startswith("FUNCTION :=")]
    flags = link.split(" -- ")[1]
    assert flags == "-C lto=fat -C relocation-model=static" and f"link=({flags})" in script
