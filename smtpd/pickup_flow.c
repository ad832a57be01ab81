/* SPDX-License-Identifier: ISC */
#include "smtpd/pickup_flow.h"

#include "base/die.h"
#include "base/log.h"
#include "commit/stream.h"
#include "mail/dropfile.h"
#include "smtpd/letter.h"
#include "smtpd/pickup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 64 << 10, LINE_MAX_BYTES = 1 << 20 };

struct pickup_flow {
	struct job job; /* reads a piece */
	struct offload *threads;
	struct session_world *world;
	const struct conf *conf;
	int fd;
	struct stat st;
	uint64_t left; /* of the file before its last line, not read yet */
	pickup_flow_done_fn *done;
	void *arg;
	struct tx tx;
	struct letter *letter; /* NULL: the envelope is not whole yet */
	unsigned seen;
	bool reading; /* the job runs */
	bool waits;   /* for the disk */
	/* The thread's while the job runs: */
	struct buf in; /* read, and not part of the letter yet */
	struct dropfile_sum sum;
	char tail[DROPFILE_TAIL];
	int error;
	bool changed;
};

static void
finish(struct pickup_flow *f, struct letter *l, const char *why)
{
	pickup_flow_done_fn *done = f->done;
	void *arg = f->arg;

	if (l == NULL)
		letter_free(f->letter);
	arena_fini(&f->tx.arena);
	buf_fini(&f->in);
	close(f->fd);
	conf_unref(f->conf);
	free(f);
	done(arg, l, why);
}

/* In the thread. */
static bool
read_bytes(struct pickup_flow *f, char *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(f->fd, to + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			f->error = got < 0 ? -errno : 0;
			f->changed = got == 0;
			return false;
		}
		done += (size_t)got;
	}
	return true;
}

static void
read_run(struct job *j)
{
	struct pickup_flow *f = (struct pickup_flow *)j; /* its first member */
	size_t n = f->left < PIECE ? (size_t)f->left : PIECE;

	if (!read_bytes(f, buf_room(&f->in, n), n))
		return;
	dropfile_sum_add(&f->sum, slice_of(f->in.p + f->in.n, n));
	f->in.n += n;
	f->left -= n;
	if (f->left == 0)
		read_bytes(f, f->tail, sizeof f->tail);
}

static bool
tail_is_right(const struct pickup_flow *f)
{
	char tail[DROPFILE_TAIL + 1];

	dropfile_tail(&f->sum, tail);
	return memcmp(tail, f->tail, DROPFILE_TAIL) == 0;
}

/* The envelope ends with an empty line. NULL: it is whole, or more is to be read; else why not. */
static const char *
take_envelope(struct pickup_flow *f)
{
	struct slice in = slice_buf(&f->in);
	const char *end = memmem(in.p, in.n, "\n\n", 2), *why = NULL;
	struct dropfile d;

	if (end == NULL)
		return in.n > RECORD_ENV_MAX || f->left == 0 ? "envelope without an end" : NULL;
	if (!dropfile_parse_front(in, f->conf->recipients_max_local, &f->tx.arena, &d, &why))
		return why;
	if (d.uid != f->st.st_uid)
		return "names another user";
	if (d.message.n + f->left > f->conf->message_size_limit)
		return "message too large";
	if (!pickup_envelope(&f->tx, &d, f->conf, &why))
		return why;
	f->letter = letter_new(f->world->intake);
	f->letter->class = f->world->class;
	buf_drop(&f->in, (size_t)(d.message.p - in.p));
	return NULL;
}

static void flow_ready(void *arg);

/* So many bytes may be looked at by themselves: whole lines, or a piece of one too long to wait for its end. */
static size_t
whole_lines(struct slice in)
{
	const char *lf = in.n == 0 ? NULL : memrchr(in.p, '\n', in.n);
	size_t n = lf == NULL ? 0 : (size_t)(lf + 1 - in.p);

	if (in.n - n > LINE_MAX_BYTES)
		n = in.p[in.n - 1] == '\r' ? in.n - 1 : in.n;
	return n;
}

