# SPDX-License-Identifier: ISC
# make up, make down: see etc/up/.
.PHONY: up down deps-build deps-check
deps-build:
	@sh t/tool/deps.sh build
deps-check:
	@sh t/tool/deps.sh check
up: deps-build
	@$(MAKE) -s V=release all
	@$(SUDO) sh etc/up/up.sh $(BUILD)/release/bin $(BUILD)/up
down:
	@$(SUDO) sh etc/up/down.sh $(BUILD)/up
