# SPDX-License-Identifier: ISC
# Ours beside other mail servers: make bench, see t/bench/bench.pl.
#
#	make bench SCENARIOS="relay accept4k" PEERS="postfix exim opensmtpd" ROUNDS=3 SCALE=0.1
#
# SCENARIOS: names, gate (all that have limits; what make bench runs), or all. SCALE: of the number of messages.
# Results of a whole run: t/bench/RESULTS.
SCENARIOS ?= gate
BENCH_PEERS = $(if $(filter command,$(origin PEERS)),$(PEERS),postfix)
ROUNDS ?= 3
SCALE ?= 1
.PHONY: bench
bench:
	@$(MAKE) -s V=release all
	@$(SUDO) env -u PEERS $(MAKE) -s V=release PEERS= peers
	@$(SUDO) env -u PEERS BUILD=$(abspath $(BUILD)) V=release perl t/bench/bench.pl --scenarios "$(SCENARIOS)" \
		--peers "$(BENCH_PEERS)" --rounds $(ROUNDS) --scale $(SCALE) $(BENCH)

all: $(B)/bin/slowsync.so
$(B)/bin/slowsync.so: t/bench/slowsync.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS_all) -fPIC -shared -o $@ $<

# The queue by itself: what depth costs qmgr, what a recipient takes of its memory, how long it needs to start over
# a deep queue, and what disk its segments take over a day. QUEUED=100000 DAY=60000 are quicker.
.PHONY: bench-queue
QUEUED ?= 1000000
DAY ?= 2000000
QUEUE_DIR := $(BUILD)/bench-queue
define bench_queue
	@echo "$(1) $(2)"
	@rm -rf $(QUEUE_DIR)
	@$(BUILD)/release/bin/$(1) $(QUEUE_DIR) $(2)
endef
bench-queue:
	@$(MAKE) -s V=release $(BUILD)/release/bin/queuedepth $(BUILD)/release/bin/queueday
	@mkdir -p $(BUILD)
	$(call bench_queue,queuedepth,$(QUEUED))
	$(call bench_queue,queuedepth,$(QUEUED) 1 50)
	$(call bench_queue,queuedepth,200000 50000)
	$(call bench_queue,queuedepth,200000 50000 1 name)
	$(call bench_queue,queueday,$(DAY) off || true)
	$(call bench_queue,queueday,$(DAY))
	@rm -rf $(QUEUE_DIR)
