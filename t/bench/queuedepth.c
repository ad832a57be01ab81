/* SPDX-License-Identifier: ISC */
/*
 * What depth costs in qmgr: CPU of one operation with few and with many queued, memory a queued
 * recipient, and how long a queue manager that starts over it all needs.
 *
 *	queuedepth FOLDER COUNT [DOMAINS [RECIPIENTS [name]]]
 *	queuedepth -fill FOLDER COUNT [DOMAINS [RECIPIENTS]]
 *
 * Fills a new spool in FOLDER with COUNT recipients, RECIPIENTS in a message, in turn over DOMAINS;
 * each had one attempt, which failed for now. `name`: their next hops are names, not addresses.
 * Then itself once more, as the queue manager that recovers. -fill: that alone, into a spool that may
 * be there (nobody else may have it open), for a queue manager that shall have a backlog; prints some ids.
 */
#include "t/bench/stage.h"

#include "base/clock.h"
#include "base/die.h"
#include "qmgr/intake.h"
#include "qmgr/recover.h"
#include "qmgr/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPS = 20000, ROUND = 500, SHALLOW = 1000, BODY = 100, SAMPLES = 8 };

static const char conf[] = "jobs_max = 100000\nretry_first = 12h\nretry_max = 12h\n"
			   "concurrency = 100000\n";

enum op { OP_ADD, OP_TAKE, OP_DELIVER, OP_DEFER, OP_COUNT };
static const char *const op_words[] = { "add", "take", "deliver", "defer" };

struct costs {
	double us[OP_COUNT];
};

static double
seconds(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
pss_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	double kib = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "Pss:", 4) == 0) {
			kib = strtod(line + 4, NULL);
			break;
		}
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

/* ---- filling ---- */

/* Each with one attempt behind it and another far away. */
static void
fill(struct stage *s, const struct stage_letter *like, uint32_t count)
{
	struct stage_letter l = *like;

	stage_room(s, ROUND * 2);
	while (s->q.messages.recipients < count) {
		for (unsigned i = 0; i < ROUND; i++, l.domain += l.nrcpt)
			stage_write(s, &l);
		stage_append(s);
		stage_ring(s);
		while (stage_jobs(s) > 0) {
			stage_answer(s, STAGE_TEMP);
			stage_settle(s);
		}
	}
	stage_room(s, 0);
}

/* ---- the operations ---- */

/* Mail for a live place beside all that. What is timed ends with all of it in the journal. */
static void
round_of(struct stage *s, enum stage_answer how, enum op last, double spent[OP_COUNT])
{
	const struct stage_letter l = { .nrcpt = 1, .domain = 0, .domains = 1, .body = BODY };
	double t[4];

	for (unsigned i = 0; i < ROUND; i++)
		stage_write(s, &l);
	stage_append(s);
	t[0] = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stage_ring(s);
	t[1] = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stage_room(s, ROUND);
	stage_settle(s);
	if (stage_jobs(s) != ROUND)
		die(1, "%u jobs instead of %u", stage_jobs(s), ROUND);
	t[2] = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stage_answer(s, how);
	stage_settle(s);
	t[3] = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stage_room(s, 0);
	spent[OP_ADD] += t[1] - t[0];
	spent[OP_TAKE] += t[2] - t[1];
	spent[last] += t[3] - t[2];
}

static void
measure(struct stage *s, struct costs *out)
{
	double spent[OP_COUNT] = { 0 };

	round_of(s, STAGE_OK, OP_DELIVER, (double[OP_COUNT]){ 0 });
	for (unsigned n = 0; n < OPS; n += ROUND)
		round_of(s, STAGE_OK, OP_DELIVER, spent);
	for (unsigned n = 0; n < OPS / 4; n += ROUND)
		round_of(s, STAGE_TEMP, OP_DEFER, spent);
	for (unsigned i = 0; i < OP_COUNT; i++) {
		double n = i == OP_DELIVER ? OPS : i == OP_DEFER ? OPS / 4 : OPS + OPS / 4;

		out->us[i] = spent[i] / n * 1e6;
	}
	printf("%9llu queued:", (unsigned long long)s->q.messages.recipients);
	for (unsigned i = 0; i < OP_COUNT; i++)
		printf("  %s %.2f us", op_words[i], out->us[i]);
	printf("\n");
	fflush(stdout);
}

/* ---- a start ---- */

/* Who is queued, at which attempt and due when: the same before and after. */
static uint64_t
digest(const struct qmgr *q)
{
	uint32_t cursor = 0;
	uint64_t sum = 0;
	struct message *m;

	while ((m = messages_next(&q->messages, &cursor)) != NULL)
		for (unsigned i = 0; i < m->nrcpt; i++) {
			const struct recipient *r = &message_rcpts(m)[i];
			uint64_t h = m->id * UINT64_C(0x9e3779b97f4a7c15) + i;

			h = (h ^ h >> 32) * UINT64_C(0xbf58476d1ce4e5b9) + r->due;
			h = (h ^ h >> 32) * UINT64_C(0x94d049bb133111eb) + r->attempts;
			sum += (h ^ h >> 31) * (1 + r->state);
		}
	return sum;
}

