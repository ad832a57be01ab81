# SPDX-License-Identifier: ISC
#
# The two commands of the README:
#
#	make up		install what is missing, build, start everything on loopback ports, show mail
#	make check	install what is missing, build, run all tests
#
# Others: all, install, down, check-long, unit, e2e, fuzz, bench, crash-block, lint, format,
# compdb, clean.
#
# Variables: V=debug|san|release|fuzz, BUILD=build, CC=gcc|clang, DESTDIR=, PREFIX=/usr/local.
#
# No recursion: each folder's rules.mk says what stands in it, in three forms:
#
#	LIBS += libcommon/smtp                 a library of the folder's sources
#	libcommon/smtp_SRCS := path.c ...      (relative to the folder)
#	libcommon/smtp_DEPS := libcommon/base  libraries it sees: the layering, checked by `make lint`
#	libcommon/smtp_LDLIBS := -lbsd
#
#	PROGS += smtpd/smtpd                   a program: build/V/bin/smtpd
#	smtpd/smtpd_SRCS := main.c
#	smtpd/smtpd_DEPS := smtpd
#
#	TESTS += libcommon/smtp                every t/unit/libcommon/smtp/test_*.c is a program of its
#	                                       own, linked with that library

V ?= debug
BUILD ?= build
# One name, however it was given: what depends on what is kept by name.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
AR := ar
B := $(BUILD)/$(V)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wcast-qual -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wconversion \
	-Wno-sign-conversion
CPPFLAGS := -D_GNU_SOURCE -I. -Ilibcommon -DANG_PREFIX='"$(PREFIX)"'
CFLAGS_all := -std=c17 -g -pthread $(WARNINGS) -fno-omit-frame-pointer
CFLAGS_debug := -O1
CFLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -DANG_SAN
CFLAGS_release := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	-fstack-clash-protection -fcf-protection -fPIE
CFLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DANG_SAN -DANG_FUZZ
LDFLAGS_san := -fsanitize=address,undefined
LDFLAGS_release := -pie -Wl,-z,relro,-z,now
LDFLAGS_fuzz := -fsanitize=address,undefined
ifeq ($(V),fuzz)
CC := clang
endif
CFLAGS := $(CFLAGS_all) $(CFLAGS_$(V)) $(EXTRA_CFLAGS)
LDFLAGS := -pthread -Wl,--as-needed $(LDFLAGS_$(V))

LIBS :=
PROGS :=
TESTS :=
FUZZERS :=
MAN :=
include $(sort $(wildcard libcommon/*/rules.mk smtpd/rules.mk qmgr/rules.mk qmgr/*/rules.mk deliver/rules.mk \
	deliver/*/rules.mk dnscache/rules.mk bounced/rules.mk logd/rules.mk ctl/rules.mk etc/rules.mk t/*/rules.mk))

# Everything a library needs, itself first; a library may stand twice, which --start-group forgives.
closure = $(1) $(foreach d,$($(1)_DEPS),$(call closure,$(d)))
archives = $(patsubst %,$(B)/%.a,$(sort $(foreach l,$(1),$(call closure,$(l)))))
ldlibs = $(sort $(foreach l,$(sort $(foreach k,$(1),$(call closure,$(k)))),$($(l)_LDLIBS)))

define library
$(B)/$(1).a: $$(patsubst %.c,$(B)/$(1)/%.o,$$($(1)_SRCS))
	@rm -f $$@ && $$(AR) rcs $$@ $$^
ALL_OBJS += $$(patsubst %.c,$(B)/$(1)/%.o,$$($(1)_SRCS))
endef

# $(1) name (folder/program), $(2) objects, $(3) libraries, $(4) output, $(5) more linker words
define program
$(4): $(2) $$(call archives,$(3))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $(2) -Wl,--start-group $$(call archives,$(3)) -Wl,--end-group $(5) $$(call ldlibs,$(3))
ALL_OBJS += $(2)
endef

