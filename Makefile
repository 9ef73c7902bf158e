# Every verb of the project; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup check static advisories test check-api lint-api sdk players corpus observability chaos upgrade rotate demo up bench docs image deb check-ops

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "%-13s %s\n", $$1, $$2 }'

setup: ## Install what is missing
	@ops/setup

check: static ## Format, lints, licences and sources of dependencies, dashboards and alerts
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

static: setup
	cargo fmt --all --check
	.tools/bin/cargo-deny --log-level error check licenses bans sources
	ops/observability/lint

advisories: setup ## Known faults of dependencies; fetches the list of them
	.tools/bin/cargo-deny check advisories

# These verbs share one build, and the linter makes it: linting alone would compile everything once more.
test check-api sdk players corpus observability chaos upgrade rotate: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
test check-api sdk players corpus observability chaos upgrade rotate: export CLIPPY_ARGS = -Dwarnings

test: static ## Every check and test, against real NATS, Postgres and FFmpeg
	.tools/bin/cargo-nextest nextest run --locked --workspace --all-features
	cargo test --locked --workspace --all-features --doc --quiet

check-api: ## Property-based calls over the whole API, with every kind of key
	@ops/setup check-api
	@ops/check_api/run

lint-api: ## Redocly and Spectral over the OpenAPI document; needs Node.js
	@ops/check_api/lint

sdk: setup ## Both SDKs against a new service; needs Node.js and the network
	cargo build --locked --quiet --package ffapi --all-features
	@ops/sdk/run

players: ## Play outputs with hls.js, dash.js, Shaka Player and Plyr in Chromium; needs Node.js and the network
	@ops/setup players
	cargo build --locked --quiet --workspace --all-features
	@ops/players/run

corpus: setup ## Real and odd files, compared with the ffmpeg command line; FILES="…" for others
	cargo build --locked --quiet --workspace --all-features --all-targets
	@ops/corpus/run $(FILES)

observability: ## Every panel and alert on a running fleet with Prometheus; as root
	@ops/setup observability
	cargo build --locked --quiet --workspace --all-features --all-targets
	@.tools/observability/venv/bin/python ops/observability/check

chaos: ## Faults under load on a cluster for MINUTES (30), seeded by SEED, then KILLS (200) random kills; as root
	@ops/setup chaos
	cargo build --locked --quiet --workspace --all-features --all-targets
	@ops/cluster/run --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))
	$(if $(filter 0,$(KILLS)),,FFAPI_CHAOS_KILLS=$(or $(KILLS),200) cargo test --locked --package ffapi --test it chaos -- --nocapture)

upgrade: ## A rolling upgrade under load, from the build in OLD to this one and back; as root
	@ops/setup chaos
	cargo build --locked --quiet --workspace --all-features --all-targets
	@ops/cluster/upgrade --old $(OLD)

rotate: ## Rotates master key, pepper and signing key under load, on a cluster; as root
	@ops/setup chaos
	cargo build --locked --quiet --workspace --all-features --all-targets
	@ops/cluster/rotate

demo: setup ## Convert a real video and show its whole life
	@ops/demo

up: setup ## Run everything in one process
	FFAPI_TOOLS=$(CURDIR)/.tools/bin cargo run --locked --release -- up

bench: ## Ratios against rivals, measured now
	@ops/setup bench
	@ops/bench/run

image: ## Build the images and convert a video in them, with podman
	@ops/setup image
	@ops/image/build
	@ops/image/smoke

deb: ## Build the Debian packages and a tarball, install them in a new root folder, and convert a video there
	@ops/setup deb
	@ops/debian/build
	@ops/debian/smoke

check-ops: ## Validate image, packages, compose files, Helm chart and workflows
	@ops/setup check-ops
	@ops/check_ops/run

docs: ## The API's OpenAPI snapshot and the crates' documentation
	UPDATE_SNAPSHOTS=1 cargo test --locked --quiet --package ffapi-gateway --test openapi
	cargo doc --locked --workspace --no-deps
