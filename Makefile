# make demo | test | docs | bench | release | clean.  Each sets itself up: .venv is made once, and again only when the requirements change.
# uv installs when it is there (about ten times faster), else pip.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
META    := settings.ini setup.py pyproject.toml
WORKERS ?= 2
UV      := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),$(UV) pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q)

# torch and numpy spin while they wait; on a busy machine that makes small operations many times slower
export OMP_WAIT_POLICY := PASSIVE
export PYTHONWARNINGS  := ignore
export MPLBACKEND      := agg

.PHONY: demo test docs bench release clean

demo: $(VENV)/.package
	@$(BIN)/fastjpeg_demo $(if $(DATA),--data '$(DATA)') $(if $(value LABEL),--label '$(value LABEL)') $(if $(value GROUP),--group '$(value GROUP)')

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

docs: $(VENV)/.docs
	$(BIN)/python -m tools.docs.build

bench: .peers/.done
	PYTHONPATH=.peers $(BIN)/python -m benchmarks.run

release: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build -q
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) .peers build dist *.egg-info demo_out*
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.package: $(META) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(META) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.package

$(VENV)/.docs: $(META) | $(BIN)/python
	$(INSTALL) -e '.[dev,docs]'
	@touch $@ $(VENV)/.dev $(VENV)/.package

# the peers of the benchmarks stand beside the environment, not in it; their requirements are listed whole, so that none is installed a second time
.peers/.done: benchmarks/requirements.txt $(VENV)/.package
	$(INSTALL) --no-deps --target .peers -r benchmarks/requirements.txt
	@touch $@
