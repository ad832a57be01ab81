/* SPDX-License-Identifier: ISC */
/* A queue's way from its domain to hosts: what is looked up and when, what waits, fails, rests and
 * is shared. */
#include "world.h"

static struct world w;
static struct pen pen;
static struct worker *worker;

#define CONF                                                                                \
	"retry_first = 10m\nretry_max = 1h\nlife = 2d\nconcurrency = 4\nhost_rest = "       \
	"5m\nhost_rest_max = 20m\n"                                                         \
	"dns_keep_min = 1m\ndns_keep_max = 1h\nhost_tries = 3\nbinding west {\n\tsource = " \
	"192.0.2.200\n}\n"                                                                  \
	"listen mx {\n\taddress = 192.0.2.250:25\n}\n"

static const struct world_dns zone[] = {
	{ "one.example", DNS_MX, DNS_OK, "10 a.example,20 b.example", 300 },
	{ "same.example", DNS_MX, DNS_OK, "10 b.example,20 a.example", 300 },
	{ "a.example", DNS_A, DNS_OK, "192.0.2.1", 300 },
	{ "b.example", DNS_A, DNS_OK, "192.0.2.2", 300 },
	{ "b.example", DNS_AAAA, DNS_OK, "2001:db8::2", 300 },
	{ "short.example", DNS_MX, DNS_OK, "10 a.example", 1 },
	{ "long.example", DNS_MX, DNS_OK, "10 c.example", 864000 },
	{ "c.example", DNS_A, DNS_OK, "192.0.2.3", 864000 },
	{ "c.example", DNS_AAAA, DNS_NODATA, NULL, 864000 },
	{ "self.example", DNS_MX, DNS_OK, "10 me.example", 300 },
	{ "me.example", DNS_A, DNS_OK, "192.0.2.250", 300 },
	{ "null.example", DNS_MX, DNS_OK, "0 .", 300 },
	{ "gone.example", 0, DNS_NXDOMAIN, NULL, 300 },
	{ "fail.example", DNS_MX, DNS_TEMP, NULL, 0 },
	{ "half.example", DNS_MX, DNS_OK, "10 lost.example,20 b.example", 300 },
	{ "lost.example", 0, DNS_TEMP, NULL, 0 },
	{ NULL, 0, 0, NULL, 0 },
};

static void
setup(void)
{
	memset(&dns, 0, sizeof dns);
	dns.zone = zone;
	world_new(&w, CONF);
	pen = world_lease(&w, CLASS_MX, 11);
	worker = world_worker(&w, 1, 100);
}

static void
teardown(void)
{
	close(pen.fd);
	world_end(&w);
	dns.zone = NULL;
}

/* To a domain by its exchangers. */
static uint64_t
to_domain(const char *to, const char *pool)
{
	struct route r = { .transport = SLICE_LIT("smtp"),
		.domain = slice_z(strchr(to, '@') + 1),
		.pool = slice_z(pool),
		.nhops = 1 };
	struct letter l = { .from = "a@b.example", .to = { to } };
	struct buf bytes = { 0 };
	uint64_t id = pen_write(&w, &pen, &l);
	struct queue *queue;

	r.hops[0] = (struct route_hop){ .host = r.domain, .mx = true };
	route_put(&bytes, &r);
	pen_ring(&w, &pen);
	/* Filed without a route, it waits for router: what that would say. */
	queue = queue_intern(&w.q, CLASS_MX, slice_buf(&bytes));
	commit(&w.q, routed, .id = id, .rcpt = 0, .queue = queue->number);
	world_settle(&w);
	buf_fini(&bytes);
	return id;
}

static struct queue *
queue_of(uint64_t id)
{
	return queue_at(&w.q.queues, world_rcpt(&w, id, 0)->queue);
}

static void
is_host(const struct told_job *t, unsigned i, const char *name, const char *ip)
{
	uint8_t want[16];

	ck_assert_uint_lt(i, t->nhosts);
	ck_assert_str_eq(t->host[i], name);
	ck_assert(addr_host_parse(slice_z(ip), want));
	ck_assert_mem_eq(t->ip[i], want, 16);
	ck_assert_uint_eq(t->port[i], 25);
}

