# SPDX-License-Identifier: ISC
# make install DESTDIR= PREFIX=: the release build. Makes no users and starts nothing.
LIBEXECDIR := $(PREFIX)/lib/angarium
DAEMONS := smtpd qmgr router deliver logd

.PHONY: install install-files manuals
manuals: $(MAN)
install:
	@$(MAKE) -s V=release install-files
install-files: all manuals
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(LIBEXECDIR) \
		$(DESTDIR)/etc/angarium
	install -m 0755 $(addprefix $(B)/bin/,$(DAEMONS)) $(DESTDIR)$(LIBEXECDIR)
	install -m 0755 $(B)/bin/angctl $(B)/bin/sendmail $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../sbin/sendmail $(DESTDIR)$(PREFIX)/lib/sendmail
	ln -sf ../sbin/sendmail $(DESTDIR)$(PREFIX)/bin/mailq
	rm -f $(DESTDIR)$(PREFIX)/bin/newaliases
	install -m 0755 $(B)/bin/newaliases $(DESTDIR)$(PREFIX)/bin
	for n in send-mail rmail hoststat purgestat runq; do ln -sf sendmail $(DESTDIR)$(PREFIX)/sbin/$$n || exit 1; done
	install -m 0644 etc/angarium.conf.sample $(DESTDIR)/etc/angarium/angarium.conf.sample
	for m in $(MAN); do \
		s=$${m##*.}; install -d $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; \
		install -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; done
