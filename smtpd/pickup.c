/* SPDX-License-Identifier: ISC */
#include "smtpd/pickup.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "mail/dropfile.h"
#include "smtp/path.h"
#include "smtpd/letter.h"
#include "smtpd/pickup_flow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROUND_MS = 10000,
	SOON_MS = 1000, /* after somebody came by the socket; at most as often */
	FIRST_MS = 100,
	NAMES_AT_ONCE = 256,  /* of the folder, in one loop turn */
	USERS_MAX = 1024,     /* counted in a round; more wait for the next one */
	KNOWN_BAD_MAX = 1024, /* remembered, so that each is told once */
	STALE_S = 86400,
	NAME_SIZE = 256,
};

struct known_bad {
	uint64_t inode, changed_ns;
};

struct pickup {
	struct job job; /* reads one file */
	struct loop *loop;
	struct offload *threads;
	int folder;
	struct session_world *world;
	const struct conf *const *conf;
	struct timer *timer;
	struct deferred more;
	DIR *dir; /* NULL: no round under way */
	bool busy, stopped;
	bool soon; /* somebody came by the socket since the last round */
	struct {
		uint32_t uid, n;
	} users[USERS_MAX];
	unsigned nusers;
	struct known_bad bad[KNOWN_BAD_MAX];
	unsigned nbad;
	/* The file under way; while the job runs it is the thread's. */
	char name[NAME_SIZE];
	struct stat st;
	struct buf file;
	int fd; /* of a large file, which is not read at once; -1 */
	uint64_t max_bytes;
	int err;
	const char *why;
};

