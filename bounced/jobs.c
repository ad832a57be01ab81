/* SPDX-License-Identifier: ISC */
#include "bounced/jobs.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "bounced/letter.h"
#include "io/offload.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	TICK_MS = 1000,
	LATER_MS = 1000,	/* no segment to write to, no room */
	LATER_FAILED_MS = 5000, /* the disk did not take it */
	/* what was handed over cannot be read: hardly better the next time */
	LATER_BAD_MS = 600 * 1000,
	IN_MEMORY_BYTES = 64 << 20,
};

/* ---- the queue's side of what is written ---- */

static bool
ask_leases(void *arg, unsigned count)
{
	struct jobs *j = arg;

	return peer_send(j->qmgr, lease_want, .count = (uint8_t)count, .version = SPOOL_VERSION);
}

static bool
ring(void *arg, uint32_t segment, uint64_t durable)
{
	struct jobs *j = arg;

	return peer_send(j->qmgr, doorbell, .segment = segment, .durable = durable);
}

static bool
seal(void *arg, uint32_t segment, uint64_t end)
{
	struct jobs *j = arg;

	return peer_send(j->qmgr, seal, .segment = segment, .end = end);
}

static void
submit_job(void *arg, struct job *job)
{
	struct jobs *j = arg;

	offload_submit(j->threads, job);
}

static const struct writer_ops writer_ops = {
	.want = ask_leases, .ring = ring, .seal = seal, .submit = submit_job
};

/* ---- notices ---- */

/* One whose letter is on its way to the disk. */
struct pending {
	struct jobs *j;
	uint64_t of;
	uint8_t kind;
	uint32_t nrcpt, number;
	char *name, *address;
};

static void
later(struct jobs *j, uint64_t id, uint8_t kind, uint32_t retry_ms, const char *why)
{
	j->later++;
	peer_send(j->qmgr, notice_later, .id = id, .kind = kind, .retry_ms = retry_ms,
	    .text = slice_z(why));
}

static const char *
kind_word(uint8_t kind)
{
	return kind == SPOOL_NOTICE_FAILED    ? "failed"
	       : kind == SPOOL_NOTICE_DELAYED ? "delayed"
					      : "delivered";
}

static void
tell_notice(const struct pending *p, const struct letter *l)
{
	log_begin(LOG_NOTICE);
	log_id(l->id);
	log_u64(LOGK_OF, p->of);
	log_z(LOGK_KIND, kind_word(p->kind));
	log_z(LOGK_TO, p->address);
	log_u64(LOGK_NRCPT, p->nrcpt);
	log_u64(LOGK_SIZE, l->content.n);
	if (l->msgid.n > 0)
		log_str(LOGK_MSGID, l->msgid);
	if (p->number != 0) {
		log_u64(LOGK_BCLASS, p->number);
		log_z(LOGK_BNAME, p->name);
	}
	log_end();
}

static void
written(struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	struct pending *p = l->arg;

	(void)proof;
	switch (fate) {
	case LETTER_DURABLE: /* the bell is rung; its filing settles what was owed */
		p->j->notices++;
		tell_notice(p, l);
		break;
	case LETTER_TROUBLE:
		later(p->j, p->of, p->kind, LATER_FAILED_MS, "it could not be written");
		break;
	case LETTER_NO_SPACE:
		later(p->j, p->of, p->kind, LATER_FAILED_MS, "there is no space for it");
		break;
	}
	free(p->name);
	free(p->address);
	free(p);
}

int
jobs_read_sealed(int fd, uint32_t size, struct buf *out)
{
	const int wanted = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted)
		return -EPERM;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (size > NOTICE_MAX_BYTES || st.st_size != (off_t)size)
		return -EMSGSIZE;
	while (out->n < size) {
		ssize_t n = pread(fd, buf_room(out, size - out->n), size - out->n, (off_t)out->n);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		out->n += (size_t)n;
	}
	return 0;
}

static int
zone_min(uint64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	return localtime_r(&t, &tm) == NULL ? 0 : (int)(tm.tm_gmtoff / 60);
}

/* NULL: its letter was handed to the writer. */
static const char *
write_notice(struct jobs *j, const struct notice *n)
{
	uint64_t wall = clock_wall_ms();
	struct letter_now now = { .wall_ms = wall,
		.zone_min = zone_min(wall),
		.generation = j->conf->generation,
		.unique = (uint64_t)arc4random() << 32 | arc4random() };
	struct letter *l = letter_new(&j->intake);
	struct pending *p;
	struct verdict v = { 0 };

	if (!intake_charge(l, n->rcpts.n * 4 + n->head.n + n->body.n + 4096)) {
		letter_free(l);
		return "too much is being written";
	}
	now.id = writer_next_id(j->writer, wall);
	if (now.id == 0) {
		letter_free(l);
		return "there is no segment to write to";
	}
	if (!letter_make(l, n, &j->rules, &now, &v)) {
		letter_free(l);
		return "its envelope would be too large";
	}
	p = xcalloc(1, sizeof *p);
	*p = (struct pending){ .j = j,
		.of = n->id,
		.kind = n->kind,
		.nrcpt = n->nrcpt,
		.number = v.number,
		.name = slice_dup(slice_z(v.name == NULL ? "" : v.name)),
		.address = slice_dup(n->to) };
	l->done = written;
	l->arg = p;
	writer_submit(j->writer, l);
	return NULL;
}

