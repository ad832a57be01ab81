/* SPDX-License-Identifier: ISC */
#include "logd/outputs.h"

#include "base/clock.h"
#include "base/die.h"
#include "logd/lineup.h"

#include <stdlib.h>

/* No more often; and longer than logd rests, so that the end of a rest does it. */
enum { TAKE_MS = 300 };

struct outputs {
	struct loop *loop;
	int dirfd;
	struct maillog lines;
	struct lineup lineup;
	struct timer *timer;
	struct mailline_head head;
	char *host, *name;
	struct sink *file;
	struct sysout *sys;
	struct buf datagram;
};

static void
on_line(void *arg, const struct mailline *line)
{
	struct outputs *o = arg;

	lineup_put(&o->lineup, clock_wall_us(), line);
	if (!timer_is_set(o->timer))
		timer_set(o->timer, TAKE_MS);
}

void
outputs_look(struct outputs *o)
{
	if (o->lineup.n == 0)
		return;
	lineup_take(&o->lineup, clock_wall_us());
	/* They have waited for each other; for what comes next they need not. */
	if (o->file != NULL && sink_error(o->file) == 0)
		sink_flush(o->file);
	if (o->lineup.n > 0)
		timer_set(o->timer, TAKE_MS);
}

static void
on_time(void *arg)
{
	outputs_look(arg);
}

static void
on_turn_of(void *arg, const struct mailline *line)
{
	struct outputs *o = arg;

	if (o->file != NULL) {
		mailline_put(sink_buf(o->file), &o->head, line);
		sink_line_done(o->file, line->level >= LEVEL_WARNING);
	}
	if (o->sys != NULL) {
		buf_reset(&o->datagram);
		mailline_put_syslog(&o->datagram, &o->head, line);
		sysout_line(o->sys, slice_buf(&o->datagram));
	}
}

struct outputs *
outputs_new(
    struct loop *l, int log_dirfd, const char *host, struct sysout *sys, const struct conf *conf)
{
	struct outputs *o = xcalloc(1, sizeof *o);
	ptrdiff_t dot = slice_find(slice_z(host), '.');

	*o = (struct outputs){ .loop = l, .dirfd = log_dirfd, .sys = sys };
	o->lines = (struct maillog){ .out = on_line, .arg = o };
	o->lineup.out = on_turn_of;
	o->lineup.arg = o;
	o->timer = timer_new(l, on_time, o);
	o->host = slice_dup(dot > 0 ? slice_of(host, (size_t)dot) : slice_z(host));
	outputs_configure(o, conf);
	return o;
}

void
outputs_free(struct outputs *o)
{
	if (o == NULL)
		return;
	lineup_take_all(&o->lineup);
	timer_free(o->timer);
	sink_free(o->file);
	sysout_free(o->sys);
	maillog_fini(&o->lines);
	buf_fini(&o->datagram);
	free(o->host);
	free(o->name);
	free(o);
}

void
outputs_configure(struct outputs *o, const struct conf *conf)
{
	if (o->name != NULL)
		lineup_take_all(&o->lineup); /* under the name that they were said with */
	free(o->name);
	o->name = slice_dup(slice_z(conf->syslog_name));
	o->head = (struct mailline_head){
		.host = o->host, .name = o->name, .rfc3339 = conf->mail_log_rfc3339
	};
	if (conf->mail_log && o->file == NULL)
		o->file = sink_new(o->loop, o->dirfd, SINK_MAIL_FILE);
	if (!conf->mail_log) {
		sink_free(o->file);
		o->file = NULL;
	}
}

void
outputs_event(struct outputs *o, enum service from, const struct log_record *r)
{
	if (o->file != NULL || o->sys != NULL)
		maillog_event(&o->lines, from, r);
}

void
outputs_reopen(struct outputs *o)
{
	if (o->file != NULL)
		sink_reopen(o->file);
}

const struct sink *
outputs_file(const struct outputs *o)
{
	return o->file;
}

const struct sysout *
outputs_syslog(const struct outputs *o)
{
	return o->sys;
}
