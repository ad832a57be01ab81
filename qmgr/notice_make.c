/* SPDX-License-Identifier: ISC */
#include "qmgr/notice_make.h"

#include "base/clock.h"
#include "bounce/notice.h"
#include "qmgr/address.h"
#include "qmgr/state.h"
#include "spool/content.h"
#include "spool/large.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REPLY_BYTES = 1000 };

/* To another host; else it ends here, in a mailbox or a socket. */
static bool
goes_out(struct qmgr *q, const struct recipient *r)
{
	const struct queue *queue = queue_at(&q->queues, r->queue);

	return queue != NULL && queue->defined && slice_is(queue->route.transport, "smtp");
}

static uint8_t
action_of(struct qmgr *q, const struct recipient *r, uint8_t kind)
{
	if (kind == SPOOL_NOTICE_FAILED)
		return r->state == SPOOL_EXPIRED ? NOTICE_EXPIRED : NOTICE_FAILED;
	if (kind == SPOOL_NOTICE_DELAYED)
		return NOTICE_DELAYED;
	if (r->state == SPOOL_EXPANDED)
		return NOTICE_EXPANDED;
	return goes_out(q, r) ? NOTICE_RELAYED : NOTICE_DELIVERED;
}

static bool
put_rcpt(struct qmgr *q, struct message *m, unsigned i, uint8_t kind, struct buf *out)
{
	const struct recipient *r = &message_rcpts(m)[i];
	const struct envelope_rcpt *to = address_rcpt(q, m, i);
	struct notice_rcpt n = { .number = i, .action = action_of(q, r, kind) };
	struct journal_rcpt said;
	uint64_t now = qclock_ms(&q->clock), end;

	if (to == NULL)
		return false;
	n.address = to->recipient;
	n.orcpt = to->orcpt;
	n.original = to->original;
	if (reply_read(q, m, i, &said)) {
		n.code = said.code <= 999 ? said.code : 0;
		n.enh_class = said.enh[0];
		n.enh_subject = said.enh[1];
		n.enh_detail = said.enh[2];
		n.reply = slice_head(said.reply, REPLY_BYTES);
		if (goes_out(q, r))
			n.host = said.host;
		if (n.action != NOTICE_EXPIRED)
			n.attempt_ms = reply_wall_ms(q);
	}
	if (kind == SPOOL_NOTICE_DELAYED) {
		end = qclock_of_tick(message_expiry(q, m, r));
		n.retry_until_ms = clock_wall_ms() + (end > now ? end - now : 0);
	}
	notice_rcpt_put(out, &n);
	return true;
}

/* Whole fields of the header section, no more than `limit` bytes. */
static struct slice
cut_head(struct slice head, uint64_t limit)
{
	size_t end = 0;

	if (head.n <= limit)
		return head;
	for (size_t i = 0; i + 2 < head.n && i + 1 < limit; i++)
		if (head.p[i] == '\n' && head.p[i + 1] != ' ' && head.p[i + 1] != '\t')
			end = i + 1;
	return slice_head(head, end);
}

/* The header section as it would be sent, with edits done, without the empty line. */
static int
edited_head(const struct record *rec, const struct envelope *e, struct arena *a, struct buf *out)
{
	struct content c;
	int error = content_make_head(&c, rec->head, SLICE_LIT("\r\n"), rec->flags, e->fields, a);

	for (size_t i = 0; error == 0 && i < c.nhead; i++)
		buf_put(out, c.iov[i].iov_base, c.iov[i].iov_len);
	if (out->n >= 4 && memcmp(out->p + out->n - 4, "\r\n\r\n", 4) == 0)
		out->n -= 2;
	return error;
}

static void
put_part(struct buf *out, struct slice s)
{
	notice_length_put(out, (uint32_t)s.n);
	buf_slice(out, s);
}

