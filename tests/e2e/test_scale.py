"""The scripts behind docs/scale.md, on a handful of groups: a region in memory, no stage."""

import sys

import product
import servers

sys.path.insert(0, str(servers.ROOT / "tests" / "scale"))

import convert  # noqa: E402
import load  # noqa: E402


def test_an_idle_tick_reads_and_changes_nothing():
    ticks, _, calls = load.run(product.binary("bootstrap"), groups=120, members=2, ticks=2)
    assert len(ticks) == 2
    assert calls["DescribeAutoScalingGroups"] == 3, "two pages, and one for those that carry our journal only"


def test_every_group_is_converted_and_else_as_it_was():
    rows, _, calls = convert.run(product.binary("bootstrap"), groups=3, members=2, swaps=1)
    assert calls["CreateFleet"] == calls["TerminateInstanceInAutoScalingGroup"] == 3
    assert rows[-1][0].startswith("tick"), "the last tick has nothing left to queue"
