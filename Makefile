# make run      serve on http://127.0.0.1:8000 (ACTSERVE_* changes that: see docs/operations.md)
# make test     lint, types and tests
# make check    the same, without setting up

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup setup-dev run test check event-loop accuracy evaluate gpu-check lock models evidence test-models load chaos overload soak bench bench-quick image-test compose-test screenshots dashboard triton kserve kubernetes perf-analyzer ray clean

setup: .venv/run.stamp

setup-dev: .venv/dev.stamp

run: setup
	$(BIN)/python -m service

test: setup-dev check

# A process more than processors, for at times a test waits for a server that it has started. What a file's tests share
# is made once; files come in their order, and not those of few tests last, which take longest.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(1 + len(os.sched_getaffinity(0)))')
PARALLEL = --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

check:
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) --ignore tests/test_event_loop.py --cov --cov-report=term

# How long the largest requests that are allowed hold up the event loop, each before a fresh server; takes two minutes
event-loop: setup-dev
	$(BIN)/python -m pytest -s tests/test_event_loop.py

# Measures every kernel against mpmath; takes some minutes.
accuracy: setup-dev
	$(BIN)/python -m models.accuracy

# Trains, exports and measures; goes on where it stopped. DATA: CIFAR-10, as its official files or as a zip or folder
# <split>/<class>/<number>.jpg. QUICK=1: a little of everything, to see that it works
models: .venv/train.stamp
	$(BIN)/python -m models.train --data $(DATA) $(if $(QUICK),--quick)
	$(BIN)/python -m models.export --data $(DATA)
	$(BIN)/python -m models.evidence --data $(DATA) $(if $(QUICK),--quick)
	$(BIN)/python -m models.report

# The experiments behind the article's claims, and the verdicts. EXPERIMENTS: some of them by name
evidence: .venv/train.stamp
	$(BIN)/python -m models.evidence --data $(DATA) $(if $(QUICK),--quick) $(EXPERIMENTS)
	$(BIN)/python -m models.report

# glibc gives large blocks back to the system at once and takes them anew, page by page, at every step of training; told
# to keep them, an epoch took 16 s in place of 20 s (one run each, 2026-11).
models evidence: export MALLOC_MMAP_MAX_ = 0
models evidence: export MALLOC_TRIM_THRESHOLD_ = 1000000000000

# The tests of training and of the experiments, which need torch; `make test` skips them.
test-models: setup-dev .venv/train.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) tests/models

# Measures every served classifier again through the service, and fails if one is not as accurate as its card says.
# DATA: CIFAR-10 as for `models`. URL: of a running service; without it one is started. LIMIT, MODELS: a part of it
evaluate: setup-dev
	$(BIN)/python -m models.evaluate --data $(DATA) \
	  $(if $(URL),--url $(URL)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(MODELS),--models $(MODELS))

# Checks and measures everything that is promised of a GPU, on the one that is here, without network; in 8 minutes
# (docs/gpu.md). Without a GPU it is done on the CPU, to see that it works. CHECK: options of the command
gpu-check: setup-dev
	$(BIN)/python -m models.gpu $(CHECK)

# Load against a running service, with report.html (docs/loadtests.md). LOAD: options of locust in place of these
load: .venv-load/stamp
	.venv-load/bin/locust -f loadtests/locustfile.py --headless --html report.html \
	  $(or $(LOAD),--users 50 --spawn-rate 50 --run-time 1m)

# What goes wrong in a server's life, done to it under load (docs/reliability.md); Debian's nginx-light for two of them.
# CHAOS: options of the command
chaos: setup-dev
	$(BIN)/python -m loadtests.chaos $(CHAOS)

# One to ten times of what the service can answer, in an open loop; needs two cores. OVERLOAD: options of the command
overload: setup-dev
	$(BIN)/python -m loadtests.overload $(OVERLOAD)

# A million mixed requests, good and bad: memory and open files must stay flat. SOAK: options of the command
soak: setup-dev
	$(BIN)/python -m loadtests.soak $(SOAK)

# Beside other servers, in pairs (docs/benchmarks.md); needs Debian's wrk. BENCH: options of the command
bench: setup-dev
	$(BIN)/python -m loadtests.peers $(BENCH)

# Beside ONNX Runtime alone, in a minute
bench-quick: setup-dev
	$(BIN)/python -m loadtests.peers --quick

