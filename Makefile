# The commands of the project; each sets up what it needs, once. `make help` lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ARGS ?=

# What VMs and their images need, and what only the tests need beside it.
SYSTEM_PACKAGES := qemu-system-x86 tini libvirt-daemon libvirt-daemon-driver-qemu libvirt-dev pkg-config gcc python3-dev python3-venv \
	mmdebstrap uidmap erofs-utils zstd debian-archive-keyring
TEST_PACKAGES := chromium chromium-driver libxml2-utils openssh-client cpio nix-bin iproute2 patch prometheus
PACKAGES = $(SYSTEM_PACKAGES)

.PHONY: help setup setup-test simulate search chaos bench doctor clean ui test test-fast test-vm test-wheel fuzz check format lock docs site pictures

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(VENV)/.ready ## system packages and .venv, once
	@$(call need,$(PACKAGES))

test test-fast test-wheel test-vm setup-test: PACKAGES = $(SYSTEM_PACKAGES) $(TEST_PACKAGES)
setup-test: setup
	@$(call need,$(PACKAGES))

search: setup ## the demo campaign: a Pareto front of the real Slurm in virtual time (ARGS=testbed=libvirt: in real time, on real VMs)
	@$(RUN) -m campaign.search testbed=virtual-time $(ARGS)

simulate: $(VENV)/.light ## a hundred trials in simulation, on ten workloads: no VMs, no root (ARGS="search.trials=500 ...")
	@$(RUN) -m campaign.search --config-name simulate $(ARGS)

# On simulated hosts it needs no libvirt.
chaos: $(if $(findstring --vms,$(ARGS))$(findstring --virtual,$(ARGS)),setup,$(VENV)/.light) ## seeded faults over campaigns: does every invariant hold? (ARGS="--power-cuts 9 --vms 10")
	@$(RUN) -m campaign chaos $(ARGS)

bench: setup ## how fast clusters are there, how fast simulation is, how far the two are apart (ARGS="simulation --rounds 1")
	@$(RUN) -m campaign bench $(ARGS)

doctor: setup ## what this machine can do, and how to fix what it can't
	@$(RUN) -m campaign doctor

clean: setup ## remove VMs and files that dead campaigns left
	@$(RUN) -m campaign clean

ui: $(VENV)/.light ## the MLflow UI, on loopback: no VMs, no root
	@$(RUN) -m campaign ui

test: test-fast test-wheel test-vm ## everything: unit tests, the wheel, real VMs, a real browser

test-fast: setup-test ## what needs no VM: unit tests, and the promises of every scheduler
	$(RUN) -m pytest -q -n auto --dist loadgroup tests/architecture tests/unit tests/conformance tests/fuzz $(ARGS)

test-wheel: setup-test ## the wheel, installed without extras, compiler and libvirt, runs a simulation
	$(RUN) -m pytest -q tests/packaging $(ARGS)

test-vm: setup-test ## what boots VMs or drives a browser
	$(RUN) -m pytest -q --durations=30 tests/browser tests/system $(ARGS)

fuzz: setup ## hostile inputs at nightly size: no traceback, no hang, no gigabyte (ARGS="--cases 30000 traces")
	$(RUN) -m tests.fuzz $(ARGS)

check: setup ## lint, format, types, and which folder may import which
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

docs: setup ## the generated pages of docs/
	$(RUN) -m campaign.cli.docs

# The campaign of `make simulate`, with an MLflow store of its own.
pictures: setup-test ## the pictures of report and MLflow in docs/
	@$(RUN) -m campaign.search --config-name simulate output.results=build/pictures output.mlruns=build/pictures/mlruns
	@chromium --headless --no-sandbox --hide-scrollbars --force-device-scale-factor=1 --window-size=1100,1080 \
		--screenshot=docs/pictures/report.png file://$(CURDIR)/build/pictures/simulate/report.html
	@$(RUN) docs/mlflow_picture.py build/pictures/mlruns docs/pictures/mlflow.png

site: setup ## the documents as web pages, in build/site
	$(RUN) -m sphinx -q -W --keep-going -b html -d build/site-trees docs build/site

# What stands in a lock stays as it is where pyproject.toml allows it; ARGS=--upgrade takes the newest.
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--group build
lock: setup ## renew the locks from pyproject.toml (ARGS=--upgrade: with the newest versions)
	$(COMPILE) --extra dev $(ARGS) pyproject.toml --output-file requirements.lock
	$(COMPILE) --extra ui --constraints requirements.lock $(ARGS) pyproject.toml --output-file requirements-light.lock
	@! grep -nE '://|^ *-' requirements.lock requirements-light.lock | grep -v -- '--hash=' || { echo "error: a lock names an index" >&2; exit 2; }

# uv installs in seconds what pip takes minutes for, but knows no pip.conf: where it fails, pip does it.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(call need,$(PACKAGES))
	@$(call install,requirements.lock)
	@touch $@ $(VENV)/.light

# What a simulation and MLflow's UI need: nothing that wants a compiler or libvirt's headers.
$(VENV)/.light: requirements-light.lock pyproject.toml
	@$(call install,requirements-light.lock)
	@touch $@

# $(call install,LOCK): the packages of a lock file and this project, in a virtual environment. What is built is built by the
# setuptools of the lock: build isolation would fetch others, whose hashes nobody has checked.
define install
	echo "setting up $(VENV) (once)"; \
	test -x $(RUN) || $(PYTHON) -m venv $(VENV) || exit 2; \
	awk '/^(setuptools|uv)==/ {on = 1} on {print} on && !/\\$$/ {on = 0}' requirements.lock > $(VENV)/build.lock; \
	$(VENV)/bin/pip install --quiet --require-hashes --requirement $(VENV)/build.lock || exit 2; \
	for what in "--no-build-isolation --require-hashes --requirement $(1)" "--no-build-isolation --no-deps --editable ."; do \
		VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet $$what || $(VENV)/bin/pip install --quiet $$what || exit 2; done; \
	echo "compiling the simulation (once)"; \
	$(RUN) -m campaign.testbeds.simulated || exit 2
endef

# $(call need,PACKAGES): install the Debian packages that are missing, or say the command that does.
define need
	missing=$$(for one in $(1); do \
		dpkg-query --show --showformat='$${db:Status-Status}' $$one 2>/dev/null | grep -qx installed || printf '%s ' $$one; done); \
	missing=$${missing% }; \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then \
		echo "error: these programs are needed, named as Debian packages: $$missing" >&2; exit 2; \
	elif [ "$$(id -u)" = 0 ]; then as=; \
	elif sudo -n true 2>/dev/null; then as="sudo -n"; \
	else how="su - -c"; ! command -v sudo >/dev/null || how="sudo sh -c"; \
		echo "error: run this once, then the same command again:" >&2; \
		echo "  $$how 'apt-get update && apt-get install --yes --no-install-recommends $$missing'" >&2; exit 2; fi; \
	if [ -n "$$missing" ]; then echo "installing $$missing"; log=$$(mktemp); \
		$$as env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -qq --yes --no-install-recommends $$missing" \
			>$$log 2>&1 || { cat $$log >&2; rm -f $$log; exit 2; }; rm -f $$log; fi
endef
