# The commands of the project. `make help` lists them.
PYTHON ?= python3
RATE ?=
N ?= 20
LEVEL ?=
SERVICE ?=
TEXT ?=
WHERE ?=
Q ?=
OUT ?= export
CSV ?=
DAY ?=
SINCE ?=
TO ?=
FILE ?=
AGAIN ?=
DRY_RUN ?=
SECONDS ?= 60
SEED ?=
ROTATE ?=
TARGET ?=
INPUT ?=
DOCKER ?=
STATES ?=
HOSTS ?=
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
RUNNING := $(VENV)/.running
INSTALLED := $(VENV)/.installed
PIP := $(RUN) -m pip --disable-pip-version-check
PYTEST := $(RUN) -m pytest --numprocesses=6 --dist=loadgroup

FILTERS = $(if $(LEVEL),--level '$(LEVEL)') $(if $(SERVICE),--service '$(SERVICE)') $(if $(WHERE),--where '$(WHERE)') $(if $(SINCE),--since '$(SINCE)')
export Q
export TEXT
unexport PYTHONDONTWRITEBYTECODE  # every start of a program would compile all of it again

.DEFAULT_GOAL := help
.PHONY: help install serverless up recent find tail verify replay report sql export check test siege chaos powercut fuzz lint fmt bench lock audit sbom clean

help: ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

install: $(INSTALLED) ## create .venv with all that the programs, tests and linters need

up: $(RUNNING) ## run the whole pipeline here, without Docker, until Ctrl-C (RATE=50 events a second)
	@exec $(RUN) -m logpipeline.localstack --rate '$(or $(RATE),50)'

check: $(INSTALLED) ## check style, format and types, and run the tests that need no server, in two minutes
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse lint serverless

serverless:
	@$(PYTEST) --numprocesses=3 -m 'not server' --servers=local $(ARGS)

test: $(INSTALLED) ## run the tests on real Kafka and Redis (ARGS="-k archive --servers=local")
	@$(PYTEST) $(ARGS)

siege: $(INSTALLED) ## run the test of all hostile input at once beside honest traffic, alone
	@$(RUN) -m pytest -m alone --servers=local $(ARGS)

lint: $(INSTALLED) ## check style, format and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(INSTALLED) ## measure the speed against alternatives, into bench/RESULTS.md (SMOKE=1: a minute; FULL=1: more)
	@$(PIP) install --quiet --require-hashes --only-binary=:all: -r bench/requirements.lock
	@$(RUN) -m bench $(if $(SMOKE),--smoke) $(if $(FULL),--full)

fmt: $(INSTALLED) ## fix style and format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

recent: $(RUNNING) ## show the newest events, newest last (LEVEL=ERROR, N=20)
	@exec $(RUN) -m logpipeline.recent --count '$(N)' $(if $(LEVEL),--level '$(LEVEL)')

find: $(RUNNING) ## find events in everything that was ever archived (TEXT="payment failed", LEVEL, SERVICE, WHERE, SINCE=2h, TO, ARGS)
	@exec $(RUN) find.py $(FILTERS) $(if $(TO),--to '$(TO)') $(ARGS) $(if $(TEXT),-- "$$TEXT")

tail: $(RUNNING) ## show the newest events and those that arrive, until Ctrl-C (LEVEL=ERROR, SERVICE=payments, WHERE, N=20)
	@exec $(RUN) find.py --follow --newest '$(N)' $(FILTERS) $(ARGS)

verify: $(RUNNING) ## prove that Kafka, logs.txt and Redis agree (exit status 1: they differ)
	@exec $(RUN) verify.py $(ARGS)

replay: $(RUNNING) ## resend, once, dead letters that are valid now (SINCE=2h TO=1h RATE=1000 DRY_RUN=1), or FILE="…"
	@exec $(RUN) replay.py $(if $(SINCE),--since '$(SINCE)') $(if $(TO),--to '$(TO)') $(if $(FILE),--file $(FILE)) \
		$(if $(filter-out file,$(origin RATE)),--rate '$(RATE)') $(if $(AGAIN),--again '$(AGAIN)') $(if $(DRY_RUN),--dry-run) $(ARGS)

