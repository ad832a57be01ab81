# SPDX-License-Identifier: ISC
# Power cuts at the block level: make crash-block N=300 SEED=1 FS=ext4 (or xfs). make crash-toy proves the harness.
N ?= 300
SEED ?= 1
FS ?= ext4
.PHONY: crash-block crash-toy crash-live crash-model
crash-block: all
	@BUILD=$(abspath $(BUILD)) V=$(V) perl t/crash/crash-house.pl --states $(N) --seed $(SEED) --fs $(FS)
# With all services running, by the file system's shutdown: make crash-live CUTS=15 FS=xfs.
CUTS ?= 15
crash-live: all
	@BUILD=$(abspath $(BUILD)) V=$(V) CUTS=$(CUTS) FS=$(FS) prove -v t/e2e/0411-live-cut.t
# By the rules of strict POSIX, at every call: make crash-model STATES=20000 SEED=1.
STATES ?= 20000
crash-model: units
	@perl t/crash/crash-model.pl --program $(B)/t/unit/qmgr/test_simulation --states $(STATES) --seed $(SEED)
crash-toy: all
	@BUILD=$(abspath $(BUILD)) V=$(V) prove t/e2e/0409-crash-harness.t

all: $(B)/bin/nosync.so
$(B)/bin/nosync.so: t/crash/nosync.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS_all) -fPIC -shared -o $@ $<