static uint64_t
changed_ns(const struct stat *st)
{
	return (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec;
}

static bool
is_stale(const struct stat *st)
{
	uint64_t now_s = clock_wall_ms() / 1000;

	return st->st_mtim.tv_sec >= 0 && (uint64_t)st->st_mtim.tv_sec + STALE_S < now_s &&
	       (uint64_t)st->st_ctim.tv_sec + STALE_S < now_s;
}

/*
 * A file's content
 */

static bool
add_rcpt(struct tx *tx, const struct dropfile_recipient *from, unsigned flags, const char *origin)
{
	static struct buf text;
	struct rcpt *r = arena_alloc(&tx->arena, sizeof *r);
	struct path path;

	*r = (struct rcpt){ .next = NULL };
	if (path_address(from->address, flags, &path) != PATH_OK)
		return false;
	if (from->notify.n > 0 && !param_notify_parse(from->notify, &r->notify))
		return false;
	if (from->orcpt.n > 0) {
		if (!param_orcpt_valid(from->orcpt, flags & PATH_UTF8))
			return false;
		r->orcpt = arena_slice(&tx->arena, from->orcpt);
	}
	buf_reset(&text);
	path_print(&text, &path);
	if (path.domain.n == 0)
		buf_printf(&text, "@%s", origin);
	r->address = arena_slice(&tx->arena, slice_buf(&text));
	if (!slice_eq(r->address, from->address))
		r->original = arena_slice(&tx->arena, from->address);
	if (!tx_has(tx, r->address))
		tx_accept(tx, r);
	return true;
}

static bool
set_sender(struct tx *tx, struct slice sender, unsigned flags, const char *origin)
{
	struct path path;
	struct buf text = { 0 };

	if (sender.n == 0) {
		tx->sender = SLICE_LIT("");
		return true;
	}
	if (path_address(sender, flags, &path) != PATH_OK)
		return false;
	path_print(&text, &path);
	if (path.domain.n == 0)
		buf_printf(&text, "@%s", origin);
	tx->sender = arena_slice(&tx->arena, slice_buf(&text));
	buf_fini(&text);
	return true;
}

bool
pickup_envelope(struct tx *tx, const struct dropfile *d, const struct conf *conf, const char **why)
{
	unsigned flags = PATH_UNQUALIFIED | (d->body == DROPFILE_BODY_UTF8 ? PATH_UTF8 : 0);

	*why = "bad sender";
	if (!set_sender(tx, d->sender, flags, conf->myorigin))
		return false;
	tx->params.ret = d->ret == DROPFILE_RET_FULL   ? PARAM_RET_FULL
			 : d->ret == DROPFILE_RET_HDRS ? PARAM_RET_HDRS
						       : PARAM_RET_NONE;
	tx->params.body = d->body == DROPFILE_BODY_NONE || d->body == DROPFILE_BODY_7BIT
			      ? PARAM_BODY_7BIT
			      : PARAM_BODY_8BIT;
	tx->params.smtputf8 = d->body == DROPFILE_BODY_UTF8;
	*why = "bad envelope id";
	if (d->envid.n > 0) {
		if (!param_envid_valid(d->envid))
			return false;
		tx->params.envid = arena_slice(&tx->arena, d->envid);
	}
	tx->state = TX_MAIL;
	*why = "bad recipient";
	for (size_t i = 0; i < d->n_recipients; i++)
		if (!add_rcpt(tx, &d->recipients[i], flags, conf->myorigin))
			return false;
	return tx->nrcpt > 0;
}

static bool
set_content(struct letter *l, const struct conf *conf, const char **why, unsigned *seen)
{
	const struct buf *b = &l->content;

	if (b->n < 2 || memcmp(b->p + b->n - 2, "\r\n", 2) != 0)
		buf_puts(&l->content, "\r\n");
	*seen = body_look(slice_buf(&l->content));
	switch (letter_check(l, *seen, conf->received_max)) {
	case REPLY_OK:
		return true;
	case REPLY_DATA_LOOP:
		*why = "mail loop";
		return false;
	default: /* of all replies that there are */
		*why = "malformed message";
		return false;
	}
}

struct letter *
pickup_letter(struct slice file, uint32_t uid, struct session_world *world, const struct conf *conf,
    uint64_t id, const char **why)
{
	struct letter_origin from = { .class = world->class,
		.uid = uid,
		.host = slice_z(conf->hostname),
		.generation = conf->generation };
	struct tx tx = { .refusal = REPLY_COUNT };
	struct letter *l = letter_new(world->intake);
	struct dropfile d;
	unsigned seen;
	bool ok = false;

	if (!dropfile_parse(file, conf->recipients_max_local, &tx.arena, &d, why))
		goto out;
	*why = "names another user";
	if (d.uid != uid)
		goto out;
	*why = "message too large";
	if (d.message.n > conf->message_size_limit)
		goto out;
	l->class = world->class;
	buf_slice(&l->content, d.message);
	*why = "envelope too large";
	ok = pickup_envelope(&tx, &d, conf, why) && set_content(l, conf, why, &seen) &&
	     letter_seal(l, &tx, &from, id, seen);
out:
	arena_fini(&tx.arena);
	if (ok)
		return l;
	letter_free(l);
	return NULL;
}

/*
 * One file
 */

/* In a thread. */
static void
read_whole(struct pickup *p, int fd)
{
	size_t want = (size_t)p->st.st_size;
	ssize_t n;

	buf_room(&p->file, want + 1);
	while (
	    p->file.n <= want && (n = read(fd, p->file.p + p->file.n, want + 1 - p->file.n)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			p->err = -errno;
			return;
		}
		p->file.n += (size_t)n;
	}
	if (p->file.n != want)
		p->why = "changes while it is read";
}

static void
job_run(struct job *j)
{
	struct pickup *p = (struct pickup *)j; /* its first member */
	int fd = openat(p->folder, p->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	p->why = NULL;
	p->err = 0;
	p->fd = -1;
	buf_reset(&p->file);
	if (fd < 0) {
		p->err = -errno;
		return;
	}
	if (fstat(fd, &p->st) != 0)
		p->err = -errno;
	else if (!S_ISREG(p->st.st_mode))
		p->why = "not a regular file";
	else if (p->st.st_nlink != 1)
		p->why = "has several links";
	else if (p->st.st_size < DROPFILE_TAIL || (uint64_t)p->st.st_size > p->max_bytes)
		p->why = "has no right size";
	else if (p->st.st_size > PICKUP_WHOLE_BYTES) {
		p->fd = fd;
		return;
	} else
		read_whole(p, fd);
	close(fd);
}

static bool
is_known_bad(const struct pickup *p, const struct stat *st)
{
	for (unsigned i = 0; i < p->nbad && i < KNOWN_BAD_MAX; i++)
		if (p->bad[i].inode == st->st_ino && p->bad[i].changed_ns == changed_ns(st))
			return true;
	return false;
}

static void
remove_file(struct pickup *p, const struct stat *known)
{
	struct stat now;

	if (fstatat(p->folder, p->name, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
	    now.st_ino != known->st_ino)
		return; /* the name is another file's by now */
	if (unlinkat(p->folder, p->name, 0) == 0)
		return;
	/* It must not be taken in again. */
	p->bad[p->nbad++ % KNOWN_BAD_MAX] = (struct known_bad){ now.st_ino, changed_ns(&now) };
	log_trouble(errno, "a file of the drop folder cannot be removed: %s", p->name);
}

static void
refuse(struct pickup *p, const char *why)
{
	p->bad[p->nbad++ % KNOWN_BAD_MAX] = (struct known_bad){ p->st.st_ino, changed_ns(&p->st) };
	log_begin(LOG_DROP_REFUSED);
	log_z(LOGK_FILE, p->name);
	log_u64(LOGK_UID, p->st.st_uid);
	log_z(LOGK_REASON, why);
	log_end();
}

static void
end_round(struct pickup *p)
{
	if (p->dir != NULL)
		closedir(p->dir);
	p->dir = NULL;
	buf_fini(&p->file);
	if (!p->stopped)
		timer_set(p->timer, ROUND_MS);
}

static void
letter_done(struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	struct pickup *p = l->arg;

	(void)proof;
	p->busy = false;
	if (fate != LETTER_DURABLE) {
		end_round(p); /* no disk, no use in going on: the files stay */
		return;
	}
	log_begin(LOG_DROP_TAKEN);
	log_id(l->id);
	log_z(LOGK_FILE, p->name);
	log_u64(LOGK_UID, l->uid);
	log_end();
	remove_file(p, &p->st);
	loop_defer(p->loop, &p->more);
}

static void
submit(struct pickup *p, struct letter *l)
{
	l->done = letter_done;
	l->arg = p;
	p->busy = true;
	p->world->submit(p->world->arg, l);
}

static void
flow_done(void *arg, struct letter *l, const char *why)
{
	struct pickup *p = arg;

	p->busy = false;
	if (l != NULL)
		submit(p, l);
	else if (why == NULL)
		end_round(p); /* no room for it now */
	else {
		refuse(p, why);
		loop_defer(p->loop, &p->more);
	}
}

static void
job_done(struct job *j)
{
	struct pickup *p = (struct pickup *)j;
	const struct conf *conf = *p->conf;
	struct letter *l = NULL;
	uint64_t id;

	p->busy = false;
	if (p->fd >= 0) {
		if (p->stopped || p->world->room(p->world->arg, (uint64_t)p->st.st_size,
				      conf->disk_floor) != WRITER_ROOM) {
			close(p->fd);
			end_round(p);
			return;
		}
		p->busy = true;
		pickup_flow_begin(p->threads, p->world, conf, p->fd, &p->st, flow_done, p);
		return;
	}
	if (p->err == 0 && p->why == NULL) {
		id = p->world->room(p->world->arg, p->file.n, conf->disk_floor) == WRITER_ROOM
			 ? p->world->next_id(p->world->arg)
			 : 0;
		if (id == 0 || p->stopped) {
			end_round(p);
			return;
		}
		l = pickup_letter(slice_buf(&p->file), p->st.st_uid, p->world, conf, id, &p->why);
	}
	if (l == NULL) {
		if (p->why != NULL)
			refuse(p, p->why);
		else if (p->err != -ENOENT)
			log_trouble(
			    -p->err, "a file of the drop folder cannot be read: %s", p->name);
		loop_defer(p->loop, &p->more);
		return;
	}
	if (!intake_charge(l, l->content.n)) {
		letter_free(l);
		end_round(p);
		return;
	}
	submit(p, l);
}

/*
 * A round through the folder
 */

/* One more of this user in this round? */
static bool
count_user(struct pickup *p, uint32_t uid)
{
	for (unsigned i = 0; i < p->nusers; i++)
		if (p->users[i].uid == uid)
			return p->users[i].n++ < (*p->conf)->drop_max_per_user;
	if (p->nusers == USERS_MAX)
		return false;
	p->users[p->nusers].uid = uid;
	p->users[p->nusers++].n = 1;
	return true;
}

/* True: the file p->name is to be read. */
static bool
look_at(struct pickup *p, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    !slice_copy(slice_z(name), p->name, NAME_SIZE) ||
	    fstatat(p->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (name[0] == '.' || is_known_bad(p, &st)) {
		if (!S_ISDIR(st.st_mode) && is_stale(&st))
			remove_file(p, &st);
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		p->st = st;
		refuse(p, "not a regular file");
		return false;
	}
	return count_user(p, st.st_uid);
}

static void
go_on(void *arg)
{
	struct pickup *p = arg;
	struct dirent *e = NULL;

	if (p->dir == NULL || p->busy)
		return;
	for (int i = 0; i < NAMES_AT_ONCE && !p->stopped; i++) {
		e = readdir(p->dir);
		if (e == NULL)
			break;
		if (!look_at(p, e->d_name))
			continue;
		p->busy = true;
		p->max_bytes = (*p->conf)->message_size_limit + RECORD_ENV_MAX;
		offload_submit(p->threads, &p->job);
		return;
	}
	if (e == NULL || p->stopped)
		end_round(p);
	else
		loop_defer(p->loop, &p->more); /* others have their turn first */
}

static void
begin_round(void *arg)
{
	struct pickup *p = arg;
	int fd;

	if (p->dir != NULL || p->busy || p->stopped)
		return;
	fd = openat(p->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->dir = fd < 0 ? NULL : fdopendir(fd);
	if (p->dir == NULL) {
		log_trouble(errno, "the drop folder cannot be read");
		if (fd >= 0)
			close(fd);
		timer_set(p->timer, ROUND_MS);
		return;
	}
	p->nusers = 0;
	p->soon = false;
	go_on(p);
}

struct pickup *
pickup_new(struct loop *l, struct offload *threads, int drop_fd, struct session_world *world,
    const struct conf *const *conf)
{
	struct pickup *p = xcalloc(1, sizeof *p);

	p->job = (struct job){ .run = job_run, .done = job_done };
	p->loop = l;
	p->threads = threads;
	p->folder = drop_fd;
	p->world = world;
	p->conf = conf;
	p->more = (struct deferred){ .fn = go_on, .arg = p };
	p->timer = timer_new(l, begin_round, p);
	timer_set(p->timer, FIRST_MS);
	return p;
}

void
pickup_soon(struct pickup *p)
{
	if (p->dir == NULL && !p->busy && !p->stopped && !p->soon) {
		p->soon = true;
		timer_set(p->timer, SOON_MS);
	}
}

void
pickup_stop(struct pickup *p)
{
	p->stopped = true;
	timer_stop(p->timer);
}

void
pickup_free(struct pickup *p)
{
	if (p == NULL)
		return;
	if (p->dir != NULL)
		closedir(p->dir);
	timer_free(p->timer);
	buf_fini(&p->file);
	free(p);
}
