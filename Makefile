# Every target makes what it needs, the virtual environment included.
#   make demo    render pictures of cracks, find and measure them, say where to look
#   make test    linters, types, import direction, tests
#   make lint    the same without the tests
#   make bench   speed of the default network on this machine
#   make clean   remove what the other targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fissura needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# The stamps say which installation is in the environment; the full one serves the demo as well.
$(VENV)/core.stamp: pyproject.toml requirements-dev.txt | $(BIN)/python
	test -f $(VENV)/dev.stamp || $(PIP) install --quiet -c requirements-dev.txt -e .
	touch $@

$(VENV)/dev.stamp: pyproject.toml requirements-dev.txt | $(BIN)/python
	$(PIP) install --quiet -c requirements-dev.txt -e '.[dev]'
	touch $@

demo: $(VENV)/core.stamp
	$(BIN)/fissura data synth --out demo/pictures --overwrite
	$(BIN)/fissura predict demo/pictures --mm-per-px 0.5 --out demo/results --overwrite
	@echo
	@echo "Look at demo/results/report.html in a browser; outlined pictures are in demo/results/overlay."

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

bench: $(VENV)/dev.stamp
	$(BIN)/fissura benchmark --model cgnet --vs naive

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
