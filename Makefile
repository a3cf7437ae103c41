# Every target sets up what it needs, on a machine with Python 3.10 to 3.13, make and git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PACKAGES := source-wecantrack source-sovrn source-wicked-reports destination-wicked-reports
READY  := $(VENV)/.ready
# More workers than cores: a test that waits for a process leaves its core to another.
WORKERS ?= 3
# Tests with commands of their own: `make campaign`, `make image-test`, `make hosts-test`, `make package-test`.
MARKS := not campaign and not image_tests and not hosts and not packages

.PHONY: setup demo test campaign package-test lint bench spec lock hosts hosts-test images image-test trimmed image-suite qa pythons clean

setup: $(READY)

# The lock has hashes and names no registry: the machine's own settings decide where packages come from.
$(READY): requirements/uv.txt requirements/lock.txt $(PACKAGES:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PACKAGES:%=-e ./%)
	touch $@

demo: $(READY)
	$(BIN)/python -m demo

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m "$(MARKS)" $(PYTEST_ARGS)

# More seeds of the tests that kill processes at random, and the paging of 200,000 rows.
campaign: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m campaign $(PYTEST_ARGS)

# Each package from a fresh clone: as a folder, wheel, sdist and editable install.
package-test: $(READY)
	$(BIN)/python -m pytest -n 2 -m packages integration_tests/test_packages.py $(PYTEST_ARGS)

# PyAirbyte, Meltano and airbyte-serverless, each in its own environment under .cache/hosts.
hosts: $(READY)
	$(BIN)/python -m integration_tests.hosts.environments

hosts-test: hosts
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m hosts $(PYTEST_ARGS)

# With the engine that `docker` reaches, or a temporary one; see docker/README.md.
# The image with all four connectors and wicked-reports-sync.
RUNNER ?= wicked-reports-sync
images:
	PYTHON=$(PYTHON) docker/with-engine docker/build $(PACKAGES) $(RUNNER)

image-test: $(READY)
	PYTHON=$(PYTHON) PACKAGES="$(PACKAGES)" docker/with-engine sh -c 'docker/build $(PACKAGES) $(RUNNER) && \
		$(BIN)/python -m pytest -m image_tests integration_tests/test_images.py $(PYTEST_ARGS)'

# The images leave out dependencies of the CDK that are never imported; so does this installation, for `make image-suite`.
TRIMMED := .cache/trimmed
trimmed: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(TRIMMED)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(TRIMMED)/bin/python --constraints requirements/lock.txt \
		--build-constraints requirements/lock.txt --excludes docker/excluded-packages.txt $(PACKAGES:%=./%)

image-suite: trimmed
	CONNECTORS_BIN=$(CURDIR)/$(TRIMMED)/bin $(BIN)/python -m pytest -n $(WORKERS) -m "$(MARKS)" integration_tests $(PYTEST_ARGS)

# Airbyte's published checks, in their own environment (they need Python 3.11 or 3.12).
QA := .cache/qa
qa: $(QA)/.ready
	$(QA)/bin/python tools/airbyte_qa.py $(PACKAGES)

$(QA)/.ready: requirements/qa.txt requirements/qa-excluded.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(QA)
	$(BIN)/uv pip install --quiet --python $(QA)/bin/python --require-hashes --excludes requirements/qa-excluded.txt \
		-r requirements/qa.txt
	touch $@

# Unit tests and every command on each supported Python that this machine has; with `CI_STRICT=1`, a missing one is a failure.
PYTHONS ?= 3.10 3.11 3.12 3.13
pythons: $(READY)
	$(BIN)/python -m tools.python_matrix $(PYTHONS) -- $(PYTEST_ARGS)

TYPED := demo $(addprefix integration_tests/,hosts protocol simulator support)
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(foreach p,$(PACKAGES),$(p)/$(subst -,_,$(p))) $(TYPED)
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks.run

# The destination's spec.json, generated from its typed models; a test compares the two.
spec: $(READY)
	$(BIN)/python -c "import json; from destination_wicked_reports.config.spec import specification; \
		print(json.dumps(specification(), indent=2, ensure_ascii=False))" > spec.json.new
	mv spec.json.new destination-wicked-reports/destination_wicked_reports/spec.json

lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.10 \
		$(PACKAGES:%=%/pyproject.toml) requirements/dev.in -o requirements/lock.txt
	for host in pyairbyte meltano serverless tap-jsonl target-jsonl; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
		--python-version 3.10 requirements/hosts-$$host.in -o requirements/hosts-$$host.txt || exit 1; done
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--excludes requirements/qa-excluded.txt requirements/qa.in -o requirements/qa.txt
	echo uv | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.10 - \
		-o requirements/uv.txt

clean:
	rm -rf $(VENV) .demo
