"""What the function writes into its log, and what `spotward report` makes of it."""

import json
import sys

import product
import witness
from product import spotward
from test_conversion import wait_for_settled


#: `aws logs filter-log-events` by boto3: the log group, the pattern and the times are the API's, and no others are taken.
AWS = """#!{python}
import argparse, boto3
asked = argparse.ArgumentParser()
for flag in ("region", "output", "log-group-name", "filter-pattern", "start-time", "end-time", "query"):
    asked.add_argument("--" + flag, required=True)
asked.add_argument("command", nargs=2)
asked = asked.parse_args()
assert (asked.command, asked.output, asked.query) == (["logs", "filter-log-events"], "text", "events[].[message]")
logs = boto3.client("logs", region_name=asked.region, endpoint_url="{url}")
pages = logs.get_paginator("filter_log_events").paginate(
    logGroupName=asked.log_group_name, filterPattern=asked.filter_pattern, startTime=int(asked.start_time), endTime=int(asked.end_time)
)
for page in pages:
    for event in page["events"]:
        print(event["message"])
"""


def test_the_ledger_of_a_conversion_adds_up(ministack_for_stage, cloud, tmp_path, monkeypatch):
    """Two members are swapped; the report knows both swaps, every instance, and no more than one call was made for it."""
    cloud.group("web", size=2, zones=1)
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    function.tick()
    wait_for_settled(cloud, function, {"web": 2})
    function.tick()
    lines = [json.loads(line) for line in function.log() if '"spotward":"ledger"' in line]
    assert {line["kind"] for line in lines} == {"members", "swap", "ended"}
    swaps = [line for line in lines if line["kind"] == "swap"]
    assert len(swaps) == 2
    for swap in swaps:
        assert swap["saves"] == round(swap["victim_price"] - swap["replica_price"], 6)
        assert swap["replica"]["victim"] == swap["victim"]["id"] and swap["replica"]["stands_for"] == swap["victim"]["type"]
        # At once on this stage, after minutes elsewhere.
        assert 0 <= swap["overlap_minutes"] < 5
    ended = {line["instance"]["id"]: line for line in lines if line["kind"] == "ended"}
    assert {swap["victim"]["id"] for swap in swaps} <= set(ended)
    assert all(line["why"] == "terminated" and line["ended"] for line in ended.values())
    report = json.loads(spotward(cloud, "report", "--from", "-", "--look", "--json", stdin="\n".join(function.log())))
    assert report["notes"] == [] and report["swaps"] == 2
    [group] = report["groups"]
    assert (group["group"], group["spot_members"], group["on_demand_members"]) == ("web", 2, 0)
    total = report["total"]
    assert total["paid"] > 0 and abs(total["saved"] - (total["without"] - total["paid"])) < 1e-5
    assert abs(total["paid"] - total["paid_spot"] - total["paid_on_demand"]) < 1e-5
    # Without a file, the same lines come from the log group of the stack, through whatever `aws` is on the PATH.
    (tmp_path / "aws").write_text(AWS.format(python=sys.executable, url=ministack_for_stage.url))
    (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    read = json.loads(spotward(cloud, "report", "--json"))
    exported = json.loads(spotward(cloud, "report", "--from", "-", "--json", stdin="\n".join(function.log())))
    assert read["swaps"] == 2 and [read[key] for key in ("total", "groups", "notes")] == [exported[key] for key in ("total", "groups", "notes")]
    # Nobody came or went: the next look writes nothing and asks nothing more.
    before, mark = len(function.log()), cloud.control.mark()
    function.tick()
    assert [line for line in function.log()[before:] if "ledger" in line] == []
    assert [call["action"] for call in cloud.control.calls(since=mark, agent=product.AGENT) if "InstanceId.1" in call["params"]].count("DescribeInstances") <= 1
    assert witness.changes(cloud, mark) == []
