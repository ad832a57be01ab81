/* SPDX-License-Identifier: ISC */
#include "base/log.h"
#include "mail/received.h"

#include "t/unit/check_main.h"

static void
put(struct buf *b, const char *key, struct slice text)
{
	if (text.n > 0)
		buf_printf(b, " %s=%.*s", key, SLICE_ARG(text));
}

static void
put_host(struct buf *b, const char *key, const struct received_host *h)
{
	char text[46];

	if (h->text.n > 0 && h->is_addr) {
		addr_text(h->addr, text);
		buf_printf(b, " %s=[%s]", key, text);
	} else
		put(b, key, h->text);
}

/* All that was read, one word a fact. */
static void
show(struct buf *b, const struct received_trace *r)
{
	put_host(b, "from", &r->from);
	put_host(b, "peer", &r->peer);
	put(b, "name", r->peer_name);
	if (r->greeting != NULL)
		put_host(b, r->greeting, &r->helo);
	put(b, "ident", r->ident);
	put_host(b, "by", &r->by);
	put(b, "via", r->via);
	put(b, "with", slice_z(r->with));
	put(b, "tls", slice_z(r->tls));
	put(b, "cipher", r->cipher);
	put(b, "id", r->id);
	put(b, "for", r->for_);
	if (r->dated)
		buf_printf(b, " at=%lld", (long long)date_utc_s(&r->date));
}

#define DATE "; Thu, 13 Feb 2020 11:11:12 +0100"
#define AT " at=1581588672"

