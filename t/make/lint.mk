# SPDX-License-Identifier: ISC
# make lint: clang-tidy over all of it, after what make check does at once: layering, headers alone.
SOURCES := $(shell find libcommon smtpd qmgr deliver logd ctl t -name '*.[ch]' 2>/dev/null | sort)
.PHONY: lint check-lint format compdb headers
check-lint: headers
	@perl t/lint/layers.pl
	@perl t/lint/house.pl
lint: check-lint
	@clang-tidy --quiet $(filter %.c,$(SOURCES)) -- $(CPPFLAGS) -std=c17 2>/dev/null
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
