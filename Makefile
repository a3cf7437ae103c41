# Every target sets up what it needs, on a machine that has Python 3.10 to 3.13, make and git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PACKAGES := source-wecantrack source-sovrn source-wicked-reports destination-wicked-reports
READY  := $(VENV)/.ready

.PHONY: setup demo test lint bench campaign spec lock hosts hosts-test clean

setup: $(READY)

# Hash-pinned and host-free: the lock names no registry, so the machine's own settings decide where packages come from.
$(READY): requirements/lock.txt $(PACKAGES:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PACKAGES:%=-e ./%)
	touch $@

demo: $(READY)
	$(BIN)/python -m integration_tests.demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not campaign and not image_tests and not hosts" $(PYTEST_ARGS)

campaign: $(READY)
	$(BIN)/python -m pytest -m campaign $(PYTEST_ARGS)

# PyAirbyte, Meltano and airbyte-serverless, each in an environment of its own under .cache/hosts.
hosts: $(READY)
	$(BIN)/python -m integration_tests.hosts

hosts-test: hosts
	$(BIN)/python -m pytest -m hosts $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(foreach p,$(PACKAGES),$(p)/$(subst -,_,$(p)))

bench: $(READY)
	$(BIN)/python -m benchmarks.run

# The destination's spec.json, made from its typed models; a test keeps the two the same.
spec: $(READY)
	$(BIN)/python -c "import json; from destination_wicked_reports.spec import specification; \
		print(json.dumps(specification(), indent=2, ensure_ascii=False))" > spec.json.new
	mv spec.json.new destination-wicked-reports/destination_wicked_reports/spec.json

lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.10 \
		$(PACKAGES:%=%/pyproject.toml) requirements/dev.in -o requirements/lock.txt
	for host in pyairbyte meltano serverless; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
		--python-version 3.10 requirements/hosts-$$host.in -o requirements/hosts-$$host.txt || exit 1; done

clean:
	rm -rf $(VENV) .demo