report: $(RUNNING) ## draw the last 24 hours of logs.txt and its rotated files (DAY=2026-11-23)
	@exec $(RUN) -m logpipeline.report $(if $(DAY),--day '$(DAY)')

sql: $(RUNNING) ## query everything that was ever archived (Q="SELECT …", SINCE=2h, TO, CSV=1)
	@exec $(RUN) -m logpipeline.report --sql "$$Q" $(if $(SINCE),--since '$(SINCE)') $(if $(TO),--to '$(TO)') $(if $(CSV),--csv)

export: $(RUNNING) ## write events as Parquet, by day, for DuckDB, Polars, Spark, Trino or Athena (SINCE=7d, TO, OUT=export)
	@exec $(RUN) -m logpipeline.report --export '$(OUT)' $(if $(SINCE),--since '$(SINCE)') $(if $(TO),--to '$(TO)')

chaos: $(INSTALLED) ## kill and freeze servers and fill the disk under load, then verify (SECONDS=60, SEED=7, RATE=3000, ROTATE=10s, HOSTS=3)
	@exec $(RUN) -m tests.chaos --seconds '$(SECONDS)' $(if $(SEED),--seed '$(SEED)') $(if $(RATE),--rate '$(RATE)') $(if $(ROTATE),--rotate '$(ROTATE)') $(if $(DOCKER),--docker) $(if $(HOSTS),--hosts '$(HOSTS)')

powercut: $(INSTALLED) ## recover from every state that a power cut may leave on disk (STATES=5000, SEED=7)
	@exec $(RUN) -m tests.powercut $(if $(STATES),--states '$(STATES)') $(if $(SEED),--seed '$(SEED)')

fuzz: $(INSTALLED) ## throw hostile input at every part for an hour (SECONDS=60, TARGET="lines page", INPUT=.local/fuzz/…)
	@exec nice -n 10 $(RUN) -m tests.fuzz $(if $(filter-out file,$(origin SECONDS)),--seconds '$(SECONDS)') $(if $(SEED),--seed '$(SEED)') $(if $(TARGET),--target $(TARGET)) $(if $(INPUT),--input '$(INPUT)')

lock: ## pin all required packages by hashes (ARGS=--upgrade: the newest versions)
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements-dev.txt)"
	@$(RUN) -m deploy.supply.lock $(ARGS)

audit: $(INSTALLED) ## look for known vulnerabilities in the pinned packages
	@$(RUN) -m deploy.supply.audit requirements-dev.lock bench/requirements.lock

sbom: $(INSTALLED) ## write the packages of the programs, with hashes, to sbom.json (CycloneDX)
	@$(RUN) -m cyclonedx_py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file sbom.json logpipeline/dashboard/requirements.lock

clean: ## remove .venv, caches and the local Kafka and Redis data; logs.txt stays
	@if [ -e .local/lock ]; then $(PYTHON) -c 'import fcntl; fcntl.flock(open(".local/lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null \
		|| { echo "make up is running here: stop it first" >&2; exit 1; }; fi
	rm -rf $(VENV) .local .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The programs' packages are installed first; those of tests and linters take longer.
$(RUNNING): logpipeline/localstack/requirements.lock | $(RUN)
	@echo "installing the packages of logpipeline/localstack/requirements.lock in $(VENV), once: half a minute" >&2
	@$(RUN) -m deploy.supply.install logpipeline/localstack/requirements.lock
	@touch $@

# Both only save time: Kafka's start, which tests in containers do without, and the rewriting of all
# asserts, which else each worker does at once.
$(INSTALLED): requirements-dev.lock logpipeline/localstack/requirements.lock | $(RUN)
	@echo "installing the packages of requirements-dev.lock in $(VENV), once: a minute" >&2
	@$(RUN) -m deploy.supply.install requirements-dev.lock
	@$(RUN) -m logpipeline.localstack.aot || true
	@$(RUN) -m pytest --collect-only >/dev/null || true
	@touch $(RUNNING) $@

$(RUN):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or later, or set PYTHON=<path>" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$$($(PYTHON) --version) is too old: install Python 3.11 or later, or set PYTHON=<path>" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) lacks venv: install it (Debian: apt install python3-venv), or set PYTHON=<path>" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