static int
start_over(const char *dir, uint64_t wanted)
{
	double begin = seconds(CLOCK_MONOTONIC), cpu, opened, served, armed, base = pss_bytes();
	struct stage s;
	bool same;

	stage_open(&s, dir, conf);
	opened = seconds(CLOCK_MONOTONIC) - begin;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stage_write(&s, &(struct stage_letter){ .nrcpt = 1, .domains = 1, .body = BODY });
	stage_append(&s);
	stage_room(&s, 1);
	/* No further than to the first job: the rest of the queue is not armed then. */
	intake_rung(&s.q, seg_find(&s.q.segtab, s.pen.segment), s.pen.at);
	while (stage_jobs(&s) == 0)
		qmgr_turn(&s.q);
	served = seconds(CLOCK_MONOTONIC) - begin;
	stage_answer(&s, STAGE_OK);
	stage_settle(&s);
	armed = seconds(CLOCK_MONOTONIC) - begin;
	same = digest(&s.q) == wanted;
	printf("start over %llu queued: read in %.2f s (%.2f s of CPU), new mail at a worker after "
	       "%.2f s, "
	       "all armed after %.2f s, %.1f bytes a recipient, %s\n",
	    (unsigned long long)s.q.messages.recipients, opened, cpu, served, armed,
	    (pss_bytes() - base) / (double)s.q.messages.recipients,
	    same ? "all as it was" : "NOT AS IT WAS");
	stage_close(&s);
	return same ? 0 : 1;
}

static int
run_again(char *self, char *dir, uint64_t wanted)
{
	char sum[32], now[32];
	int status = 0;
	pid_t pid;

	snprintf(sum, sizeof sum, "%llx", (unsigned long long)wanted);
	snprintf(now, sizeof now, "%llu", (unsigned long long)stage_now_ms);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die(1, "fork failed");
	if (pid == 0) {
		execl(self, self, "-start", dir, sum, now, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Due in three days: that queue manager counts at most one for the time between us and it. */
static int
fill_only(const char *dir, const struct stage_letter *l, uint32_t count)
{
	struct stage s;

	stage_by_the_clock = true;
	stage_open(
	    &s, dir, "jobs_max = 100000\nretry_first = 3d\nretry_max = 3d\nconcurrency = 100000\n");
	fill(&s, l, count);
	printf("%llu queued\n", (unsigned long long)s.q.messages.recipients);
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint32_t cursor = s.q.messages.used / SAMPLES * i;
		const struct message *m = messages_next(&s.q.messages, &cursor);
		char id[ID_TEXT + 1];

		if (m == NULL)
			break;
		id_text(m->id, id);
		printf("sample %s\n", id);
	}
	stage_close(&s);
	return 0;
}

static void
letter_of(struct stage_letter *l, int argc, char *argv[])
{
	l->domains = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 1;
	l->nrcpt = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	l->by_name = argc > 2;
	if (l->domains == 0 || l->nrcpt == 0 || l->nrcpt > 64)
		die(64, "at least one domain, 1 to 64 recipients");
}

int
main(int argc, char *argv[])
{
	struct stage_letter l = { .first = 1, .body = BODY, .nrcpt = 1 };
	struct costs few, many;
	struct stage s;
	uint32_t count;
	uint64_t wanted, before;
	double base;

	if (argc == 5 && strcmp(argv[1], "-start") == 0) {
		stage_now_ms = strtoull(argv[4], NULL, 10) + 5000;
		return start_over(argv[2], strtoull(argv[3], NULL, 16));
	}
	if (argc > 3 && strcmp(argv[1], "-fill") == 0) {
		letter_of(&l, argc - 4, argv + 4);
		return fill_only(argv[2], &l, (uint32_t)strtoul(argv[3], NULL, 10));
	}
	if (argc < 3)
		die(64, "usage: queuedepth [-fill] FOLDER COUNT [DOMAINS [RECIPIENTS [name]]]");
	count = (uint32_t)strtoul(argv[2], NULL, 10);
	letter_of(&l, argc - 3, argv + 3);
	stage_open(&s, argv[1], conf);
	fill(&s, &l, SHALLOW);
	measure(&s, &few);
	before = s.q.messages.recipients;
	base = pss_bytes();
	fill(&s, &l, count);
	printf("filled\n");
	fflush(stdout);
	printf("memory: %.1f bytes a queued recipient\n",
	    (pss_bytes() - base) / (double)(s.q.messages.recipients - before));
	measure(&s, &many);
	printf("%9u over %u:", count, SHALLOW);
	for (unsigned i = 0; i < OP_COUNT; i++)
		printf("  %s %.2f", op_words[i], many.us[i] / few.us[i]);
	printf("\n");
	wanted = digest(&s.q);
	stage_close(&s);
	return run_again(argv[0], argv[1], wanted);
}
