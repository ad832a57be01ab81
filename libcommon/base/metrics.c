/* SPDX-License-Identifier: ISC */
#include "base/metrics.h"

#include <assert.h>
#include <string.h>

enum { ROW_BYTES = 10 };

static const struct metric_row rows[METRIC_END] = {
#define M(NAME, number, SERVICE, TYPE, name, labels, help) \
	[number] = { name, labels, help, SERVICE_##SERVICE, METRIC_##TYPE },
	METRICS(M)
#undef M
};

/* One set a process, like its log. */
static struct {
	uint64_t value[METRIC_END], put[METRIC_END];
	metrics_fn *fn;
	void *arg;
} own;

const struct metric_row *
metric_row(unsigned number)
{
	return number < METRIC_END && rows[number].name != NULL ? &rows[number] : NULL;
}

void
metric_add(enum metric m, uint64_t n)
{
	assert(metric_row(m) != NULL);
	own.value[m] += n;
}

void
metric_set(enum metric m, uint64_t v)
{
	assert(metric_row(m) != NULL);
	own.value[m] = v;
}

uint64_t
metric_value(enum metric m)
{
	assert(metric_row(m) != NULL);
	return own.value[m];
}

void
metrics_refresh(metrics_fn *fn, void *arg)
{
	own.fn = fn;
	own.arg = arg;
}

void
metrics_open(void)
{
	memset(&own, 0, sizeof own);
}

bool
metrics_changed(struct buf *out)
{
	size_t start = out->n;

	if (own.fn != NULL)
		own.fn(own.arg);
	for (unsigned i = 0; i < METRIC_END; i++) {
		uint16_t number = (uint16_t)i;

		if (own.value[i] == own.put[i])
			continue;
		buf_put(out, &number, 2);
		buf_put(out, &own.value[i], 8);
		own.put[i] = own.value[i];
	}
	return out->n > start;
}

void
metrics_forget(void)
{
	memset(own.put, 0, sizeof own.put);
}

bool
metrics_next(struct slice *in, unsigned *number, uint64_t *value)
{
	uint16_t n;

	if (in->n < ROW_BYTES)
		return false;
	memcpy(&n, in->p, 2);
	memcpy(value, in->p + 2, 8);
	*number = n;
	*in = slice_from(*in, ROW_BYTES);
	return true;
}
