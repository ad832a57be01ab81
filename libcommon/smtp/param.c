/* SPDX-License-Identifier: ISC */
#include "smtp/param.h"

#include "smtp/chars.h"
#include "smtp/path.h"
#include "smtp/xtext.h"

/*
 * RFC 5321 section 4.1.2:
 *
 *	parameters  = esmtp-param *( SP esmtp-param )
 *	esmtp-param = esmtp-keyword [ "=" esmtp-value ]
 *	esmtp-keyword = (ALPHA / DIGIT) *( ALPHA / DIGIT / "-" )
 *	esmtp-value = 1*( %d33-60 / %d62-126 )        and UTF8-non-ascii, RFC 6531
 */
struct param {
	struct slice word, value; /* value.p == NULL: no "=" */
};

static bool
value_chars(struct slice value, bool utf8)
{
	uint32_t code;
	size_t len;

	for (size_t i = 0; i < value.n; i += len) {
		len = 1;
		if (!chars_is(value.p[i], CHARS_VALUE) &&
		    (!utf8 || (len = chars_utf8(value.p + i, value.n - i, &code)) == 0))
			return false;
	}
	return value.n > 0;
}

/* Takes blanks and one parameter off *in. False: there is none, though in->n was not 0. */
static bool
next_param(struct slice *in, bool utf8, struct param *out)
{
	struct slice text;
	ptrdiff_t end, eq;

	if (in->p[0] != ' ')
		return false;
	while (in->n > 0 && in->p[0] == ' ')
		*in = slice_from(*in, 1);
	end = slice_find(*in, ' ');
	text = end < 0 ? *in : slice_head(*in, (size_t)end);
	*in = slice_from(*in, text.n);
	eq = slice_find(text, '=');
	out->word = eq < 0 ? text : slice_head(text, (size_t)eq);
	out->value = eq < 0 ? SLICE_NONE : slice_from(text, (size_t)eq + 1);
	return out->word.n > 0 && out->word.p[0] != '-' && chars_all(out->word, CHARS_LDH) &&
	       (eq < 0 || value_chars(out->value, utf8));
}

/* 1*20DIGIT (RFC 1870): beyond 64 bits it is as much as there is. */
static bool
read_size(struct slice value, uint64_t *out)
{
	if (value.n == 0 || value.n > 20)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_digit(value.p[i]))
			return false;
	if (!slice_u64(value, out))
		*out = UINT64_MAX;
	return true;
}

/* RFC 6710 section 4.1: "0", or a digit that is not, with or without "-". */
static bool
read_priority(struct slice value, struct mail_params *out)
{
	bool minus = value.n > 0 && value.p[0] == '-';

	value = slice_from(value, minus);
	if (value.n != 1 || !ascii_digit(value.p[0]) || (minus && value.p[0] == '0'))
		return false;
	out->has_priority = true;
	out->priority = (int8_t)(minus ? '0' - value.p[0] : value.p[0] - '0');
	return true;
}

/* RFC 4954 section 5: "<>" or xtext of an address. */
static bool
auth_valid(struct slice value, bool utf8)
{
	struct buf plain = { 0 };
	bool ok;

	if (slice_is(value, "<>"))
		return true;
	ok = value.n > 0 && value.n <= PARAM_AUTH_MAX && xtext_decode(&plain, value) &&
	     path_address_valid(slice_buf(&plain), utf8 ? PATH_UTF8 : 0);
	buf_fini(&plain);
	return ok;
}

bool
param_envid_valid(struct slice value)
{
	return value.n > 0 && value.n <= PARAM_ENVID_MAX && xtext_printable(value, false);
}

bool
param_orcpt_valid(struct slice value, bool utf8)
{
	ptrdiff_t semi = slice_find(value, ';');

	return semi > 0 && value.n <= PARAM_ORCPT_MAX && (size_t)semi + 1 < value.n &&
	       chars_all(slice_head(value, (size_t)semi), CHARS_ATEXT) &&
	       xtext_printable(slice_from(value, (size_t)semi + 1), utf8);
}

/* The words by their bit: 1, 2, 4, 8. */
static const char *const notify_words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };

/* "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ), RFC 3461 section 4.1. */
bool
param_notify_parse(struct slice value, uint8_t *notify)
{
	struct slice word;
	unsigned set = 0, i;

	while (slice_next(&value, ',', &word)) {
		for (i = 0; i < 4 && !slice_iis(word, notify_words[i]); i++)
			;
		if (i == 4)
			return false;
		set |= 1U << i;
	}
	*notify = (uint8_t)set;
	return set != 0 && (!(set & PARAM_NOTIFY_NEVER) || set == PARAM_NOTIFY_NEVER);
}

const char *
param_notify_word(uint8_t notify)
{
	static const char *const words[16] = { "", "NEVER", "SUCCESS", "", "FAILURE", "",
		"SUCCESS,FAILURE", "", "DELAY", "", "SUCCESS,DELAY", "", "FAILURE,DELAY", "",
		"SUCCESS,FAILURE,DELAY", "" };

	return notify < 16 ? words[notify] : "";
}

