# The role's policy against every recorded call: tests/permissions. npm brings the independent judge, a test tool only.

PERMISSIONS := tests/permissions

.PHONY: permissions-tools permissions-test permissions-record

permissions-tools: $(PERMISSIONS)/node_modules/ready

$(PERMISSIONS)/node_modules/ready: $(PERMISSIONS)/package-lock.json
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq nodejs npm >/dev/null; }
	npm ci --prefix $(PERMISSIONS) --no-audit --no-fund --loglevel=error
	touch $@

permissions-test: venvs permissions-tools ## Replay every recorded call against the role of template.yaml
	.venv/bin/python -m pytest --quiet $(PERMISSIONS)

permissions-record: build stage venvs ## Record the calls anew, after one has changed
	STAGE_BINARY=$(STAGE_BINARY) .venv/bin/python $(PERMISSIONS)/record.py
