# make demo   a throw-away server and three agents run a job, before your eyes
# make test   the whole test suite
# make test-fast   unit tests and the quick integration tests, with fewer examples: a minute or so
# make test-postgresql   tests and a short chaos whose servers keep everything in PostgreSQL: on this machine's, in
#             databases that are dropped, or on PUSHCLI_TEST_POSTGRESQL=postgresql://USER@HOST/DATABASE
# make check  formatting, lint, types, import contracts
# make bench  medians of what operators wait for
# make bench-fleet N=1000   a simulated fleet against the real server, beside the floor; FLEET="--old --postgresql";
#             FLEET="--rest 600" watches it for ten minutes in which nothing is asked of it;
#             N="1000 2500" FLEET="--save docs/scaling.md" makes tables and plots of several
# make bench-chef N=1000   a simulated fleet that fetches its configurations beside a Chef Infra Server
# make hostile   some minutes of attacks on a throw-away fleet; HOSTILE_SEED=... repeats a run
# make chaos   KILL and STOP of everything at random instants, and nothing may be lost; CHAOS_SEED=... repeats a run
#             CHAOS_DATABASE=postgresql has the server keep everything there, and with CHAOS_SERVERS=2
#             a second one stands ready, which takes over whenever the first is killed
# make soak M=10   a fleet of 500 at work for so many minutes, whose memory must stay flat; SOAK_SEED=... repeats a run
# make bundle   an archive in dist/ for installing an agent where no package index is in reach; BUNDLE="--python 3.12"
# make lock   renew requirements.lock        make completions  renew completions/
# make diagrams   renew the state diagrams in docs/architecture.md
# make screens    renew the main screens that tests compare, and the pictures in docs/pictures/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-fast test-postgresql check bench bench-fleet bench-chef hostile chaos soak bundle lock completions diagrams screens clean
.DEFAULT_GOAL := test

demo: $(STAMP)
	@$(BIN)/pushcli sandbox --nodes 3 --run 'echo "hello from $$CHEF_PUSH_NODE_NAME"; uptime'
	@echo; echo 'Go on with these, here:'
	@echo '  export PATH="$(CURDIR)/$(BIN):$$PATH"'
	@echo '  pushcli sandbox'

# Two for each core: half of what a test does is to wait. A file's tests share its servers.
WORKERS = -n $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )) --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	@$(BIN)/python -m pytest $(WORKERS) -q

test-fast: $(STAMP)
	@$(BIN)/python -m pytest $(WORKERS) -q -m quick --hypothesis-profile fast tests/unit tests/integration

# Tests that show what a server keeps, and what becomes of it; with the chaos five minutes on two cores.
# PUSHCLI_TEST_DATABASE=postgresql does the same for any other test with a fleet.
POSTGRESQL_TESTS = tests/integration/server/test_monitoring.py \
	$(patsubst %,tests/conformance/test_%.py,editors organizations tokens) \
	$(patsubst %,tests/e2e/test_%.py,backup default_capture identities job_cap jobs kept_output \
	many_nodes retention store_away streaming survival)
test-postgresql: CHAOS_SECONDS = 20
test-postgresql: $(STAMP)
	@$(BIN)/python -m tests.support.postgresql
	@PUSHCLI_TEST_DATABASE=postgresql $(BIN)/python -m pytest $(WORKERS) -q $(POSTGRESQL_TESTS)
	@$(MAKE) --no-print-directory chaos CHAOS_DATABASE=postgresql CHAOS_SECONDS=$(CHAOS_SECONDS)

check: $(STAMP)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m tests.bench

N ?= 1000
bench-fleet: $(STAMP)
	@$(BIN)/python -m tests.bench.fleet $(N) $(FLEET)

bench-chef: $(STAMP)
	@$(BIN)/python -m tests.bench.chef $(N)

HOSTILE_SECONDS ?= 40
hostile: $(STAMP)
	@seed=$${HOSTILE_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "make hostile HOSTILE_SEED=$$seed HOSTILE_SECONDS=$(HOSTILE_SECONDS) repeats this run"; \
	HOSTILE_SEED=$$seed HOSTILE_SECONDS=$(HOSTILE_SECONDS) $(BIN)/python -m pytest -q tests/hostile

CHAOS_SECONDS ?= 150
CHAOS_DATABASE ?= $(or $(PUSHCLI_TEST_DATABASE),sqlite)
chaos: $(STAMP)
	@seed=$${CHAOS_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "make chaos CHAOS_SEED=$$seed CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_DATABASE=$(CHAOS_DATABASE) repeats this run"; \
	CHAOS_SEED=$$seed CHAOS_SECONDS=$(CHAOS_SECONDS) PUSHCLI_TEST_DATABASE=$(CHAOS_DATABASE) \
		$(BIN)/python -m tests.chaos

M ?= 10
soak: $(STAMP)
	@seed=$${SOAK_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "make soak M=$(M) SOAK_SEED=$$seed repeats this run"; \
	SOAK_SEED=$$seed SOAK_MINUTES=$(M) $(BIN)/python -m tests.soak

bundle: $(STAMP)
	@$(BIN)/python -m bundle $(BUNDLE)

completions: $(STAMP)
	@$(BIN)/python -m pushcli.completion.scripts completions

diagrams: $(STAMP)
	@$(BIN)/python -m tests.support.diagrams docs/architecture.md

screens: $(STAMP)
	@RENEW_SCREENS=1 $(BIN)/python -m pytest -q tests/integration/cli/test_screens.py

# Of the registry's own files: a machine's extra places to find packages stay out of it.
# It must run when the lock lags behind pyproject.toml, which the installation refuses.
lock:
	@test -x $(BIN)/pip-compile || $(MAKE) $(STAMP)
	@env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--upgrade --extra dev --output-file requirements.lock pyproject.toml requirements.in

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# What pip says, as a line for every ten packages; all of it where it fails.
define INSTALLED
{ said = said $$0 "\n" }
/^(Collecting|Processing) / && ++n % 10 == 0 { print "  " n " of " of " packages ..."; fflush() }
/^Installing collected/ { print "  unpacking them ..."; fflush() }
/^status / { if ($$2) printf "%s", said; exit $$2 }
endef
export INSTALLED

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: Python 3.11 or newer is needed: install it, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "make: $(PYTHON) has no venv module: install it (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into $(VENV), once; this takes a minute or so ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@{ $(BIN)/pip install --progress-bar off --require-hashes -r requirements.lock 2>&1; \
		echo "status $$?"; } | awk -v of="$$(grep -c '^[a-z0-9].*==' requirements.lock)" "$$INSTALLED" >&2
	@echo "Installing pushcli: $(BIN)/pushcli ..." >&2
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/pip check --quiet
	@touch $@