enum which {
	P_SIZE,
	P_BODY,
	P_RET,
	P_ENVID,
	P_AUTH,
	P_SMTPUTF8,
	P_REQUIRETLS,
	P_MT_PRIORITY,
	P_NOTIFY,
	P_ORCPT,
	P_COUNT,
};

static const struct {
	const char *word;
	unsigned ext; /* known where one of these is offered */
	bool of_mail; /* else of RCPT */
} rules[P_COUNT] = {
	[P_SIZE] = { "SIZE", EXT_SIZE, true },
	[P_BODY] = { "BODY", EXT_8BITMIME | EXT_BINARYMIME, true },
	[P_RET] = { "RET", EXT_DSN, true },
	[P_ENVID] = { "ENVID", EXT_DSN, true },
	[P_AUTH] = { "AUTH", EXT_AUTH, true },
	[P_SMTPUTF8] = { "SMTPUTF8", EXT_SMTPUTF8, true },
	[P_REQUIRETLS] = { "REQUIRETLS", EXT_REQUIRETLS, true },
	[P_MT_PRIORITY] = { "MT-PRIORITY", EXT_MT_PRIORITY, true },
	[P_NOTIFY] = { "NOTIFY", EXT_DSN, false },
	[P_ORCPT] = { "ORCPT", EXT_DSN, false },
};

static enum which
find(struct slice word, unsigned offered, bool of_mail)
{
	unsigned p = 0;

	while (p < P_COUNT && !(rules[p].of_mail == of_mail && (rules[p].ext & offered) &&
				  slice_iis(word, rules[p].word)))
		p++;
	return (enum which)p;
}

/* Index of the value among the words, which end in NULL; -1: none of them. */
static int
pick(struct slice value, const char *const *words)
{
	for (int i = 0; words[i] != NULL; i++)
		if (slice_iis(value, words[i]))
			return i;
	return -1;
}

struct values {
	struct mail_params mail;
	struct rcpt_params rcpt;
	unsigned offered;
	unsigned said; /* bits by enum which */
};

static enum param_result
set_body(struct values *v, struct slice value)
{
	int body = pick(value, (const char *const[]){ "7BIT", "8BITMIME", "BINARYMIME", NULL });

	if (body < 0)
		return PARAM_SYNTAX;
	v->mail.body = (enum param_body)body;
	return body == PARAM_BODY_BINARY && !(v->offered & EXT_BINARYMIME) ? PARAM_UNKNOWN
									   : PARAM_OK;
}

static enum param_result
set(struct values *v, enum which which, struct slice value)
{
	bool utf8 = v->offered & EXT_SMTPUTF8;
	bool ok = false;

	switch (which) {
	case P_SIZE:
		ok = read_size(value, &v->mail.size_bytes);
		break;
	case P_BODY:
		return set_body(v, value);
	case P_RET:
		v->mail.ret = (enum param_ret)(
		    pick(value, (const char *const[]){ "FULL", "HDRS", NULL }) + 1);
		ok = v->mail.ret != PARAM_RET_NONE;
		break;
	case P_ENVID:
		v->mail.envid = value;
		ok = param_envid_valid(value);
		break;
	case P_AUTH:
		v->mail.auth = value;
		ok = auth_valid(value, utf8);
		break;
	case P_SMTPUTF8:
		v->mail.smtputf8 = ok = value.p == NULL;
		break;
	case P_REQUIRETLS:
		v->mail.requiretls = ok = value.p == NULL;
		break;
	case P_MT_PRIORITY:
		ok = read_priority(value, &v->mail);
		break;
	case P_NOTIFY:
		ok = param_notify_parse(value, &v->rcpt.notify);
		break;
	case P_ORCPT:
		v->rcpt.orcpt = value;
		ok = param_orcpt_valid(value, utf8);
		break;
	case P_COUNT:
		return PARAM_UNKNOWN;
	}
	return ok ? PARAM_OK : PARAM_SYNTAX;
}

static enum param_result
parse(struct slice in, bool of_mail, struct values *v)
{
	enum param_result worst = PARAM_OK, result;
	struct param p;
	enum which which;

	while (in.n > 0) {
		if (!next_param(&in, v->offered & EXT_SMTPUTF8, &p))
			return PARAM_SYNTAX;
		which = find(p.word, v->offered, of_mail);
		result = set(v, which, p.value);
		if (result == PARAM_SYNTAX)
			return PARAM_SYNTAX;
		if (result == PARAM_OK && (v->said & 1U << which))
			result = PARAM_DUPLICATE;
		v->said |= 1U << which;
		if (worst == PARAM_OK)
			worst = result;
	}
	return worst;
}

enum param_result
param_parse_mail(struct slice in, unsigned offered, struct mail_params *out)
{
	struct values v = { .offered = offered };
	enum param_result result = parse(in, true, &v);

	*out = v.mail;
	return result;
}

enum param_result
param_parse_rcpt(struct slice in, unsigned offered, struct rcpt_params *out)
{
	struct values v = { .offered = offered };
	enum param_result result = parse(in, false, &v);

	*out = v.rcpt;
	return result;
}
