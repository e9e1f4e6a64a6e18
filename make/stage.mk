# The stage: AWS on loopback (moto behind our strict proxy, MiniStack beside it) and what runs on it.
# Three virtual environments, because MiniStack and the SAM CLI each pin a botocore of their own.

PYTHON ?= python3
CARGO ?= cargo
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR
STAGE_BINARY := $(CARGO_TARGET_DIR)/debug/stage
# The binaries of the product are where the same cargo puts them.
export SPOTWARD_BIN_DIR ?= $(CARGO_TARGET_DIR)/release

.PHONY: venvs stage stage-test e2e demo bench-notice bench-convert

venvs: .venv/ready .venv-ministack/ready .venv-sam/ready ## Install the pinned Python tools into .venv*

.venv/ready: tests/e2e/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv-%/ready: tests/e2e/requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --requirement $<
	echo '*' > .venv-$*/.gitignore
	touch $@

stage: ## Build the strict proxy in front of moto
	$(CARGO) build --quiet --package stage

stage-test: stage venvs ## Test the stage itself, with boto3 as witness
	$(CARGO) test --quiet --package stage
	STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python -m pytest --quiet tests/e2e/test_stage.py

# Most of it is waiting for an emulated AWS: two at a time, each with a stage of its own.
E2E_FIRST := $(addprefix tests/e2e/test_,calls.py conversion.py interruption.py)

e2e: build stage venvs ## Run the real binaries on the stage
	@run() { STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python -m pytest --quiet "$$@"; }; \
	run $(E2E_FIRST) & first=$$!; \
	run tests/e2e $(addprefix --ignore=,$(E2E_FIRST)); rest=$$?; \
	wait $$first && exit $$rest

demo: build stage venvs ## See one region being converted, from sam deploy to the last swap (KEEP=1: leave it running)
	@STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python tests/e2e/demo.py $(if $(KEEP),--keep)

bench-notice: build stage venvs ## Measure a notice's way through the function: time and calls before CreateFleet (half a minute)
	@STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python tests/e2e/bench_notice.py

bench-convert: build stage venvs ## Measure a mass conversion by the real function: calls, processor time, memory (five minutes)
	@STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python tests/e2e/bench_convert.py
