# From source to a deployed stack: docs/deploy.md.

ARCH ?= arm64
STACK ?= spotward
# Where the account's resources are to be served; one stack in each.
REGIONS ?=
# Template parameters, as PARAMETERS="Defaults=min-on-demand=1 TickRate='rate(2 minutes)'".
PARAMETERS ?=
PACKAGE = $(CARGO_TARGET_DIR)/package
# A key that changes with the code, so that a stack set sees what is new.
PACKAGE_KEY = spotward/$(shell sha256sum $(PACKAGE)/spotward-$(ARCH).zip | cut -c1-16)-$(ARCH).zip

.PHONY: package package-all deploy delete stackset

package: .venv-zig/ready ## Build and zip the function for ARCH=arm64 (default) or x86_64 (target/package)
	PATH="$(abspath .venv-zig)/bin:$$PATH" deploy/package.sh $(ARCH) $(PACKAGE)

package-all: ## The same for both architectures
	$(MAKE) package ARCH=arm64
	$(MAKE) package ARCH=x86_64

deploy: package .venv-sam/ready ## Deploy to REGIONS="eu-central-1 us-east-1"; asks first (YES=1: does not)
	@SAM_CLI_TELEMETRY=0 .venv-sam/bin/python deploy/deploy.py deploy --regions "$(REGIONS)" --stack "$(STACK)" --package $(abspath $(PACKAGE)) \
		--arch $(ARCH) --parameters "$(PARAMETERS)" --sam $(abspath .venv-sam/bin/sam) $(if $(YES),--yes)

delete: .venv-sam/ready ## Delete the stack from REGIONS="…"; refuses while a swap is in flight
	@.venv-sam/bin/python deploy/deploy.py delete --regions "$(REGIONS)" --stack "$(STACK)" $(if $(YES),--yes)

stackset: package .venv-sam/ready ## The plain template and the archive for a stack set over an organisation (target/package/stackset)
	mkdir -p $(PACKAGE)/stackset/$(dir $(PACKAGE_KEY))
	cp $(PACKAGE)/spotward-$(ARCH).zip $(PACKAGE)/stackset/$(PACKAGE_KEY)
	.venv-sam/bin/python deploy/expand.py template.yaml $(PACKAGE_KEY) $(PACKAGE)/stackset/spotward-member.json
	@echo "in $(PACKAGE)/stackset: upload as docs/deploy.md says"
