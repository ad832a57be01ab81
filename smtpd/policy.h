/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

#include "ipc/peer.h"
#include "smtpd/session.h"

/*
 * The questions that a worker has open with router. Each is answered once, from the loop: by
 * router, or with NULL when ask_timeout has passed. While router is away they wait for it, those it
 * had not answered are asked again when it is back; asking twice does no harm. Where router has
 * said how long an answer holds, the same question is answered by it meanwhile: who sends to the
 * same few again and again asks for each of them once a second.
 */
struct policy;

struct policy *policy_new(struct loop *l, uint8_t class);
void policy_free(struct policy *p); /* no question may be open */
/* router: its link, of which policy_in(), policy_up() are called. */
void policy_link(struct policy *p, struct peer *router);

/* False: more questions are open than there are tokens for. */
bool policy_ask(struct policy *p, struct session *s, struct rcpt *r);
void policy_forget(struct policy *p, struct rcpt *r);

bool policy_in(struct policy *p, struct ipc_in *in);
void policy_up(struct policy *p);
unsigned policy_open(const struct policy *p); /* questions */

#endif
