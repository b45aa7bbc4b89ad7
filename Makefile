# Every target sets up what it needs: .venv from the hash-locked requirements; the rest goes into the cache that lab/ keeps.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= incident
# Most tests wait for a server more than they compute: six at a time keep two cores busy.
WORKERS ?= 6
E2E_WORKERS ?= 4
EXAMPLES ?= 3000
PROPERTIES := tests/unit/test_planner_properties.py
# What they run of the hook, others measure, and coverage makes them two or three times slower (pytest-cov's no_cover does not stop it in xdist's workers).
UNMEASURED := $(PROPERTIES) tests/integration/test_malformed_answers.py tests/unit/test_audit_malformed.py tests/unit/test_no_secret.py tests/chart

.DEFAULT_GOAL := help

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Re-made when a lock changes. --no-deps: the lock is complete, and leaves out what nothing imports; --no-build-isolation: hatchling comes from the lock too.
$(BIN)/.installed: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(BIN)/.installed ## the virtual environment, from the hash-locked requirements

.PHONY: lock
lock: $(BIN)/.installed ## compile the locks anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/runtime.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements/runtime.lock pyproject.toml --group dev -o requirements/dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --group go --no-deps -o requirements/go.lock

.PHONY: build
build: $(BIN)/.installed ## what is built from Go modules, once, into the cache: Temporal's tool and server, helm 3 and 4
	$(BIN)/python -m lab.toolchain
	$(BIN)/python -m lab.helm

.PHONY: demo
demo: $(BIN)/.installed ## play the incident; SCENARIO=behind, stuck, replaced or denied plays another
	$(BIN)/python -m lab.demo $(SCENARIO)

.PHONY: test
# Hypothesis then loads its profile "ci": the same examples at each run, whatever the machine's load.
test: export CI := true
test: $(BIN)/.installed build lint-release lint-prose ## lint, types, import contracts; unit, integration and chart tests; the hook's branch coverage
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types decisions
	$(BIN)/pytest --quiet $(UNMEASURED) --numprocesses $(WORKERS) --dist worksteal --timeout 900
	$(BIN)/pytest tests/unit tests/integration --numprocesses $(WORKERS) --dist worksteal $(UNMEASURED:%=--ignore %) --cov --cov-report=term:skip-covered $(PYTEST)

.PHONY: lint types decisions
lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: $(BIN)/.installed
	$(BIN)/mypy
	MYPYPATH=tests/unit $(BIN)/mypy tests/unit tests/integration scripts
	MYPYPATH=tests/chart $(BIN)/mypy tests/chart
	MYPYPATH=tests/integration $(BIN)/mypy tests/e2e
	MYPYPATH=tests/integration $(BIN)/mypy tests/image
decisions: $(BIN)/.installed
	$(BIN)/pytest --quiet tests/unit/test_planner.py tests/unit/test_one_application.py tests/unit/test_job_rules.py tests/unit/test_gate.py tests/unit/test_migration_jobs.py tests/unit/test_downstream_jobs.py tests/unit/test_servers_as_objects.py tests/unit/test_guard_rules.py --cov=hook.decision --cov-branch --cov-report= --cov-fail-under=100

.PHONY: search
search: $(BIN)/.installed ## search other simulated worlds for one in which the gate does harm; EXAMPLES=3000 a property
	EXAMPLES=$(EXAMPLES) $(BIN)/pytest $(PROPERTIES) --numprocesses $(WORKERS) --timeout 0

# Each worker has a platform of its own, one of them two, one after the other (tests/e2e/conftest.py): some 40 minutes on 2 cores.
.PHONY: e2e
e2e: $(BIN)/.installed ## play the rollout on a real control plane: Kubernetes, Argo CD 3.6 and 3.2, Temporal; root
	$(BIN)/python -m lab.node
	$(BIN)/pytest tests/e2e --numprocesses $(E2E_WORKERS) --timeout 900 $(PYTEST)

.PHONY: lab
lab: $(BIN)/.installed ## the same world, left up to be looked into; GATE=no leaves the gate to you; root
	$(BIN)/python -m lab.standing up $(if $(filter no,$(GATE)),--without-gate)

.PHONY: lab-down
lab-down: $(BIN)/.installed ## end it
	$(BIN)/python -m lab.standing down

.PHONY: format
format: $(BIN)/.installed ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: benchmark
benchmark: $(BIN)/.installed build ## what the hook costs beside the same work without it; SECTION=repair measures one
	$(BIN)/python -m benchmarks $(SECTION)

.PHONY: lint-release
lint-release: $(BIN)/.installed ## lint the Dockerfile and the workflows
	$(BIN)/python -m scripts.lint_release

.PHONY: lint-prose
lint-prose: $(BIN)/.installed ## lint the language of what users read
	$(BIN)/python -m scripts.lint_prose

.PHONY: image-test
image-test: $(BIN)/.installed build ## build the image and try it in its own file system; PLATFORM=linux/arm64 emulated; root; buildah, qemu by apt-get
	$(if $(PLATFORM),IMAGE_PLATFORM=$(PLATFORM)) $(BIN)/pytest tests/image --timeout 3600 $(PYTEST)
