/* SPDX-License-Identifier: ISC */
#include "logd/metrics.h"

#include "base/die.h"
#include "priv/profiles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many as a house of 256 workers of each kind has, and some that ended lately. */
enum { PROCESSES_MAX = 1024 };

struct process {
	enum service service;
	uint64_t instance;
	bool up;
	uint64_t value[METRIC_END];
};

/* Statuses of attempts, and all others. */
static const char *const statuses[] = { "sent", "deferred", "bounced", "dropped", "other" };
enum { STATUSES = sizeof statuses / sizeof *statuses };

struct metrics {
	size_t n;
	struct process *process[PROCESSES_MAX];
	uint64_t ended[METRIC_END]; /* counters of processes forgotten */
	uint64_t event[SERVICE_COUNT][LOG_END];
	uint64_t attempt[STATUSES];
	uint64_t received_bytes, received_rcpts;
	uint64_t delay_ms, delays; /* of what was sent */
};

struct metrics *
metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

void
metrics_free(struct metrics *m)
{
	for (size_t i = 0; m != NULL && i < m->n; i++)
		free(m->process[i]);
	free(m);
}

static struct process *
find(struct metrics *m, enum service s, uint64_t instance)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->process[i]->instance == instance && m->process[i]->service == s)
			return m->process[i];
	return NULL;
}

/* The first that is down makes room: its counters stay in the sums. False: all are up. */
static bool
forget_one(struct metrics *m)
{
	size_t at = 0;

	while (at < m->n && m->process[at]->up)
		at++;
	if (at == m->n)
		return false;
	for (unsigned i = 0; i < METRIC_END; i++)
		if (metric_row(i) != NULL && metric_row(i)->type == METRIC_COUNTER)
			m->ended[i] += m->process[at]->value[i];
	free(m->process[at]);
	memmove(&m->process[at], &m->process[at + 1], (m->n - at - 1) * sizeof *m->process);
	m->n--;
	return true;
}

void
metrics_up(struct metrics *m, enum service s, uint64_t instance)
{
	struct process *p = find(m, s, instance);

	if (p == NULL) {
		if (m->n == PROCESSES_MAX && !forget_one(m))
			return; /* not shown */
		p = m->process[m->n++] = xcalloc(1, sizeof *p);
		p->service = s;
		p->instance = instance;
	}
	p->up = true;
	for (unsigned i = 0; i < METRIC_END; i++) /* all but zeros will be told again */
		if (metric_row(i) != NULL && metric_row(i)->type == METRIC_GAUGE)
			p->value[i] = 0;
}

bool
metrics_take(struct metrics *m, enum service s, uint64_t instance, struct slice rows)
{
	struct process *p = find(m, s, instance);
	unsigned number;
	uint64_t value;

	while (metrics_next(&rows, &number, &value))
		if (p != NULL && metric_row(number) != NULL && metric_row(number)->service == s)
			p->value[number] = value;
	return rows.n == 0;
}

void
metrics_down(struct metrics *m, enum service s, uint64_t instance)
{
	struct process *p = find(m, s, instance);

	if (p != NULL)
		p->up = false;
}

static void
count_attempt(struct metrics *m, struct slice status, uint64_t delay_ms)
{
	unsigned i = 0;

	while (i < STATUSES - 1 && !slice_is(status, statuses[i]))
		i++;
	m->attempt[i]++;
	if (i == 0) {
		m->delay_ms += delay_ms;
		m->delays++;
	}
}

void
metrics_event(struct metrics *m, enum service s, const struct log_record *r)
{
	struct slice f = r->fields, status = SLICE_NONE;
	uint64_t size = 0, nrcpt = 0, delay = 0;
	struct log_value v;

	m->event[s][r->event]++;
	if (r->event != LOG_RECEIVED && r->event != LOG_ATTEMPT)
		return;
	while (log_value_next(&f, &v)) {
		if (v.key == LOGK_SIZE)
			size = v.u;
		else if (v.key == LOGK_NRCPT)
			nrcpt = v.u;
		else if (v.key == LOGK_STATUS)
			status = v.s;
		else if (v.key == LOGK_DELAY)
			delay = v.u;
	}
	if (r->event == LOG_ATTEMPT) {
		count_attempt(m, status, delay);
		return;
	}
	m->received_bytes += size;
	m->received_rcpts += nrcpt;
}

