.PHONY: lab

lab: build stage venvs ## A small AWS on this machine to try things in, until Ctrl-C (docs/tutorial.md)
	@STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python tests/e2e/lab.py
