/* SPDX-License-Identifier: ISC */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/gcra.h"
#include "conf/keys.h"

/*
 * One generation of the configuration: read as a whole, then never changed, shared by reference.
 * Plain fields, so that a session reads conf->message_size_limit and no more. All pointers in it
 * live until the last conf_unref(). To be held and given back on the loop's thread only.
 */
struct conf_domains {
	const char *const *at; /* as written; ".example.org" stands for all below example.org */
	size_t n;
};

struct conf_net {
	uint8_t host[16]; /* the bits behind the prefix are zero */
	uint8_t bits;	  /* of 128: an IPv4 prefix of n bits is 96 + n */
};

struct conf_nets {
	const struct conf_net *at;
	size_t n;
};

struct conf_addr {
	uint8_t host[16];
	bool set;
};

struct conf_listens {
	const struct addr *at;
	size_t n;
};

struct conf_buckets {
	const char *const *at; /* names, as written in some bucket section */
	size_t n;
};

enum {
	CONF_HOPS_MAX = 8,
	CONF_LIST_MAX = 65536,
	CONF_PORT_SMTP = 25,
	CONF_PORT_LMTP = 24,
	CONF_PORT_DNS = 53
};

struct conf_hop {
	const char *host; /* a host name, or an address as text without brackets */
	uint16_t port;	  /* CONF_PORT_SMTP where none was written */
	bool literal;	  /* host is an address */
};

struct conf_hops {
	const struct conf_hop *at; /* in the order of trial */
	size_t n;
};

/* What delivers to local users. */
struct conf_locally {
	bool lmtp;	     /* by LMTP; else the service local */
	const char *path;    /* its socket; NULL: over TCP, to hop */
	struct conf_hop hop; /* port CONF_PORT_LMTP where none was written */
};

#define CONF_C_NAME const char *
#define CONF_C_FILE const char *
#define CONF_C_USERS const char *
#define CONF_C_MAILBOX const char *
#define CONF_C_CHARS const char *
#define CONF_C_BELOW const char *
#define CONF_C_POOL const char *
#define CONF_C_PRIORITY int64_t
#define CONF_C_SERVERS struct conf_listens
#define CONF_C_LOCALLY struct conf_locally
#define CONF_C_PATH const char *
#define CONF_C_BOOL bool
#define CONF_C_INT uint64_t
#define CONF_C_SIZE uint64_t
#define CONF_C_DURATION uint64_t
#define CONF_C_LEVEL uint64_t
#define CONF_C_SERVICES uint64_t
#define CONF_C_CLASS uint64_t
#define CONF_C_DOMAINS struct conf_domains
#define CONF_C_NETS struct conf_nets
#define CONF_C_ADDR struct conf_addr
#define CONF_C_LISTENS struct conf_listens
#define CONF_C_HOP struct conf_hops
#define CONF_C_HOPS struct conf_hops
#define CONF_C_RATE struct gcra_rate
#define CONF_C_BUCKETS struct conf_buckets

struct conf_listen {
	const char *name;
#define K(type, field, ...) CONF_C_##type field;
	CONF_LISTEN_KEYS(K)
#undef K
};

struct conf_binding {
	const char *name;
#define K(type, field, ...) CONF_C_##type field;
	CONF_BINDING_KEYS(K)
#undef K
};

/* Limits shared by all that "buckets" of any scope sends to it. */
struct conf_bucket {
	const char *name;
#define K(type, field, ...) CONF_C_##type field;
	CONF_BUCKET_KEYS(K)
#undef K
};

/* A group and its members: the bindings among which a connection's is chosen. */
struct conf_group {
	const char *name;
	const struct conf_binding *const *member;
	size_t nmember;
};

struct conf_whole; /* what conf.c keeps beside it */

struct conf {
#define K(type, field, ...) CONF_C_##type field;
	CONF_KEYS(K)
#undef K
	const struct conf_listen *listen; /* in the order of the file */
	size_t nlisten;
	const struct conf_binding *binding;
	size_t nbinding;
	const struct conf_bucket *bucket;
	size_t nbucket;
	const struct conf_group *group;
	size_t ngroup;

	uint32_t generation;	  /* 0: not loaded from a published one */
	const char *file;	  /* as messages name it */
	struct conf_whole *whole; /* references, scopes: for this library only */
};

/*
 * Reads a whole configuration text, without touching any file: fit for a sandbox. `name` is what
 * messages call it, unless the text ends in the lines that conf_publish() adds and which say where
 * it came from. Returns 0 and a configuration with one reference in *out, or -EINVAL and in `err`
 * one line "file:line: text" (the first thing wrong in the file), without a newline.
 */
int conf_parse(struct slice text, const char *name, struct conf **out, struct buf *err);

const struct conf *conf_ref(const struct conf *c);
void conf_unref(const struct conf *c); /* NULL allowed; the last one frees */

bool conf_in_nets(const struct conf_nets *nets, const uint8_t host[16]);
/* Letters in any case; a trailing dot of `domain` is not looked at. */
bool conf_in_domains(const struct conf_domains *domains, struct slice domain);
const struct conf_binding *conf_binding(const struct conf *c, struct slice name); /* NULL: none */
/* A rate as the file would have it; none: "none". */
void conf_rate_put(struct buf *out, const struct gcra_rate *r);
const struct conf_group *conf_group(const struct conf *c, struct slice name);
const struct conf_bucket *conf_bucket(const struct conf *c, struct slice name);

/* Calls for each "route" that some scope sets, empty ones too. relay_host is not among them. */
void conf_each_route(
    const struct conf *c, void (*call)(void *arg, const struct conf_hops *route), void *arg);

/*
 * What `angctl config eval` prints: the value of a key as it would be written in the file, and what
 * set it.
 */
struct conf_eval {
	struct buf value; /* of lists: the elements, ", " between them */
	const char *file; /* lives as long as the conf */
	unsigned line;	  /* 0: the default */
	struct buf scope; /* "global", "binding b domain x", ...; "default" */
};
/*
 * Empty slices: not given; for keys of the whole house they are not looked at. 0, or -ENOENT for an
 * unknown key. Zero the struct first; give it back with conf_eval_fini().
 */
int conf_eval(const struct conf *c, const char *key, struct slice group, struct slice binding,
    struct slice domain, struct conf_eval *out);
void conf_eval_fini(struct conf_eval *e);
/* Calls once for each key that conf_eval() knows, in the order of the table. */
void conf_each_key(void (*call)(void *arg, const char *key), void *arg);

#endif
