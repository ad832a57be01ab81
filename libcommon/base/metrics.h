/* SPDX-License-Identifier: ISC */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"
#include "base/service.h"

/* clang-format off */
/*
 * THE table of what processes count besides their events. A row is never renumbered or reused; new
 * ones are appended, rows of one name beside each other.
 *
 *	M(NAME, number, SERVICE, TYPE, "name", "labels", "help")
 *
 * Shown as angarium_<name>{labels}, summed over the service's processes. A COUNTER only grows (its
 * name ends in _total): what a process that ended had counted stays in the sum. A GAUGE is of now,
 * and of living processes.
 */
#define METRICS(M)                                                                                      \
	M(SMTPD_SESSIONS, 1, SMTPD, GAUGE, "smtpd_sessions", "", "Sessions open now.")                  \
	M(SMTPD_SESSIONS_TOTAL, 2, SMTPD, COUNTER, "smtpd_sessions_total", "", "Sessions begun.")       \
	M(SMTPD_REFUSED, 3, SMTPD, COUNTER, "smtpd_refused_total", "",                                  \
	    "Commands and messages refused.")                                                           \
	M(SMTPD_MEMORY, 4, SMTPD, GAUGE, "smtpd_in_flight_bytes", "",                                   \
	    "Message data in memory on its way to the disk.")                                           \
	M(SMTPD_FAST_CONNECTIONS, 5, SMTPD, COUNTER, "smtpd_rate_refused_total",                        \
	    "what=\"connection\"", "Refused to clients beyond their rate.")                             \
	M(SMTPD_FAST_MESSAGES, 6, SMTPD, COUNTER, "smtpd_rate_refused_total", "what=\"message\"", "")   \
	M(SMTPD_FAST_RECIPIENTS, 7, SMTPD, COUNTER, "smtpd_rate_refused_total",                         \
	    "what=\"recipient\"", "")                                                                   \
	M(QMGR_MESSAGES, 20, QMGR, GAUGE, "queue_messages", "", "Messages in the queue.")               \
	M(QMGR_RECIPIENTS, 21, QMGR, GAUGE, "queue_recipients", "", "Recipients queued.")               \
	M(QMGR_HELD, 22, QMGR, GAUGE, "queue_held_messages", "", "Messages on hold.")                   \
	M(QMGR_JOBS, 23, QMGR, GAUGE, "jobs_running", "", "Jobs that workers are at.")                  \
	M(QMGR_WINDOW, 24, QMGR, GAUGE, "jobs_open", "", "Jobs without a durable result.")              \
	M(QMGR_SEGMENTS, 25, QMGR, GAUGE, "queue_segments", "", "Segments on disk.")                    \
	M(QMGR_DISK_FREE, 26, QMGR, GAUGE, "spool_free_bytes", "", "Free space of the spool's disk.")   \
	M(LEDGER_ACCEPTED, 40, QMGR, GAUGE, "ledger_recipients", "term=\"accepted\"",                   \
	    "The ledger's terms, in recipients, over the life of the queue.")                           \
	M(LEDGER_NOTICES, 41, QMGR, GAUGE, "ledger_recipients", "term=\"notices\"", "")                 \
	M(LEDGER_EXPANDED_OUT, 42, QMGR, GAUGE, "ledger_recipients", "term=\"expanded_out\"", "")       \
	M(LEDGER_EXPANDED_IN, 43, QMGR, GAUGE, "ledger_recipients", "term=\"expanded_in\"", "")         \
	M(LEDGER_DELIVERED, 44, QMGR, GAUGE, "ledger_recipients", "term=\"delivered\"", "")             \
	M(LEDGER_BOUNCED, 45, QMGR, GAUGE, "ledger_recipients", "term=\"bounced\"", "")                 \
	M(LEDGER_EXPIRED, 46, QMGR, GAUGE, "ledger_recipients", "term=\"expired\"", "")                 \
	M(LEDGER_DROPPED, 47, QMGR, GAUGE, "ledger_recipients", "term=\"dropped\"", "")                 \
	M(LEDGER_DAMAGED, 48, QMGR, GAUGE, "ledger_recipients", "term=\"damaged\"", "")                 \
	M(DELIVER_JOBS, 60, DELIVER, COUNTER, "deliver_jobs_total", "", "Jobs ended.")                  \
	M(DELIVER_RUNNING, 61, DELIVER, GAUGE, "deliver_jobs", "", "Jobs under way.")                   \
	M(DELIVER_CONNECTS, 62, DELIVER, COUNTER, "deliver_connections_total", "",                      \
	    "Connections opened.")                                                                      \
	M(LOCAL_JOBS, 70, LOCAL, COUNTER, "local_jobs_total", "", "Jobs of local delivery ended.")      \
	M(LOCAL_RUNNING, 71, LOCAL, GAUGE, "local_jobs", "", "Jobs of local delivery under way.")       \
	M(ROUTER_ANSWERS, 80, ROUTER, COUNTER, "router_answers_total", "", "Questions answered.")       \
	M(ROUTER_REFUSED, 81, ROUTER, COUNTER, "router_refused_total", "", "Of them with no.")          \
	M(ROUTER_TEMP, 82, ROUTER, COUNTER, "router_temp_total", "", "Of them with not now.")           \
	M(DNS_ASKED, 90, DNSCACHE, COUNTER, "dns_asked_total", "", "Questions of services.")            \
	M(DNS_KNOWN, 91, DNSCACHE, COUNTER, "dns_known_total", "", "Of them answered from memory.")     \
	M(DNS_SENT, 92, DNSCACHE, COUNTER, "dns_sent_total", "", "Questions to name servers.")          \
	M(DNS_RUNNING, 93, DNSCACHE, GAUGE, "dns_questions", "", "Of these without an answer so far.")  \
	M(BOUNCED_NOTICES, 100, BOUNCED, COUNTER, "bounced_notices_total", "", "Notices filed.")        \
	M(BOUNCED_LATER, 101, BOUNCED, COUNTER, "bounced_put_off_total", "", "Notices put off.")        \
	M(BOUNCED_REFUSED, 102, BOUNCED, COUNTER, "bounced_refused_total", "", "Notices refused.")      \
	M(BOUNCED_REPLIES, 103, BOUNCED, COUNTER, "bounced_replies_total", "", "Replies classed.")
/* clang-format on */

enum metric {
#define M(NAME, number, ...) METRIC_##NAME = number,
	METRICS(M)
#undef M
	    METRIC_END
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_row {
	const char *name, *labels, *help; /* name NULL: no such number */
	enum service service;
	enum metric_type type;
};

/* NULL: a number of no row. */
const struct metric_row *metric_row(unsigned number);

/*
 * The process's own, used from the loop's thread. They go to logd about once a second while
 * something happens (ipc/loglink.h).
 */
void metric_add(enum metric m, uint64_t n);
void metric_set(enum metric m, uint64_t v);
uint64_t metric_value(enum metric m);

/* Called before values are sent: for those that are cheaper to look up than to keep. */
typedef void metrics_fn(void *arg);
void metrics_refresh(metrics_fn *fn, void *arg);

/* All zero, no hook: a fork's child has what its parent counted. log_open() calls it. */
void metrics_open(void);
/* Runs the hook; puts those that changed since they were put last: u16 number, u64 value, repeated.
 * False: none. */
bool metrics_changed(struct buf *out);
void metrics_forget(void); /* a new link: all but zeros are to be put again */

/* Takes one off the front; false at the end or where the bytes are no such rows (in->n tells). */
bool metrics_next(struct slice *in, unsigned *number, uint64_t *value);

#endif
