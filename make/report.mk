# The report's page in a real browser: docs/report.md. About a minute, most of it the installation.
.PHONY: test-report report-tools

.venv-report/ready: tests/report/requirements.txt
	$(PYTHON) -m venv .venv-report
	.venv-report/bin/pip install --quiet --disable-pip-version-check --requirement $<
	echo '*' > .venv-report/.gitignore
	touch $@

report-tools: .venv-report/ready
	@command -v chromium chromium-browser google-chrome >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

test-report: report-tools ## The page of `spotward report` in headless Chromium: size, speed, axe-core, phone, dark, paper
	SPOTWARD_BIN_DIR=$(SPOTWARD_BIN_DIR) .venv-report/bin/python -m pytest --quiet -rP tests/report
