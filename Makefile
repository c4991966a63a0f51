# Everything a developer runs. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Extras stay: without them pip before 23.3 refuses a locked package as soon as the index has a newer one.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-strip-extras --no-header --python-version 3.11 --exclude-newer "7 days" $(UPGRADE)

IMAGE ?= azure-lb-metadata:dev
BASE ?= python:3.13-slim-bookworm
BUILD_ARGUMENTS = --build-arg BASE=$(BASE) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' sidecar/__init__.py) --tag $(IMAGE) $(BUILD_OPTIONS)

# Port 9 (discard) refuses: nothing run from here can ask a real metadata service by mistake.
export AZURE_LB_METADATA_IMDS_ENDPOINT ?= http://127.0.0.1:9

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo venv venv-dev test check coverage format binaries requirements wheel clean
.PHONY: binaries-cluster image kind cluster cluster-down e2e
.PHONY: faults chaos siege bench-http bench-memory bench-startup bench-waiting bench-latency bench-nodes bench-image manifests chart-docs pictures
.PHONY: binaries-release release-check release-dry-run lint-workflows matrix
.PHONY: performance-docs house bench-annotation bench-egress bench-idle bench-requests bench-load bench-fleet fuzz soak audit mutations metrics-docs logs-docs dashboard doctor-docs settings-docs schema-docs site site-serve

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-16s %s\n", $$1, $$2}'

demo: venv ## See it work on this machine: no Azure, no Kubernetes
	@$(BIN)/azure-lb-metadata demo

venv: $(VENV)/.runtime ## Create .venv with what the program needs
venv-dev: $(VENV)/.dev ## Add what its developers need

test: venv-dev ## Run the test suites (SUITES="unit go apiserver browser chart monitoring translation e2e wheel"; REQUIRE_ALL=1 leaves none out)
	$(BIN)/python -m tools.suites $(SUITES)

check: venv-dev ## Lint, format check, types, import contracts, dead code, repeated blocks: what CI runs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/pylint sidecar tests tools bench examples

# Which packages a mode loads is not counted: the counter loads its own.
coverage: venv-dev ## Count the branches that unit, Go, API-server and chart suites take (needs make binaries-cluster)
	@mkdir -p .build/coverage
	$(BIN)/python -m pytest --numprocesses=4 --dist=worksteal -q --ignore=tests/test_costs.py \
		-m "not browser and not e2e and not prometheus and not translation" \
		--cov --cov-report=term --cov-report=html:.build/coverage/html

format: venv-dev ## Format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

binaries: python ## Build etcd, kube-apiserver and kubectl for the API server tests (needs Go)
	$(PYTHON) -m tools.binaries.build apiserver

binaries-cluster: python ## Build also Helm, helm-docs, CoreDNS and the parts of a cluster (needs Go and gcc)
	$(PYTHON) -m tools.binaries.build chart e2e

binaries-release: python ## Build what a release is made with: a registry, cosign, syft, Helm (needs Go)
	$(PYTHON) -m tools.binaries.build release

image: ## Build the image with Docker, or without its daemon with buildah (IMAGE=name:tag BASE=image BUILD_OPTIONS=…)
	@if docker info >/dev/null 2>&1; then docker build $(BUILD_ARGUMENTS) .; \
	elif command -v buildah >/dev/null; then buildah bud $(BUILD_ARGUMENTS) .; \
	else echo "Neither a Docker daemon nor buildah is here to build an image with." >&2; exit 1; fi

KIND_FIRST_LOOK = kubectl run first-curl --rm --attach --quiet --restart=Never --pod-running-timeout=2m \
	--image=$(IMAGE) --image-pull-policy=Never --command -- \
	azure-lb-metadata get --upstream http://azure-lb-metadata.azure-lb-metadata

