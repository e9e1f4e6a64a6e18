# How a notice travels: docs/watcher.md.

.PHONY: drill

drill: build stage venvs watcher ## See a notice travel: metadata service, watcher, SNS, function, replacement, dying member out
	@STAGE_BINARY=$(STAGE_BINARY) SPOTWARD_WATCHER_BIN=$(WATCHER_BINARY) .venv/bin/python tests/e2e/drill.py
