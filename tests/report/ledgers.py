"""Ledgers as the function writes them, made up from a seed: a line per group and change, and the prices with them."""

import datetime
import json
import random

START = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)
REGION, STACK = "us-east-1", "spotward"
ZONES = [f"{REGION}{letter}" for letter in "abc"]
#: Type, on-demand price, usual spot price.
TYPES = {"m5.large": (0.096, 0.038), "m6i.large": (0.096, 0.035), "r5.large": (0.126, 0.041), "c6i.xlarge": (0.17, 0.071)}


def when(days):
    return (START + datetime.timedelta(days=days)).isoformat().replace("+00:00", "Z")


def line(kind, **fields):
    return json.dumps({"spotward": "ledger", "v": 1, "kind": kind, **fields}, separators=(",", ":"))


def prices(days, chance):
    lines = []
    for name, (listed, usual) in TYPES.items():
        lines.append(line("price", region=REGION, platform="Linux/UNIX", type=name, **{"from": when(0)}, price=listed))
        for zone in ZONES:
            for day in range(0, days, 2):
                price = round(usual * chance.uniform(0.8, 1.3), 6)
                lines.append(line("price", region=REGION, platform="Linux/UNIX", type=name, zone=zone, **{"from": when(day)}, price=price))
    return lines


def ledger(groups, days, step, seed=1):
    """`groups` groups over `days` days, each written down every `step` days; some are converted, some lose members."""
    chance = random.Random(seed)
    lines = prices(days, chance)
    number = 0
    for which in range(groups):
        name = f"{chance.choice(['shop', 'api', 'worker', 'billing'])}-{chance.choice(['prod', 'stage'])}-{which:04d}"
        common = {"region": REGION, "stack": STACK, "group": name}
        members = []
        for place in range(chance.randint(1, 4)):
            number += 1
            members.append({"id": f"i-{number:017x}", "type": "m5.large", "zone": ZONES[place % 3], "bought": "on-demand", "launched": when(-1)})
        converted = chance.uniform(1, days / 2) if which % 10 else days * 2
        day = 0.0
        while day <= days:
            if day > converted and any(one["bought"] == "on-demand" for one in members):
                at = next(place for place, one in enumerate(members) if one["bought"] == "on-demand")
                victim = members[at]
                number += 1
                replica = {
                    "id": f"i-{number:017x}",
                    "type": chance.choice(["m5.large", "m6i.large", "r5.large"]),
                    "zone": victim["zone"],
                    "bought": "spot",
                    "launched": when(day - 0.01),
                    "victim": victim["id"],
                    "stands_for": victim["type"],
                }
                lines.append(line("swap", at=when(day - 0.005), swap=f"{number:08x}", victim=victim, replica=replica, overlap_minutes=7.2, **common))
                lines.append(
                    line("ended", at=when(day), instance=victim, ended=when(day - 0.004), seen=when(day - 0.005), why="terminated", **common)
                )
                members[at] = replica
            elif chance.random() < 0.01 and members[0]["bought"] == "spot":
                lost = members[0]
                lines.append(line("ended", at=when(day), instance=lost, ended=when(day - 0.01), seen=when(day - 0.02), why="interrupted", **common))
                number += 1
                members[0] = {"id": f"i-{number:017x}", "type": "m5.large", "zone": lost["zone"], "bought": "on-demand", "launched": when(day - 0.009)}
            spot = sum(one["bought"] == "spot" for one in members)
            lines.append(line("members", at=when(day), spot=spot, on_demand=len(members) - spot, members=members, **common))
            day += step
    return "\n".join(lines) + "\n"
