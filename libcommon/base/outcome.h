/* SPDX-License-Identifier: ISC */
#ifndef BASE_OUTCOME_H
#define BASE_OUTCOME_H

#include "base/slice.h"

/*
 * What became of something that may end a mail. Doubt is TEMP: PERM only where an RFC or a remote
 * 5xx says so.
 */
enum outcome_kind { OUTCOME_OK, OUTCOME_TEMP, OUTCOME_PERM };

struct outcome {
	enum outcome_kind kind;
	uint16_t code;	   /* SMTP reply code, 0: none */
	uint8_t enh[3];	   /* enhanced status code, RFC 3463; {0,0,0}: none */
	struct slice text; /* borrowed: lives as long as its giver says */
};

#endif
