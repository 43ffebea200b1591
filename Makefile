# make demo    fresh machine: installs, then runs the main job on the built-in corpus, and reports what it is evidence of
# make test    fresh machine: installs, then runs the tests
# make test-corpus  fresh machine: installs vocaltract/ in an environment of its own, then runs its tests; two minutes
# make fuzz    2,000 damaged files for each corpus reader; minutes
# make chaos   50 runs killed at random moments, all the same in the end; minutes
# make services    real services on 127.0.0.1, one by one, and the tests that need them; minutes
# make corpus  fresh machine: installs the generator of virtual vocal tracts, then makes hours of their speech (PLAN=, CORPUS=, CORPUS_OPTIONS=)
# make lint    style, types and the order of imports
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# --no-compile: a file is compiled when it is first imported, which most of what is installed never is.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
DEMO := paths.runs=runs/demo
# vocaltract/ is a program of its own (GPL-3). Its synthesiser is installed as a wheel, which not every platform has.
CORPUS_VENV ?= .venv-corpus
CORPUS_BIN := $(CORPUS_VENV)/bin
PLATFORM := $(shell uname -s)-$(shell uname -m)
CORPUS_WHEELS := Linux-x86_64 Darwin-arm64
NO_WHEEL := vocaltract: its synthesiser has no wheel for $(PLATFORM), only for $(CORPUS_WHEELS) and Windows;
PLAN ?= full
CORPUS ?= data/raw/virtual_$(PLAN)
CORPUS_OPTIONS ?=

.PHONY: demo test test-corpus corpus fuzz chaos services lint clean

demo: $(VENV)/.installed
	@echo "An encoder, its untrained twin and log-mel x eight held-out languages, every layer; then controls, a 2 x 2 and the page. Three minutes on 2 cores."
	$(BIN)/python train.py --multirun study=held_out model=builtin,random_builtin,mel $(DEMO)
	@echo
	@$(BIN)/tractprobe table runs/demo --csv runs/demo/scores.csv --pictures runs/demo
	@echo "One directory per run with result.json and head.safetensors: runs/demo"
	@echo
	$(BIN)/python train.py --multirun analysis=controls "analysis.acoustics=[mel,mfcc]" "analysis.voice=[]" analysis.random_seeds=2 model=builtin $(DEMO) & \
	$(BIN)/python train.py --multirun analysis=crossed model=builtin $(DEMO) && wait $$!
	@echo
	@$(BIN)/tractprobe report runs/demo

test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto

ifneq ($(filter $(PLATFORM),$(CORPUS_WHEELS)),)
test-corpus: $(CORPUS_VENV)/.installed
	cd vocaltract && $(abspath $(CORPUS_BIN))/python -m pytest --numprocesses auto

corpus: $(CORPUS_VENV)/.installed
	$(CORPUS_BIN)/python -m vocaltract corpus $(CORPUS) --plan $(PLAN) $(CORPUS_OPTIONS)
ifneq ($(findstring --audio-only,$(CORPUS_OPTIONS)),)
	@echo "Sound alone, for pretraining: tractprobe prepare corpus=folder corpus.movements=false corpus.name=virtual_$(PLAN) corpus.root=$(CORPUS)"
else
	@echo "Read it with: tractprobe prepare corpus=folder corpus.name=virtual_$(PLAN) corpus.root=$(CORPUS)"
endif
else
test-corpus:
	@echo "$(NO_WHEEL) its tests are left out"

corpus:
	@echo "$(NO_WHEEL) make the corpus on one of these" >&2; exit 1
endif

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto --override-ini addopts= -m fuzz tests/test_fuzz.py

chaos: $(VENV)/.installed-dev
	$(BIN)/python tests/chaos.py
	$(BIN)/python tests/faults.py

services: $(VENV)/.installed-dev
	for script in tests/services/*.sh; do PYTHON=$(BIN)/python bash $$script || exit 1; done

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md docs src tests conf vocaltract
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

$(CORPUS_VENV)/.installed: vocaltract/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(CORPUS_VENV)
	$(CORPUS_BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --constraint constraints.txt --editable "./vocaltract[dev]"
	touch $@