kind: image ## Build, load and install into the current kind cluster, and ask it once (not run by any test)
	kind load docker-image $(IMAGE)
	helm upgrade --install azure-lb-metadata charts/azure-lb-metadata \
		--namespace azure-lb-metadata --create-namespace --wait --set simulator.enabled=true \
		--set image.repository=$(firstword $(subst :, ,$(IMAGE))),image.tag=$(lastword $(subst :, ,$(IMAGE)))
	$(KIND_FIRST_LOOK)

cluster: venv-dev ## Start a cluster of two nodes on this machine and leave it up (needs root; make binaries-cluster)
	@$(BIN)/python -m tests.e2e.harness up

cluster-down: venv-dev ## End that cluster and remove all of it
	@$(BIN)/python -m tests.e2e.harness down

e2e: venv-dev ## Run the end-to-end tests on such a cluster
	$(BIN)/python -m tools.suites e2e

requirements: venv-dev ## Write requirements/*.txt from pyproject.toml (UPGRADE=--upgrade: newest, a week old at least)
	$(COMPILE) requirements/pip.in -o requirements/pip.txt
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev requirements/build.in -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt

house: venv-dev ## Measure the shape of the code: files, functions, names, and what is to be reached
	@$(BIN)/python -m tools.house
	@$(BIN)/python -m tools.walks

fuzz: venv-dev ## Mutated answers (N=20000 of small documents, LARGE=200 of 250 rules, PROBES=20000 of egress probes, SEED=1)
	$(BIN)/python -m tests.fuzz --small $(or $(N),20000) --large $(or $(LARGE),200) --probes $(or $(PROBES),20000) \
		--seed $(or $(SEED),1)

soak: venv-dev ## An agent that runs for very long: nothing may grow (N=100000 polls, REAL=10000 over sockets)
	$(BIN)/python -m tests.soak --polls $(or $(N),100000) --real-polls $(or $(REAL),10000) --seed $(or $(SEED),1)

audit: venv-dev ## Look the pinned requirements up among the package index's advisories
	$(BIN)/python -m tools.audit

manifests: venv-dev ## Render manifests/ from the chart (needs Helm: make binaries-cluster)
	$(BIN)/python -m tools.pages.manifests

chart-docs: venv-dev ## Write the chart's README.md from values.yaml (needs helm-docs: make binaries-cluster)
	$(BIN)/python -m tools.pages.chart_readme

metrics-docs: venv-dev ## Write docs/metrics.md and the golden file of the metrics
	$(BIN)/python -m tools.pages.metrics

logs-docs: venv-dev ## Write docs/logs.md from the catalogue of log lines
	$(BIN)/python -m tools.pages.logs

settings-docs: venv-dev ## Write docs/settings.md from the settings
	$(BIN)/python -m tools.pages.settings

schema-docs: venv-dev ## Write docs/schema/ from the models of the HTTP API
	$(BIN)/python -m tools.pages.schema

performance-docs: venv-dev ## Write tables and picture of docs/performance.md from what bench-fleet recorded
	$(BIN)/python -m bench.fleet.page

doctor-docs: venv-dev ## Write docs/doctor.md from the table of causes
	$(BIN)/python -m tools.pages.doctor

dashboard: venv-dev ## Write the chart's dashboard from the table of its panels
	$(BIN)/python -m tools.pages.dashboard

pictures: venv-dev ## Take the pictures in docs/images/ anew (needs Chromium, Prometheus and Helm)
	$(BIN)/python -m tools.pictures.status_page
	$(BIN)/python -m tools.pictures.dashboard

faults: venv-dev ## Write docs/faults.md from the marks of the tests
	$(BIN)/python -m tools.pages.faults

mutations: venv-dev ## Break each promise in a copy, see that its tests notice, and write docs/mutations.md
	$(BIN)/python -m tools.mutations

chaos: venv-dev ## Random faults against the rules (SEED=number SECONDS=60; real API server: make binaries)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

siege: venv-dev ## Attack agent and sidecar in control groups of 160 MiB, each way and all at once (SECONDS=75 each; ONLY=name; as root)
	@$(BIN)/python -m tests.siege $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only $(ONLY))

bench-http: venv-dev ## Measure paths of the API beside bare aiohttp handlers
	$(BIN)/python -m bench.http