/* The job ends; hosts of its list up to (not with) `answered` gave no greeting. */
static void
finish(struct told_job *t, unsigned answered)
{
	bool down = answered == t->nhosts;
	struct buf failed = { 0 };

	for (unsigned i = 0; i < answered; i++) {
		struct job_failed put = { .port = t->port[i], .text = SLICE_LIT("refused") };

		memcpy(put.ip, t->ip[i], 16);
		job_failed_put(&failed, &put);
	}
	ck_assert(dispatch_result(&w.q, t->worker,
	    &(struct msg_result){ .job = t->number,
		.rcpt = t->rcpt[0],
		.attempt = t->attempt[0],
		.kind = down ? OUTCOME_TEMP : OUTCOME_OK,
		.phase = down ? PHASE_CONNECT : PHASE_DOT,
		.text = SLICE_LIT("x") }));
	ck_assert(dispatch_done(&w.q, t->worker,
	    &(struct msg_job_done){ .job = t->number,
		.host_down = down,
		.failed = slice_buf(&failed),
		.addr = slice_of(t->ip[down ? 0 : answered], 16),
		.port = t->port[down ? 0 : answered] }));
	t->done = true;
	buf_fini(&failed);
	world_settle(&w);
}

START_TEST(a_job_knows_its_hosts)
{
	to_domain("u@one.example", "");
	ck_assert_uint_eq(ntold, 1);
	ck_assert_uint_eq(told[0].nhosts, 3);
	is_host(&told[0], 0, "a.example", "192.0.2.1");
	is_host(&told[0], 1, "b.example", "192.0.2.2");
	is_host(&told[0], 2, "b.example", "2001:db8::2");
	ck_assert_uint_eq(told[0].tries, 3);
	/* From an IPv4 address only IPv4. */
	to_domain("u@one.example", "west");
	ck_assert_uint_eq(told[1].nhosts, 2);
	is_host(&told[1], 1, "b.example", "192.0.2.2");
}
END_TEST

START_TEST(one_question_for_all_that_waits)
{
	dns.slow = true;
	for (int i = 0; i < 5; i++)
		to_domain("u@one.example", "");
	ck_assert_uint_eq(dns.nasked, 1);
	ck_assert_uint_eq(ntold, 0);
	dns.slow = false;
	world_settle(&w);
	ck_assert_uint_eq(ntold, 4); /* the limit */
	ck_assert_uint_eq(dns.nasked, 5);
}
END_TEST

static const struct {
	const char *to;
	uint64_t kept_ms;
} lives[] = { { "u@short.example", 60000 }, { "u@one.example", 300000 },
	{ "u@long.example", 3600000 } };

START_TEST(answers_are_kept_within_bounds)
{
	unsigned asked;

	to_domain(lives[_i].to, "");
	finish(&told[0], 0);
	asked = dns.nasked;
	world_pass(&w, lives[_i].kept_ms - 1000);
	to_domain(lives[_i].to, "");
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(dns.nasked, asked);
	world_pass(&w, 2000);
	to_domain(lives[_i].to, "");
	ck_assert_uint_eq(ntold, 3);
	ck_assert_uint_gt(dns.nasked, asked);
}
END_TEST

static const struct {
	const char *to, *text;
} failing[] = { { "u@gone.example", "does not exist" }, { "u@null.example", "556 5.1.10" },
	{ "u@self.example", "loops back" } };

START_TEST(what_is_no_domain_fails)
{
	struct buf reply = { 0 };
	unsigned asked;
	uint64_t id = to_domain(failing[_i].to, "");

	ck_assert_uint_eq(ntold, 0);
	ck_assert_uint_eq(w.q.ledger.bounced, 1);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_OWED);
	ck_assert(reply_text(&w.q, message_find(&w.q.messages, id), 0, &reply));
	buf_putc(&reply, '\0');
	ck_assert_msg(strstr(reply.p, failing[_i].text) != NULL, "%s", reply.p);
	buf_fini(&reply);
	/* The verdict is kept, too. */
	asked = dns.nasked;
	to_domain(failing[_i].to, "");
	ck_assert_uint_eq(dns.nasked, asked);
	ck_assert_uint_eq(w.q.ledger.bounced, 2);
}
END_TEST

START_TEST(a_great_many_fail_in_slices)
{
	dns.slow = true;
	for (int i = 0; i < 600; i++)
		to_domain("u@gone.example", "");
	dns.slow = false;
	world_settle(&w);
	ck_assert_uint_eq(w.q.ledger.bounced, 600);
}
END_TEST

