/* SPDX-License-Identifier: ISC */
/*
 * The whole session machine, with a router and a disk made up, and a referee at the client's end.
 *
 * First byte: class, order of answers, commits that fail, no room on the disk, what happens at the
 * end, and whether router and disk answer at once. Then the client's bytes, cut into packets by
 * 0xff. Behind it a byte of 128 or more is an act: what router, disk, clock and the client's window
 * do now (the low three bits; the next four say how). Other bytes are the client's again.
 *
 * The referee reads nothing but replies, and holds that
 *	each line is well formed and short enough, the lines of a reply have one code;
 *	354 is followed by one reply, and 250 to a message stands nowhere else;
 *	no 354 makes two messages, and no message is told to be queued that the disk did not prove;
 *	what the disk did prove is told, unless the session ended meanwhile;
 *	nothing is left unanswered when router and disk have answered;
 *	what is stored is what a reader of the spool takes, clean, and for nobody whom router
 *	refused.
 */
#include "t/unit/smtpd/fake.h"

#include "spool/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLY_MAX = 512, SMALL_ROOM = 2048, ACT = 128 };

static struct referee {
	unsigned go_aheads, submits, proofs, queued, lost;
	bool awaits_end; /* 354 was said */
	bool last;	 /* 421: nothing comes behind it */
	bool odd;	 /* router has said what it never says */
	unsigned code;	 /* of the reply under way, 0: none */
} ref;

static bool
is_number(struct slice s)
{
	return s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '5' && s.p[1] >= '0' && s.p[1] <= '9' &&
	       s.p[2] >= '0' && s.p[2] <= '9';
}

