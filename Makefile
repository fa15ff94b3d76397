# The commands a person types. `make demo` and `make test` need rustup, a C
# compiler, make and git; rustup installs the toolchain and the wasm target
# that rust-toolchain.toml names. `make test` also uses Python 3.11 and
# PostgreSQL where they are installed.

CARGO ?= cargo
# Tests of the storages wait for services more than they work.
export RUST_TEST_THREADS ?= 4
GUEST = $(CARGO) build --locked --target wasm32-wasip2 --profile guest
CONNECTORS = payments-directory files open-holidays bank-of-canada tiktok-ads open-exchange-rates \
	github google-ads facebook-marketing rest-json
TARGET = $(or $(CARGO_TARGET_DIR),target)
WASM = $(TARGET)/wasm32-wasip2/guest
HOST = $(TARGET)/debug/ow-host

.PHONY: help build connectors demo test test-steps fuzz lint fmt bench clean

help: ## Say what each command does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## Build the host and the connectors
	$(CARGO) build --locked -p ow-host
	$(MAKE) connectors

connectors: ## Build the connectors' .wasm files
	$(GUEST) $(addprefix -p ,$(CONNECTORS))

demo: build ## Load the payment files of demo/ into a SQLite database and show the rows
	$(CARGO) build --locked -p ow-host --example rows
	OW_HOST=$(HOST) ROWS=$(TARGET)/debug/examples/rows WASM=$(WASM) OUT=$(TARGET)/demo sh demo/demo.sh

# Where there is no Python, venv.sh says so and prints nothing, and the tests that
# need it name themselves as skipped; it waits for the network while cargo builds.
# The fakes' own tests take one core, and the others often leave one: they run at
# once, and are shown at the end.
test: ## Run every test
	mkdir -p $(TARGET)
	sh tests/cloud/venv.sh $(TARGET)/venv >$(TARGET)/python & beside=$$!; trap 'kill $$beside 2>/dev/null' EXIT; \
	$(MAKE) connectors && $(CARGO) test --locked --workspace --no-run || exit; \
	wait $$beside || exit; OW_TEST_PYTHON=$$(cat $(TARGET)/python); export OW_TEST_PYTHON; \
	(if [ -n "$$OW_TEST_PYTHON" ]; then cd tests/cloud && exec "$$OW_TEST_PYTHON" -m pytest -q; fi) \
		>$(TARGET)/fakes.log 2>&1 & beside=$$!; \
	$(CARGO) test --locked --workspace || exit; \
	wait $$beside && failed=0 || failed=1; trap - EXIT; cat $(TARGET)/fakes.log; exit $$failed

test-steps: ## Stop loads into each service at each step: more of the storages' tests; takes long
	python=$$(sh tests/cloud/venv.sh $(TARGET)/venv) && export OW_TEST_PYTHON="$$python" && \
	OW_TEST_EVERY_STEP=1 $(CARGO) test --locked --workspace -- --include-ignored _steps:: that_dies a_crash_after

# How long a target runs, in seconds; or FUZZ_RUNS=N for a number of inputs.
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= -1
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard tests/fuzz/fuzz_targets/*.rs)))

fuzz: ## Fuzz each target for FUZZ_SECONDS or FUZZ_RUNS (needs cargo-fuzz and a C++ compiler)
	cd tests/fuzz && $(CARGO) fuzz build --fuzz-dir . --sanitizer none
	cd tests/fuzz && for target in $(FUZZ_TARGETS); do \
		sh run.sh $$target $(FUZZ_RUNS) $(if $(filter -1,$(FUZZ_RUNS)),$(FUZZ_SECONDS),0) || exit 1; done

lint: ## Check formatting, lints and the contract's version
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	sh wit/check-version.sh

fmt: ## Format the code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml

bench: ## Measure speed and memory against baselines in the same run (release build, takes minutes)
	python=$$(sh tests/cloud/venv.sh $(TARGET)/venv) && export OW_TEST_PYTHON="$$python" && \
	$(CARGO) run --locked --release -p bench

clean: ## Remove everything that was built
	$(CARGO) clean
