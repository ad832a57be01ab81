/* SPDX-License-Identifier: ISC */
/* The whole of conf_parse() with libconfuse behind it, then questions to what came out. */
#include "conf/scope.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct asked {
	const struct conf *c;
	struct slice domain;
};

static void
ask(void *arg, const char *key)
{
	const struct asked *asked = arg;
	const struct conf *c = asked->c;
	struct conf_eval e = { 0 };
	int rc = conf_eval(c, key, c->ngroup > 0 ? slice_z(c->group[0].name) : SLICE_NONE,
	    c->nbinding > 0 ? slice_z(c->binding[0].name) : SLICE_NONE, asked->domain, &e);

	assert(rc == 0);
	conf_eval_fini(&e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct asked asked = { .domain = slice_head(text, 300) };
	struct buf err = { 0 };
	struct conf *c = NULL;
	int rc = conf_parse(text, "fuzz", &c, &err);

	if (rc == 0) {
		const struct scope_values *v;

		assert(c != NULL && err.n == 0);
		assert(c->recipients_max >= 100 && c->recipients_max <= 100000);
		asked.c = c;
		conf_each_key(ask, &asked);
		v = scope_values(c, SLICE_NONE, SLICE_NONE, asked.domain);
		assert(v == scope_values(c, SLICE_NONE, SLICE_NONE, asked.domain));
		assert(v->connections >= 1 && v->route.n <= CONF_HOPS_MAX);
		conf_unref(c);
	} else {
		assert(
		    rc == -EINVAL && c == NULL && err.n > 0 && memchr(err.p, '\n', err.n) == NULL);
	}
	buf_fini(&err);
	return 0;
}
