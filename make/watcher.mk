# The on-instance watcher: docs/watcher.md.

WATCHER_DIR := crates/watcher
WATCHER_BINARY := $(abspath $(CARGO_TARGET_DIR))/watcher/spotward-watcher

.PHONY: watcher watcher-package watcher-test watcher-bench watcher-tools

watcher: ## Build spotward-watcher for this machine, small (target/watcher)
	$(CARGO) build --profile watcher --package watcher

.venv-zig/ready: $(WATCHER_DIR)/packaging/requirements.txt
	$(PYTHON) -m venv .venv-zig
	.venv-zig/bin/pip install --quiet --disable-pip-version-check --requirement $<
	echo '*' > .venv-zig/.gitignore
	touch $@

watcher-package: .venv-zig/ready ## Build the watcher's archives for x86_64 and aarch64, with user data and IAM policy
	PATH="$(abspath .venv-zig)/bin:$$PATH" $(WATCHER_DIR)/packaging/package.sh $(CARGO_TARGET_DIR)/watcher-package

# The judge of signatures and schemas lives in the .venv that all tests share.
.venv/watcher: $(WATCHER_DIR)/tests/requirements.txt .venv/ready
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

watcher-tools: .venv/watcher
	@command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace >/dev/null; }

# Nearly all of it is waiting for time-outs: more threads than cores. The size budget and the fault matrix judge the release build.
watcher-test: watcher watcher-tools ## Test the watcher's release build: fault matrix, budgets, drains, ready
	SPOTWARD_PYTHON=$(abspath .venv/bin/python) SPOTWARD_WATCHER_BIN=$(WATCHER_BINARY) RUST_TEST_THREADS=8 \
		$(CARGO) test --quiet --package watcher -- --include-ignored

watcher-bench: watcher watcher-tools ## Measure the watcher against its goals: size, memory, latency, a soak, millions of fuzzed inputs
	@command -v valgrind >/dev/null || { apt-get update -qq && apt-get install -y -qq valgrind >/dev/null; }
	WATCHER_FUZZ_RUNS=1000000 $(CARGO) test --quiet --release --package watcher --test fuzz
	PROPTEST_CASES=100000 $(CARGO) test --quiet --release --package engine --test watcher
	SPOTWARD_PYTHON=$(abspath .venv/bin/python) SPOTWARD_WATCHER_BIN=$(WATCHER_BINARY) $(CARGO) bench --quiet --package watcher --bench goals
