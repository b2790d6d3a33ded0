# Copyright 2026 The leconvmn_ros authors
# SPDX-License-Identifier: Apache-2.0

# A ROS 2 distribution of pyproject.toml's [dependency-groups], with a virtual environment of its own:
# `make test DISTRO=kilted`.
DISTRO = jazzy
PYTHON = python3
TESTS = test
# Tests wait for other processes much of the time: more of them than there are cores of a small machine.
JOBS = 3

ifeq ($(DISTRO),jazzy)
VENV := .venv
# Modules are used where they lie. The built messages land in leconvmn_ros/msg/, so one distribution can have this.
# By a path: an import hook would give way to a folder of this name, such as the clone, beside a script.
EDITABLE := --config-settings editable_mode=compat --editable
else
VENV := .venv-$(DISTRO)
# A plain install copies the modules, so they are packaging too.
MODULES := $(shell find leconvmn_ros -name '*.py' -not -path 'leconvmn_ros/msg/*')
endif

# What an installation copies or builds from: only when this changes is it made anew.
PACKAGING := setup.py CMakeLists.txt pyproject.toml package.xml $(MODULES)
PACKAGING += $(shell find msg launch config -type f -not -name '*.pyc')

# A guided session with a simulated wearer, four times as fast as a person.
WEAR_DEMO := wear --source synthetic --speed 4 --session quick --auto-start --practice --output demo/wear

# Instruction sets and threads that the numeric tests must not depend on.
PROCESSORS := ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=SSE41 ONEDNN_MAX_CPU_ISA=AVX2
PROCESSORS += OPENBLAS_CORETYPE=Nehalem OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=2
NUMERIC_TESTS := test/engines test/models test/decoding test/evaluation test/emg

IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
PIP := $(IN_VENV) python -m pip --disable-pip-version-check
PIP_VERSION := 25.3
# PyTorch's own index of builds without CUDA: the Linux wheel on PyPI brings several GB of it.
TORCH_CPU := https://download.pytorch.org/whl/cpu

# A sourced ROS 2 must not leak into the virtual environment, which has one of its own.
unexport CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONHOME PYTHONPATH RMW_IMPLEMENTATION
unexport ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: help setup demo test test-processors lint docs clean check-system
.DELETE_ON_ERROR:

help:
	@echo 'make demo    synthetic subject, replay, decoder and evaluator over ROS 2; ends with scores and a plot'
	@echo '             (VIEW=1: in real time, shown in the browser; WEAR=1: a session with a simulated wearer)'
	@echo 'make test    the tests (TESTS=test/evaluation/test_metrics.py for some of them)'
	@echo 'make test-processors   the numeric tests on emulated processors and other numbers of threads'
	@echo 'make lint    ruff and mypy'
	@echo 'make docs    the documentation, into docs/_build/html'
	@echo 'make setup   only what the above do first: everything into $(VENV)'
	@echo 'make clean   remove virtual environments and everything built'
	@echo 'With DISTRO=kilted: on ROS 2 Kilted instead of Jazzy, in .venv-kilted'

demo: setup
	$(IN_VENV) leconvmn_ros $(if $(WEAR),$(WEAR_DEMO),demo $(if $(VIEW),--view))

test: setup
	$(IN_VENV) pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS) $(TESTS)

test-processors: setup
	@for processor in $(PROCESSORS); do \
	  echo "--- $$processor"; \
	  env $$processor $(IN_VENV) pytest -q -n 2 -m 'not slow and not browser and not docs' $(NUMERIC_TESTS) || exit 1; \
	done

lint: setup
	$(IN_VENV) ruff check
	$(IN_VENV) ruff format --check
	$(IN_VENV) mypy

docs: setup
	$(PIP) install --quiet --group docs
	$(IN_VENV) sphinx-build -W --keep-going -q -b html docs docs/_build/html

setup: $(VENV)/.installed

clean:
	rm -rf .venv .venv-* build install log demo evaluation docs/_build *.egg-info leconvmn_ros/msg leconvmn_ros/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/.dependencies $(PACKAGING)
	$(PIP) install --quiet --no-deps --no-build-isolation $(EDITABLE) .
	@touch $@

$(VENV)/.dependencies: pyproject.toml | $(VENV)/.created
	@echo 'Installing ROS 2 $(DISTRO) and libraries into $(VENV) (some minutes the first time)'
	@$(IN_VENV) command -v cmake >/dev/null || $(PIP) install --quiet --group cmake
	@$(install_torch)
	$(PIP) install --quiet --group $(DISTRO) --group libraries --group dev
	@touch $@

check-system:
	@$(check_system)

$(VENV)/.created:
	@$(check_system)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet pip==$(PIP_VERSION)
	@touch $@

# One line that names everything that is missing and the command that mends it.
define check_system
lacks=''; packages=''; \
lack() { lacks="$$lacks, $$1"; packages="$$packages $$2"; }; \
if ! command -v $(PYTHON) >/dev/null; then \
  lack 'Python 3.10 to 3.14' 'python3 python3-venv python3-dev'; \
elif ! $(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))'; then \
  echo "Missing: Python 3.10 to 3.14; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; \
  exit 1; \
else \
  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || lack 'venv of Python' python3-venv; \
  $(PYTHON) -c "import os, sysconfig as s; os.stat(s.get_path('include') + '/Python.h')" 2>/dev/null \
    || lack 'headers of Python' python3-dev; \
fi; \
command -v g++ >/dev/null || lack 'C++ compiler' g++; \
if [ "$$(uname -sm)" != 'Linux x86_64' ]; then \
  echo "Missing: ROS 2 wheels for $$(uname -sm), PyPI has them for Linux x86_64 only. Build with colcon (README.md)." >&2; \
  exit 1; \
elif [ -n "$$lacks" ]; then \
  echo "Missing: $${lacks#, }. On Debian or Ubuntu: sudo apt-get install$$packages" >&2; \
  exit 1; \
fi
endef

# The wheel that pip would take may be a build without CUDA already.
define install_torch
if ! nvidia-smi -L >/dev/null 2>&1 \
  && $(PIP) install --quiet --dry-run --no-deps --ignore-installed --report - --group torch | grep -qE '"(cuda|nvidia)-'; \
then \
  $(PIP) install --quiet --no-deps --retries 1 --group torch --index-url $(TORCH_CPU) 2>/dev/null \
    || echo 'No CPU build of torch to be had: taking the one with CUDA (several GB)'; \
fi
endef
