# make demo    fresh machine: installs, then runs the main job on the built-in corpus, and reports what it is evidence of
# make test    fresh machine: installs, then runs the tests
# make fuzz    2,000 damaged files for each corpus reader; minutes
# make chaos   50 runs killed at random moments, all the same in the end; minutes
# make services    real services on 127.0.0.1, one by one, and the tests that need them; minutes
# make corpus  hours of speech by virtual vocal tracts, into data/raw/virtual_full (PLAN=, CORPUS=, CORPUS_OPTIONS=)
# make lint    style, types and the order of imports
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO := paths.runs=runs/demo

PLAN ?= full
CORPUS ?= data/raw/virtual_$(PLAN)
CORPUS_OPTIONS ?=
CORPUS_VENV ?= .venv-corpus

.PHONY: demo test fuzz chaos services corpus lint clean

demo: $(VENV)/.installed
	@echo "Two encoders x six held-out languages, every layer; then controls, a 2 x 2 and the page. Three minutes on 2 cores."
	$(BIN)/python train.py --multirun study=held_out model=mel,random $(DEMO)
	@echo
	@$(BIN)/tractprobe table runs/demo --csv runs/demo/scores.csv --pictures runs/demo
	@echo "One directory per run with result.json and head.safetensors: runs/demo"
	@echo
	$(BIN)/python train.py --multirun analysis=controls "analysis.acoustics=[mel,mfcc]" "analysis.voice=[]" model=mel,random $(DEMO)
	$(BIN)/python train.py --multirun analysis=crossed model=mel,random $(DEMO)
	@echo
	@$(BIN)/tractprobe report runs/demo

test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto --override-ini addopts= -m fuzz tests/test_fuzz.py

chaos: $(VENV)/.installed-dev
	$(BIN)/python tests/chaos.py
	$(BIN)/python tests/faults.py

services: $(VENV)/.installed-dev
	for script in tests/services/*.sh; do PYTHON=$(BIN)/python bash $$script || exit 1; done

corpus: $(CORPUS_VENV)/.installed
	$(CORPUS_VENV)/bin/python -m vocaltract corpus $(CORPUS) --plan $(PLAN) $(CORPUS_OPTIONS)
	@echo "Read it with: tractprobe prepare corpus=folder corpus.name=virtual_$(PLAN) corpus.root=$(CORPUS)"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md docs src tests conf
	$(BIN)/lint-imports
	$(BIN)/pyright

clean:
	rm -rf $(VENV) $(CORPUS_VENV) data runs cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev]"
	touch $@

$(CORPUS_VENV)/.installed: vocaltract/pyproject.toml $(shell find vocaltract/src -name '*.py' -o -name '*.toml' -o -name '*.txt')
	test -x $(CORPUS_VENV)/bin/python || $(PYTHON) -m venv $(CORPUS_VENV)
	$(CORPUS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check ./vocaltract
	touch $@
