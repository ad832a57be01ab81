/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail.h"

#include "base/die.h"
#include "ctl/sendmail_caller.h"
#include "ctl/submit_message.h"
#include "ctl/submit_phrase.h"
#include "ctl/submit_smtp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -bs and -bv: the modes that speak with smtpd while the caller waits. */

enum { CONNECT_MS = 5000, READ_BYTES = 65536 };

/* stdin to the link's waiting bytes; at the end the server gets to know it. */
static void
hear_caller(struct submit_link *l, bool *open)
{
	char *to = buf_room(&l->out, READ_BYTES);
	ssize_t n = read(STDIN_FILENO, to, READ_BYTES);

	if (n > 0)
		l->out.n += (size_t)n;
	else if (n == 0 || errno != EINTR)
		*open = false;
}

static bool
tell_server(struct submit_link *l)
{
	ssize_t n =
	    send(l->fd, l->out.p + l->sent, l->out.n - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	l->sent += (size_t)n;
	if (l->sent == l->out.n) {
		l->sent = 0;
		buf_reset(&l->out);
	}
	return true;
}

/* False: the server has ended, or the caller no longer listens. */
static bool
tell_caller(int fd)
{
	static char bytes[READ_BYTES];
	ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), done = 0;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	while (done < n) {
		ssize_t w = write(STDOUT_FILENO, bytes + done, (size_t)(n - done));

		if (w < 0 && errno != EINTR)
			return false;
		done += w > 0 ? w : 0;
	}
	return true;
}

static void
relay(struct submit_link *l)
{
	bool open = true, told = false;

	for (;;) {
		bool waits = l->out.n > l->sent;
		struct pollfd p[2] = { { .fd = l->fd, .events = POLLIN },
			{ .fd = open && !waits ? STDIN_FILENO : -1, .events = POLLIN } };

		if (waits)
			p[0].events |= POLLOUT;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !tell_caller(l->fd))
			return;
		if ((p[0].revents & POLLOUT) && !tell_server(l))
			return;
		if (p[1].revents != 0)
			hear_caller(l, &open);
		if (!open && l->out.n == l->sent && !told) {
			shutdown(l->fd, SHUT_WR);
			told = true;
		}
	}
}

int
sendmail_smtp(const struct sendmail_places *at)
{
	struct submit_link l;

	if (submit_link_open(&l, at->submit, CONNECT_MS) < 0) {
		printf("421 4.3.2 Mail system is down\r\n");
		fflush(stdout);
		return EXIT_TEMP;
	}
	relay(&l);
	submit_link_close(&l);
	return 0;
}

/* "alice", where that word became alice@example.org. */
static struct slice
as_typed(const struct sendmail_options *o, struct slice rcpt)
{
	const char *at = memrchr(rcpt.p, '@', rcpt.n);

	for (int i = 0; at != NULL && i < o->n_words; i++)
		if (slice_is(slice_head(rcpt, (size_t)(at - rcpt.p)), o->words[i]))
			return slice_z(o->words[i]);
	return rcpt;
}

/* One line an address, in the words that callers of Sendmail look for. 0, 67 or 75. */
static int
verify_one(struct submit_link *l, struct slice sender, struct slice rcpt, struct slice typed)
{
	struct reply_in reply;
	const char *at = memrchr(rcpt.p, '@', rcpt.n);

	printf("%.*s... ", SLICE_ARG(typed));
	if (submit_smtp_verify(l, sender, rcpt, &reply) < 0) {
		printf("deferred: connection lost\n");
		return EXIT_TEMP;
	}
	if (reply.code < 300 && slice_istarts(reply.text, "local recipient")) {
		struct slice user = at == NULL ? rcpt : slice_head(rcpt, (size_t)(at - rcpt.p));

		printf("deliverable: mailer local, user %.*s\n", SLICE_ARG(user));
		return 0;
	}
	if (reply.code < 300 && !slice_istarts(reply.text, "unknown recipient")) {
		struct slice host = at == NULL ? SLICE_LIT("localhost")
					       : slice_from(rcpt, (size_t)(at + 1 - rcpt.p));

		printf("deliverable: mailer relay, host %.*s, user %.*s\n", SLICE_ARG(host),
		    SLICE_ARG(rcpt));
		return 0;
	}
	if (reply.code >= 300 && reply.code < 500) {
		printf("deferred: %u %.*s\n", reply.code, SLICE_ARG(reply.text));
		return EXIT_TEMP;
	}
	if (reply.code < 300 || (reply.enh[0] == 5 && reply.enh[1] == 1))
		printf("User unknown\n");
	else
		printf("undeliverable: %u %.*s\n", reply.code, SLICE_ARG(reply.text));
	return EXIT_NOUSER;
}

static int
verify_all(struct submit_link *l, const struct sendmail_options *o, const struct submit_message *m)
{
	int code = 0;

	for (size_t i = 0; i < m->n_bad; i++) {
		struct buf shown = { 0 };

		submit_phrase_show(&shown, m->bad[i]);
		printf("%.*s... User unknown\n", SLICE_ARG(slice_buf(&shown)));
		buf_fini(&shown);
		code = EXIT_NOUSER;
	}
	for (size_t i = 0; i < m->n_rcpt; i++) {
		int one = verify_one(l, m->sender, m->rcpt[i], as_typed(o, m->rcpt[i]));

		/* A refusal is worth more than a doubt about another. */
		if (one == EXIT_NOUSER || code == 0)
			code = one;
	}
	return code;
}

int
sendmail_verify(const struct sendmail_options *o, const struct sendmail_places *at)
{
	struct slice *words;
	struct submit_rules rules = { .sender_given = o->sender_given,
		.sender = slice_z(o->sender),
		.origin_sure = true,
		.n_words = (size_t)o->n_words };
	struct sendmail_caller caller;
	struct submit_server server;
	struct submit_message m;
	struct submit_link l;
	int err, code;

	if (o->n_words == 0) {
		complain("no address named");
		return EXIT_USAGE;
	}
	if ((err = submit_smtp_open(&l, &server, at->submit)) < 0) {
		complain("mail system is down: %s", strerror(-err));
		return EXIT_TEMP;
	}
	sendmail_caller_look(&caller, NULL);
	if (server.origin.n == 0)
		sendmail_caller_origin(&server.origin);
	words = xcalloc(rules.n_words, sizeof *words);
	for (size_t i = 0; i < rules.n_words; i++)
		words[i] = slice_z(o->words[i]);
	rules.words = words;
	rules.origin = slice_buf(&server.origin);
	rules.login = slice_buf(&caller.login);
	submit_message_operands(&rules, &m);
	code = verify_all(&l, o, &m);
	submit_message_fini(&m);
	free(words);
	sendmail_caller_fini(&caller);
	submit_smtp_quit(&l);
	submit_server_fini(&server);
	return code;
}
