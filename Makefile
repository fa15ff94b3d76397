# The commands a person types. `make demo` and `make test` need rustup, a C
# compiler, make and git; rustup installs the toolchain and the wasm target
# that rust-toolchain.toml names.

CARGO ?= cargo
GUEST = $(CARGO) build --locked --target wasm32-wasip2 --profile guest
CONNECTORS = payments-directory open-holidays bank-of-canada
TARGET = $(or $(CARGO_TARGET_DIR),target)
WASM = $(TARGET)/wasm32-wasip2/guest
HOST = $(TARGET)/debug/ow-host

.PHONY: help build connectors demo test lint fmt bench clean

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

test: connectors ## Run every test
	$(CARGO) test --locked --workspace

lint: ## Check formatting, lints and the contract's version
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	sh wit/check-version.sh

fmt: ## Format the code
	$(CARGO) fmt --all

bench: ## Measure speed and memory against baselines in the same run (release build, takes minutes)
	$(CARGO) run --locked --release -p bench

clean: ## Remove everything that was built
	$(CARGO) clean
