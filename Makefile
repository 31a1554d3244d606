# chorus: `make run` sets up and starts a node, `make test` does all that CI does.

CARGO ?= cargo
MOUNT ?=
THREADS ?= 2

.PHONY: help run build test check fmt clippy deny advisories unit system fuzz demo bench bench-peers bench-late sim torture cuts far posix clean-mounts

help:
	@echo "make run         build, start the node, mount on ~/Chorus (MOUNT=DIR: elsewhere)"
	@echo "make test        everything CI runs"
	@echo "make demo        two nodes on this machine, edits apart, the merged file"
	@echo "make bench       measure, beside bindfs, sshfs and the disk below"
	@echo "make bench-peers beside Syncthing, Unison, rsync and iroh-docs (ONLY=chorus,rsync ROUNDS=1 FILES=500 MIB=64); needs root"
	@echo "make bench-late  a room of OBJECTS=100000 files, and people who join late; needs root"
	@echo "make sim         play the scenarios of sync and compare their figures (RECORD=1 records, SCENARIO=FILE: one, SEEDS=20: each from many)"
	@echo "make torture     kill -9 (ROUNDS=50), a node that is halted, a repository of FILES=4000; long"
	@echo "make cuts        a link that is cut CUTS=1000 times under 10,000 entries and under 1 GiB; long"
	@echo "make far         DTN daemons that are DELAY=180 seconds from each other; long"
	@echo "make fuzz        the fuzz targets for SECONDS=60 (TARGET=name: one; KEEP=1: keep what is learnt)"
	@echo "make posix       file system test suites on a mount, long (FSX=100000 operations)"
	@echo "make advisories  known holes in dependencies (needs the network)"
	@echo "make clean-mounts  remove mounts that a killed node left behind"

# Installs what is missing, builds, starts the node and says what to do next.
run:
	@.ci/prepare run
	$(CARGO) build --release --locked -p chorus-cli
	@target/release/chorus up --detach $(MOUNT)
	@echo
	@echo "The node runs. Next:"
	@echo "  target/release/chorus status"
	@echo "  mkdir ~/Chorus/garden && target/release/chorus invite /garden --for bob > bob.card"
	@echo "  (bob: chorus peer add bob.card)   stop it with: target/release/chorus down"

# Everything CI runs, the quickest first.
test:
	@.ci/prepare test
	@$(MAKE) --no-print-directory fmt clippy deny unit system
	@$(MAKE) --no-print-directory fuzz SECONDS=30

fmt:
	$(CARGO) fmt --all -- --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	.ci/deny check licenses bans sources

advisories:
	.ci/deny check advisories

build:
	$(CARGO) build --locked -p chorus-cli --bin chorus

unit: build
	$(CARGO) test --workspace --exclude chorus-tests --locked

# Namespaces and small disks are root's to make: for everybody else the tests run by sudo.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo "--config 'target.\"cfg(all())\".runner=[\"sudo\",\"-E\"]'")

# Real nodes, mounts and network namespaces, a few at a time: they share the machine.
system: build
	$(CARGO) test -p chorus-tests --locked $(AS_ROOT) -- --test-threads=$(THREADS)

# Whatever reads bytes, fed with what coverage leads to.
SECONDS ?= 60
TARGET ?=
fuzz:
	tests/fuzz.sh $(SECONDS) $(TARGET)

demo: build
	@.ci/prepare run
	tests/demo.sh target/debug/chorus

bench:
	@.ci/prepare bench
	$(CARGO) build --release --locked -p chorus-cli -p chorus-tests --bins
	target/release/bench

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo -E")

# What is on the command line is in the environment of what runs: ROUNDS, FILES, MIB, IDLE.
ONLY ?=
bench-peers:
	@.ci/prepare peers
	$(CARGO) build --release --locked -p chorus-cli -p chorus-tests --bins
	@$(CARGO) build --release --locked --manifest-path tests/iroh/Cargo.toml --target-dir target/iroh || \
		echo "iroh-docs takes no part: its program was not built, for the reason above"
	$(SUDO) target/release/peers $(if $(ONLY),--only $(ONLY))

# Somebody who joins late: how long, how many bytes, how much memory (OBJECTS=100000).
bench-late:
	@.ci/prepare test
	$(CARGO) build --release --locked -p chorus-cli -p chorus-tests --bins
	$(SUDO) target/release/late

# A made-up world: a minute of it takes less than a second. Same seed, same figures, on any machine.
RECORD ?=
SCENARIO ?=
SEEDS ?=
sim:
	$(CARGO) run --quiet --locked -p chorus-sim --bin sim -- $(if $(RECORD),--record) $(if $(SEEDS),--seeds $(SEEDS)) $(SCENARIO)

ROUNDS ?= 50
FILES ?= 4000
torture: build
	CHORUS_TORTURE=$(ROUNDS) CHORUS_REPOSITORY=$(FILES) $(CARGO) test -p chorus-tests --locked $(AS_ROOT) \
		--test crash --test hygiene --test repositories -- --test-threads=1 --nocapture

CUTS ?= 1000
cuts: build
	CHORUS_CUTS=$(CUTS) CHORUS_TEST_DEADLINE=3600 $(CARGO) test -p chorus-tests --locked $(AS_ROOT) --test cuts -- --nocapture

DELAY ?= 180
far: build
	CHORUS_DELAY=$(DELAY) CHORUS_TEST_DEADLINE=$$(($(DELAY) * 10 + 90)) $(CARGO) test -p chorus-tests --locked $(AS_ROOT) \
		--test dtn -- --nocapture edits_cross

# What others wrote to try file systems with; needs root.
FSX ?= 100000
posix: build
	@.ci/prepare posix
	FSX=$(FSX) tests/posix.sh target/debug/chorus target/tools/bin

clean-mounts:
	@grep -E ' fuse\.chorus |^chorus ' /proc/self/mounts | cut -d' ' -f2 | while read -r at; do \
		stat "$$at" >/dev/null 2>&1 || { echo "unmounting $$at"; umount -l "$$at" || fusermount3 -uz "$$at"; }; \
	done
