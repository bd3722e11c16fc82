# The two commands of the README are `make demo` and `make test`; everything else serves them.
# Nothing but python3 (3.11 or newer) and make is needed: each target makes the environment that it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-timed test-cases test-emulated fuzz lint format check clean help lock bench-setup

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable '.[torch,dev]'
	@touch $@

demo: $(VENV)/.base  ## compile ResNet-50, load-test 4 candidates, write the report (no torch needed)
	$(BIN)/python -m benchmarks.zoo.light resnet50 runs/resnet50.onnx
	$(BIN)/dyno recommend runs/resnet50.onnx --job benchmarks/demo.yaml --output runs/demo

# COVERAGE=1 counts the lines that ran too, in child processes as well, and fails below the floor of pyproject.toml.
test: $(VENV)/.dev  ## run the tests but the slow and the timed ones
ifdef COVERAGE
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -m 'not slow and not timed' -n 2 --dist loadfile
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report
else
	$(BIN)/python -m pytest -m 'not slow and not timed' -n 2 --dist loadfile
endif

test-timed: $(VENV)/.dev  ## run the few tests that assert amounts of time, alone
	$(BIN)/python -m pytest -m timed

test-slow: $(VENV)/.dev  ## run the slow tier: real models, all steps
	$(BIN)/python -m pytest -m slow

test-cases: $(VENV)/.dev  ## run every input that failed once, slow ones too (up to 15 minutes)
	$(BIN)/python -m pytest tests/cases

test-emulated: $(VENV)/.dev  ## check ARM code under emulation (Debian; downloads 150 MB the first time)
	$(BIN)/python -m modeldyno.compiler.check.emulation.prepare
	$(BIN)/python -m pytest -m emulated

fuzz: $(VENV)/.dev  ## compile 500 random models and compare their answers (40 minutes)
	$(BIN)/python -m benchmarks.fuzz --seeds 0..500 --resume --json runs/fuzz.json

lint: $(VENV)/.dev  ## format, lint, words, strict types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.words
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## write the formatting that lint asks for
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint test  ## what CI runs

bench-setup: $(VENV)/.base  ## install what the compiler benchmark needs: the peers, and torch to build its models
	$(PIP) --editable '.[torch,dev,bench]'

clean:           ## remove the environment and the runs
	rm -rf $(VENV) runs

lock:            ## renew constraints.txt (needs uv); torch is named once, its CUDA packages are left to pip
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --upgrade \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt
	sed -i -E '/^(nvidia-|cuda-|triton=)/d; /^torch=/d' constraints.txt
	echo 'torch==2.13.0' >> constraints.txt
