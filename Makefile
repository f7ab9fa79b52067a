# One place for every command: people, CI and pre-commit call the same targets.
PYTHON ?= python3.11
VENV := .venv
SERVING := .venv-serving
BIN := $(VENV)/bin
PREFECT_SERVER_ANALYTICS_ENABLED ?= false
DO_NOT_TRACK ?= true
export PREFECT_SERVER_ANALYTICS_ENABLED DO_NOT_TRACK
export DVC_NO_ANALYTICS = 1

.PHONY: help setup serving environments golden models demo test test-fast lint types layers format bench bench-load docs site lock clean mlflow

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed  ## install the gate's own environment from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml scripts/install_gate.sh
	PYTHON=$(PYTHON) scripts/install_gate.sh $(VENV)
	touch $@

serving:  ## install the serving runtime (torch, vLLM) in its own environment
	PYTHON=$(PYTHON) serving/install_runtime.sh $(SERVING)

environments:  # both at once: each mostly waits for the disk
	@$(MAKE) --no-print-directory -j2 setup serving

golden: setup  ## build the golden set from its sources where they changed (DVC)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

demo: environments golden  ## gate real candidates against a production baseline on real vLLM
	$(BIN)/python examples/emotion/demo.py $(DEMO_ARGS)

models: serving  ## train the demonstration models (DATA=folder: on *_train.jsonl and *_dev.jsonl)
	$(SERVING)/bin/python examples/emotion/build.py --out $(or $(OUT),.assay/models) \
		$(if $(DATA),--data "$(DATA)")

test: environments golden lint types layers  ## everything this machine can test, and why the rest is skipped
	scripts/test.sh $(PYTEST_ARGS)

test-fast: setup golden lint types layers  ## without vLLM, Docker, Prefect server and browser
	scripts/test.sh -m "not vllm and not docker and not prefect_server and not browser and not slow" \
		$(PYTEST_ARGS)

lint: setup  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup  ## static types
	$(BIN)/mypy

layers: setup  ## imports go down only
	$(BIN)/lint-imports

bench: environments  ## ratios measured side by side in one run
	$(BIN)/python -m bench.gate_overhead
	$(BIN)/python -m bench.clients
	$(BIN)/python -m bench.judgement
	$(BIN)/python -m bench.store
	$(BIN)/python -m bench.settle --out bench/results/settle.txt
	$(BIN)/python -m bench.golden_health --out bench/results/golden_health.json
	$(BIN)/python -m bench.ingestion --out bench/results/ingestion.json
	$(MAKE) bench-load

bench-load: environments  ## the load generator beside its peers, and against the truth
	-PYTHON=$(PYTHON) bench/peers.sh
	$(BIN)/python -m bench.load
	$(BIN)/python -m bench.load_truth
	$(BIN)/python -m bench.load_vllm
	$(BIN)/python -m bench.load_report

docs: setup  ## regenerate the JSON Schemas
	$(BIN)/python scripts/write_schemas.py

site: setup  ## build the documentation site into site/, every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

mlflow: setup  ## open MLflow's UI on the recorded gates
	mlflow/serve.sh $(PORT)

lock:  ## resolve the lock files anew: the project's, and the image's without what only tests need (needs uv)
	uv pip compile pyproject.toml --group dev --extra review --extra s3 --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	uv pip compile pyproject.toml --extra review --extra s3 --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q \
		--constraint requirements.lock -o deploy/prefect/requirements.lock

clean:  ## remove what running leaves behind (never the environments)
	rm -rf .assay build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
