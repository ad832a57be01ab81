/* SPDX-License-Identifier: ISC */
#include "qmgr/router/accounts.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "io/offload.h"

#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { CACHE_SLOTS = 1024, YES_MS = 60000, NO_MS = 10000, ERROR_MS = 1000, ENTRY_BYTES = 65536 };

struct known {
	char name[ACCOUNTS_NAME_MAX + 1];
	enum found found; /* FOUND_LATER: never in here */
	uint32_t uid;
	uint64_t until_ms; /* 0: nothing */
};

struct asked {
	struct job job;
	struct accounts *a;
	struct asked *next;
	char name[ACCOUNTS_NAME_MAX + 1];
	enum found found;
	uint32_t uid;
	int error;
};

struct accounts {
	struct loop *loop;
	struct offload *threads;
	void (*answered)(void *arg, struct slice name);
	void *arg;
	struct known cache[CACHE_SLOTS];
	struct asked *first;
	unsigned n;
	bool foreign; /* sources beside files: what the sandbox refuses is then no answer */
	bool told;
};

struct accounts *
accounts_new(struct loop *l, void (*answered)(void *arg, struct slice name), void *arg)
{
	struct accounts *a = xcalloc(1, sizeof *a);

	a->loop = l;
	a->answered = answered;
	a->arg = arg;
	return a;
}

void
accounts_free(struct accounts *a)
{
	if (a == NULL)
		return;
	a->answered = NULL;
	if (a->threads != NULL)
		offload_free(a->threads);
	free(a);
}

/* Does nsswitch.conf(5) name a source for users that needs more than files? */
static bool
has_foreign_source(void)
{
	static const char *const plain[] = { "passwd:", "files", "compat", "systemd" };
	FILE *f = fopen("/etc/nsswitch.conf", "re");
	char line[512];
	bool foreign = false;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *save, *word = strtok_r(line, " \t\n", &save);

		if (word == NULL || strcmp(word, "passwd:") != 0)
			continue;
		for (; word != NULL && word[0] != '#'; word = strtok_r(NULL, " \t\n", &save)) {
			bool known = word[0] == '[';

			for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++)
				known |= strcmp(word, plain[i]) == 0;
			foreign |= !known;
		}
	}
	if (f != NULL)
		fclose(f);
	return foreign;
}

void
accounts_prepare(struct accounts *a)
{
	char bytes[4096];
	struct passwd pw, *found;

	getpwnam_r("root", &pw, bytes, sizeof bytes, &found);
	a->foreign = has_foreign_source();
}

/* In a thread. */
static void
look_up(struct job *job)
{
	struct asked *q = (struct asked *)job;
	char *bytes = xmalloc(ENTRY_BYTES);
	struct passwd pw, *found = NULL;
	int rc;

	do
		rc = getpwnam_r(q->name, &pw, bytes, ENTRY_BYTES, &found);
	while (rc == EINTR);
	q->error = found != NULL ? 0 : rc;
	q->found = FOUND_YES;
	if (found != NULL) {
		q->uid = found->pw_uid;
	} else if (rc == 0 || rc == ENOENT || rc == ESRCH) {
		q->found = FOUND_NO;
	} else if (rc == EPERM || rc == EACCES) {
		/* A source that the sandbox does not let it reach. Beside files that is none that matters, or
		 * it is one that knows more users than we do. */
		q->found = q->a->foreign ? FOUND_ERROR : FOUND_NO;
	} else {
		q->found = FOUND_ERROR;
	}
	free(bytes);
}

static struct known *
slot_of(struct accounts *a, struct slice name)
{
	return &a->cache[slice_ihash(name) % CACHE_SLOTS];
}

static void
keep(struct accounts *a, const struct asked *q)
{
	static const uint64_t how_long[] = { [FOUND_NO] = NO_MS,
		[FOUND_YES] = YES_MS,
		[FOUND_LATER] = 0,
		[FOUND_ERROR] = ERROR_MS };
	struct known *k = slot_of(a, slice_z(q->name));

	*k = (struct known){
		.found = q->found, .uid = q->uid, .until_ms = clock_mono_ms() + how_long[q->found]
	};
	memcpy(k->name, q->name, sizeof k->name);
}

static void
complain_once(struct accounts *a, const struct asked *q)
{
	if (a->told)
		return;
	a->told = true;
	log_trouble(q->error,
	    a->foreign
		? "users cannot be looked up; a source in nsswitch.conf other than files needs "
		  "sandbox_off = { router }, or local_users a file"
		: "users cannot be looked up");
}

static void
looked_up(struct job *job)
{
	struct asked *q = (struct asked *)job, **at;
	struct accounts *a = q->a;

	for (at = &a->first; *at != q; at = &(*at)->next)
		;
	*at = q->next;
	a->n--;
	keep(a, q);
	if (q->found == FOUND_ERROR)
		complain_once(a, q);
	if (a->answered != NULL)
		a->answered(a->arg, slice_z(q->name));
	free(q);
}

static bool
can_be_a_user(struct slice name)
{
	if (name.n == 0 || name.n > ACCOUNTS_NAME_MAX || name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || strchr(":/@|\"\\,", name.p[i]) != NULL)
			return false;
	return true;
}

enum found
accounts_find(struct accounts *a, struct slice name, uint32_t *uid)
{
	struct asked *q;
	const struct known *k;
	char small[ACCOUNTS_NAME_MAX + 1] = "";

	if (!can_be_a_user(name))
		return FOUND_NO;
	for (size_t i = 0; i < name.n; i++)
		small[i] = ascii_lower(name.p[i]);
	k = slot_of(a, name);
	if (k->until_ms > clock_mono_ms() && strcmp(k->name, small) == 0) {
		*uid = k->uid;
		return k->found;
	}
	for (q = a->first; q != NULL; q = q->next)
		if (strcmp(q->name, small) == 0)
			return FOUND_LATER;
	if (a->n == ACCOUNTS_WAITING_MAX)
		return FOUND_ERROR;
	q = xcalloc(1, sizeof *q);
	q->job = (struct job){ .run = look_up, .done = looked_up };
	q->a = a;
	memcpy(q->name, small, sizeof small);
	q->next = a->first;
	a->first = q;
	a->n++;
	if (a->loop == NULL) {
		struct asked done;

		look_up(&q->job);
		done = *q;
		*uid = q->uid;
		looked_up(&q->job);
		return done.found;
	}
	if (a->threads == NULL)
		a->threads = offload_new(a->loop, ACCOUNTS_THREADS);
	offload_submit(a->threads, &q->job);
	return FOUND_LATER;
}

unsigned
accounts_asked(const struct accounts *a)
{
	return a->n;
}
