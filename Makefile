# Build, run, test. `make` alone lists what there is.
# One profile, --release, for everything: what is tested is what ships, and RocksDB compiles once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Outside the checkout, so that several checkouts share one RocksDB.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/stead-target
STEAD := $(CARGO_TARGET_DIR)/release/stead
PORT ?= 8080
SEEDS ?= 500
# nextest where it is there: it runs tests beside one another.
NEXTEST := cargo nextest run --release --workspace
TEST = $(if $(shell cargo nextest --version 2>/dev/null),$(NEXTEST),cargo test --release --workspace --bins --lib --tests --examples)
# A build of its own: its clocks stand still, and the protocol in it can be broken on purpose.
SIMULATION := cargo test --release -p stead-cluster --features simulation --test simulation

.PHONY: help run build test simulate fix bench deps test-deps

help: ## What there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Start one node on 127.0.0.1:8080 with its data in ./data, and show a first counter
	@PORT=$(PORT) deploy/first-node '$(STEAD)'

build: deps ## Build the program
	cargo build --release --bin stead

test: test-deps ## Check everything: format, lints, documentation, unit and integration tests
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release -p stead-cluster --features simulation --test simulation -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --quiet
	cargo test --release --workspace --doc
	$(TEST) --no-run
	@for check in tests/*.sh; do if [ -x "$$check" ]; then echo "$$check"; STEAD_BIN='$(STEAD)' "$$check"; fi; done
	$(TEST) --no-fail-fast
	$(SIMULATION)

simulate: deps ## Run the simulation of a cluster with SEEDS seeds in each of its tests (make simulate SEEDS=1000)
	STEAD_SEEDS=$(SEEDS) $(SIMULATION)

fix: deps ## Format, and mend what clippy can mend
	cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

bench: build ## Measure the figures of the README, as ratios from one run
	benches/run

# Tests break networks of their own, and disks.
test-deps:
	@deploy/build-dependencies unshare=util-linux mount=mount ip=iproute2 nft=nftables

deps: ## Install the compilers and headers that the build needs, where they are missing
	@deploy/build-dependencies
