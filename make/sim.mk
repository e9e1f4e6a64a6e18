# The proof: scenarios, crashes and random weather (`make sim SEEDS=1000000`), and deliberate bugs (`make mutants`).
SEEDS ?= 100000

sim: ## The simulator at length: every blow with both answers to every open question, random weather (SEEDS=100000)
	$(CARGO) test -p sim --test crashes -- --nocapture --ignored
	SEEDS=$(SEEDS) $(CARGO) test -p sim --test weather -- --nocapture promises_hold_in_any_weather

mutants: ## Deliberate one-line bugs: which layer catches each
	python3 tests/mutants/run.py

.PHONY: sim mutants
