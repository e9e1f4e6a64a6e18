"""How many calls the product makes. The figures are printed, so that docs/performance.md can quote them."""

import collections
import pathlib
import time
import zipfile

import product
import witness
from product import settle, spotward


def count(cloud, mark):
    """The product's calls since a mark, by action; printed for the record (`pytest -rP` shows it)."""
    calls = cloud.control.calls(since=mark, agent=product.AGENT)
    by_action = collections.Counter(f"{call['service']}:{call['action']}" for call in calls)
    print(f"{len(calls)} calls: " + ", ".join(f"{name} {number}" for name, number in by_action.most_common()))
    return len(calls)


def count_swap(cloud, mark):
    """The calls of one replacement, from its launch until the journal is dropped."""
    calls = cloud.control.calls(since=mark, agent=product.AGENT)
    names = [f"{call['service']}:{call['action']}" for call in calls]
    first = names.index("ec2:CreateFleet")
    last = len(names) - 1 - names[::-1].index("autoscaling:DeleteTags")
    print(f"{last - first + 1} of them from launch to settled")
    return last - first + 1


def idle_groups(cloud, number, size):
    """Enabled groups with nothing to do: all of their members are to stay on-demand."""
    template = cloud.template()
    for index in range(number):
        cloud.group(f"group-{index:03}", size=size, template=template, tags={"spotward:min-on-demand": ("100%", False)})


def test_a_run_on_one_idle_group_reads_prices_once(cloud):
    """The command line says what the group costs: that takes the region's types and prices, as on a cold scan."""
    idle_groups(cloud, 1, 5)
    mark = cloud.control.mark()
    spotward(cloud, "run", "--once")
    assert count(cloud, mark) <= 60


def test_the_functions_scan_of_a_hundred_idle_groups_is_counted_in_pages(ministack_for_stage, cloud):
    """One tick of the function, cold and warm: with 100 groups of 5 members, as much as with one group."""
    function = product.deploy(ministack_for_stage.url, cloud.account)
    idle_groups(cloud, 100, 5)
    mark = cloud.control.mark()
    function.tick()
    assert count(cloud, mark) <= 60, "cold"
    mark = cloud.control.mark()
    function.tick()
    assert count(cloud, mark) <= 12, "warm"
    assert witness.changes(cloud) == []


def test_a_replacement_with_room_to_spare(ministack_for_stage, cloud):
    """From launch to settled on a warm function, on a stage whose instances boot at once."""
    cloud.group("first", size=1, zones=1)
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    function.tick()
    wait_for_spot(cloud, "first")
    # Whoever ticks reads prices ahead as soon as there is spot.
    function.tick()
    cloud.group("second", size=1, zones=1)
    mark = cloud.control.mark()
    function.tick()
    wait_for_spot(cloud, "second")
    assert count(cloud, mark) <= 40 + 16, "the tick's scan comes on top"
    assert count_swap(cloud, mark) <= 40


def test_a_replacement_in_a_full_group(ministack_for_stage, cloud):
    cloud.group("first", size=1, zones=1)
    function = product.deploy(ministack_for_stage.url, cloud.account, retry_window="30s")
    function.tick()
    wait_for_spot(cloud, "first")
    # Whoever ticks reads prices ahead as soon as there is spot.
    function.tick()
    cloud.group("second", size=1, MinSize=1, MaxSize=1)
    mark = cloud.control.mark()
    function.tick()
    wait_for_spot(cloud, "second")
    looks = 2 * 3
    assert count(cloud, mark) <= 50 + 16 + looks, "the tick's scan comes on top, and on a busy machine a look or two more"
    assert count_swap(cloud, mark) <= 50


def wait_for_spot(cloud, name, seconds=60):
    """Until the group's one member is spot and the swap's last call is made."""
    deadline = time.monotonic() + seconds
    while True:
        tags = [tag["Key"] for tag in cloud.describe(name)["Tags"]]
        instances = cloud.group_instances(name)
        if len(instances) == 1 and witness.is_spot(instances[0]) and "spotward:swap" not in tags:
            return
        assert time.monotonic() < deadline, f"{name}: {tags}"
        time.sleep(0.3)


def test_one_swap_by_the_cli_from_cold(cloud):
    cloud.group("web", size=1)
    mark = cloud.control.mark()
    settle(cloud, retry_window="30s")
    assert count(cloud, mark) <= 40 + 2 * 55, "the market is read once in each of two processes: for the swap, and ahead by the tick"


def test_the_function_keeps_its_size_goals(tmp_path):
    """As linked by `make build`."""
    path = pathlib.Path(product.binary("bootstrap"))
    assert path.stat().st_size <= 10_500_000
    archive = tmp_path / "function.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        zipped.write(path, "bootstrap")
    assert archive.stat().st_size <= 4_500_000
