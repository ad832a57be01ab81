# SPDX-License-Identifier: ISC
# make lint: clang-tidy over all of it, after what make check does at once: layering, headers alone.
SCRIPTS := $(shell find etc t -name '*.sh' | sort) $(wildcard $(addprefix etc/,s6/run s6/finish s6/log/run \
	runit/run runit/finish runit/check runit/log/run))
SOURCES := $(shell find libcommon smtpd qmgr deliver dnscache bounced logd ctl t -name '*.[ch]' 2>/dev/null | sort)
# What clang-tidy finds goes to its standard output, and fails; to the other only how much it passed over.
TIDY_FLAGS = $(CPPFLAGS) $(t/crash_CFLAGS) -std=c17
.PHONY: lint check-lint format compdb headers
check-lint: headers
	@perl t/lint/layers.pl
	@perl t/lint/house.pl
	@shellcheck $(SCRIPTS)
lint: check-lint
	@printf '%s\n' $(filter %.c,$(SOURCES)) | xargs -P $(JOBS) -I{} \
		clang-tidy --quiet {} -- $(TIDY_FLAGS) 2>/dev/null
	@echo "lint: good"
headers:
	@mkdir -p $(BUILD)
	@for h in $(filter %.h,$(filter-out t/%,$(SOURCES))); do \
		printf '#include "%s"\n' "$$h" | $(CC) $(CPPFLAGS) -std=c17 -Wall -Werror -fsyntax-only -x c - || exit 1; \
	done; echo "headers: each compiles alone"
format:
	@clang-format -i $(SOURCES)
compdb:
	@$(MAKE) -s clean
	@bear --output compile_commands.json -- $(MAKE) -s all
