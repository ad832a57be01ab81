/* SPDX-License-Identifier: ISC */
#ifndef PRIV_SANITIZER_H
#define PRIV_SANITIZER_H

/*
 * Build variant san: the leak check at exit clones a tracer, which is not possible any more from
 * the first step of giving privilege away on (and would change the exit status). Until then tests
 * have it.
 */
void sanitizer_no_leak_check(void);

#endif
