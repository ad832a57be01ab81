/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/disk.h"

#include "t/unit/qmgr/world.h"

/*
 * Which journal files recovery needs (rule 20): the newest one says it, and says it of what is
 * durable. The disk is that of the simulation; it fails when it is told to.
 */
static struct world w;
static struct pen p;

static void
begin(uint64_t seed)
{
	world_new(&w, "life = 365d\n");
	disk_begin(w.dirfd, seed);
	p = world_lease(&w, CLASS_MX, 11);
	for (int i = 0; i < 3; i++) {
		world_send(&w, &p, "a@x.example", "b@y.example");
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
		world_settle(&w);
		ck_assert(intake_rung(&w.q, pen_seg(&w, &p), p.at));
		world_settle(&w);
	}
}

static void
end(void)
{
	disk.on = false;
	close(p.fd);
	world_end(&w);
	for (size_t i = 0; i < disk.nfile; i++) {
		for (size_t k = 0; k < disk.file[i].nwrite; k++)
			free(disk.file[i].write[k].old);
		free(disk.file[i].write);
		close(disk.file[i].path);
	}
}

/* The word of the newest file's first record, and how many files there are. */
static uint32_t
newest_says(size_t *count)
{
	struct journal_rec start;
	uint32_t *numbers = NULL, oldest = 0;
	char name[SPOOL_NAME];

	*count = 0;
	ck_assert_int_eq(
	    spool_folder_list(w.dirfd, SPOOL_STATE, spool_journal_number, &numbers, count), 0);
	for (size_t i = *count; i-- > 0 && oldest == 0;) {
		int fd;

		spool_journal_name(numbers[i], name);
		fd = openat(w.dirfd, name, O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		if (journal_file_start(fd, w.q.identity.id, numbers[i], &start) == 0)
			oldest = start.file_start.oldest;
		close(fd);
	}
	free(numbers);
	return oldest;
}

/* One turn at a time, so that nothing is missed. */
static void
turn(void)
{
	now_ms += 5000;
	qmgr_turn(&w.q);
	world_drain_log();
}

/*
 * Cleaning ends with sums and the word that older files are not needed. Syncs fail, so that they go
 * to new files again and again. If the beginning of such a file spoke of them already, a power cut
 * that keeps no more than that beginning would lose all that was copied forward.
 */
START_TEST(the_newest_file_says_what_is_durable)
{
	unsigned waited = 0, begun = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		uint32_t before, file;
		size_t files;

		begin(seed);
		before = w.q.journal.oldest;
		file = w.q.journal.file;
		disk.fault_sync = 400;
		clean_consider(&w.q, true);
		for (int i = 0; i < 60 && w.q.journal.oldest == before; i++)
			turn();
		for (int i = 0; i < 12 && w.q.journal.oldest_waits; i++) {
			waited++;
			begun += w.q.journal.file != file;
			ck_assert_uint_eq(newest_says(&files), before);
			turn();
		}
		disk.fault_sync = 0;
		if (seed % 2 == 0)
			world_settle(&w);
		ck_assert(seed % 2 != 0 || !w.q.journal.oldest_waits);
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
		ck_assert_uint_eq(w.q.messages.count, 3);
		ck_assert_uint_eq(w.q.ledger.accepted, 3);
		ck_assert(world_balanced(&w));
		end();
	}
	ck_assert_uint_gt(waited, 10);
	ck_assert_uint_gt(begun, 5);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, the_newest_file_says_what_is_durable);
}
CHECK_MAIN("oldest", cases)
