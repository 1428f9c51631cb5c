# Everything runs in .venv, made from the pinned versions in requirements.lock.
#   make report   from a fresh clone to the HTML report of the default study
#   make test     the default tests;  make test-all  adds the slow ones;  make lint  the style and type checks

PYTHON ?= python3.11
VENV ?= .venv
# The revision that `make asv` measures, in git's notation for ranges.
RANGE ?= HEAD^!

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := -m pip --disable-pip-version-check

.PHONY: setup report test test-all lint bench-core asv lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo 'Python 3.11 is needed: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@# A venv made where Debian's python3-venv was missing has a python and no pip: it is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing the pinned packages into $(VENV) (once; about a minute and more where torch is downloaded)'
	$(BIN)/python $(PIP) install --quiet --requirement requirements.lock
	$(BIN)/python $(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

report: setup
	$(BIN)/tngd-bench run

# Files of tests side by side, up to four; what a file's fixtures made is shared by its tests.
test: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-all: setup
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The lower floors against their bars; `--large` and `--training` have more.
bench-core: setup
	$(BIN)/python -m benchmarks.core

# Measures RANGE in asv's own environment; `asv compare` and `asv publish` take it from there.
asv: setup
	$(BIN)/asv machine --yes
	$(BIN)/asv run '$(RANGE)'

# Resolves all extras anew in an empty environment and pins what came out. The local part of a version (+cpu) and
# the accelerator libraries belong to one machine's build of torch and stay out: pip adds them where torch asks.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python $(PIP) install --quiet torch==2.13.0 hatchling editables '.[bench,tune,cluster,qa,dev]'
	{ echo '# Made by `make lock`: every package of the product and its extras (kubernetes apart), for Python 3.11.'; \
	  build/lock/bin/python $(PIP) list --format=freeze --exclude tngd-bench --exclude pip \
	  | sed -e 's/+.*//' -e '/^nvidia-/d' -e '/^cuda-/d' -e '/^triton==/d'; } >build/requirements.lock
	mv build/requirements.lock requirements.lock
	rm -rf build/lock

# What building and testing left behind; the environment, the caches of data and the reports stay.
clean:
	rm -rf build dist .asv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
