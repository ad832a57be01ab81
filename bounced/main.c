/* SPDX-License-Identifier: ISC */
/*
 * bounced: tells senders what became of their mail, and classes what receivers said.
 *
 * User	_angbounce
 * Asked by	qmgr, over the link that it makes itself (edge/qmgr.bounced); commands (ctl/bounced)
 * Reaches	qmgr, logd
 * Holds	an append-only descriptor of its segment; the folder of its rules, read
 * Sandbox	PROFILE_BOUNCED: no network; reads generations and rules, writes only behind the end of
 *		its segment. Threads: one, that syncs
 *
 * Of a failed message it sees what qmgr hands it in a sealed memory file. What it writes has the
 * null sender, since its lease permits no other. It keeps no state: dead, notices wait in qmgr.
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "bounced/jobs.h"
#include "conf/generation.h"
#include "ipc/ctl.h"
#include "ipc/loglink.h"
#include "priv/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

struct main {
	struct daemon d;
	struct loop *loop;
	struct jobs jobs;
	uint64_t started_ms;
};

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct buf *b = ctl_out(c);
	struct writer_state w;

	(void)args;
	writer_look(m->jobs.writer, &w);
	json_open(b, '{');
	json_kz(b, "service", "bounced");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", m->d.generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - m->started_ms);
	json_ku64(b, "notices", m->jobs.notices);
	json_ku64(b, "notices_put_off", m->jobs.later);
	json_ku64(b, "notices_refused", m->jobs.refused);
	json_ku64(b, "replies_classed", m->jobs.rules.asked);
	json_ku64(b, "patterns_stalled", m->jobs.rules.stalled);
	json_ku64(b, "rules", rules_count(m->jobs.rules.rules));
	json_kstr(b, "rules_error", slice_buf(&m->jobs.rules.error));
	json_ku64(b, "segment", w.segment);
	json_ku64(b, "leases", w.leases);
	json_ku64(b, "commits", w.batches);
	json_ku64(b, "commit_failures", w.failures);
	json_kbool(b, "qmgr", peer_is_up(m->jobs.qmgr));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static void
count(void *arg)
{
	const struct main *m = arg;

	metric_set(METRIC_BOUNCED_NOTICES, m->jobs.notices);
	metric_set(METRIC_BOUNCED_LATER, m->jobs.later);
	metric_set(METRIC_BOUNCED_REFUSED, m->jobs.refused);
	metric_set(METRIC_BOUNCED_REPLIES, m->jobs.rules.asked);
}

static bool
parse_status(struct slice s, uint16_t enh[3])
{
	for (int i = 0; i < 3; i++) {
		struct slice part;
		uint64_t v;

		if (!slice_next(&s, '.', &part) || !slice_u64(part, &v) || v > 999)
			return false;
		enh[i] = (uint16_t)v;
	}
	return s.p == NULL;
}

/* "--code 550" and "code=550" are the same. */
static bool
take_option(struct slice word, struct slice *args, struct reply *r)
{
	ptrdiff_t equals = slice_find(word, '=');
	struct slice key, value;
	uint64_t v;

	if (slice_istarts(word, "--"))
		word = slice_from(word, 2), equals -= 2;
	key = slice_head(word, equals < 0 ? word.n : (size_t)equals);
	if (equals >= 0)
		value = slice_from(word, (size_t)equals + 1);
	else if (!ctl_word(args, &value))
		return false;
	if (slice_is(key, "code") && slice_u64(value, &v) && v >= 200 && v <= 599) {
		r->code = (uint16_t)v;
		return true;
	}
	if (slice_is(key, "host"))
		r->host = value;
	else if (slice_is(key, "domain"))
		r->domain = value;
	else
		return slice_is(key, "status") && parse_status(value, r->enh);
	return true;
}

/* test TEXT [--code N] [--status N.N.N] [--host NAME] [--domain NAME] */
static void
verb_test(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct buf *b = ctl_out(c);
	struct slice word;
	struct reply r = { 0 };
	struct verdict v;
	bool ok = ctl_word(&args, &r.text);

	while (ok && ctl_word(&args, &word))
		ok = take_option(word, &args, &r);
	if (!ok) {
		ctl_end(c, EXIT_USAGE,
		    "test TEXT [--code N] [--status N.N.N] [--host NAME] [--domain NAME]");
		return;
	}
	classifier_ask(&m->jobs.rules, &r, &v);
	json_open(b, '{');
	json_ku64(b, "class", v.number);
	json_kz(b, "name", v.name);
	json_kz(b, "group", v.group);
	json_ku64(b, "line", v.line);
	json_kz(b, "file", m->d.conf->bounce_rules);
	json_kbool(b, "stalled", v.stalled);
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ "test", CTL_ANYONE, true, verb_test,
	    "TEXT [--code N] [--status N.N.N]: the class of a reply" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
take_conf(struct conf *fresh, void *arg)
{
	(void)arg;
	peer_self_generation(fresh->generation);
}

static void
on_hup(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_reloading(&m->d);
	daemon_reload(&m->d, take_conf, NULL);
	jobs_reload(&m->jobs, m->d.conf);
	daemon_ready(&m->d);
}

static void
on_term(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_stopping(&m->d);
	loop_stop(m->loop); /* what is not written yet is asked for again */
}

int
main(int argc, char *argv[])
{
	static struct main m;
	int ctl, rules;

	daemon_start(&m.d, SERVICE_BOUNCED, argc, argv);
	ctl = daemon_bind_ctl(&m.d);
	rules = daemon_open_dir(&m.d, SANDBOX_RULES);
	m.started_ms = clock_mono_ms();
	m.loop = loop_new();
	daemon_drop(&m.d, PROFILE_BOUNCED);

	peer_self(SERVICE_BOUNCED, 0, 0, CLASS_BOUNCED);
	peer_self_generation(m.d.generation);
	loglink_dial(m.loop, m.d.ids.uid[SERVICE_LOGD]);
	metrics_refresh(count, &m);
	jobs_start(&m.jobs, m.loop, m.d.conf, rules, m.d.ids.uid[SERVICE_QMGR]);
	ctl_serve(m.loop, ctl, verbs, m.d.ids.gid[GROUP_ADM], &m);
	loop_signal(m.loop, SIGHUP, on_hup, &m);
	loop_signal(m.loop, SIGTERM, on_term, &m);
	daemon_ready(&m.d);
	loop_run(m.loop);
	jobs_stop(&m.jobs);
	return daemon_stop(&m.d);
}
