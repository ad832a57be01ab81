/* SPDX-License-Identifier: ISC */
#ifndef SMTP_PATH_LITERAL_H
#define SMTP_PATH_LITERAL_H

#include "base/slice.h"

/* What stands between the brackets of an address literal (RFC 5321 section 4.1.3). */
enum literal { LITERAL_NONE, LITERAL_IP4, LITERAL_IP6, LITERAL_GENERAL };

/* addr (may be NULL) is set for IP4 (v4-mapped) and IP6. */
enum literal path_literal_parse(struct slice inside, uint8_t addr[16]);
bool path_literal_ip4(struct slice s, uint8_t addr[4]);
/* By the grammar of RFC 5321, where "::" stands for at least two groups. addr may be NULL. */
bool path_literal_ip6(struct slice s, uint8_t addr[16]);

#endif