START_TEST(trouble_with_the_dns_is_no_bounce)
{
	uint64_t first = to_domain("u@fail.example", ""), second = to_domain("v@fail.example", "");
	struct queue *queue = queue_of(first);
	struct why why = { 0 };

	ck_assert_uint_eq(world_rcpt(&w, first, 0)->phase, RCPT_DEFERRED);
	ck_assert_uint_eq(world_rcpt(&w, first, 0)->attempts, 1);
	ck_assert_uint_eq(world_rcpt(&w, second, 0)->phase, RCPT_READY); /* not touched */
	ck_assert_uint_ne(queue->down_until, 0);
	ck_assert_int_eq(queue->wait, WAIT_DNS);
	why_find(&w.q, message_find(&w.q.messages, second), 0, &why);
	ck_assert_int_eq(why.cause, WHY_DNS);
	buf_putc(&why.text, '\0');
	ck_assert_msg(
	    strstr(why.text.p, "DNS failing") != NULL && strstr(why.text.p, "SERVFAIL") != NULL,
	    "%s", why.text.p);
	why_fini(&why);
	for (int i = 0; i < 40; i++)
		world_pass(&w, 3600000);
	ck_assert_uint_eq(w.q.ledger.bounced, 0);
	ck_assert_uint_eq(ntold, 0);
	dns.zone = NULL; /* it is well again */
	world_pass(&w, 3600000);
	ck_assert_uint_gt(ntold, 0);
}
END_TEST

START_TEST(without_dnscache_nothing_is_touched)
{
	uint64_t id;

	dns.down = true;
	id = to_domain("u@one.example", "");
	for (int i = 0; i < 100; i++)
		world_pass(&w, 60000);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->attempts, 0);
	ck_assert_int_eq(queue_of(id)->wait, WAIT_DNSCACHE);
	ck_assert_uint_eq(ntold, 0);
	dns.down = false;
	resolver_up(&w.q);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 1); /* at once */
}
END_TEST

START_TEST(some_exchangers_known_is_enough)
{
	to_domain("u@half.example", "");
	ck_assert_uint_eq(ntold, 1);
	ck_assert_str_eq(told[0].host[0], "b.example");
	/* They say that they take no mail: of the other we do not know. */
	ck_assert(dispatch_result(&w.q, worker,
	    &(struct msg_result){ .job = told[0].number,
		.attempt = 1,
		.kind = OUTCOME_PERM,
		.code = 521,
		.enh_class = 5,
		.enh_subject = 3,
		.enh_detail = 2,
		.phase = PHASE_BANNER }));
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = told[0].number }));
	world_settle(&w);
	ck_assert_uint_eq(w.q.ledger.bounced, 0);
}
END_TEST

START_TEST(the_same_exchangers_are_one_site)
{
	uint64_t one = 0, same = 0;

	for (int i = 0; i < 3; i++) {
		one = to_domain("u@one.example", "");
		same = to_domain("u@same.example", "");
	}
	ck_assert_ptr_ne(queue_of(one), queue_of(same));
	ck_assert_ptr_eq(queue_of(one)->site, queue_of(same)->site);
	ck_assert_uint_eq(ntold, 4); /* concurrency of the site */
	for (unsigned i = 0; i < 6; i++)
		finish(&told[i], 0);
	ck_assert_uint_eq(w.q.ledger.delivered, 6);
}
END_TEST

START_TEST(a_host_that_failed_rests_for_all)
{
	uint64_t id;

	to_domain("u@one.example", "");
	finish(&told[0], 1); /* a did not answer, b did */
	id = to_domain("u@same.example", "");
	ck_assert_uint_eq(told[1].nhosts, 2);
	ck_assert_str_eq(told[1].host[0], "b.example");
	finish(&told[1], 2); /* nobody now */
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED);
	id = to_domain("u@one.example", "");
	ck_assert_uint_eq(ntold, 2);
	ck_assert_int_eq(queue_of(id)->wait, WAIT_REST);
	ck_assert_str_eq(queue_of(id)->down_reason, "did not answer lately: a.example[192.0.2.1] "
						    "(refused), b.example[192.0.2.2] (refused), "
						    "b.example[2001:db8::2] (refused)");
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->attempts, 0);
	world_pass(&w, 299000);
	ck_assert_uint_eq(ntold, 2);
	world_pass(&w, 2000); /* the five minutes are over */
	ck_assert_uint_eq(ntold, 3);
	finish(&told[2], 0);
	ck_assert(!queue_of(to_domain("u@one.example", ""))->probing);
}
END_TEST

