# The common tasks; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Where rustup and the Go archive install to, for shells that do not say so.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install, fetch or build the programs that the tests run
	@scripts/setup programs

.PHONY: demo
demo: ## Show the operator at work on this machine; KEEP=1 stays until Ctrl-C
	@scripts/demo

.PHONY: test
test: ## Run all tests
	@scripts/setup tests
	@# They wait more than they compute.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( 3 * $$(getconf _NPROCESSORS_ONLN) ))} scripts/in-memory cargo test --workspace --no-fail-fast

.PHONY: bench-api
bench-api: setup ## Measure 100, 300 and 1,000 Orchestras at once against the API's rate limit
	cargo build --locked --release --workspace --bins
	target/release/orchestra-sandbox bench-api

.PHONY: bench-backup
bench-backup: setup ## Measure a backup of a table of BENCH_BACKUP_MB (5120) MiB against pg_dump, and its memory
	cargo build --locked --release --workspace --bins
	target/release/orchestra-sandbox bench-backup

.PHONY: bench-claim
bench-claim: setup ## Measure BENCH_CLAIMS (50) claims at once that a pool's databases meet
	cargo build --locked --release --workspace --bins
	target/release/orchestra-sandbox bench-claim

.PHONY: bench-cost
bench-cost: setup ## Count the operator's requests for each of BENCH_COST_TENANTS (50) tenants, with 20 scripts and without
	cargo build --locked --release --workspace --bins
	target/release/orchestra-sandbox bench-cost

.PHONY: bench-migrations
bench-migrations: setup ## Measure migrations against psql -f of the same files
	cargo bench --locked --bench migrations

.PHONY: lint
lint: check-files check-dependencies ## Check format, lints, base images and, where cargo-deny is installed or CI is set, dependencies
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: check-files
check-files: ## Check format and base images
	cargo fmt --all --check
	scripts/images

.PHONY: check-dependencies
check-dependencies: ## Check licences, sources and advisories of dependencies, where cargo-deny is installed or CI is set
	@if cargo deny --version >/dev/null 2>&1; then scripts/deny; \
	else echo "cargo-deny is not installed, dependencies not checked: cargo install --locked cargo-deny"; test -z "$${CI:-}"; fi

.PHONY: pin-images
pin-images: ## Pin the base images of deploy/ to what their tags name now; needs Docker
	scripts/images --update

.PHONY: crds
crds: ## Write crds/ and docs/api.md from the Rust types
	cargo run --quiet -- crd --output crds
	@$(MAKE) --no-print-directory api-docs

.PHONY: api-docs
api-docs: ## Write docs/api.md from the Rust types
	cargo run --quiet -- crd --docs > docs/api.new && mv docs/api.new docs/api.md

.PHONY: docs
docs: ## Build the book of docs/ into target/docs/book; needs mdBook
	@mdbook --version >/dev/null 2>&1 || { echo "mdBook is not installed: cargo install --locked mdbook"; exit 1; }
	mkdir -p target/docs
	cp -r LICENSE NOTICE deploy target/docs/
	mdbook build docs

.PHONY: rbac
rbac: ## Write the operator's rights: deploy/kustomize, and deploy/namespaced for the namespace tenants; then make chart
	cargo run --quiet -- rbac > deploy/kustomize/rbac.new && mv deploy/kustomize/rbac.new deploy/kustomize/rbac.yaml
	cargo run --quiet -- rbac --watch-namespaces tenants > deploy/namespaced/rbac.new && mv deploy/namespaced/rbac.new deploy/namespaced/rbac.yaml

.PHONY: chart
chart: ## Write what is generated of deploy/chart, and with helm its renders
	UPDATE_CHART=1 cargo test --quiet --package orchestra-sandbox --test chart -- --test-threads=1 generated checked_in

.PHONY: release
release: ## Build the programs as the images have them (static, at most 25 MiB each) into target/release-static
	scripts/release

.PHONY: image
image: ## Build both images for this machine's architecture, with the times of the last commit; needs Docker
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) docker buildx bake --file deploy/docker-bake.hcl \
	  --set '*.platform=' --set '*.output=type=docker,rewrite-timestamp=true' --set '*.attest='

.PHONY: install-plugin
install-plugin: ## Install kubectl-orchestra, with its completion for kubectl, into PREFIX/bin (~/.local)
	cargo build --locked --release --bin orchestra-operator
	install -d $(or $(PREFIX),$(HOME)/.local)/bin
	install target/release/orchestra-operator $(or $(PREFIX),$(HOME)/.local)/bin/kubectl-orchestra
	ln -sf kubectl-orchestra $(or $(PREFIX),$(HOME)/.local)/bin/kubectl_complete-orchestra

.PHONY: deploy-check
deploy-check: setup ## Apply deploy/ to the sandbox's control plane and check the operator's rights
	cargo test --package orchestra-sandbox --test deploy
	cargo test --test stories happy_path

.PHONY: soak
soak: setup ## Disturb everything at random for SOAK_SECONDS (900); SOAK_SEED repeats a run's decisions
	SOAK_SECONDS=$${SOAK_SECONDS:-900} cargo test --test stories exactly_once::soak -- --nocapture

.PHONY: rotation-proof
rotation-proof: setup ## Rotate a login ORCHESTRA_ROTATIONS (50) times, with five kills, while a client logs in ten times a second
	ORCHESTRA_ROTATIONS=$${ORCHESTRA_ROTATIONS:-50} cargo test --test stories rotation::no_login_of_a_client -- --nocapture

.PHONY: rollout-bound
rollout-bound: setup ## Roll out over ROLLOUT_TENANTS (1000) databases of one server, with the operator as released: 8 GB of disk
	cargo build --locked --release --bin orchestra-operator
	ORCHESTRA_OPERATOR=target/release/orchestra-operator ROLLOUT_TENANTS=$${ROLLOUT_TENANTS:-1000} cargo test --test stories rollout::bound -- --nocapture
