# Every target sets itself up in .venv; only python3 and make are needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# One process more than there are cores: many tests wait for others they have started.
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
# Every script, but not the modules that scripts import.
BENCHMARKS := $(shell grep -l '^if __name__' benchmarks/*.py)

.PHONY: demo test lint bench clean $(BENCHMARKS:%=quick/%)

demo: $(READY)
	$(BIN)/infoplane demo --overwrite

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY) build/typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/typing && ../../$(BIN)/mypy --cache-dir ../mypy -p infoplane -m typed_calls

# The quick forms of all benchmarks.
bench: $(BENCHMARKS:%=quick/%)

$(BENCHMARKS:%=quick/%): quick/%: $(READY)
	$(BIN)/python $* --quick

clean:
	rm -rf .venv build dist *.egg-info infoplane-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The tree as it is installed, for mypy: cli/ and sample_runs/ are sub-packages of infoplane; and
# calls of it.
build/typing: FORCE
	rm -rf $@
	mkdir -p $@/infoplane
	ln -s $(CURDIR)/infoplane/* $(CURDIR)/cli $(CURDIR)/sample_runs $@/infoplane/
	ln -s $(CURDIR)/pyproject.toml $(CURDIR)/tests/typed_calls.py $@/

FORCE:
