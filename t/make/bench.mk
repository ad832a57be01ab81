# SPDX-License-Identifier: ISC
# Relay, ours beside Debian's Postfix: make bench. BENCH="--rounds 1 --messages 2000" is quicker.
.PHONY: bench
bench:
	@$(MAKE) -s V=release all
	@$(SUDO) $(MAKE) -s V=release peers
	@$(SUDO) env BUILD=$(abspath $(BUILD)) V=release perl t/bench/bench.pl $(BENCH)
