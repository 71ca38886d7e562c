# `make demo` is a first look, `make paper` the whole of BOOD on the embedded data. Each target first
# makes .venv from the pinned requirements in envs/; a stamp named after their content makes that a
# no-op later.

# `make test`, for every commit: format, lint, the quick tests of every room with the types and
# shapes of all arrays checked as they run (jaxtyping, beartype), every benchmark at tiny size, the
# smoke workflow once, and what reruns after a change. Ten minutes on two cores.

# `make test-all`, what CI runs: `make test`, then the tests marked `long`: the papers' and GOE's
# workflows in the small, kills, damage, full disks, fuzzed settings, exports of every score, Slurm,
# Chromium and LaTeX; then a soak of 100 shards. An hour. Slurm, Chromium and LaTeX are installed
# once, which needs root on Debian or Ubuntu.

# `make test-cluster`, `make test-browser`, `make test-gpu`: these alone. Without a GPU the last one
# skips its tests. `make soak` runs thousands of small jobs and disturbs them: an hour or two.

.PHONY: demo paper test test-all test-gpu test-browser test-cluster soak
.PHONY: check-format check-workflow check-tests check-long check-soak environment slurm chromium tex
.DEFAULT_GOAL := demo

MINIMUM := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c '$(MINIMUM)' >/dev/null 2>&1 && echo $$name && break; done)
WORKERS ?= 2

DEFINES_ENVIRONMENT := envs/requirements.txt envs/requirements-dev.txt pyproject.toml
BIN := .venv/bin
STAMP := .venv/ready-$(shell cat $(DEFINES_ENVIRONMENT) | cksum | tr ' ' '-')

# Rules call `python`, and two spinning thread pools on two cores are ten times slower than one.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0

demo: environment
	$(BIN)/snakemake --cores all --configfile workflow/presets/demo.yaml

paper: environment
	$(BIN)/snakemake --cores all tables figures report

test: check-format check-workflow check-tests

test-all: test check-long check-soak

check-format: environment
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow

check-workflow: environment
	$(BIN)/snakemake --lint

check-tests: environment
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m "not long" --durations 10 \
	-n $(WORKERS) --dist loadgroup

# One worker more than cores: the tests on Slurm mostly wait.
check-long: environment slurm chromium tex
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m long --cluster --browser --durations 25 \
	-n $$(($(WORKERS) + 1)) --dist loadgroup

check-soak: environment
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak --shards 100 --minutes 2 --pause 6

SLURM_PACKAGES := slurmctld slurmd slurm-client munge

slurm:
	@command -v slurmctld >/dev/null || command -v /usr/sbin/slurmctld >/dev/null || { \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(SLURM_PACKAGES); }

test-cluster: environment slurm
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/cluster --cluster

BROWSER_PACKAGES := chromium chromium-driver

chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(BROWSER_PACKAGES); }

TEX_PACKAGES := texlive-latex-recommended

tex:
	@command -v pdflatex >/dev/null || { apt-get update -qq && \
	apt-get install -y -qq --no-install-recommends $(TEX_PACKAGES); }

test-browser: environment chromium
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/browser --browser

# DEVICE=mps on a Mac; DEVICE=cpu tries the tests themselves, at tiny sizes.
DEVICE ?= cuda
test-gpu: environment
	$(BIN)/pytest -q tests/gpu -m gpu -rs --gpu-device $(DEVICE)

soak: environment
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak $(SOAK)

# The pages in docs/ as a site in build/site; a broken link or a page outside the nav is an error.
# Not --quiet: it hides warnings from --strict as well.
.PHONY: docs
docs: environment
	$(BIN)/mkdocs build --strict
test-all: docs

# The conda environment holds the same pins: Snakemake copies the file away before it is read.
envs/environment.yaml: envs/requirements.txt
	@{ printf '%s\n' "# Made from requirements.txt by \`make $@\`; do not edit." channels: \
	"  - conda-forge" "  - nodefaults" dependencies: "  - python=3.11" "  - pip" "  - pip:"; \
	sed -n "s/^[A-Za-z].*==.*/      - '&'/p" $<; } > $@

environment: $(STAMP)

$(STAMP):
	@"$(or $(PYTHON),none)" -c '$(MINIMUM)' 2>/dev/null || { echo "error: BOOD tasks needs Python \
	3.11 or newer, got $(or $(PYTHON),none); name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BIN)/python -c '$(MINIMUM)' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv || { echo "error: \
	$(PYTHON) -m venv failed; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@rm -f .venv/ready-*
	@echo "setting up .venv (once, some minutes: PyTorch is large)"
	@$(BIN)/python -m pip install --disable-pip-version-check -qq -r envs/requirements-dev.txt
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation -e .
	@touch $@
