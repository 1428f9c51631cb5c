# Everything runs in .venv, made from the pinned versions in requirements-X.Y.lock, X.Y being the Python in use.
#   make report   from a fresh clone to the HTML report of the default study
#   make test     the default tests;  make test-all  adds the slow ones;  make lint  the style and type checks

VENV ?= .venv
# The revision that `make asv` measures, in git's notation for ranges.
RANGE ?= HEAD^!

BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check
# uv where it is installed, else pip. uv reads none of pip's settings: where packages are found is passed on.
UV := $(shell command -v uv 2>/dev/null)
PLACES := $(addprefix --find-links ,$(PIP_FIND_LINKS)) $(addprefix --extra-index-url ,$(PIP_EXTRA_INDEX_URL))
UV_INSTALL := '$(UV)' pip install --python $(BIN)/python --index-strategy unsafe-best-match $(PLACES)
INSTALL := $(if $(UV),$(UV_INSTALL),$(BIN)/python $(PIP) install)
MAKE_VENV = $(if $(UV),'$(UV)' venv --quiet --seed --clear $(PLACES) --python '$(PYTHON)','$(PYTHON)' -m venv --clear)

SUPPORTED := 3.11 3.12 3.13
# The version of an interpreter, nothing where it is missing, does not start or is not supported.
version_of = $(filter $(SUPPORTED),$(shell '$(1)' -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
# PYTHON=/path/to/python3.12 chooses the interpreter; else it is .venv's, `python3`, or one beside that.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(firstword $(foreach name,$(BIN)/python python3 python3.13 python3.12 python3.11,$(if $(call version_of,$(name)),$(name))))
endif
VERSION := $(call version_of,$(PYTHON))
LOCK := requirements-$(VERSION).lock
STAMP := $(VENV)/.installed-$(VERSION)

.PHONY: setup python report sample sample-anew test test-all lint docs docs-links bench-core asv dist lock clean

setup: $(if $(VERSION),$(STAMP),python)

# Prints the interpreter that would be used.
python:
ifeq ($(VERSION),)
	@echo "Python 3.11, 3.12 or 3.13 is needed, and $(if $(PYTHON),'$(PYTHON)' is none of them,none was found):" \
	  'make PYTHON=/path/to/python3.12' >&2; exit 1
else
	@command -v '$(PYTHON)'
endif

$(STAMP): $(LOCK) pyproject.toml
	@# A venv of another version is made anew, and so is one without pip, as Debian makes it where python3-venv is missing.
	@$(BIN)/python -c 'import pip, sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")' 2>/dev/null \
	  || $(MAKE_VENV) $(VENV)
	@echo 'Installing the pinned packages into $(VENV) (once; about a minute and more where torch is downloaded)'
	$(INSTALL) --quiet --requirement $(LOCK)
	$(INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

report: setup
	$(BIN)/tngd-bench run

# The kept sample, whole: each of its studies run and packed, then the page. It takes hours, on a machine that does nothing
# else while costs are timed, which each study does first. Stopped, it goes on with the same command.
SAMPLE := rivals beyond-kfac paper-fashion paper-fig5 paper
OPTIONS_paper := --profile full
OPTIONS_paper-fig5 := --profile quick
OPTIONS_paper-fashion := --profile quick --set training.training.seeds=5 --set training.memory.seeds=5

sample-anew: $(SAMPLE:%=sample-of-%)
	$(MAKE) sample

sample-of-%: setup
	$(BIN)/tngd-bench run $* $(OPTIONS_$*) --output build/sample/$*
	rm -f reports/$*/store.parquet
	$(BIN)/tngd-bench merge build/sample/$* --compress --output reports/$*

# The page of the kept sample, made anew from its records.
sample: setup
	rm -rf reports/paper/figures reports/paper/data
	$(BIN)/tngd-bench report reports/paper $(patsubst %/store.parquet,--beside %,$(filter-out reports/paper/%,$(wildcard $(SAMPLE:%=reports/%/store.parquet)))) --format html,md --files svg --figures front
	rm -f reports/paper/report-files.json

# Files of tests side by side, up to four; what a file's fixtures made is shared by its tests.
# Byte code is kept, whatever the environment says: the tests start hundreds of processes. One thread of BLAS and OpenMP
# for each: with two, workers wait for one another at every small product, and its tests take several times as long.
test: export PYTHONDONTWRITEBYTECODE =
test: export OMP_NUM_THREADS = 1
test: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-all: setup
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site in build/docs, its examples run and its warnings errors; `docs-links` asks every address outside it.
SPHINX := $(BIN)/python -m sphinx --fail-on-warning --keep-going --jobs auto

docs: setup
	$(SPHINX) --builder html docs build/docs

docs-links: setup
	$(SPHINX) --builder linkcheck --define plot_gallery=0 docs build/docs-links

# The lower floors against their bars; `--large` and `--training` have more. PEERS=1: other optimizers' steps against SGD.
bench-core: setup
	$(BIN)/python -m benchmarks.$(if $(PEERS),peers,core)

# Measures RANGE in asv's own environment; `asv compare` and `asv publish` take it from there.
asv: setup
	$(BIN)/asv machine --yes
	$(BIN)/asv run --python '$(VERSION)' --launch-method forkserver '$(RANGE)'

# The source archive, and the wheel built from it.
dist: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation --quiet

# The pins of pip's report on what it would install. The local part of a version (+cpu) and the accelerator libraries
# belong to one machine's build of torch and stay out: pip adds them where torch asks.
define PINS
import json, re, sys
names = [package["metadata"] for package in json.load(open(sys.argv[1]))["install"]]
pins = [f'{name["name"]}=={name["version"].partition("+")[0]}' for name in names if name["name"] != "tngd-bench"]
print("# Made by `make lock`: every package of the product and its extras (kubernetes and peers apart), for Python $(VERSION).")
print(*sorted((pin for pin in pins if not re.match("nvidia-|cuda-|triton==", pin)), key=str.lower), sep="\n")
endef
export PINS

# Resolves all extras anew for the interpreter in use and pins what came out; `make lock PYTHON=…` for each version.
# Nothing is installed, and what a package needs is read without downloading the package where the index tells it.
lock: $(if $(VERSION),,python)
	rm -rf build/lock
	'$(PYTHON)' -m venv build/lock
	build/lock/bin/python $(PIP) install --quiet --upgrade pip
	build/lock/bin/python $(PIP) install --quiet --dry-run --ignore-installed --report build/lock/report.json \
	  torch==2.13.0 hatchling editables '.[bench,tune,cluster,qa,rivals,pdf,tex,docs,dev]'
	build/lock/bin/python -c "$$PINS" build/lock/report.json >build/lock/pins
	mv build/lock/pins $(LOCK)
	rm -rf build/lock

# What building and testing left behind; the environment, the caches of data and the reports stay.
clean:
	rm -rf build dist .asv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
