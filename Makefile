# Plain venv and pip: Python 3.11 or newer is all that has to be there.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench soak docs clean

demo: .venv/base.stamp  # the newcomer's minute
	$(BIN)/focal demo

test: .venv/test.stamp  # on all cores; ARGS=-n0 for one after another
	$(BIN)/python -m pytest -n auto $(ARGS)

check: .venv/check.stamp
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy && $(BIN)/pyright --pythonpath $(BIN)/python

bench: .venv/test.stamp  # writes bench-results.json
	$(BIN)/python -m bench $(ARGS)

soak: .venv/test.stamp  # FOCAL_SOAK: for so many seconds
	FOCAL_SOAK=$${FOCAL_SOAK:-300} $(BIN)/python -m pytest -m soak tests/live $(ARGS)

docs: .venv/docs.stamp  # builds build/site; a warning fails
	$(BIN)/python -m docs.generate
	$(BIN)/python -m sphinx --quiet --fail-on-warning --nitpicky docs build/site

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis bench-results.json

.venv/base.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("focal needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo 'installing focal into .venv'
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

.venv/test.stamp .venv/check.stamp .venv/docs.stamp: .venv/%.stamp: .venv/base.stamp
	@echo 'installing what focal needs for $*'
	@$(PIP) --editable '.[$*]'
	@touch $@
