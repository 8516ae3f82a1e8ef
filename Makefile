# Start with `make demo` or `make test`; `make help` lists all targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Settings for other Python environments must not affect this one.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH UV_PROJECT UV_PROJECT_ENVIRONMENT UV_PYTHON UV_SYSTEM_PYTHON
# With it, every process that imports TensorFlow compiles it again: 24 s instead of 9.
unexport PYTHONDONTWRITEBYTECODE
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

BIN := .venv/bin
INSTALLED := .venv/.installed
COMPILE := pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' --group dev pyproject.toml
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder tests
say = @echo "==> $(1)"

.PHONY: help demo test test-all test-fast simulate check bench venv lock tools browser screenshots clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: tools venv ## run the main job on real data, ending with an audit (ARGS="--events N ...")
	$(call say,demo)
	@$(BIN)/driftline demo $(ARGS)

test: tools browser check ## check, then run all tests except the longest (ARGS="-k name ...")
	$(call say,tests)
	@$(PYTEST) -m "not long" $(ARGS)

test-all: tools browser check ## check, then run all tests, as for a release (ARGS="-k name ...")
	$(call say,all tests)
	@$(PYTEST) $(ARGS)

test-fast: venv ## run the tests that need no service or TensorFlow, in about a minute (ARGS="-k name ...")
	$(call say,tests without services)
	@$(BIN)/python -m pytest -n 3 -p tests.fast -m "not long" tests/unit tests/contracts $(ARGS)

simulate: venv ## measure false alarms by simulation, for docs/monitors.md (ARGS="'200 columns' ...")
	$(call say,simulations (about 20 minutes))
	@PYTHONPATH=platform:. $(BIN)/python -m tests.statistics.simulate $(ARGS)

check: venv ## check style, format, types and import layers
	$(call say,ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	$(call say,mypy)
	@$(BIN)/mypy
	$(call say,import-linter)
	@$(BIN)/lint-imports

bench: tools venv ## run the benchmarks (ARGS="--only NAME ...")
	$(call say,benchmarks)
	@$(BIN)/python -m benchmarks $(ARGS)

venv: $(INSTALLED) ## install everything into .venv from requirements.lock

# Python 3.11 under either name, with the parts of `venv` that Debian packages separately.
$(INSTALLED): requirements.lock pyproject.toml
	$(call say,installing into .venv (3 GB; about a minute the first time))
	@if ! $(BIN)/python -c '' 2>/dev/null; then \
		for name in python3.11 python3; do \
			if $$name -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; \
			then python=$$name; break; fi; \
		done; \
		[ -n "$${python:-}" ] \
			|| { echo 'no Python 3.11 on PATH (apt-get install python3.11 python3.11-venv)'; exit 1; }; \
		$$python -c 'import venv, ensurepip' 2>/dev/null \
			|| { echo 'this Python cannot create virtual environments (apt-get install python3.11-venv)'; exit 1; }; \
		free=$$(df --output=avail -m . | tail -1); [ "$$free" -gt 5000 ] \
			|| { echo "not enough disk space: .venv needs 5000 MB, $$free MB are free"; exit 1; }; \
		$$python -m venv --clear .venv; \
	fi
	@if ! $(BIN)/uv --version >/dev/null 2>&1; then \
		sed -n '/^uv==/,/^[^ ]*==/{/^uv==/p;/^    --hash/p}' requirements.lock > .venv/uv.txt; \
		$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r .venv/uv.txt; \
	fi
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

lock: ## regenerate requirements.lock (ARGS="--upgrade" for newer versions)
	$(call say,locking)
	@$(BIN)/uv $(COMPILE) $(ARGS) -o requirements.lock

tools:
	@need() { command -v "$$1" >/dev/null \
		|| { echo "the program $$1 is missing (apt-get install $$2)"; exit 1; }; }; \
	need java openjdk-17-jre-headless; need mvn maven; need apt-get apt; need dpkg-deb dpkg

# Browser tests need Debian's Chromium; root, as in CI, installs it if it is missing.
browser:
	@command -v chromium >/dev/null || { \
		[ "$$(id -u)" = 0 ] \
			|| { echo 'chromium is missing, for the browser tests (apt-get install chromium)'; exit 1; }; \
		echo '==> installing chromium, for the browser tests'; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

screenshots: tools browser venv ## update the screenshots in docs/, from the tests' data
	$(call say,screenshots)
	@DRIFTLINE_SCREENSHOTS=write $(BIN)/python -m pytest tests/browser -k screenshot

clean: ## remove .venv, build and caches; stop the local stack, keep its data in .driftline
	$(call say,cleaning)
	@if [ -x $(BIN)/driftline ] && [ -d .driftline ]; then $(BIN)/driftline down; fi
	@rm -rf .venv build dist target .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