# A program that others call again and again (PROGRAM_SMALL := yes) stands alone, with a small C library, where that
# is installed: the loader, and what glibc asks the processor at each start, cost more than the program's work.
# LIBRARY_GLIBC_SRCS is what it has to do without. Under the sanitizers, and where musl-gcc is missing, it is
# linked like all others.
MUSL_START := $(wildcard /usr/lib/$(subst gnu,musl,$(shell musl-gcc -print-multiarch 2>/dev/null))/rcrt1.o)
SMALL := $(if $(filter debug release,$(V)),$(MUSL_START))
SMALL_CFLAGS := $(filter-out -pthread -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=%,$(CFLAGS)) -fPIE -ffunction-sections
# musl-gcc knows no -static-pie: its parts by name.
SMALL_LDFLAGS := -static -nostartfiles -Wl,-pie,--no-dynamic-linker,-z,text,-z,relro,-z,now,-z,noseparate-code,--gc-sections
small_objects = $(foreach l,$(sort $(foreach k,$(1),$(call closure,$(k)))), \
	$(patsubst %.c,$(B)/small/$(l)/%.o,$(filter-out $($(l)_GLIBC_SRCS),$($(l)_SRCS))))

# $(1) objects, $(2) output
define small_program
$(2): $(1)
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	@musl-gcc $$(SMALL_LDFLAGS) -o $$@ $$(MUSL_START) $$^
ALL_OBJS += $(1)
endef

ALL_OBJS :=
$(foreach l,$(LIBS),$(eval $(call library,$(l))))
BINS := $(foreach p,$(PROGS),$(B)/bin/$(notdir $(p)))
SMALL_PROGS := $(if $(SMALL),$(foreach p,$(PROGS),$(if $($(p)_SMALL),$(p))))
$(foreach p,$(filter-out $(SMALL_PROGS),$(PROGS)),$(eval $(call program,$(p),$(patsubst %.c,$(B)/$(dir $(p))%.o,$($(p)_SRCS)),$($(p)_DEPS),$(B)/bin/$(notdir $(p)),$($(p)_LDLIBS))))
$(foreach p,$(SMALL_PROGS),$(eval $(call small_program,$(patsubst %.c,$(B)/small/$(dir $(p))%.o,$($(p)_SRCS)) $(call small_objects,$($(p)_DEPS)),$(B)/bin/$(notdir $(p)))))

UNIT_BINS :=
define unit_tests
$(foreach s,$(sort $(wildcard t/unit/$(1)/test_*.c)),$(eval UNIT_BINS += $(B)/$(s:.c=))$(eval $(call program,$(s),$(B)/$(s:.c=.o),$(1) $($(1)_TEST_DEPS),$(B)/$(s:.c=),-lcheck -lsubunit -lrt -lm)))
endef
$(foreach t,$(TESTS),$(eval $(call unit_tests,$(t))))

# A fuzz target is t/fuzz/fuzz_NAME.c with FUZZERS += NAME and fuzz_NAME_DEPS. In the fuzz variant it
# is linked with libFuzzer, in the others with a driver that replays its corpus: make check does.
FUZZ_BINS :=
define fuzzer
FUZZ_BINS += $(B)/t/fuzz/$(1)
$(call program,fuzz_$(1),$(B)/t/fuzz/fuzz_$(1).o $(if $(filter-out fuzz,$(V)),$(B)/t/fuzz/replay.o),$(fuzz_$(1)_DEPS),$(B)/t/fuzz/$(1),$(if $(filter fuzz,$(V)),-fsanitize=fuzzer))
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzzer,$(f))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $($(patsubst %/,%,$(dir $*))_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/small/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $< (small)"
	@musl-gcc $(CPPFLAGS) $(SMALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(ALL_OBJS:.o=.d)

.PHONY: all clean units
all: $(BINS)
units: $(UNIT_BINS)
fuzzers: $(FUZZ_BINS)
clean:
	rm -rf $(BUILD)

# The targets that do more than build stand beside what they run.
include $(wildcard t/make/*.mk)
