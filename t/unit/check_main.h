/* SPDX-License-Identifier: ISC */
#ifndef UNIT_CHECK_MAIN_H
#define UNIT_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/*
 * Each unit test program:
 *
 *	static void
 *	cases(TCase *tc)
 *	{
 *		tcase_add_test(tc, name);
 *		tcase_add_loop_test(tc, each_row, 0, sizeof rows / sizeof *rows);
 *	}
 *	CHECK_MAIN("path", cases)
 */
#define CHECK_MAIN(name, add)                                     \
	int main(void)                                            \
	{                                                         \
		Suite *suite = suite_create(name);                \
		TCase *tc = tcase_create(name);                   \
		SRunner *runner;                                  \
		int failed;                                       \
                                                                  \
		tcase_set_timeout(tc, 60);                        \
		add(tc);                                          \
		suite_add_tcase(suite, tc);                       \
		runner = srunner_create(suite);                   \
		srunner_run_all(runner, CK_ENV);                  \
		failed = srunner_ntests_failed(runner);           \
		srunner_free(runner);                             \
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE; \
	}

#endif
