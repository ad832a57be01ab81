/* SPDX-License-Identifier: ISC */
#ifndef LOGD_EVENTS_H
#define LOGD_EVENTS_H

#include "base/log.h"
#include "logd/follow.h"
#include "logd/metrics.h"
#include "logd/outputs.h"
#include "logd/sink.h"

/* From packets to lines. */
struct events {
	struct sink *sink;
	struct followers *followers;
	struct metrics *metrics;
	struct outputs *outputs;
	enum log_level level;
	uint64_t count; /* of them all, ever */
	uint64_t taken[SERVICE_COUNT], lost[SERVICE_COUNT], bad;
};

/* Each event of `data` becomes a line; `lost` > 0 a line of its own. False: data is no row of
 * events. */
bool events_take(struct events *e, enum service from, uint64_t lost, struct slice data);
/* What logd itself said in this turn. */
void events_take_own(struct events *e);

#endif
