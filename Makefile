# Every target sets itself up: it needs python3 (3.11 or newer), pip and make.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

# Everything is installed in the versions that were tested; CONSTRAINTS= takes the newest ones.
CONSTRAINTS ?= constraints.txt

# CIFAR-10 prepared beside the checkout is used; TFDS_DATA_DIR from outside goes first.
ifneq ($(wildcard ../shared/tensorflow_datasets),)
TFDS_DATA_DIR ?= $(abspath ../shared/tensorflow_datasets)
endif
ifdef TFDS_DATA_DIR
export TFDS_DATA_DIR
endif

# Two at a time, since most tests keep one core busy; each notebook is one of them.
TWO := -n 2 --dist worksteal

.PHONY: help quickstart test lint unit browser published server backends light release constraints nbval binder lab notebooks html bench clean

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

quickstart: $(READY) ## Train, index, calibrate and search, without a browser
	$(PY) notebooks/run.py --to build notebooks/01_quickstart.ipynb

test: lint unit nbval browser ## Lint, unit tests, every notebook executed and compared, widgets in a browser

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

unit: $(READY)
	$(PY) -m pytest $(TWO)

published: $(READY) ## Measure the published figures of the weights in the package again
	$(PY) -m pytest -m published tests/test_pretrained.py

server: $(READY) ## Test the index in a real Milvus server, fetched from PyPI (Linux on x86-64), and Ray's cluster
	$(PY) -m pytest -m server tests/index tests/scale

# What is written in keras.ops and Keras layers, as JAX and PyTorch run it.
KERAS_HALF := tests/losses tests/samplers tests/test_layers.py tests/test_distances.py tests/test_distribution.py \
	tests/models/test_backbone.py tests/models/test_embedding.py tests/models/test_fast.py \
	tests/models/test_mirrored.py tests/training/test_checkpoint.py tests/training/test_muon.py \
	tests/training/test_recipe.py

backends: $(READY) ## The Keras half on JAX and PyTorch, whichever are installed
	@for backend in jax torch; do \
		if $(PY) -c "import $$backend" 2>/dev/null; then \
			echo "KERAS_BACKEND=$$backend"; \
			KERAS_BACKEND=$$backend $(PY) -m pytest $(TWO) $(filter-out $(BACKENDS_LEAVE_OUT),$(KERAS_HALF)) || exit 1; \
		else \
			echo "$$backend is not installed: pip install \"simnb[$$backend]\""; \
		fi; \
	done

# What works on arrays alone, tested where TensorFlow and Keras are not installed.
ARRAY_HALF := tests/calibration tests/collection tests/data tests/evaluation tests/index tests/metrics tests/page tests/plots \
	tests/widgets tests/test_augmentation.py tests/test_files.py tests/test_matching.py tests/test_projection.py \
	tests/test_terminal.py tests/test_text.py
# Of these, what loads a data set of TFDS, asks for Milvus, or trains beside.
NEEDS_MORE := tests/calibration/test_guarantees.py tests/data/test_lazy.py tests/data/test_loading.py \
	tests/data/test_many_classes.py tests/evaluation/test_worth.py tests/index/test_milvus.py \
	tests/widgets/test_circle_explorer.py tests/widgets/test_names_of_any_text.py tests/widgets/test_search_box.py \
	tests/widgets/test_training_monitor.py
LIGHT := build/light

light: ## Test the array half where TensorFlow and Keras are not installed
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=--constraint %) \
		numpy scipy scikit-learn threadpoolctl matplotlib pillow tqdm anywidget ipywidgets faiss-cpu \
		hypothesis pytest pytest-xdist
	$(LIGHT)/bin/python -m pytest $(TWO) $(ARRAY_HALF) $(NEEDS_MORE:%=--ignore=%)

release: $(READY) ## Build the archives, and try the wheel with each extra in an environment of its own (minutes)
	$(PY) -m tests.release $(RELEASE)

constraints: $(READY) ## Write constraints.txt anew, with the newest versions that go together
	$(VENV)/bin/uv pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 --no-annotate \
		--custom-compile-command "make constraints" $(TESTED:%=--extra %) --output-file constraints.txt pyproject.toml
# Not torch: there are several builds of each version, and people choose one.
TESTED := test hub jax onnx ray umap

nbval: $(READY)
	$(PY) -m pytest --nbval notebooks --nbval-cell-timeout=1200 -n 2 --dist loadfile \
		$(NBVAL_LEAVES_OUT:%=--ignore=notebooks/%)

browser: $(READY) ## Click through JupyterLab and the widgets in the Chromium of this machine
	$(PY) -m pytest -m browser tests/browser

binder: $(READY) ## Rehearse what Binder does with binder/, without Docker, in its memory (minutes, 3 GB)
	$(PY) -m tests.binder $(NOTEBOOKS)

lab: $(READY) ## Open JupyterLab on the quickstart
	$(VENV)/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
		--ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/01_quickstart.ipynb

notebooks: $(READY) ## Rebuild the committed notebooks from notebooks/py
	$(PY) notebooks/run.py $(patsubst notebooks/py/%.py,notebooks/%.ipynb,$(wildcard notebooks/py/*.py notebooks/py/solutions/*.py))

html: $(READY) ## Build the site into build/html: course, how-tos and reference; follow its links
	$(PY) -m notebooks.site

bench: $(READY) ## Measure speed and memory against the raw libraries
	$(PY) -m tests.benchmarks

clean: ## Remove the environment and everything built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	find simnb tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "simnb needs Python 3.11 or newer; choose one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
		echo "TensorFlow may have no release for this Python yet; if none is found: make PYTHON=python3.13"
	@$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install --quiet virtualenv && $(PYTHON) -m virtualenv $(VENV); }
	@echo "Installing simnb and its test tools into $(VENV) (about 3 GB on disk, some minutes)"
	$(PY) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=--constraint %) --editable ".[test]"
	@touch $@
