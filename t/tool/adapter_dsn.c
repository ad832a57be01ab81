/* SPDX-License-Identifier: ISC */
/*
 * adapter_dsn [-t] FILE: a row a recipient of the delivery status notification: final recipient,
 * original recipient, action, status, remote MTA, diagnostic code. Nothing: it is none. -t: with
 * types, and all that stands in Status. adapter_dsn -b RULES FILE: recipient, status, reply code,
 * class, hard or soft, of those that failed.
 */
#include "bounced/classify.h"
#include "mail/dsn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
load(const char *file, struct buf *out)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		n = read(fd, buf_room(out, 65536), 65536);
		if (n > 0)
			out->n += (size_t)n;
	}
	if (fd < 0 || n < 0) {
		perror(file);
		exit(66);
	}
	close(fd);
}

static void
put(struct slice s, const char *end)
{
	for (size_t i = 0; i < s.n; i++)
		putchar(s.p[i] == '\t' || s.p[i] == '\n' ? ' ' : s.p[i]);
	fputs(end, stdout);
}

static void
put_typed(struct slice type, const char *between, struct slice s, const char *end)
{
	if (type.n > 0)
		put(type, between);
	put(s, end);
}

static void
print_typed(const struct dsn_rcpt *r)
{
	put_typed(r->final_type, ";", r->final, "\t");
	put_typed(r->original_type, ";", r->original, "\t");
	put(r->action, "\t");
	put(r->status_text, "\t");
	put_typed(r->remote_type, "; ", r->remote_mta, "\t");
	put_typed(r->diagnostic_type, "; ", r->diagnostic, "\n");
}

static void
print_row(const struct dsn_rcpt *r)
{
	put(r->final, "\t");
	put(r->original, "\t");
	put(r->action, "\t");
	put(r->status, "\t");
	put(r->remote_mta, "\t");
	put(r->diagnostic, "\n");
}

static void
print_bounce(struct classifier *c, const struct dsn_rcpt *r)
{
	struct reply reply = { .text = r->diagnostic }, status = { .text = r->status };
	struct verdict v;
	char code[8] = "";

	if (r->action.n > 0 && !slice_iis(r->action, "failed"))
		return;
	reply_complete(&reply);
	reply_complete(&status);
	if (reply.enh[0] == 0)
		memcpy(reply.enh, status.enh, sizeof reply.enh);
	classifier_ask(c, &reply, &v);
	if (reply.code != 0)
		snprintf(code, sizeof code, "%u", reply.code);
	put(r->final.n > 0 ? r->final : r->original, "\t");
	put(r->status, "\t");
	printf("%s\t%s\t%s\n", code, v.name, strcmp(v.group, "hard") == 0 ? "hard" : "soft");
}

int
main(int argc, char *argv[])
{
	bool bounces = argc == 4 && strcmp(argv[1], "-b") == 0,
	     typed = argc == 3 && strcmp(argv[1], "-t") == 0;
	struct classifier c = { 0 };
	struct arena a = { 0 };
	struct buf mail = { 0 };
	struct dsn d;

	if (!bounces && !typed && argc != 2) {
		fprintf(stderr, "usage: adapter_dsn [-t | -b RULES] FILE\n");
		return 64;
	}
	load(argv[argc - 1], &mail);
	if (bounces) {
		char *dir = slice_dup(slice_z(argv[2])), *slash = strrchr(dir, '/');

		if (slash != NULL)
			*slash = '\0';
		classifier_init(&c,
		    open(slash == NULL ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), argv[2]);
		free(dir);
		if (!classifier_load(&c, argv[2])) {
			fprintf(stderr, "%.*s\n", SLICE_ARG(slice_buf(&c.error)));
			return 65;
		}
	}
	if (dsn_read(slice_buf(&mail), &a, &d))
		for (size_t i = 0; i < d.nrcpt; i++) {
			if (bounces)
				print_bounce(&c, &d.rcpts[i]);
			else
				(typed ? print_typed : print_row)(&d.rcpts[i]);
		}
	if (bounces)
		classifier_fini(&c);
	arena_fini(&a);
	buf_fini(&mail);
	return 0;
}
