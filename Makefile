# Each target first sets up what it needs, once.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv-peers/.installed
# The demo needs few of the packages. Where all are installed it takes those.
DEMO := $(if $(wildcard $(INSTALLED)),$(INSTALLED),.venv/.demo)
# On a busy machine two OpenMP threads are several times slower than one.
ONE_THREAD := OMP_NUM_THREADS=1
# Tests wait for servers more than they compute. A file stays whole, because its tests share servers
# and models. Files go in the order of their names: the long ones come first, so that no process is
# left alone with one at the end.
PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo check unit test bench soak evaluate platform cluster images pods lint

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18
	@echo "  PYTHON=python3.12 chooses the interpreter, ARGS='...' is passed on"

install: $(INSTALLED) ## Make .venv with everything, at the versions of constraints.txt

demo: $(DEMO) ## Run the pipeline over a rendered noisy crawl
	$(BIN)/kaption demo $(ARGS)

check: $(INSTALLED) ## Lint, check types and run the quick unit tests, without servers
	@$(MAKE) --no-print-directory -j2 lint unit

unit: $(INSTALLED) ## Run the quick unit tests alone
	$(ONE_THREAD) $(BIN)/pytest -q -m "not slow and not server" tests/unit $(ARGS)

test: $(INSTALLED) ## Run the tests that need nothing but .venv
	$(ONE_THREAD) $(BIN)/pytest $(PROCESSES) -m "not integration and not chaos" $(ARGS)

bench: $(INSTALLED) $(PEERS) ## Measure against bare loops (needs Java 17 and Maven)
	$(ONE_THREAD) $(BIN)/python -m bench $(ARGS)

soak: $(INSTALLED) ## Work at full rate while something breaks every 20 s (ARGS="--minutes 60")
	$(ONE_THREAD) $(BIN)/python -m bench.soak $(ARGS)

evaluate: $(INSTALLED) ## Measure what the pairs are worth, on a held-out crawl
	$(ONE_THREAD) $(BIN)/python -m tools.evaluate $(ARGS)

platform: cluster images pods ## Try what a platform team runs: alerts, chart, images, Compose, pods

cluster: $(INSTALLED) ## Try alerts, workflow, and the chart on a Kubernetes API server (needs Go)
	$(BIN)/pytest -q tests/contract/test_alerts.py
	$(BIN)/python -m tools.platform $(ARGS)

images: $(INSTALLED) ## Build the images, and run docker-compose.yml with them (needs Docker)
	$(BIN)/python -m tools.platform.images

pods: $(INSTALLED) ## Run the chart on a Kubernetes node (needs root, Docker, containerd and Go)
	$(BIN)/python -m tools.platform.pods

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): EXTRA := test
.venv/.demo: EXTRA := demo
$(INSTALLED) .venv/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	    "Kaption needs Python 3.11 or later; this is %d.%d: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRA)]'
	@touch $@

$(PEERS): bench/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r bench/peers.txt
	@touch $@
