/* SPDX-License-Identifier: ISC */
#include "logd/events.h"

static void
write_line(struct events *e, enum service from, const struct log_record *r)
{
	struct buf *b = sink_buf(e->sink);
	size_t start = b->n;

	log_format_json(b, r, from);
	if (followers_any(e->followers))
		followers_line(e->followers, slice_from(slice_buf(b), start));
	sink_line_done(e->sink, log_event_level(r->event) >= LEVEL_WARNING);
	outputs_event(e->outputs, from, r);
}

static void
say_lost(enum service from, uint64_t lost)
{
	log_begin(LOG_LOG_LOST);
	log_z(LOGK_PEER, service_word(from));
	log_u64(LOGK_COUNT, lost);
	log_end();
}

bool
events_take(struct events *e, enum service from, uint64_t lost, struct slice data)
{
	struct log_record r;

	if (lost > 0) {
		e->lost[from] += lost;
		say_lost(from, lost);
	}
	while (data.n > 0) {
		if (!log_record_next(&data, &r) || !log_record_valid(&r)) {
			e->bad++;
			return false;
		}
		e->taken[from]++;
		e->count++;
		metrics_event(e->metrics, from, &r);
		if (log_event_level(r.event) >= e->level)
			write_line(e, from, &r);
	}
	return true;
}

void
events_take_own(struct events *e)
{
	struct slice data, rest;
	struct log_record r;
	uint64_t lost;

	rest = data = log_pending(&lost);
	while (rest.n > 0 && log_record_next(&rest, &r)) {
		metrics_event(e->metrics, SERVICE_LOGD, &r);
		if (log_event_level(r.event) >= e->level)
			write_line(e, SERVICE_LOGD, &r);
	}
	log_sent(data.n, lost);
}
