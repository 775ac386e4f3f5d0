# inferd: everything that is done from a checkout. `make` says what there is.
#
# Programs, tests and figures are built with one profile and one set of features (--release --workspace): the inference
# engine takes a quarter of an hour to compile, once is enough.

# CI builds fresh clones into one target folder below the user's cache folder, where there is one. Checkouts that are
# worked in have one each: cargo tells sources by their times, and would take one checkout's for another's.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
ifeq ($(CI)$(if $(wildcard $(CACHE)/.),+cache),true+cache)
export CARGO_TARGET_DIR ?= $(CACHE)/inferd/target
else
export CARGO_TARGET_DIR ?= $(CURDIR)/target
endif

CARGO ?= cargo
PROGRAMS := $(CARGO_TARGET_DIR)/release
PACKAGES := $(CARGO_TARGET_DIR)/packages
# Private items are documented too, so links to them lead somewhere.
export RUSTDOCFLAGS ?= -D warnings -A rustdoc::private-intra-doc-links

.PHONY: help build demo deb deb-amd64 deb-arm64 test test-system test-vm test-arm64 lint deny bench fmt clean dependencies

help:
	@echo 'make demo         builds, then shows the whole job in half a minute: three streams, three live swaps, uploads'
	@echo 'make demo KEEP=1  the same, and leaves it running, for looking around with inferctl'
	@echo 'make test         everything: format, lints, documentation, licences, unit and whole-system tests'
	@echo 'make deb          the Debian packages, for amd64 and arm64; make deb-amd64 for one'
	@echo 'make test-system  the package in a Debian with systemd: installed, upgraded, downgraded, removed, purged'
	@echo 'make test-vm      inferd installed on a stock kernel, in a virtual machine: cameras, sound, an accelerometer, pulled out and put back'
	@echo 'make test-arm64   the package for arm64 in an emulated machine: installed, run, swapped, its confinement tried'
	@echo 'make bench        what inferd costs, against the bare inference loop'
	@echo 'make build        the programs'
	@echo 'make fmt          formats the sources'
	@echo 'make clean        removes what was built'
	@echo
	@echo 'Builds into $(CARGO_TARGET_DIR)'

# What the build, the demo and the tests need of the system; installs only what is missing.
dependencies:
	@packaging/install-dependencies

build: dependencies
	$(CARGO) build --release --workspace --locked
	@echo 'inferd, inferctl and inferd-runner are in $(PROGRAMS)'

demo: build
	@'$(PROGRAMS)/demo'

bench: build
	@'$(PROGRAMS)/bench'

# The tests run the programs, so those come first; the tests' own results come last.
test: lint build
	$(CARGO) test --release --workspace --locked --no-fail-fast

# Into $(PACKAGES), for every architecture that is shipped.
deb: deb-amd64 deb-arm64

deb-amd64: build
	packaging/build-deb '$(CARGO_TARGET_DIR)' '$(PACKAGES)'

# By cross-compiling, on an amd64 machine.
deb-arm64: build
	packaging/cross-build arm64 '$(CARGO_TARGET_DIR)'
	packaging/build-deb --architecture arm64 '$(CARGO_TARGET_DIR)' '$(PACKAGES)'
	packaging/check-package '$(PACKAGES)'/inferd_*-1_arm64.deb

# The package in a Debian with systemd: installed, upgraded, downgraded, removed, purged. Needs root, for the namespaces of a
# container; its root file system is made where it is missing (once, a minute or two).
test-system: deb-amd64
	packaging/install-dependencies lintian
	packaging/check-package '$(PACKAGES)'/inferd_*-1_amd64.deb
	@# The same sources give the same bytes.
	TZ=Asia/Tokyo packaging/build-deb --quick '$(CARGO_TARGET_DIR)' '$(PACKAGES)/once'
	umask 077 && LANG=tr_TR.UTF-8 packaging/build-deb --quick '$(CARGO_TARGET_DIR)' '$(PACKAGES)/again'
	cmp '$(PACKAGES)'/once/inferd_*-1_amd64.deb '$(PACKAGES)'/again/inferd_*-1_amd64.deb
	packaging/build-deb --quick --revision 2 '$(CARGO_TARGET_DIR)' '$(PACKAGES)'
	tests/system/run '$(PACKAGES)'/inferd_*-1_amd64.deb '$(PACKAGES)'/inferd_*-2_amd64.deb

# On kernel drivers, in a virtual machine; QEMU and a root file system are made where they are missing (once, some minutes).
test-vm: build
	tests/vm/run '$(PROGRAMS)' "$$($(CARGO) test --release --workspace --locked --test devices --no-run --message-format json \
		| sed -n 's/.*"name":"devices".*"executable":"\([^"]*\)".*/\1/p')"

# The package for arm64, and the tests of a runner's confinement, in a virtual machine of that architecture.
test-arm64: deb-arm64
	tests/vm/run-arm64 '$(PACKAGES)'/inferd_*-1_arm64.deb "$$(packaging/cross-build arm64 '$(CARGO_TARGET_DIR)' test -p inferd -p inferd-runner \
		--test sandbox --no-run --message-format json | sed -n 's/.*"name":"sandbox".*"executable":"\([^"]*\)".*/\1/p')"

lint: dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	$(CARGO) doc --release --workspace --no-deps --document-private-items --locked
	@$(MAKE) --no-print-directory deny

# Licences, sources and banned crates by Cargo.lock alone; advisories by a database that has to be fetched.
deny:
	@if ! command -v cargo-deny >/dev/null; then \
		printf '\n*** SKIPPED licences and advisories: no cargo-deny; cargo install --locked cargo-deny ***\n\n'; \
		test '$(CI)' != true; \
	else \
		$(CARGO) deny --log-level error check --hide-inclusion-graph bans licenses sources && \
		if $(CARGO) deny --log-level off fetch db >/dev/null 2>&1; then \
			$(CARGO) deny --log-level error check --disable-fetch advisories; \
		else printf '\n*** SKIPPED advisories: their database cannot be reached ***\n\n'; fi; \
	fi

fmt:
	$(CARGO) fmt

clean:
	$(CARGO) clean
