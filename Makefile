# What a person types here; `make` alone lists it.

# Where rustup puts cargo, for shells that were open before it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup deny demo test chaos soak properties fuzz lint bench bench-memory bench-options bench-queue bench-recovery load-queue load \
	bench-serve screenshots

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: cargo, a C compiler, redis-server
	@scripts/setup.sh

demo: setup ## Push 20,000 posts between Cockpits and kill a worker on the way (KEEP=1 leaves it running)
	@KEEP=$(KEEP) scripts/demo.sh

test: ## All tests (also installs what only they need: a browser, promtool, docker-compose)
	@scripts/setup.sh tests
	cargo test --workspace --no-fail-fast

chaos: setup ## Pushes while everything goes wrong, 200 rounds (ROUNDS=n; SEED=n plays the round of that seed)
	CHAOS_ROUNDS=$(or $(ROUNDS),$(if $(SEED),1,200)) CHAOS_SEED=$(SEED) cargo test --test system chaos:: -- --nocapture

soak: setup ## Nights with small faults for so long (MINUTES=n, 10): fails when memory, open files, Redis or agents' state grow
	SOAK_MINUTES=$(or $(MINUTES),10) cargo test --test system soak:: -- --nocapture

properties: setup ## Random pairs of instances and random options, 100 cases (CASES=n; SEED=n that one alone)
	$(if $(SEED),PROPERTY_SEED=$(SEED)) PROPERTY_CASES=$(or $(CASES),100) cargo test --test system properties:: -- --nocapture

fuzz: setup ## Random input for everything that reads what others wrote: 1,000,000 cases (tests optimised, built first)
	@scripts/fuzz.sh

lint: setup ## Format and lints, as the continuous integration checks them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

deny: setup ## Licences, bans and sources of all dependencies, by cargo-deny; and advisories where their database can be had
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
	@if said=$$(cargo deny fetch db 2>&1); then cargo deny check advisories; \
	else echo "$$said" | tail -n 3; echo "skipped: advisories: their database cannot be fetched here, as said above"; fi

bench: setup ## How long pushes take, beside the physical limit; bytes per job and the longest call in Redis
	cargo bench --bench push --bench queue_sizes

bench-memory: setup ## Memory of worker and agents after 20,000 and 200,000 documents
	cargo bench --bench memory

bench-options: setup ## No change, 1 %, plan, items, transforms, undo, assets, beside their limits and rsync (SCALE=0.1: a tenth of it)
	BENCH_SCALE=$(or $(SCALE),1) cargo bench --bench options

bench-queue: setup ## Jobs a second through the queue, beside the bare stream commands and other queues
	cargo bench -p cockpit-sync-queue --bench queue

bench-recovery: setup ## How soon the jobs of a killed worker run elsewhere
	cargo bench --bench recovery

load: load-queue ## The queue with 1,000 waiting runs; an agent under 200 clients beside a CMS that saves (SECONDS=n, 60)
	LOAD_SECONDS=$(or $(SECONDS),60) cargo test --release --test system load:: -- --nocapture

load-queue: setup ## 100 targets and 1,000 waiting runs in the queue: times of scripts, memory
	cargo test -p cockpit-sync-queue --test queue crowd:: -- --nocapture

bench-serve: setup ## 200 events a second to 50 open pages, and the first byte of the overview after 10,000 runs (SECONDS=n)
	cargo bench --bench serve -- $(or $(SECONDS),60)

screenshots: ## Take the pictures in docs/screenshots anew
	@scripts/setup.sh tests
	SCREENSHOTS=$(CURDIR)/docs/screenshots cargo test --test system dashboard:: -- --nocapture
