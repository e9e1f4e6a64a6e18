# The proof: scenarios, crashes and random weather (`make sim SEEDS=1000000`), and deliberate bugs (`make mutants`).
SEEDS ?= 100000

sim: ## Random weather in the simulator: SEEDS=100000
	SEEDS=$(SEEDS) $(CARGO) test -p sim --test weather -- --nocapture promises_hold_in_any_weather

mutants: ## Deliberate one-line bugs: which layer catches each
	python3 tests/mutants/run.py

.PHONY: sim mutants
