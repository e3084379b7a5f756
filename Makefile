# The front door: `make help` lists what is behind it.

PYTHON ?=
PREFIX ?= /usr/local
SBINDIR ?= /sbin
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR ?= $(PREFIX)/share/man
COMPLETIONS ?= $(PREFIX)/share
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
DOCDIR ?= $(PREFIX)/share/doc/azfuse
BENCH ?=

bin := .venv/bin
libdir := $(PREFIX)/lib/azfuse
junk := .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

export PYTHON DESTDIR PREFIX libdir SBINDIR UNITDIR USERUNITDIR MANDIR COMPLETIONS DOCDIR

.PHONY: help setup demo test test-long lint bench install uninstall deb clean

help:
	@echo "make setup      Debian packages and .venv with azfuse and all extras; does nothing twice"
	@echo "make demo       emulator, share, mount, and real programs on it; leaves nothing behind"
	@echo "make test       lint, then all tests but the long ones"
	@echo "make test-long  lint, then every test"
	@echo "make lint       ruff check, ruff format --check, mypy --strict"
	@echo "make bench      requests and seconds beside rclone mount; BENCH=--quick for a minute of it"
	@echo "make install    azfuse under PREFIX ($(PREFIX)) with manual, completion and units, mount.azfuse"
	@echo "                in $(SBINDIR); DESTDIR= stages it"
	@echo "make uninstall  takes away what install made; the same variables say where"
	@echo "make deb        dist/azfuse_VERSION_ARCH.deb, for this release of Debian"
	@echo "make clean      remove .venv, caches and build results; stays off mounted directories"
	@echo "PYTHON=/path/to/python3 chooses the interpreter of .venv (3.11 or newer)."

setup:
	@.ci/bootstrap

demo:
	@.ci/bootstrap demo
	@$(bin)/azfuse demo

test: lint
	$(bin)/python -m pytest -m "not long" -n 2 --dist worksteal

# Tests whose programs cannot be installed say so, and are skipped.
test-long: lint
	-@.ci/bootstrap long
	$(bin)/python -m pytest

lint: setup
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: setup
	$(bin)/python -m tests.bench $(BENCH)

install:
	@.ci/install

uninstall:
	@.ci/install --undo

deb:
	@.ci/deb/build

# -xdev: whatever is mounted in here is not ours to delete.
clean:
	find . -xdev \( $(foreach name,$(junk),-path './$(name)' -o -path './$(name)/*' -o) \
	    -name __pycache__ -o -path '*/__pycache__/*' \) -delete
