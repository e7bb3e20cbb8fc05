# make demo | test | test-fast | docs | bench | release | clean.  Each sets itself up: .venv is made once, and again only when the requirements change.
# It holds the versions of constraints.txt, with which the tests are green; `make test-newest` and `make test-lowest` try the others that settings.ini allows.
# uv installs when it is there (about ten times faster), else pip.
PYTHON  ?= python3
VENV    ?= .venv
PINS    ?= -c constraints.txt
BIN     := $(VENV)/bin
META    := settings.ini setup.py pyproject.toml constraints.txt
WORKERS ?= 2
BASE    ?= main
UV      := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),$(UV) pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q)
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
ROOMS   := 'nbs/*.ipynb' 'tests/test_*.py'

# torch and numpy spin while they wait; on a busy machine that makes small operations many times slower
export OMP_WAIT_POLICY := PASSIVE
export PYTHONWARNINGS  := ignore
export MPLBACKEND      := agg

.PHONY: demo test test-fast test-newest test-lowest pins docs bench release clean

demo: $(VENV)/.package
	@$(BIN)/fastjpeg_demo $(if $(DATA),--data '$(DATA)') $(if $(value LABEL),--label '$(value LABEL)') $(if $(value GROUP),--group '$(value GROUP)')

test: $(VENV)/.dev
	$(PYTEST) --durations=15

# for who changes one room: the notebooks and tests that differ from the branch $(BASE), and what must hold of the repository
test-fast: $(VENV)/.dev
	$(PYTEST) tests/test_names.py tests/test_docs.py tests/test_repository.py $$(git ls-files --others --exclude-standard $(ROOMS); \
	    git diff --name-only --diff-filter=d $$(git merge-base HEAD $(BASE) || echo HEAD) -- $(ROOMS))

# each in an environment beside .venv, made by uv; the lowest needs the lowest Python too: PYTHON=python3.10
test-newest test-lowest: test-%:
	rm -f .venv-$*/.dev
	$(MAKE) test VENV=.venv-$* PINS='$(PINS-$*)'
PINS-newest := --upgrade --overrides tools/newest.txt
PINS-lowest := --resolution lowest-direct

# after test-newest was green: `make pins UPGRADE=--upgrade`; after a new requirement without, and the other versions stay
pins:
	uv pip compile -q --universal $(UPGRADE) --python-version 3.10 --extra dev --extra docs --no-annotate --custom-compile-command 'make pins' pyproject.toml -o constraints.txt

docs: $(VENV)/.docs
	$(BIN)/python -m tools.docs.build

bench: .peers/.done
	PYTHONPATH=.peers $(BIN)/python -m benchmarks.run

release: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build -q
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf .venv .venv-* .peers build dist *.egg-info demo_out*
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.package: $(META) | $(BIN)/python
	$(INSTALL) $(PINS) -e .
	@touch $@

$(VENV)/.dev: $(META) | $(BIN)/python
	$(INSTALL) $(PINS) -e '.[dev]'
	@touch $@ $(VENV)/.package

$(VENV)/.docs: $(META) | $(BIN)/python
	$(INSTALL) $(PINS) -e '.[dev,docs]'
	@touch $@ $(VENV)/.dev $(VENV)/.package

# the peers of the benchmarks stand beside the environment, not in it; their requirements are listed whole, so that none is installed a second time
.peers/.done: benchmarks/requirements.txt $(VENV)/.package
	$(INSTALL) --no-deps --target .peers -r benchmarks/requirements.txt
	@touch $@
