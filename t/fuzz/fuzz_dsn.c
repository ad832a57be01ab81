/* SPDX-License-Identifier: ISC */
/*
 * Status notifications. First byte, its low two bits:
 *	0	a message, read as a report; what was read is written again and must be read alike
 *	1	what qmgr hands over: it becomes a letter, which must be well formed and read alike
 *	2	a reply, held against the rules that are installed
 *	3	a rule file; if it is taken, a reply is held against it
 */
#include "bounced/letter.h"
#include "base/log.h"
#include "mail/dsn.h"
#include "mail/header.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_MOST = 998 };

static struct classifier installed, few;
static struct intake intake;

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

static void
nobody(void *arg)
{
	(void)arg;
}

static void
prepare(void)
{
	static bool ready;
	static const char some[] =
	    "class 200 own soft\n200 host=b.example /x/\n10 code=550 /user (?:unknown|not found)/\n"
	    "22 status=?.2.2\n20 code=4??\n";
	struct buf err = { 0 };
	struct rules *r = NULL;

	if (ready)
		return;
	ready = true;
	log_open(SERVICE_BOUNCED);
	intake_init(&intake, 64 << 20, nobody, NULL);
	classifier_init(&few, -1, "few");
	demand(rules_parse(slice_z(some), "few", &r, &err) == 0);
	rules_free(few.rules);
	few.rules = r;
	classifier_init(
	    &installed, open("etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "bounce.rules");
	if (installed.dirfd >= 0)
		demand(classifier_load(&installed, "bounce.rules"));
}

/* Lines in CRLF, no longer than may be sent. */
static void
check_lines(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		demand(s.p[i] != '\n' && s.p[i] != '\0');
		if (s.p[i] != '\r')
			continue;
		demand(i + 1 < s.n && s.p[i + 1] == '\n' && line <= LINE_MOST);
		i++;
		line = SIZE_MAX;
	}
	demand(line == 0);
}

/* A report of ours: one header section, all recipients found again in what is said of them. */
static void
check_report(struct slice text, size_t head_bytes, size_t nrcpt)
{
	struct header_summary head;
	struct arena a = { 0 };
	struct dsn d;

	check_lines(text);
	header_scan(text, 0, &head);
	demand(head.ended && head.bytes == head_bytes);
	demand(dsn_read(text, &a, &d));
	demand(d.nrcpt == nrcpt);
	arena_fini(&a);
}

static void
foreign_report(struct slice in)
{
	struct arena a = { 0 };
	struct buf out = { 0 };
	struct dsn_made made;
	struct dsn d;

	if (dsn_read(in, &a, &d)) {
		const struct dsn_facts f = { .kind = in.n % 3,
			.utf8 = in.n & 1,
			.cut = in.n & 2,
			.to = d.rcpts[0].final,
			.host = d.reporting_mta,
			.envid = d.envid,
			.sender = d.rcpts[0].original,
			.id = SLICE_LIT("ID"),
			.message_id = SLICE_LIT("<1@x>"),
			.references = SLICE_LIT("<2@x>"),
			.boundary = SLICE_LIT("9KC04ZM.xK6"),
			.date = SLICE_LIT("Thu, 1 Jan 1970 00:00:00 +0000"),
			.rcpts = d.rcpts,
			.nrcpt = d.nrcpt,
			.head = SLICE_LIT("Subject: x\r\n"),
			.body = slice_head(d.returned, in.n % 512) };

		demand(d.nrcpt <= DSN_RCPTS_MAX);
		dsn_print(&out, &f, &made);
		check_report(slice_buf(&out), made.head_bytes, d.nrcpt);
	}
	buf_fini(&out);
	arena_fini(&a);
}

static void
handed_over(struct slice in)
{
	const struct letter_now now = { .id = UINT64_C(0x70f1a2b3c4d5e6),
		.wall_ms = UINT64_C(1700000000000),
		.unique = 7,
		.zone_min = -90,
		.generation = 3 };
	struct letter *l;
	struct verdict v;
	struct notice n;
	const char *why;

	if (!notice_get(in, &n, &why)) {
		demand(why != NULL);
		return;
	}
	l = letter_new(&intake);
	if (letter_make(l, &n, &few, &now, &v)) {
		check_report(slice_buf(&l->content), l->head_bytes, n.nrcpt);
		demand(l->nrcpt == 1 && l->envelope.n > 0 && l->envelope.n <= RECORD_ENV_MAX);
	}
	letter_free(l);
}

static void
reply(const struct classifier *c, struct slice in)
{
	struct reply r = {
		.text = in, .host = slice_head(in, 20), .domain = SLICE_LIT("d.example")
	};
	struct verdict v;

	reply_complete(&r);
	demand(r.text.n <= in.n && r.code < 600 &&
	       (r.enh[0] == 0 || r.enh[0] == 2 || r.enh[0] == 4 || r.enh[0] == 5));
	rules_classify(c->rules, &r, &v);
	demand(v.number > 0 && v.name[0] != '\0' && v.group[0] != '\0');
}

static void
rule_file(struct slice in)
{
	struct classifier c = { 0 };
	struct buf err = { 0 };

	if (rules_parse(in, "fuzz", &c.rules, &err) == 0) {
		reply(&c, SLICE_LIT("550 5.1.1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: "
				    "user unknown"));
		rules_free(c.rules);
	} else {
		demand(err.n > 0 && memchr(err.p, '\n', err.n) == NULL);
	}
	buf_fini(&err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact; /* so that a byte beyond is seen */
	struct slice in;

	if (size < 1)
		return 0;
	prepare();
	exact = malloc(size);
	if (size > 1)
		memcpy(exact, data + 1, size - 1);
	in = slice_of(exact, size - 1);
	switch (data[0] & 3) {
	case 0:
		foreign_report(in);
		break;
	case 1:
		handed_over(in);
		break;
	case 2:
		reply(&installed, in);
		break;
	case 3:
		rule_file(in);
		break;
	}
	log_sent(log_pending(&(uint64_t){ 0 }).n, 0);
	free(exact);
	return 0;
}
