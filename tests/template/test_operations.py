"""docs/operations.md against the code: every alarm, every metric and every reason code has its row, and none is left over."""

import re

import pytest

from test_template import ROOT, metrics_in_code, resources_of, template  # noqa: F401

PAGE = (ROOT / "docs/operations.md").read_text()


def codes_in_code(kind):
    """The codes of one enum, from its `impl Code`."""
    for path in (ROOT / "crates/planner/src").rglob("*.rs"):
        if found := re.search(rf"impl Code for {kind} \{{(.*?)\n\}}", path.read_text(), re.DOTALL):
            return re.findall(r'=> "([a-z0-9-]+)"', found[1])
    raise AssertionError(f"no `impl Code for {kind}`")


def rows(kind):
    section = re.search(rf"<!-- codes: {kind} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert section, f"no table of {kind}"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section[1].splitlines()[2:]]
    assert all(len(row) == 3 and all(row) for row in cells), f"{kind}: each row needs a code, a meaning and what to do"
    return [row[0].strip("`") for row in cells]


@pytest.mark.parametrize("kind", ["Blocker", "Reason", "NoPool", "Wait", "StrayReason"])
def test_every_code_has_its_row_and_every_row_its_code(kind):
    assert sorted(rows(kind)) == sorted(codes_in_code(kind))


def test_every_kind_of_code_that_people_see_has_a_table():
    """A new enum of reasons needs one. Verdicts and mismatches are told by `explain`, type by type."""
    kinds = set()
    for path in (ROOT / "crates/planner/src").rglob("*.rs"):
        kinds |= set(re.findall(r"impl Code for (\w+)", path.read_text()))
    told_elsewhere = {"Mismatch", "Verdict", "Mode", "Character"}  # by `explain` and `advise`, with their texts
    assert kinds - told_elsewhere == set(re.findall(r"<!-- codes: (\w+) -->", PAGE))


def test_every_kind_of_error_is_explained():
    code = (ROOT / "crates/engine/src/view.rs").read_text()
    function = re.search(r"pub fn error_kind(.*?)\n\}", code, re.DOTALL)[1]
    kinds = re.findall(r'=> "([a-z-]+)"', function)
    assert len(kinds) > 4 and all(f"`{kind}`" in PAGE for kind in kinds)


def test_every_alarm_has_a_section_and_names_it(template):  # noqa: F811
    alarms = resources_of(template, "AWS::CloudWatch::Alarm")
    sections = re.findall(r"^### ([a-z-]+)$", PAGE, re.MULTILINE)
    assert sorted(alarm["AlarmName"]["Sub"].removeprefix("${AWS::StackName}-") for alarm in alarms.values()) == sorted(sections)
    for alarm in alarms.values():
        about = alarm["AlarmName"]["Sub"].removeprefix("${AWS::StackName}-")
        assert alarm["AlarmDescription"].endswith(f"docs/operations.md#{about}.")


def test_every_metric_is_explained():
    table = re.search(r"## What is counted\n(.*?)\n\n", PAGE[PAGE.index("## What is counted") :].replace("\n\n|", "\n|", 1), re.DOTALL)[1]
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))))
    assert named == metrics_in_code()


def test_the_commands_name_what_the_stack_has(template):  # noqa: F811
    """For a stack `spotward`, as the page says."""
    names = {resource["Properties"].get(key, {}).get("Sub", "") for resource in template["Resources"].values() for key in ("QueueName", "Name")
             if isinstance(resource["Properties"].get(key), dict)}
    names.add(template["Resources"]["Function"]["Properties"]["Events"]["Tick"]["Properties"]["Name"]["Sub"])
    existing = {name.replace("${AWS::StackName}", "spotward") for name in names}
    named = set(re.findall(r"(?:--queue-name|in|--name)\s+`?(spotward-[a-z-]+(?:\.fifo)?)", PAGE))
    assert len(named) == 3 and named <= existing, (named, existing)
    outputs = set(re.findall(r"OutputKey=='(\w+)'", PAGE)) | set(re.findall(r"stack output `(\w+)`", PAGE))
    assert outputs and outputs <= set(template["Outputs"])
    # The first thing on the page, and the one command that stops every way in.
    assert PAGE.index("## Stop everything") < PAGE.index("put-function-concurrency") < PAGE.index("## Where to look")
