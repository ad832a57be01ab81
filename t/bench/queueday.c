/* SPDX-License-Identifier: ISC */
/*
 * A day of mixed success and deferral in minutes, in one queue manager: how much disk the segments
 * take beside what lives in them, and what keeping them small costs.
 *
 *	queueday FOLDER MESSAGES [off]
 *
 * MESSAGES of 4 KiB come in 288 steps of five minutes; three of ten are deferred, first for twenty
 * minutes, then for longer, up to four hours, and of the tries that follow each three of ten succeed.
 * `off`: nothing is compacted, to compare. Copies are made inline, so their CPU is in what is told.
 */
#include "t/bench/stage.h"

#include "base/die.h"
#include "qmgr/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { STEPS = 288, STEP_MS = 300000, SLICES = 5, BODY = 4096, SLACK_SEGMENTS = 4 };

static const char conf[] = "jobs_max = 10000\nretry_first = 20m\nretry_max = 4h\n"
			   "concurrency = 100000\n";

static struct day {
	uint64_t attempts, delivered, highest, most, live_then, steps_over;
	double worst;
} day;

static double
seconds(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Blocks, as the file system counts them. */
static void
look(struct stage *s, bool off)
{
	uint64_t disk = 0, live = 0, slack = (uint64_t)SLACK_SEGMENTS * SEGMENT_SOFT_BYTES;
	uint32_t cursor = 0;
	struct seg *seg;

	while ((seg = segtab_next(&s->q.segtab, &cursor)) != NULL) {
		struct stat st;

		seg->no_compact |= off;
		live += seg->live_bytes;
		if (seg->fd >= 0 && fstat(seg->fd, &st) == 0)
			disk += (uint64_t)st.st_blocks * 512;
	}
	if (disk > day.most) {
		day.most = disk;
		day.live_then = live;
	}
	if (disk > 2 * live + slack)
		day.steps_over++;
	if (disk > slack && live > SEGMENT_SOFT_BYTES / 4 &&
	    (double)(disk - slack) / (double)live > day.worst)
		day.worst = (double)(disk - slack) / (double)live;
}

/* The first try of seven in ten succeeds, of those after it three in ten. */
static void
answer_all(struct stage *s)
{
	while (stage_jobs(s) > 0) {
		day.attempts += stage_answer_mixed(s, 700, 300, &day.delivered);
		stage_settle(s);
	}
}

static void
step(struct stage *s, unsigned count, bool off)
{
	const struct stage_letter l = { .nrcpt = 1, .domains = 100, .body = BODY };

	for (unsigned i = 0; i < SLICES; i++) {
		for (unsigned n = 0; n < count / SLICES; n++)
			stage_write(s, &l);
		stage_append(s);
		stage_ring(s);
		answer_all(s);
		stage_now_ms += STEP_MS / SLICES;
		stage_settle(s);
		answer_all(s);
		qmgr_slow(&s->q);
		look(s, off);
		stage_settle(s);
	}
}

int
main(int argc, char *argv[])
{
	double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	bool off = argc > 3 && strcmp(argv[3], "off") == 0;
	unsigned count;
	struct stage s;

	if (argc < 3)
		die(64, "usage: queueday FOLDER MESSAGES [off]");
	count = (unsigned)strtoul(argv[2], NULL, 10) / STEPS;
	if (count < SLICES)
		die(64, "at least %d messages", STEPS * SLICES);
	stage_open(&s, argv[1], conf);
	stage_room(&s, 5000);
	for (unsigned i = 0; i < STEPS; i++)
		step(&s, count, off);
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%llu attempts, %llu delivered, %llu queued; %.1f s, %.2f us of CPU an attempt, "
	       "%.0f attempts/s\n",
	    (unsigned long long)day.attempts, (unsigned long long)day.delivered,
	    (unsigned long long)s.q.messages.recipients, wall, cpu / (double)day.attempts * 1e6,
	    (double)day.attempts / wall);
	printf("segments: at most %llu MiB, with %llu MiB living in them; at most %d segments and "
	       "%.2f times what lives; the limit of twice was passed %llu times; journal: %u "
	       "files\n",
	    (unsigned long long)day.most >> 20, (unsigned long long)day.live_then >> 20,
	    SLACK_SEGMENTS, day.worst, (unsigned long long)day.steps_over,
	    journal_files(&s.q.journal));
	stage_close(&s);
	return day.steps_over == 0 ? 0 : 1;
}
