# SPDX-License-Identifier: ISC
# make install DESTDIR= PREFIX=: the release build. Makes no users and starts nothing; see the README for
# what follows. /etc/angarium/angarium.conf is written only where there is none.
#
# A new service needs its unit, etc/systemd/angarium-NAME.service, and its word here.
LIBEXECDIR := $(PREFIX)/lib/angarium
DAEMONS := $(filter logd router dnscache qmgr smtpd deliver local bounced,$(notdir $(PROGS)))
# What stands in /etc/angarium beside angarium.conf, and is replaced.
ETC_FILES := $(wildcard etc/bounce.rules)
UNIT_DIR := $(DESTDIR)$(PREFIX)/lib/systemd/system
SHARE := $(DESTDIR)$(PREFIX)/share/angarium
FILLED = sed -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' -e 's|@SBINDIR@|$(PREFIX)/sbin|g' -e "s|@SERVICE@|$$s|g"

.PHONY: install install-files install-programs install-services manuals
manuals: $(MAN)
install:
	@$(MAKE) -s V=release install-files
install-files: install-programs install-services
install-programs: all manuals
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(LIBEXECDIR) \
		$(DESTDIR)/etc/angarium
	install -m 0755 $(addprefix $(B)/bin/,$(DAEMONS)) $(DESTDIR)$(LIBEXECDIR)
	install -m 0755 $(B)/bin/angctl $(B)/bin/sendmail $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../sbin/sendmail $(DESTDIR)$(PREFIX)/lib/sendmail
	ln -sf ../sbin/sendmail $(DESTDIR)$(PREFIX)/bin/mailq
	rm -f $(DESTDIR)$(PREFIX)/bin/newaliases
	install -m 0755 $(B)/bin/newaliases $(DESTDIR)$(PREFIX)/bin
	for n in send-mail rmail hoststat purgestat runq; do ln -sf sendmail $(DESTDIR)$(PREFIX)/sbin/$$n || exit 1; done
	install -m 0644 etc/angarium.conf.sample $(ETC_FILES) $(DESTDIR)/etc/angarium
	[ -e $(DESTDIR)/etc/angarium/angarium.conf ] || \
		install -m 0644 etc/angarium.conf.sample $(DESTDIR)/etc/angarium/angarium.conf
	for m in $(MAN); do \
		s=$${m##*.}; install -d $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; \
		install -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; done

# systemd finds these below /usr and below /usr/local. Those of s6 and runit are copied by who uses them.
install-services:
	install -d $(UNIT_DIR)/angarium-.service.d $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m 0644 etc/systemd/*.target etc/systemd/*.socket $(UNIT_DIR)
	install -m 0644 etc/systemd/angarium-.service.d/*.conf $(UNIT_DIR)/angarium-.service.d
	install -m 0644 etc/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/angarium.conf
	install -m 0644 etc/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/angarium.conf
	set -e; for s in $(DAEMONS); do \
		$(FILLED) etc/systemd/angarium-$$s.service >$(UNIT_DIR)/angarium-$$s.service; \
		chmod 0644 $(UNIT_DIR)/angarium-$$s.service; \
		for f in etc/systemd/angarium-$$s.service.d/*.conf; do \
			[ ! -e $$f ] || install -D -m 0644 $$f $(UNIT_DIR)/$${f#etc/systemd/}; done; \
		for kind in s6 runit; do \
			d=$(SHARE)/$$kind/angarium-$$s; install -d $$d/log; \
			for f in run finish check log/run; do [ -e etc/$$kind/$$f ] || continue; \
				$(FILLED) etc/$$kind/$$f >$$d/$$f; chmod 0755 $$d/$$f; done; done; \
		install -m 0644 etc/s6/notification-fd $(SHARE)/s6/angarium-$$s; done
	[ ! -e etc/logrotate.conf ] || install -D -m 0644 etc/logrotate.conf $(DESTDIR)/etc/logrotate.d/angarium