/* Whole, if it is small and the sender did not ask for less. */
static bool
wants_body(const struct qmgr *q, const struct record *rec, const struct envelope *e, uint8_t kind)
{
	return kind == SPOOL_NOTICE_FAILED && e->ret != RET_HDRS &&
	       rec->head_len + record_body_bytes(rec) <= q->conf->bounce_size_limit;
}

/* A body that stands in large/; nothing where it cannot be read. */
static void
read_large(struct qmgr *q, const struct record_large *large, struct buf *out)
{
	int fd = large_open(q->dirfd, large->number);
	const char *why;

	if (fd < 0)
		return;
	while (out->n < large->bytes) {
		ssize_t n = pread(
		    fd, buf_room(out, large->bytes - out->n), large->bytes - out->n, (off_t)out->n);

		if (n <= 0)
			break;
		out->n += (size_t)n;
	}
	if (out->n < large->bytes || large_verify(fd, large, &why) != 0)
		buf_reset(out);
	close(fd);
}

/* What is damaged is left out: the notice goes out all the same. */
static void
put_content(struct qmgr *q, struct message *m, const struct record *rec, const struct envelope *e,
    uint8_t kind, struct slice head, struct buf *out)
{
	const struct seg *s = seg_at(&q->segtab, m->seg);
	struct buf bytes = { 0 };
	struct slice body = SLICE_NONE;
	struct record whole;
	const char *why;

	put_part(out, cut_head(head, q->conf->bounce_size_limit));
	if (wants_body(q, rec, e, kind) && (rec->flags & RECORD_LARGE) != 0) {
		read_large(q, &rec->large, &bytes);
		body = slice_buf(&bytes);
	} else if (wants_body(q, rec, e, kind) && scan_record(s->fd, s->number, message_offset(m),
						      s->seed, true, &bytes, &whole, &why) == 0) {
		body = whole.body;
	}
	put_part(out, body);
	buf_fini(&bytes);
}

static unsigned
count_owed(struct message *m, uint8_t kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->nrcpt && n < NOTICE_RCPTS_MAX; i++)
		n += (message_rcpts(m)[i].owed & kind) != 0;
	return n;
}

int
notice_make(struct qmgr *q, struct message *m, uint8_t kind, struct buf *out)
{
	const struct envelope *e = address_envelope(q, m);
	const struct record *rec = address_record(q, m);
	struct arena a = { 0 };
	struct buf head = { 0 };
	struct notice n;
	unsigned put = 0;
	int error = 0;

	if (e == NULL || rec == NULL)
		return -EBADMSG;
	n = (struct notice){ .id = m->id,
		.kind = kind,
		.sender = e->sender,
		.envid = e->envid,
		.ret = e->ret,
		.to = e->sender.n > 0 ? e->sender : slice_z(q->conf->double_bounce_to),
		.utf8 = e->smtputf8,
		.arrival_ms = rec->arrival_ms,
		.hostname = slice_z(q->conf->hostname),
		.received_from = envelope_has(e, ENVELOPE_CLIENT) ? e->helo : SLICE_NONE,
		.nrcpt = count_owed(m, kind) };
	if (n.nrcpt == 0 || n.to.n == 0)
		return -ENOENT;
	error = edited_head(rec, e, &a, &head);
	n.cut = head.n > q->conf->bounce_size_limit;
	notice_put(out, &n);
	for (unsigned i = 0; error == 0 && i < m->nrcpt && put < n.nrcpt; i++) {
		if ((message_rcpts(m)[i].owed & kind) == 0)
			continue;
		if (!put_rcpt(q, m, i, kind, out))
			error = -EBADMSG;
		put++;
	}
	if (error == 0)
		put_content(q, m, address_record(q, m), address_envelope(q, m), kind,
		    slice_buf(&head), out);
	buf_fini(&head);
	arena_fini(&a);
	return error;
}

int
notice_seal(const struct buf *bytes)
{
	int fd = memfd_create("notice", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < bytes->n) {
		ssize_t n = write(fd, bytes->p + done, bytes->n - done);

		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (done == bytes->n &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	done = (size_t)errno;
	close(fd);
	return -(int)done;
}