bench-memory: venv-dev ## Measure resident memory with annotations on and off (SECONDS=10; needs make binaries)
	$(BIN)/python -m bench.memory

bench-load: venv-dev ## Measure how long answers take at half load, beside a bare aiohttp handler and nginx
	$(BIN)/python -m bench.half_load

bench-idle: venv-dev ## Measure processor time per poll of an unchanged document (SECONDS=60; needs make binaries)
	$(BIN)/python -m bench.idle

bench-egress: venv-dev ## Measure memory and processor time of one STUN probe (SECONDS=60)
	$(BIN)/python -m bench.egress

bench-waiting: venv-dev ## Measure a thousand long polls and streams, idle and at a change (CLIENTS=1000)
	$(BIN)/python -m bench.waiting

bench-latency: venv-dev ## Measure from a change at the service to a client and to a sidecar's file
	$(BIN)/python -m bench.latency

bench-nodes: venv-dev ## Measure nodes, rules and prune on a cluster of NODES=5000 (needs make binaries)
	$(BIN)/python -m bench.cluster_commands --nodes $(or $(NODES),5000)

bench-fleet: venv-dev ## Measure a fleet of agents on a real API server (NODES=1000, SCENARIO=name, SHORT=1, RECORD=1; needs make binaries-cluster)
	$(BIN)/python -m bench.fleet --nodes $(or $(NODES),1000) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SHORT),--short) $(if $(RECORD),--record)

bench-annotation: venv-dev ## Measure from a change at the service to the annotations (needs make binaries)
	$(BIN)/python -m bench.annotation_latency

bench-requests: venv-dev ## Count an agent's requests to the API server in each situation, in virtual time
	$(BIN)/python -m bench.requests

bench-startup: venv-dev ## Measure exec to first answer and first annotation (needs make binaries)
	$(BIN)/python -m bench.startup

bench-image: venv-dev ## Measure what the image takes to pull, on a stand-in of its base (as root; needs debootstrap, buildah)
	$(BIN)/python -m bench.image

site: venv-dev ## Build the site of the documentation into .build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

site-serve: venv-dev ## Show the site, and again as pages change (http://127.0.0.1:8000)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

wheel: venv-dev ## Build the source distribution and the wheel into dist/
	$(BIN)/python -m build --no-isolation

release-check: venv-dev ## See that all places name the same version (TAG=v1.2.3: and that it may be released so)
	@$(BIN)/python -m tools.release check $(if $(TAG),--tag $(TAG))

release-dry-run: venv-dev ## The whole release on this machine: registry, signatures, helm install (NO_CLUSTER=1; as root)
	@$(BIN)/python -m tools.release dry-run $(if $(NO_CLUSTER),--no-cluster)

lint-workflows: venv-dev ## Lint .github/workflows with actionlint and zizmor (needs Go)
	@$(BIN)/python -m tools.binaries.build workflows
	@$(BIN)/python -m tools.release.workflows

matrix: venv-dev ## Run suites with each Python, Kubernetes and Helm here; write docs/matrix.md (ONLY="Helm 3,Python"; NO_BUILD=1)
	$(BIN)/python -m tools.matrix $(if $(ONLY),--only "$(ONLY)") $(if $(NO_BUILD),--no-build)

clean: ## Remove what was built and cached here (.venv stays)
	rm -rf dist .build .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null \
		|| { echo "There is no $(PYTHON). Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is $$($(PYTHON) -V), but 3.11 or newer is needed. Name one: make PYTHON=python3.11" >&2; exit 1; }

# The pip that comes with a Python is of any age; what installs everything else is always the same one.
$(VENV)/.created: requirements/pip.txt | python
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements/pip.txt
	@touch $@

$(VENV)/.runtime: $(VENV)/.created pyproject.toml requirements/build.txt requirements/runtime.txt
	@echo "Installing the pinned requirements into $(VENV)"
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "Installing the developers' pinned requirements into $(VENV)"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