void
metrics_type(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP angarium_%s %s\n# TYPE angarium_%s %s\n", name, help, name, type);
}

void
metrics_line(struct buf *out, const char *name, const char *labels, uint64_t value)
{
	const char *open = labels[0] != '\0' ? "{" : "", *close = labels[0] != '\0' ? "}" : "";

	buf_printf(
	    out, "angarium_%s%s%s%s %llu\n", name, open, labels, close, (unsigned long long)value);
}

static void
put_rows(const struct metrics *m, struct buf *out)
{
	const char *last = "";

	for (unsigned i = 0; i < METRIC_END; i++) {
		const struct metric_row *row = metric_row(i);
		uint64_t sum = m->ended[i];

		if (row == NULL)
			continue;
		for (size_t p = 0; p < m->n; p++)
			if (row->type == METRIC_COUNTER || m->process[p]->up)
				sum += m->process[p]->value[i];
		if (strcmp(row->name, last) != 0)
			metrics_type(out, row->name,
			    row->type == METRIC_COUNTER ? "counter" : "gauge", row->help);
		last = row->name;
		metrics_line(out, row->name, row->labels, sum);
	}
}

static void
put_processes(const struct metrics *m, struct buf *out)
{
	uint64_t up[SERVICE_COUNT] = { 0 };
	char labels[64];

	for (size_t p = 0; p < m->n; p++)
		up[m->process[p]->service] += m->process[p]->up;
	metrics_type(out, "processes", "gauge", "Processes whose link to logd stands.");
	for (unsigned s = 0; s < SERVICE_COUNT; s++) {
		if (s == SERVICE_LOGD || profile_of_service((enum service)s) == PROFILE_COUNT)
			continue;
		snprintf(labels, sizeof labels, "service=\"%s\"", service_word((enum service)s));
		metrics_line(out, "processes", labels, up[s]);
	}
}

static void
put_events(const struct metrics *m, struct buf *out)
{
	char labels[128];

	metrics_type(out, "events_total", "counter", "Events of the log.");
	for (unsigned s = 0; s < SERVICE_COUNT; s++)
		for (unsigned e = 0; e < LOG_END; e++) {
			if (m->event[s][e] == 0)
				continue;
			snprintf(labels, sizeof labels, "service=\"%s\",event=\"%s\"",
			    service_word((enum service)s), log_event_word((enum log_event)e));
			metrics_line(out, "events_total", labels, m->event[s][e]);
		}
	metrics_type(out, "attempts_total", "counter", "Delivery attempts that ended, by status.");
	for (unsigned i = 0; i < STATUSES; i++) {
		snprintf(labels, sizeof labels, "status=\"%s\"", statuses[i]);
		metrics_line(out, "attempts_total", labels, m->attempt[i]);
	}
	metrics_type(out, "received_bytes_total", "counter", "Bytes of messages received.");
	metrics_line(out, "received_bytes_total", "", m->received_bytes);
	metrics_type(out, "received_recipients_total", "counter", "Recipients of these messages.");
	metrics_line(out, "received_recipients_total", "", m->received_rcpts);
	metrics_type(out, "delivery_delay_seconds", "summary",
	    "From reception to delivery, of what was sent.");
	buf_printf(out, "angarium_delivery_delay_seconds_sum %llu.%03u\n",
	    (unsigned long long)(m->delay_ms / 1000), (unsigned)(m->delay_ms % 1000));
	metrics_line(out, "delivery_delay_seconds_count", "", m->delays);
}

void
metrics_put(const struct metrics *m, struct buf *out)
{
	put_processes(m, out);
	put_rows(m, out);
	put_events(m, out);
}
