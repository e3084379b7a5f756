# The front door: `make help` lists what is behind it.

PYTHON ?=
PREFIX ?= /usr/local
SBINDIR ?= /sbin
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR ?= $(PREFIX)/share/man
COMPLETIONS ?= $(PREFIX)/share
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
BENCH ?=

bin := .venv/bin
libdir := $(PREFIX)/lib/azfuse
junk := .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

export PYTHON

.PHONY: help setup demo test test-long lint bench install clean

help:
	@echo "make setup      Debian packages and .venv with azfuse and all extras; does nothing twice"
	@echo "make demo       emulator, share, mount, and real programs on it; leaves nothing behind"
	@echo "make test       lint, then all tests but the long ones"
	@echo "make test-long  lint, then every test"
	@echo "make lint       ruff check, ruff format --check, mypy --strict"
	@echo "make bench      requests and seconds beside rclone mount; BENCH=--quick for a minute of it"
	@echo "make install    azfuse under PREFIX ($(PREFIX)) with manual, completion and units, mount.azfuse"
	@echo "                in $(SBINDIR); DESTDIR= stages it"
	@echo "make clean      remove .venv, caches and build results; stays off mounted directories"
	@echo "PYTHON=/path/to/python3 chooses the interpreter of .venv (3.11 or newer)."

setup:
	@.ci/bootstrap

demo:
	@.ci/bootstrap demo
	@$(bin)/azfuse demo

test: lint
	$(bin)/python -m pytest -m "not long" -n 2 --dist worksteal

test-long: lint
	$(bin)/python -m pytest

lint: setup
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: setup
	$(bin)/python -m tests.bench $(BENCH)

# A private virtual environment; DESTDIR is cut out of its scripts again.
install:
	python=$$(.ci/bootstrap python) && "$$python" -m venv "$(DESTDIR)$(libdir)"
	"$(DESTDIR)$(libdir)/bin/python" -m pip install --quiet --disable-pip-version-check \
	    --force-reinstall --no-deps .
	"$(DESTDIR)$(libdir)/bin/python" -m pip install --quiet --disable-pip-version-check \
	    ".[emulator,identity,metrics]"
	[ -z "$(DESTDIR)" ] || grep -rlIF "$(DESTDIR)" "$(DESTDIR)$(libdir)/bin" \
	    "$(DESTDIR)$(libdir)/pyvenv.cfg" | xargs -r sed -i "s|$(DESTDIR)||g"
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(SBINDIR)" "$(DESTDIR)$(UNITDIR)"
	ln -sfn "$(libdir)/bin/azfuse" "$(DESTDIR)$(PREFIX)/bin/azfuse"
	for name in mount.azfuse mount.fuse.azfuse; do \
	    ln -sfn "$(libdir)/bin/mount.azfuse" "$(DESTDIR)$(SBINDIR)/$$name" || exit 1; done
	for unit in azfuse@.service azfuse-emulator.service; do \
	    sed 's|/usr/local/bin/|$(PREFIX)/bin/|g' "systemd/$$unit" \
	        > "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; done
	"$(DESTDIR)$(libdir)/bin/python" -m azfuse.cli.manual "$(DESTDIR)$(libdir)/man"
	install -d "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man5" "$(DESTDIR)$(MANDIR)/man8"
	install -m 644 "$(DESTDIR)$(libdir)"/man/*.1 "$(DESTDIR)$(MANDIR)/man1"
	install -m 644 "$(DESTDIR)$(libdir)"/man/*.5 "$(DESTDIR)$(MANDIR)/man5"
	install -m 644 "$(DESTDIR)$(libdir)"/man/*.8 "$(DESTDIR)$(MANDIR)/man8"
	rm -r "$(DESTDIR)$(libdir)/man"
	install -d "$(DESTDIR)$(COMPLETIONS)/bash-completion/completions" \
	    "$(DESTDIR)$(COMPLETIONS)/zsh/site-functions" \
	    "$(DESTDIR)$(COMPLETIONS)/fish/vendor_completions.d"
	complete() { _AZFUSE_COMPLETE=$$1_source "$(DESTDIR)$(libdir)/bin/python" -m azfuse; }; \
	complete bash > "$(DESTDIR)$(COMPLETIONS)/bash-completion/completions/azfuse" && \
	complete zsh > "$(DESTDIR)$(COMPLETIONS)/zsh/site-functions/_azfuse" && \
	complete fish > "$(DESTDIR)$(COMPLETIONS)/fish/vendor_completions.d/azfuse.fish"
	install -d "$(DESTDIR)$(USERUNITDIR)"
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|g' systemd/azfuse-user@.service \
	    > "$(DESTDIR)$(USERUNITDIR)/azfuse-user@.service"

# -xdev: whatever is mounted in here is not ours to delete.
clean:
	find . -xdev \( $(foreach name,$(junk),-path './$(name)' -o -path './$(name)/*' -o) \
	    -name __pycache__ -o -path '*/__pycache__/*' \) -delete