/* Whole lines go on into the letter. NULL, or why not; *later: there is no room for it now. */
static const char *
take_lines(struct pickup_flow *f, bool *later)
{
	struct letter *l = f->letter;
	const struct letter_flow_to to = { .streams = f->world->streams,
		.floor_bytes = f->conf->disk_floor,
		.ready = flow_ready,
		.arg = f };
	size_t n = whole_lines(slice_buf(&f->in));

	*later = false;
	if (f->left == 0 && n < f->in.n)
		return "message with lines not ended by CR LF";
	f->seen |= body_look(slice_of(f->in.p, n));
	if (f->seen & (BODY_BARE_CR | BODY_BARE_LF))
		return "message with lines not ended by CR LF";
	if (!intake_charge(l, l->content.n + n)) {
		*later = true;
		return NULL;
	}
	buf_put(&l->content, f->in.p, n);
	buf_drop(&f->in, n);
	switch (letter_flow(l, f->seen, &to)) {
	case LETTER_STAYS:
		break;
	case LETTER_NO_FILE:
		*later = true;
		break;
	case LETTER_ENDLESS_HEAD:
		return "malformed message";
	case LETTER_FLOWS:
		*later = stream_error(l->stream) != 0;
		break;
	}
	return NULL;
}

/* All of it was read, and was whole; a large body is on the disk. */
static void
seal(struct pickup_flow *f)
{
	struct letter_origin from = { .class = f->world->class,
		.uid = f->st.st_uid,
		.host = slice_z(f->conf->hostname),
		.generation = f->conf->generation };
	struct letter *l = f->letter;
	uint64_t id = f->world->next_id(f->world->arg);

	if (id == 0)
		finish(f, NULL, NULL);
	else if (!letter_seal(l, &f->tx, &from, id, f->seen))
		finish(f, NULL, "envelope too large");
	else
		finish(f, l, NULL);
}

static void
read_all(struct pickup_flow *f)
{
	assert(f->letter != NULL); /* an envelope without an end was refused before */
	if (!tail_is_right(f))
		finish(f, NULL, "not committed");
	else
		switch (letter_check(f->letter, f->seen, f->conf->received_max)) {
		case REPLY_OK:
			if (f->letter->stream == NULL)
				seal(f);
			else
				stream_finish(f->letter->stream); /* flow_ready() goes on */
			break;
		case REPLY_DATA_LOOP:
			finish(f, NULL, "mail loop");
			break;
		default: /* of all replies that there are */
			finish(f, NULL, "malformed message");
			break;
		}
}

static void read_done(struct job *j);

static void
read_more(struct pickup_flow *f)
{
	f->reading = true;
	f->job = (struct job){ .run = read_run, .done = read_done };
	offload_submit(f->threads, &f->job);
}

static void
go_on(struct pickup_flow *f)
{
	const struct letter *l = f->letter;

	if (l != NULL && l->stream != NULL && stream_is_full(l->stream))
		f->waits = true;
	else if (f->left > 0)
		read_more(f);
	else
		read_all(f);
}

static void
flow_ready(void *arg)
{
	struct pickup_flow *f = arg;
	const struct stream *s;

	assert(f->letter != NULL);
	s = f->letter->stream;
	if (stream_is_finished(s)) {
		if (stream_error(s) == 0)
			seal(f);
		else if (!f->reading) /* else read_done() finds it out */
			finish(f, NULL, NULL);
	} else if (f->waits && !stream_is_full(s)) {
		f->waits = false;
		go_on(f);
	}
}

static void
read_done(struct job *j)
{
	struct pickup_flow *f = (struct pickup_flow *)j;
	const char *why = NULL;
	bool later = false;

	f->reading = false;
	if (f->error != 0) {
		log_trouble(-f->error, "a file of the drop folder cannot be read");
		later = true;
	} else if (f->changed)
		why = "changes while it is read";
	else if (f->letter == NULL)
		why = take_envelope(f);
	if (why == NULL && !later && f->letter != NULL)
		why = take_lines(f, &later);
	if (why != NULL || later)
		finish(f, NULL, why);
	else
		go_on(f);
}

struct pickup_flow *
pickup_flow_begin(struct offload *threads, struct session_world *world, const struct conf *conf,
    int fd, const struct stat *st, pickup_flow_done_fn *done, void *arg)
{
	struct pickup_flow *f = xcalloc(1, sizeof *f);

	*f = (struct pickup_flow){ .threads = threads,
		.world = world,
		.conf = conf_ref(conf),
		.fd = fd,
		.st = *st,
		.left = (uint64_t)st->st_size - DROPFILE_TAIL,
		.done = done,
		.arg = arg,
		.tx = { .refusal = REPLY_COUNT } };
	read_more(f);
	return f;
}
