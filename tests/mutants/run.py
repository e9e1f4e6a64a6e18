#!/usr/bin/env python3
"""Deliberate one-line bugs: applies each in a copy of planner, engine and sim, runs the fast layers, and says which
layer caught it. Exit code 1 if one survives.

  python3 tests/mutants/run.py [--only NAME]...
"""
import json, os, pathlib, re, shutil, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = json.loads((pathlib.Path(__file__).parent / "table.json").read_text())
# Where the bugs are, and what their tests need.
CRATES = ("planner", "engine", "sim", "ledger")
# Tests of decisions: the others of the planner compile longer than they could catch anything here.
DECISIONS = ["guard", "journal", "plan", "policy", "preflight", "rescue", "swap", "swap_settles"]
# In the order of cost. What the first layer catches is not shown to the next.
LAYERS = [
    ("planner tests", ["cargo", "test", "-q", "-p", "planner", *(word for name in DECISIONS for word in ("--test", name))]),
    # What comes of two looks of one pass.
    ("engine tests", ["cargo", "test", "-q", "-p", "engine", "--test", "pass"]),
    ("scenarios", ["cargo", "test", "-q", "-p", "sim", "--test", "scenarios"]),
    ("weather", ["cargo", "test", "-q", "-p", "sim", "--test", "weather"]),
    ("crashes", ["cargo", "test", "-q", "-p", "sim", "--test", "crashes"]),
]


def copy_tree(to: pathlib.Path) -> None:
    for crate in CRATES:
        # As new: cargo goes by times, and an interrupted run has left a bug compiled.
        shutil.copytree(ROOT / "crates" / crate, to / "crates" / crate, copy_function=shutil.copyfile)
    # What the tests read beside the sources.
    for data in ("data", "docs", "README.md", "tests/data"):
        if (ROOT / data).exists():
            (to / data).parent.mkdir(exist_ok=True)
            (to / data).symlink_to(ROOT / data)
    (to / ".cargo").mkdir()
    for file in ("Cargo.lock", "rustfmt.toml", ".cargo/config.toml"):
        shutil.copy(ROOT / file, to / file)
    manifest = (ROOT / "Cargo.toml").read_text()
    members = json.dumps([f"crates/{crate}" for crate in CRATES])
    manifest = re.sub(r"(?m)^members = .*$", f"members = {members}", manifest)
    # Each bug is compiled once and run briefly: compiling must not cost more than running.
    manifest = manifest.replace("opt-level = 3", "opt-level = 1")
    (to / "Cargo.toml").write_text(manifest)


def run(command: list[str], tree: pathlib.Path, env: dict[str, str]) -> tuple[bool, str]:
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def main() -> int:
    only = [name for flag, name in zip(sys.argv[1:], sys.argv[2:]) if flag == "--only"]
    env = dict(os.environ, SEEDS=os.environ.get("SEEDS", "2000"))
    # Its own build directory beside the tree's: the mutants must not spoil the real one.
    env.setdefault("CARGO_TARGET_DIR", str(ROOT / "target" / "mutants"))
    survived = []
    # Always at the same place: the tests have their own path compiled in.
    tree = pathlib.Path(env["CARGO_TARGET_DIR"]) / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    copy_tree(tree)
    # Without a bug every layer passes; else the rest would prove nothing.
    for layer, command in LAYERS:
        passed, text = run(command, tree, env)
        if not passed:
            print(f"without any bug: {layer} fails\n{text[-3000:]}")
            return 2
    shown = [mutant for mutant in TABLE if not only or mutant["name"] in only]
    for mutant in shown:
        file = tree / mutant["file"]
        original = file.read_text()
        if original.count(mutant["old"]) != 1:
            print(f"{mutant['name']:40} STALE: found {original.count(mutant['old'])} times in {mutant['file']}", flush=True)
            survived.append(mutant["name"])
            continue
        file.write_text(original.replace(mutant["old"], mutant["new"]))
        caught = "SURVIVED"
        for layer, command in LAYERS:
            passed, text = run(command, tree, env)
            if not passed:
                broken = "does not compile" if "error: could not compile" in text else layer
                promise = re.search(r'BROKEN "([^"]+)"', text)
                caught = broken + (f" ({promise.group(1)})" if promise else "")
                break
        file.write_text(original)
        print(f"{mutant['name']:40} {caught}", flush=True)
        if caught == "SURVIVED" or caught == "does not compile":
            survived.append(mutant["name"])
    print(f"{len(survived)} of {len(shown)} not caught" + (": " + ", ".join(survived) if survived else ""))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