static bool
on_notice(struct jobs *j, struct ipc_in *in)
{
	struct buf bytes = { 0 };
	struct msg_notice m;
	struct notice n;
	const char *why = "";
	int fd, error;

	if (!msg_notice_get(in->payload, &m) || (fd = ipc_take_fd(in)) < 0)
		return false;
	error = jobs_read_sealed(fd, m.size, &bytes);
	close(fd);
	if (error == -EPERM || error == -EMSGSIZE) {
		buf_fini(&bytes);
		return false; /* qmgr would not: cut it off */
	}
	if (error != 0) {
		later(j, m.id, m.kind, LATER_FAILED_MS, "it could not be read");
	} else if (!notice_get(slice_buf(&bytes), &n, &why) || n.id != m.id || n.kind != m.kind) {
		j->refused++;
		log_trouble(
		    0, "a notice cannot be read: %s", why == NULL ? "of another message" : why);
		later(j, m.id, m.kind, LATER_BAD_MS, "it makes no sense");
	} else if ((why = write_notice(j, &n)) != NULL) {
		later(j, m.id, m.kind, LATER_MS, why);
	}
	buf_fini(&bytes);
	return true;
}

/* ---- replies without a notice ---- */

static bool
on_reply(struct jobs *j, const struct msg_reply *m)
{
	struct notice_rcpt r = { .number = m->rcpt,
		.action = m->action,
		.address = m->to,
		.code = m->code,
		.enh_class = m->enh_class,
		.enh_subject = m->enh_subject,
		.enh_detail = m->enh_detail,
		.reply = m->text,
		.host = m->host };
	struct verdict v;

	if (notice_action_word(m->action) == NULL || m->code > 999)
		return false;
	letter_classify(&j->rules, &r, &v);
	letter_tell(m->id, &r, &v);
	j->replies++;
	return true;
}

/* ---- the link ---- */

static bool
on_lease(struct jobs *j, struct ipc_in *in)
{
	struct msg_lease m;
	int fd = ipc_take_fd(in);

	if (msg_lease_get(in->payload, &m) && writer_lease(j->writer, &m, fd, CLASS_BOUNCED))
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

static bool
on_lease_none(struct jobs *j, const struct msg_lease_none *m)
{
	writer_refused(j->writer);
	timer_set(j->lease_retry, m->retry_ms < 100 ? 100 : m->retry_ms);
	return true;
}

static bool
from_qmgr(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct jobs *j = peer_arg(p);
	struct msg_filed filed;
	struct msg_sealed sealed;
	struct msg_lease_none none;
	struct msg_reply reply;

	(void)row;
	switch (in->type) {
	case MSG_NOTICE:
		return on_notice(j, in);
	case MSG_REPLY:
		return msg_reply_get(in->payload, &reply) && on_reply(j, &reply);
	case MSG_LEASE:
		return on_lease(j, in);
	case MSG_FILED:
		return msg_filed_get(in->payload, &filed) && writer_filed(j->writer, &filed);
	case MSG_SEALED:
		return msg_sealed_get(in->payload, &sealed) && writer_sealed(j->writer, &sealed);
	case MSG_LEASE_NONE:
		return msg_lease_none_get(in->payload, &none) && on_lease_none(j, &none);
	}
	return false;
}

static void
up(struct peer *p)
{
	struct jobs *j = peer_arg(p);

	writer_up(j->writer);
}

static void
down(struct peer *p)
{
	struct jobs *j = peer_arg(p);

	writer_down(j->writer);
	timer_stop(j->lease_retry);
}

static const struct peer_ops qmgr_ops = { .in = from_qmgr, .up = up, .down = down };

static void
lease_retry(void *arg)
{
	struct jobs *j = arg;

	if (peer_is_up(j->qmgr))
		writer_up(j->writer);
}

static void
on_tick(void *arg)
{
	struct jobs *j = arg;

	writer_tick(j->writer);
	timer_set(j->tick, TICK_MS);
}

static void
on_turn_end(void *arg)
{
	struct jobs *j = arg;

	writer_turn(j->writer);
}

static void
nobody_waits(void *arg)
{
	(void)arg;
}

static void
load_rules(struct jobs *j)
{
	if (classifier_load(&j->rules, j->conf->bounce_rules))
		return;
	log_begin(LOG_RELOAD_FAILED);
	log_str(LOGK_ERROR, slice_buf(&j->rules.error));
	log_end();
}

void
jobs_reload(struct jobs *j, const struct conf *conf)
{
	j->conf = conf;
	load_rules(j);
}

void
jobs_start(struct jobs *j, struct loop *loop, const struct conf *conf, int dirfd, uid_t qmgr_uid)
{
	*j = (struct jobs){ .loop = loop, .conf = conf };
	classifier_init(&j->rules, dirfd, conf->bounce_rules);
	load_rules(j);
	j->threads = offload_new(loop, 1);
	j->writer = writer_new(&writer_io_system, &writer_ops, j);
	intake_init(&j->intake, IN_MEMORY_BYTES, nobody_waits, j);
	j->tick = timer_new(loop, on_tick, j);
	j->lease_retry = timer_new(loop, lease_retry, j);
	timer_set(j->tick, TICK_MS);
	loop_at_turn_end(loop, TURN_DAEMON, on_turn_end, j);
	j->qmgr = peer_dial(loop, SERVICE_QMGR, qmgr_uid, &qmgr_ops, j);
}

void
jobs_stop(struct jobs *j)
{
	offload_free(j->threads);
	writer_free(j->writer);
	classifier_fini(&j->rules);
}
