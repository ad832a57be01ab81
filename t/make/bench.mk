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
