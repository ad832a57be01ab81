# SPDX-License-Identifier: ISC
#
# make check: everything that must hold before a change lands. Two cores, 25 minutes at most: end to end tests,
# which mostly wait, run JOBS at a time, each with ports and folders of its own.
#
#	check-debug	unit tests, fuzz corpora, layering, corpora, end to end, 300 power cuts
#	check-san	the same programs under ASan and UBSan: units, fuzz corpora, end to end
#	check-release	the release build under its true sandbox: end to end, short
#
# make check-long adds what takes longer; make fuzz T=target S=seconds fuzzes.
JOBS ?= 2
CORPORA ?= ../shared/corpora
PROVE = prove -Q --timer -j$(JOBS)

.PHONY: check check-long check-debug check-san check-release check-units check-fuzz check-e2e check-valgrind fuzz simulate
check: deps-check
	@$(MAKE) -s check-lint
	@$(MAKE) -s V=debug check-debug
	@$(MAKE) -s V=san check-san
	@$(MAKE) -s V=release check-release
	@echo "make check: all passed"

check-debug:
	@$(MAKE) -s -j$(JOBS) V=$(V) all units fuzzers
	@$(MAKE) -s V=$(V) check-units check-valgrind check-fuzz
	@$(SUDO) $(MAKE) -s V=$(V) peers
	@$(SUDO) $(MAKE) -s V=$(V) check-e2e
check-san:
	@$(MAKE) -s -j$(JOBS) V=$(V) all units fuzzers
	@$(MAKE) -s V=$(V) check-units check-fuzz
	@$(SUDO) $(MAKE) -s V=$(V) check-e2e E2E="$(wildcard t/e2e/01*.t t/e2e/02*.t t/e2e/03*.t)"
check-release:
	@$(MAKE) -s -j$(JOBS) V=$(V) all
	@$(SUDO) $(MAKE) -s V=$(V) check-e2e E2E="$(wildcard t/e2e/00*.t t/e2e/0100*.t t/e2e/0200*.t t/e2e/0700*.t)"

# Seeds of the queue's simulation. make simulate FROM=1000 SEEDS=5000: JOBS at a time, 250 each.
SEEDS ?= $(if $(filter debug,$(V)),500,50)
simulate: units
	@from=$(or $(FROM),0); seq $$from 250 $$((from + $(SEEDS) - 1)) | xargs -P $(JOBS) -I% sh -c '\
		left=$$(($$1 + $(SEEDS) - %)); SIMULATION_FROM=% SIMULATION_SEEDS=$$((left < 250 ? left : 250)) \
		$(B)/t/unit/qmgr/test_simulation' sh $$from
# As root, since some units need to drop something; they skip with a word otherwise.
check-units: units
	@$(SUDO) env SIMULATION_SEEDS=$(SEEDS) sh t/tool/units.sh $(V) $(UNIT_BINS)
# Those of priv/ live in sandboxes where valgrind cannot follow. What takes it minutes (whole worlds of qmgr,
# every day of four centuries, 400,000 recipients) is left to check-long; the sanitizers have it here.
VALGRIND_BINS = $(foreach b,$(UNIT_BINS),$(if $(findstring /priv/,$(b)),,$(b)))
VALGRIND_LONG = %/test_date %/spool/test_journal %/conf/test_scope %/smtp/test_body \
	%/deliver/test_session %/smtpd/test_session $(filter $(B)/t/unit/qmgr/%,$(UNIT_BINS))
check-valgrind: units
	@sh t/tool/units.sh valgrind $(filter-out $(VALGRIND_LONG),$(VALGRIND_BINS))
check-fuzz: fuzzers
	@for f in $(FUZZERS); do $(B)/t/fuzz/$$f t/fuzz/corpus/$$f >/dev/null || exit 1; echo "corpus $$f replayed"; done

E2E ?= $(sort $(wildcard t/e2e/*.t))
# No leak check within jails and under strace; the units have it.
check-e2e: all
	@ASAN_OPTIONS=detect_leaks=0 BUILD=$(abspath $(BUILD)) V=$(V) CORPORA=$(CORPORA) $(PROVE) -It/e2e/lib $(E2E)

# The longer road: everything under valgrind, the whole suite under the sanitizers, more kills and cuts.
check-long: deps-check
	@$(MAKE) -s check
	@$(MAKE) -s V=debug check-valgrind-all
	@$(MAKE) -s V=debug simulate FROM=1000 SEEDS=5000
	@$(SUDO) $(MAKE) -s V=san check-e2e
	@$(SUDO) env IDLE_SESSIONS=10000 $(MAKE) -s V=release check-e2e E2E=t/e2e/0125-idle.t
	@$(SUDO) env LARGE_MIB=100 $(MAKE) -s V=release check-e2e E2E=t/e2e/0650-large.t
	@$(SUDO) env QUEUED=1000000 $(MAKE) -s V=release check-e2e E2E=t/e2e/0430-depth.t
	@$(SUDO) env KILLS=300 MESSAGES=30000 $(MAKE) -s V=release check-e2e E2E=t/e2e/0400-kill.t
	@$(SUDO) env KILLS=100 MESSAGES=1000000 RATE=0 $(MAKE) -s V=release check-e2e E2E=t/e2e/0401-ledger.t
	@$(SUDO) env MESSAGES=20000 $(MAKE) -s V=release check-e2e E2E=t/e2e/0412-bit-rot.t
	@$(SUDO) env FAULTS=all $(MAKE) -s V=debug check-e2e E2E=t/e2e/0413-faults.t
	@$(SUDO) env DEPTH=6 $(MAKE) -s V=release check-e2e E2E=t/e2e/0641-bounce-kills.t
	@$(SUDO) env CALLERS=all $(MAKE) -s V=release check-e2e E2E=t/e2e/0720-callers.t
	@$(SUDO) $(MAKE) -s V=release crash-block N=1600
	@$(SUDO) $(MAKE) -s V=release crash-block N=1600 FS=xfs
	@$(MAKE) -s V=debug crash-model STATES=20000
	@$(SUDO) $(MAKE) -s V=release crash-live CUTS=15
	@$(SUDO) $(MAKE) -s V=release crash-live CUTS=15 FS=xfs
	@$(MAKE) -s check-bare
	@echo "make check-long: all passed"
# The two commands of the README on a bare Debian, in a clean clone of what is committed.
.PHONY: check-bare
check-bare:
	@$(SUDO) sh t/tool/bare.sh $(BUILD)
.PHONY: check-valgrind-all
check-valgrind-all: units
	@SIMULATION_SEEDS=5 sh t/tool/units.sh valgrind $(VALGRIND_BINS)

# One fuzz target for so many seconds; what it finds stays in build/fuzz-found.
T ?= command
S ?= 600
fuzz:
	@$(MAKE) -s V=fuzz $(BUILD)/fuzz/t/fuzz/$(T)
	@mkdir -p $(BUILD)/fuzz-corpus/$(T) $(BUILD)/fuzz-found
	@$(BUILD)/fuzz/t/fuzz/$(T) -max_total_time=$(S) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=$(BUILD)/fuzz-found/$(T)- $(BUILD)/fuzz-corpus/$(T) t/fuzz/corpus/$(T)