/* One line, with its CRLF. */
static void
judge_line(struct slice line)
{
	unsigned code;

	assert(line.n >= 5 && line.n <= REPLY_MAX && line.p[line.n - 2] == '\r' && is_number(line));
	for (size_t i = 0; i + 2 < line.n; i++)
		assert(line.p[i] >= ' ' && line.p[i] < 127);
	code = (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 +
	       (unsigned)(line.p[2] - '0');
	assert(line.n == 5 || line.p[3] == ' ' || line.p[3] == '-');
	assert(ref.code == 0 || ref.code == code);
	assert(!ref.last);
	ref.code = code;
	if (line.n > 5 && line.p[3] == '-')
		return;
	ref.code = 0;
	ref.last = code == 421;
	if (slice_istarts(line, "250 2.0.0 Queued")) {
		assert(ref.awaits_end);
		ref.queued++;
	} else
		assert(!ref.awaits_end || code >= 400);
	ref.awaits_end = code == 354;
	ref.go_aheads += code == 354;
}

static void
judge(struct fake *f)
{
	struct slice out = slice_buf(&f->out), line;

	while (out.n > 0 && slice_next(&out, '\n', &line))
		judge_line(slice_of(line.p, line.n + 1));
	buf_reset(&f->out);
	assert(ref.submits <= ref.go_aheads);
	assert(ref.queued <= ref.proofs && ref.queued + ref.lost >= ref.proofs);
}

static void
submit(void *arg, struct letter *l)
{
	ref.submits++;
	fake_submit(arg, l);
}

/* The disk has done with the oldest letter. */
static void
commit(struct fake *f)
{
	if (f->fate == LETTER_DURABLE) {
		ref.proofs++;
		ref.lost += f->letters->done == NULL;
	}
	fake_commit(f);
}

/* What is stored must be what a reader of the spool takes, and clean. */
static void
check(const struct fake *f)
{
	struct slice content = slice_buf(&f->content);
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct envelope e;
	const char *why;
	uint32_t nrcpt;

	if (f->committed == 0)
		return;
	assert(envelope_check(slice_buf(&f->envelope), &nrcpt, &why) == 0 && nrcpt == f->nrcpt);
	assert(!(body_look(content) & BODY_MALFORMED));
	assert(f->head_bytes <= content.n &&
	       (content.n == 0 || (content.n >= 2 && content.p[content.n - 1] == '\n')));
	assert(envelope_message(slice_buf(&f->envelope), &e) == 0);
	envelope_rcpts(&e, &it);
	while (!ref.odd && envelope_rcpt_next(&it, &r) > 0)
		assert(!slice_istarts(r.recipient, "nobody@") &&
		       !slice_iends(r.recipient, SLICE_LIT("@refused.example")));
}

/* What router must not say, and might. */
static void
answer_oddly(struct rcpt *r, unsigned how)
{
	struct msg_route m = { .action = (uint8_t)(how & 7),
		.code = how & 8 ? 250 : 0,
		.enh_class = (uint8_t)how,
		.text = SLICE_LIT("one\r\n250 two \x80\0three"),
		.route = SLICE_LIT("route"),
		.seal = SLICE_LIT("short") };

	ref.odd = true;
	session_answered(r->session, r, how == 15 ? NULL : &m);
}

static void
answer_some(struct fake *f, unsigned n)
{
	struct rcpt *r;

	while (n-- > 0 && (r = fake_next_question(f, false)) != NULL)
		fake_answer(r);
}

/* A letter of another session is in memory, or not any more. */
static void
crowd_memory(struct fake *f, struct letter **other)
{
	if (*other == NULL) {
		*other = letter_new(&f->intake);
		intake_charge(*other, SMALL_ROOM);
		return;
	}
	letter_free(*other);
	*other = NULL;
	intake_wake(&f->intake);
}

static void
act(struct fake *f, uint8_t what, struct letter **other)
{
	unsigned how = what >> 3 & 15;
	struct rcpt *r;

	switch (what & 7) {
	case 0:
		f->room = how & 1 ? WRITER_NO_SPACE : how & 2 ? WRITER_NO_LEASE : WRITER_ROOM;
		f->no_id = how & 4;
		break;
	case 1:
		answer_some(f, 1 + how);
		break;
	case 2:
		f->answer_last_first = how & 1;
		if ((r = fake_next_question(f, true)) != NULL)
			answer_oddly(r, how);
		break;
	case 3:
		f->fate = how < 8 ? LETTER_DURABLE : how < 12 ? LETTER_TROUBLE : LETTER_NO_SPACE;
		if (f->letters != NULL)
			commit(f);
		break;
	case 4:
		if (f->session != NULL && f->deadline_ms != 0)
			session_expired(f->session);
		break;
	case 5:
		if (f->session != NULL)
			session_finish(f->session);
		break;
	case 6:
		crowd_memory(f, other);
		break;
	case 7:
		judge(f);
		if (f->session != NULL && !f->paused)
			session_run(f->session);
		break;
	}
	judge(f);
	check(f);
}

static void
settle(struct fake *f)
{
	while (f->nasked > 0 || f->letters != NULL) {
		struct rcpt *r = fake_next_question(f, true);

		if (r != NULL)
			fake_answer(r);
		else if (f->letters != NULL)
			commit(f);
	}
	judge(f);
	check(f);
}

static void
hear(struct fake *f, struct slice bytes, bool at_once)
{
	if (f->session == NULL)
		return;
	buf_drop(&f->in, f->in_taken);
	f->in_taken = 0;
	buf_slice(&f->in, bytes);
	if (!f->paused)
		session_run(f->session);
	if (at_once)
		settle(f);
	judge(f);
}

static void
play(struct fake *f, struct slice in, bool at_once, struct letter **other)
{
	while (in.n > 0 && f->session != NULL) {
		ptrdiff_t cut = slice_find(in, '\xff');
		size_t n = cut < 0 ? in.n : (size_t)cut;

		hear(f, slice_head(in, n), at_once);
		in = slice_from(in, cut < 0 ? n : n + 1);
		if (cut >= 0 && in.n > 0 && (uint8_t)in.p[0] >= ACT) {
			act(f, (uint8_t)in.p[0], other);
			in = slice_from(in, 1);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf *conf;
	static struct fake f;
	struct letter *other = NULL;
	unsigned how;

	if (size == 0)
		return 0;
	how = data[0];
	if (conf == NULL)
		conf = fake_conf("message_size_limit = 64K\nerrors_max = 100\n");
	ref = (struct referee){ 0 };
	fake_init_conf(&f, how & 1 ? CLASS_LOCAL : CLASS_MX, conf_ref(conf));
	f.world.submit = submit;
	f.intake.limit_bytes = SMALL_ROOM;
	f.answer_last_first = how & 2;
	f.fate = how & 4 ? LETTER_TROUBLE : LETTER_DURABLE;
	f.room = how & 8 ? WRITER_NO_SPACE : WRITER_ROOM;
	play(&f, slice_of(data + 1, size - 1), !(how & 64), &other);
	if (how & 16 && f.session != NULL)
		session_finish(f.session);
	if (how & 32 && f.session != NULL && f.deadline_ms != 0)
		session_expired(f.session);
	if (other != NULL)
		crowd_memory(&f, &other);
	settle(&f);
	assert(f.session == NULL || f.session->nheld == 0);
	log_sent(log_pending(&(uint64_t){ 0 }).n, 0);
	fake_fini(&f);
	return 0;
}