static const struct {
	const char *in, *out;
} fields[] = {
	/* ours */
	{ " from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id 0123\r\n"
	  "\tfor <a@b.example>" DATE "\r\n",
	    " from=client.example peer=[192.0.2.1] by=mx.example with=ESMTP id=0123 "
	    "for=a@b.example" AT },
	{ " by mx.example (Angarium, from userid 1000)\r\n\tid X" DATE, " by=mx.example id=X" AT },
	{ "from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by h id X" DATE,
	    " from=[2001:db8::1] peer=[2001:db8::1] by=h id=X" AT },
	/* the grammar */
	{ "FROM a.example BY b.example VIA TCP WITH smtp ID <x@y> FOR <c@d>" DATE,
	    " from=a.example by=b.example via=TCP with=SMTP id=x@y for=c@d" AT },
	{ "by b.example (c (d; e) f) for c@d id 1" DATE, " by=b.example id=1 for=c@d" AT },
	{ "from a.example (x.example [192.0.2.1]) by b",
	    " from=a.example peer=[192.0.2.1] name=x.example by=b" },
	{ "from a by b with esmtps tls TLS_AES_128_GCM_SHA256 id 1",
	    " from=a by=b with=ESMTPS cipher=TLS_AES_128_GCM_SHA256 id=1" },
	/* how others write */
	{ "from h (h.example [192.0.2.1]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
	  "(256/256 bits)"
	  " key-exchange X25519) (No client certificate requested) by m (Postfix) with ESMTPS id "
	  "4C" DATE,
	    " from=h peer=[192.0.2.1] name=h.example by=m with=ESMTPS tls=TLSv1.3"
	    " cipher=TLS_AES_256_GCM_SHA384 id=4C" AT },
	{ "from root (helo=h.example ident=joe) by m with local-esmtps "
	  "(TLS1.2:ECDHE_RSA_AES_256:256)"
	  " (Exim 4.92) id 1h-2" DATE,
	    " from=root HELO=h.example ident=joe by=m with=ESMTPS tls=TLSv1.2 "
	    "cipher=ECDHE_RSA_AES_256"
	    " id=1h-2" AT },
	{ "from h (IDENT:joe@p.example [192.0.2.1] (may be forged)) by m (8.17/8.17) with ESMTP id "
	  "1" DATE,
	    " from=h peer=[192.0.2.1] ident=joe@p.example by=m with=ESMTP id=1" AT },
	{ "from unknown (HELO h.example) (joe@[192.0.2.1]) by m with SMTP; 13 Feb 2020 10:11:12 "
	  "-0000",
	    " from=unknown peer=[192.0.2.1] HELO=h.example ident=joe by=m with=SMTP" AT },
	{ "(qmail 84907 invoked from network); 13 Feb 2020 10:11:12 -0000", " from=network" AT },
	{ "(qmail 3 invoked by uid 60001); 13 Feb 2020 10:11:12 -0000", AT },
	{ "(from joe@localhost) by m (8.17/Submit) id 1" DATE, " from=joe@localhost by=m id=1" AT },
	{ "from h ([192.0.2.1]) by m with Microsoft SMTPSVC(6.0.3790.0)" DATE,
	    " from=h peer=[192.0.2.1] by=m with=SMTP" AT },
	{ "from h (2001:db8::1) by m (2001:db8::2%6) with mapi id 15.20" DATE,
	    " from=h peer=[2001:db8::1] by=m id=15.20" AT },
	{ "from h (192.0.2.1:23198) by m with [XMail 1.20 ESMTP Server] id <S7> for <a@b> from "
	  "<c@d>" DATE,
	    " from=h peer=[192.0.2.1] by=m with=ESMTP id=S7 for=a@b" AT },
	{ "from h ([192.0.2.1] helo=[192.0.2.2]) by m" DATE,
	    " from=h peer=[192.0.2.1] HELO=[192.0.2.2] by=m" AT },
	{ "from h (192.0.2.9 [192.0.2.1]) by m", " from=h peer=[192.0.2.1] by=m" },
	{ "from h (version=TLSv1/SSLv3 cipher=DES-CBC3-SHA bits=168) by m",
	    " from=h by=m tls=TLSv1.0 cipher=DES-CBC3-SHA" },
	{ "from ([192.0.2.1]) by m with ESMTP", " peer=[192.0.2.1] by=m with=ESMTP" },
	{ "from pop.example [192.0.2.1] by localhost with POP3 (fetchmail-6.4) for joe@localhost "
	  "(single-drop)" DATE,
	    " from=pop.example peer=[192.0.2.1] by=localhost with=POP3 for=joe@localhost" AT },
	{ "from h by m via smtpd (for l.example [192.0.2.1]) with ESMTP" DATE,
	    " from=h by=m via=smtpd with=ESMTP" AT },
	{ "from h (h.example. [192.0.2.1]) by m with ESMTP",
	    " from=h peer=[192.0.2.1] name=h.example by=m with=ESMTP" },
	{ "from h (IDENT:joe@[192.0.2.1]) by m", " from=h peer=[192.0.2.1] ident=joe by=m" },
	/* nonsense */
	{ "", "" },
	{ DATE, AT },
	{ "from", "" },
	{ "from from from by by", "" },
	{ "from a (b by c with d" DATE, " from=a" AT },
	{ "from a))) by b>>> with <<< id ]]] SMTP", " from=a by=b id=SMTP" },
	{ "from [10.0.8.6.13219] by [] for <address> id <>", " from=10.0.8.6.13219" },
	{ "from a by b\nfrom c by d", " from=a by=b" },
};

START_TEST(field_is_read)
{
	struct received_trace r;
	struct buf b = { 0 };

	received_read(slice_z(fields[_i].in), &r);
	show(&b, &r);
	ck_assert_msg(slice_is(slice_buf(&b), fields[_i].out), "%s\n%.*s\n%s", fields[_i].in,
	    SLICE_ARG(slice_buf(&b)), fields[_i].out);
	buf_fini(&b);
}
END_TEST

/* Work grows with the length, not with its square. */
START_TEST(floods_are_read_at_once)
{
	static const char *const floods[] = { "<", "(", "from ", "a@", "[", "helo=", ":", "( <",
		"tls1/" };
	struct buf b = { 0 };
	struct received_trace r;

	for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
		buf_reset(&b);
		while (b.n < 256 * 1024)
			buf_puts(&b, floods[i]);
		received_read(slice_buf(&b), &r);
		ck_assert(!r.dated);
	}
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, field_is_read, 0, sizeof fields / sizeof *fields);
	tcase_add_test(tc, floods_are_read_at_once);
}
CHECK_MAIN("received_read", cases)
