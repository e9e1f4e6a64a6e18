# The proof: scenarios, crashes and random weather (`make sim SEEDS=1000000`), and deliberate bugs (`make mutants`).
SEEDS ?= 100000

sim: blows ## The simulator at length: blows, and random weather (SEEDS=100000)
	SEEDS=$(SEEDS) $(CARGO) test -p sim --test weather -- --nocapture promises_hold_in_any_weather

blows: ## Every blow at every call, with both answers to every open question about AWS
	$(CARGO) test -p sim --test crashes -- --nocapture --ignored

mutants: ## Deliberate one-line bugs: which layer catches each
	python3 tests/mutants/run.py

.PHONY: sim blows mutants