# The container's image built and tried, and docker-compose.yml brought up under load (docs/deployment.md); where there
# is no podman or Docker they say so. ENGINE, BASE_IMAGE, BUILD_OPTIONS, RUN_OPTIONS, GPU=1, COMPOSE, OVERRIDE: what this
# machine has and needs. IMAGE, UP: options of the commands
image-test: setup-dev
	$(BIN)/python -m deploy.image $(IMAGE)

compose-test: setup-dev
	$(BIN)/python -m deploy.compose $(UP)

# The pictures of docs/page.md, by Debian's chromium; the button 中文 needs a font that has Chinese
screenshots: setup-dev
	$(BIN)/python -m tests.screenshots

# Grafana's dashboard, from deploy/grafana/dashboard.py
dashboard:
	$(PYTHON) -m deploy.grafana.dashboard

.venv-load/stamp: requirements/load.lock
	@test -x .venv-load/bin/python || $(PYTHON) -m venv .venv-load
	.venv-load/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/load.lock
	@touch $@

# The environment. One `pip install` a stamp; the lock files say what and with which hashes.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "Python lacks venv: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.lock | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@touch $@

.venv/dev.stamp: requirements/dev.lock .venv/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

.venv/train.stamp: .venv/run.stamp pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["train"])' \
	  | xargs $(BIN)/python -m pip install --quiet --disable-pip-version-check
	@touch $@

# A real Triton (CPU, Python backend) for tests/triton; in an environment of its own, for it wants an older NumPy.
triton: .venv-triton/stamp
	$(BIN)/python -m pytest tests/triton

.venv-triton/stamp: | setup-dev
	$(PYTHON) -m venv .venv-triton
	.venv-triton/bin/python -m pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0
	@touch $@

# KServe's client for tests/conformance; in an environment of its own, for it wants an older protobuf than ONNX has.
kserve: .venv-kserve/stamp
	$(BIN)/python -m pytest tests/conformance/test_kserve.py

.venv-kserve/stamp: | setup-dev
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check kserve==0.21.0
	@touch $@

# Kubernetes' schemas for tests/deploy, which the gate has too; in an environment of its own, for they take 108 MB.
# CRDS: a folder with the CRDs of KServe and the prometheus-operator, by which the objects of theirs are checked too
kubernetes: setup-dev .venv-kubernetes/stamp
	$(if $(CRDS),CRDS=$(abspath $(CRDS))) $(BIN)/python -m pytest $(addprefix tests/deploy/test_, kubernetes.py kserve.py pods.py crds.py)

.venv-kubernetes/stamp:
	$(PYTHON) -m venv .venv-kubernetes
	.venv-kubernetes/bin/python -m pip install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
	@touch $@

# Triton's perf_analyzer for tests/conformance. This wheel has the last build of it that starts on Debian 12 (glibc
# 2.36); it needs libcudart, though no GPU, and Debian's package libb64-0d.
perf-analyzer: .venv-perf-analyzer/stamp
	$(BIN)/python -m pytest tests/conformance/test_perf_analyzer.py

.venv-perf-analyzer/stamp: | setup-dev
	$(PYTHON) -m venv .venv-perf-analyzer
	.venv-perf-analyzer/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  tritonclient==2.51.0 nvidia-cuda-runtime-cu12==12.9.79
	@touch $@

# The service under Ray Serve, on two nodes of this machine; Ray and what it brings, in an environment of their own.
ray: .venv-ray/stamp
	$(BIN)/python -m pytest tests/deploy/test_ray.py

.venv-ray/stamp: requirements/run.lock deploy/ray/requirements.txt | setup-dev
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/ray/requirements.txt
	@touch $@

# Writes the lock files anew from pyproject.toml; needs uv on the PATH. What is served has the versions that are tested.
COMPILE = uv pip compile --quiet --universal --no-strip-extras --generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.lock
	$(COMPILE) pyproject.toml -c requirements/dev.lock -o requirements/run.lock
	$(COMPILE) --group load -o requirements/load.lock
	$(COMPILE) --group gpu -o requirements/gpu.lock

clean:
	rm -rf .venv .venv-load .venv-bench .venv-triton .venv-kserve .venv-kubernetes .venv-perf-analyzer .venv-ray
