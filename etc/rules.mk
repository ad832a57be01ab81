# SPDX-License-Identifier: ISC
MAN += $(B)/man/angarium.conf.5
$(B)/man/angarium.conf.5: etc/angarium.conf.5.in $(B)/bin/confman
	@mkdir -p $(@D)
	@echo "  MAN   $@"
	@$(B)/bin/confman <$< >$@.new && mv $@.new $@
