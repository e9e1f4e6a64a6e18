# Every measurement of docs/performance*.md. Takes about half an hour; figures mean something on a machine that does nothing else.
.PHONY: bench bench-choose bench-plan bench-function

bench: bench-choose watcher-bench bench-function bench-plan bench-notice bench-convert ## Measure everything in docs/performance.md: choosing, watcher, function, plan, notice, conversion

bench-choose: ## Measure choosing a pool, and planning a region of 10,000 groups
	$(CARGO) bench --package planner --bench choose --bench region

bench-plan: build ## Measure `spotward plan` on a snapshot of 1,000 groups: seconds and memory
	$(PYTHON) tests/scale/plan.py

bench-function: build ## Measure the function's size, start and memory
	$(PYTHON) crates/lambda/measure.py $(SPOTWARD_BIN_DIR)/bootstrap 20
