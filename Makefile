# One thing per target; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Crates that never compile the AWS SDK: tested first, in seconds.
FAST := planner engine ledger sim data charts watcher stage
# Crates that link it: one codegen profile (release) for the binaries, the mapping tests and the transcripts.
SDK := aws lambda cli

include $(wildcard make/*.mk)

.PHONY: help build test test-fast test-sdk test-template lint lint-fast lint-sdk boundaries fmt clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

# The function is linked apart: one unit and fixed addresses make it a quarter smaller, from the same compiled SDK.
FUNCTION := $(CARGO) rustc --release --package lambda --bin bootstrap -- -C lto=fat -C relocation-model=static

build: ## Build the function (bootstrap) and the CLI (spotward) in target/release
	$(CARGO) build --release $(addprefix --package ,$(SDK)) --bin spotward
	$(FUNCTION)

# One crate of the SDK keeps one core for a quarter of an hour: meanwhile the other one tests what does not need it.
test: ## Every test, cheapest first
	@{ $(CARGO) test --quiet --release --no-run $(addprefix --package ,$(SDK)) && $(MAKE) build; } & sdk=$$!; \
	{ $(MAKE) test-fast watcher-test test-template permissions-test && wait $$sdk; } || { pkill -P $$sdk; kill $$sdk; exit 1; } 2>/dev/null
	$(MAKE) test-sdk e2e

test-fast: ## Planner tables and properties, guard, engine, simulator, stage: no AWS SDK
	$(CARGO) test --quiet $(addprefix --package ,$(filter-out watcher,$(FAST)))

# All three packages in one cargo call, always: a subset may select other features, and that compiles the SDK again.
test-sdk: ## Mapping tests of the adapter, transcripts of the CLI, the release binaries
	$(CARGO) test --release $(addprefix --package ,$(SDK))
	$(MAKE) build

test-template: venvs ## Lint the templates and check them and their pages against the code
	.venv/bin/cfn-lint template.yaml deploy/*.yaml
	AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint --template template.yaml
	.venv/bin/python -m pytest --quiet tests/template

lint: lint-fast lint-sdk ## Format, clippy with warnings as errors, crate boundaries

lint-fast: boundaries
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --quiet --all-targets $(addprefix --package ,$(FAST)) -- -D warnings

# In a directory of its own, so that it runs beside the tests.
lint-sdk:
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/lint $(CARGO) clippy --quiet --all-targets $(addprefix --package ,$(SDK)) -- -D warnings

# What a crate must never depend on: PACKAGE:DEPENDENCY. An empty tree is an absent dependency.
FORBIDDEN := planner:tokio planner:serde planner:tracing engine:tokio engine:aws-types engine:lambda_runtime \
	data:tokio data:aws-types charts:planner charts:tokio sim:tokio sim:aws-types sim:ledger ledger:tokio ledger:aws-types watcher:planner watcher:engine watcher:tokio watcher:aws-types

boundaries: ## The planner stays pure, the watcher stays alone, nobody but `aws` links an SDK
	@for pair in $(FORBIDDEN); do \
		package=$${pair%%:*} dependency=$${pair##*:}; \
		$(CARGO) tree --quiet --package $$package >/dev/null || exit 1; \
		if [ -n "$$($(CARGO) tree --quiet --package $$package --edges normal --invert $$dependency 2>/dev/null)" ]; then \
			echo "$$package must not depend on $$dependency"; exit 1; fi; done
	@! grep -lE '^aws-sdk-' crates/{lambda,cli,engine,planner,sim}/Cargo.toml

fmt: ## Format everything
	$(CARGO) fmt --all

clean: ## Remove build products and virtual environments
	rm -rf target .venv .venv-ministack .venv-sam .venv-zig .aws-sam