START_TEST(a_worker_puts_to_rest_only_what_it_was_given)
{
	const uint8_t other[19] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 99, 25, 0, 0 };

	to_domain("u@one.example", "");
	ck_assert(dispatch_done(&w.q, worker,
	    &(struct msg_job_done){ .job = told[0].number, .failed = slice_of(other, 19) }));
	world_settle(&w);
	ck_assert_uint_eq(w.q.hosts.count, 0);
	to_domain("u@one.example", "");
	ck_assert(dispatch_done(&w.q, worker,
	    &(struct msg_job_done){ .job = told[1].number, .failed = slice_of(other, 7) }));
}
END_TEST

START_TEST(an_operator_wakes_hosts_too)
{
	to_domain("u@one.example", "");
	finish(&told[0], 3);
	to_domain("u@same.example", "");
	ck_assert_uint_eq(ntold, 1);
	qmgr_wake_down(&w.q);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].nhosts, 3);
}
END_TEST

/* For one message: its queue's hosts are tried, and those of others rest on. */
START_TEST(an_operator_wakes_the_hosts_of_one)
{
	uint64_t first, second;

	first = to_domain("u@one.example", "");
	finish(&told[0], 3);
	second = to_domain("u@same.example", "");
	ck_assert_uint_eq(ntold, 1);
	ck_assert(operate(&w.q, OPERATE_RETRY, message_find(&w.q.messages, second),
	    SLICE_LIT("uid 0"), SLICE_NONE));
	world_settle(&w);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].nhosts, 3);
	finish(&told[1], 3);
	ck_assert(operate(&w.q, OPERATE_FLUSH, message_find(&w.q.messages, first),
	    SLICE_LIT("uid 0"), SLICE_NONE));
	world_settle(&w);
	ck_assert_uint_eq(ntold, 3);
}
END_TEST

START_TEST(a_new_configuration_is_asked_by)
{
	unsigned asked;

	to_domain("u@one.example", "");
	finish(&told[0], 0);
	asked = dns.nasked;
	conf_unref(w.conf);
	world_conf(&w, CONF "smtp_port = 2525\nipv6 = no\n");
	qmgr_set_conf(&w.q, w.conf);
	to_domain("u@one.example", "");
	ck_assert_uint_gt(dns.nasked, asked);
	ck_assert_uint_eq(told[1].nhosts, 2);
	ck_assert_uint_eq(told[1].port[0], 2525);
}
END_TEST

START_TEST(a_queue_that_ends_asks_no_more)
{
	uint64_t id;

	dns.slow = true;
	id = to_domain("u@one.example", "");
	ck_assert_uint_eq(dns.nopen, 1);
	operate(&w.q, OPERATE_DELETE, message_find(&w.q.messages, id), SLICE_LIT("test"),
	    SLICE_LIT("test"));
	for (int i = 0; i < 300 && dns.nopen > 0; i++)
		world_pass(&w, 1000);
	ck_assert_uint_eq(dns.nopen, 0); /* given up with its queue */
	dns.slow = false;
	world_settle(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_job_knows_its_hosts);
	tcase_add_test(tc, one_question_for_all_that_waits);
	tcase_add_loop_test(tc, answers_are_kept_within_bounds, 0, 3);
	tcase_add_loop_test(tc, what_is_no_domain_fails, 0, 3);
	tcase_add_test(tc, a_great_many_fail_in_slices);
	tcase_add_test(tc, trouble_with_the_dns_is_no_bounce);
	tcase_add_test(tc, without_dnscache_nothing_is_touched);
	tcase_add_test(tc, some_exchangers_known_is_enough);
	tcase_add_test(tc, the_same_exchangers_are_one_site);
	tcase_add_test(tc, a_host_that_failed_rests_for_all);
	tcase_add_test(tc, a_worker_puts_to_rest_only_what_it_was_given);
	tcase_add_test(tc, an_operator_wakes_hosts_too);
	tcase_add_test(tc, an_operator_wakes_the_hosts_of_one);
	tcase_add_test(tc, a_new_configuration_is_asked_by);
	tcase_add_test(tc, a_queue_that_ends_asks_no_more);
}
CHECK_MAIN("resolve", cases)
