/* SPDX-License-Identifier: ISC */
#include "../check_main.h"
#include "fake.h"

#include "mail/dropfile.h"
#include "smtpd/pickup.h"
#include "spool/envelope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct dropfile_recipient rcpts[] = {
	{ .address = { "bob", 3 } },
	{ .address = { "carol@else.example", 18 }, .notify = { "NEVER", 5 } },
	{ .address = { "bob@test.example", 16 } },
};

/* A file as sendmail writes it. */
static void
make_file(struct buf *out, uint32_t uid, const char *sender, const struct dropfile_recipient *r,
    size_t n, const char *message)
{
	struct dropfile d = { .uid = uid,
		.sender = slice_z(sender),
		.recipients = r,
		.n_recipients = n,
		.ret = DROPFILE_RET_HDRS };
	struct dropfile_sum sum = { 0 };
	char tail[DROPFILE_TAIL + 1];

	buf_reset(out);
	ck_assert(dropfile_head(&d, out));
	buf_puts(out, message);
	dropfile_sum_add(&sum, slice_buf(out));
	dropfile_tail(&sum, tail);
	buf_put(out, tail, DROPFILE_TAIL);
}

START_TEST(file_becomes_letter)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct buf file = { 0 };
	struct envelope e;
	struct letter *l;
	struct fake f;
	const char *why = NULL;

	fake_init(&f, CLASS_LOCAL, "");
	make_file(&file, 1000, "alice", rcpts, 3, "Subject: x\r\n\r\n.dot\r\n");
	l = pickup_letter(slice_buf(&file), 1000, &f.world, f.conf, 77, &why);
	ck_assert_ptr_nonnull(l);
	ck_assert(slice_is(slice_buf(&l->content), "Subject: x\r\n\r\n.dot\r\n"));
	ck_assert_uint_eq(l->head_bytes, 12);
	ck_assert_uint_eq(l->flags, RECORD_HAS_DOT);
	ck_assert_uint_eq(l->nrcpt, 2); /* bob stands there twice */
	ck_assert_int_eq(envelope_message(slice_buf(&l->envelope), &e), 0);
	ck_assert(slice_is(e.sender, "alice@test.example"));
	ck_assert_uint_eq(e.uid, 1000);
	ck_assert_uint_eq(e.ret, RET_HDRS);
	ck_assert_uint_eq(e.class, CLASS_LOCAL);
	envelope_rcpts(&e, &it);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(slice_is(r.recipient, "bob@test.example"));
	ck_assert(slice_is(r.original, "bob"));
	ck_assert_ptr_null(r.route.bytes.p);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert_uint_eq(r.notify, NOTIFY_NEVER);
	letter_free(l);
	buf_fini(&file);
	fake_fini(&f);
}
END_TEST

static const struct {
	const char *sender, *rcpt, *message, *why;
	uint32_t uid;
} bad_files[] = {
	{ "alice", "bob", "x\r\n", "names another user", 1001 },
	{ "al ice", "bob", "x\r\n", "bad sender", 1000 },
	{ "", "b@b@b", "x\r\n", "bad recipient", 1000 },
	{ "", "bob", "bare\nlf\r\n", "message with lines not ended by CR LF", 1000 },
	{ "", "bob", "bare\rcr\r\n", "message with lines not ended by CR LF", 1000 },
};

START_TEST(bad_file_is_refused)
{
	struct dropfile_recipient r = { .address = slice_z(bad_files[_i].rcpt) };
	struct buf file = { 0 };
	struct fake f;
	const char *why = NULL;

	fake_init(&f, CLASS_LOCAL, "");
	make_file(&file, 1000, bad_files[_i].sender, &r, 1, bad_files[_i].message);
	ck_assert_ptr_null(
	    pickup_letter(slice_buf(&file), bad_files[_i].uid, &f.world, f.conf, 77, &why));
	ck_assert_str_eq(why, bad_files[_i].why);
	ck_assert_uint_eq(f.intake.letters, 0);
	/* Cut at any length it is refused as well. */
	make_file(&file, 1000, "alice", rcpts, 2, "x\r\n");
	for (size_t n = 0; n < file.n; n++)
		ck_assert_ptr_null(
		    pickup_letter(slice_of(file.p, n), 1000, &f.world, f.conf, 77, &why));
	buf_fini(&file);
	fake_fini(&f);
}
END_TEST

/* The folder itself, with real files, threads and loop. */
static struct {
	struct loop *loop;
	struct offload *threads;
	struct fake f;
	char path[64];
	int fd;
	unsigned turns;
} t;

static void
put(const char *name, const struct buf *file)
{
	char path[400];
	int fd;

	snprintf(path, sizeof path, "%s/%s", t.path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, file->p, file->n), (ssize_t)file->n);
	close(fd);
}

static bool
there(const char *name)
{
	return faccessat(t.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
open_folder(void)
{
	snprintf(t.path, sizeof t.path, "/tmp/test-pickup-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.path));
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY);
	t.loop = loop_new();
	t.threads = offload_new(t.loop, 1);
	fake_init(&t.f, CLASS_LOCAL, "drop_max_per_user = 3\n");
}

static void
close_folder(struct pickup *p)
{
	struct dirent *e;
	DIR *d;

	pickup_stop(p);
	offload_free(t.threads);
	while (t.f.letters != NULL)
		fake_commit(&t.f);
	pickup_free(p);
	loop_free(t.loop);
	d = fdopendir(t.fd);
	while ((e = readdir(d)) != NULL)
		unlinkat(t.fd, e->d_name, 0);
	closedir(d);
	rmdir(t.path);
	fake_fini(&t.f);
}

/* Turns until `n` files were taken and `gone` (may be NULL) is no longer there. */
static void
serve(unsigned n, const char *gone)
{
	for (int i = 0; i < 500 && (t.f.committed < n || (gone != NULL && there(gone))); i++) {
		loop_turn(t.loop, true);
		while (t.f.letters != NULL)
			fake_commit(&t.f);
	}
	ck_assert_uint_eq(t.f.committed, n);
}

static unsigned
refusals(void)
{
	uint64_t lost;
	struct slice events = log_pending(&lost);
	struct log_record r;
	unsigned n = 0;

	while (log_record_next(&events, &r))
		n += r.event == LOG_DROP_REFUSED;
	return n;
}

START_TEST(folder_is_taken_in)
{
	struct buf file = { 0 };
	struct pickup *p;
	uint32_t uid = getuid();
	char a[100], b[100];

	open_folder();
	make_file(&file, uid, "alice", rcpts, 1, "Subject: 1\r\n\r\nx\r\n");
	put("good", &file);
	put(".unfinished", &file);
	make_file(&file, uid + 1, "alice", rcpts, 1, "Subject: forged\r\n\r\nx\r\n");
	put("forged", &file);
	snprintf(a, sizeof a, "%s/.unfinished", t.path);
	snprintf(b, sizeof b, "%s/link", t.path);
	ck_assert_int_eq(symlink(a, b), 0);
	snprintf(b, sizeof b, "%s/hard", t.path);
	ck_assert_int_eq(link(a, b), 0);
	snprintf(b, sizeof b, "%s/fifo", t.path);
	ck_assert_int_eq(mkfifo(b, 0666), 0);
	p = pickup_new(t.loop, t.threads, t.fd, &t.f.world, &t.f.conf);
	serve(1, "good");
	for (int i = 0; i < 500 && refusals() < 4; i++)
		loop_turn(t.loop, true);
	ck_assert_uint_eq(refusals(), 4);
	ck_assert_uint_eq(t.f.committed, 1);
	ck_assert(there("forged") && there("link") && there("hard") && there("fifo") &&
		  there(".unfinished"));
	ck_assert(slice_istarts(slice_buf(&t.f.content), "Subject: 1\r\n"));
	close_folder(p);
	buf_fini(&file);
}
END_TEST

/* A message that did not become durable stays where it is. */
START_TEST(file_stays_until_its_message_is_durable)
{
	struct buf file = { 0 };
	struct pickup *p;

	open_folder();
	make_file(&file, getuid(), "alice", rcpts, 1, "Subject: 1\r\n\r\nx\r\n");
	put("a", &file);
	t.f.fate = LETTER_TROUBLE;
	p = pickup_new(t.loop, t.threads, t.fd, &t.f.world, &t.f.conf);
	while (t.f.letters == NULL)
		loop_turn(t.loop, true);
	fake_commit(&t.f);
	ck_assert(there("a"));
	t.f.fate = LETTER_DURABLE;
	pickup_soon(p);
	serve(1, "a");
	close_folder(p);
	buf_fini(&file);
}
END_TEST

START_TEST(one_user_does_not_fill_a_round)
{
	struct buf file = { 0 };
	struct pickup *p;
	unsigned left = 0;

	open_folder();
	make_file(&file, getuid(), "alice", rcpts, 1, "Subject: 1\r\n\r\nx\r\n");
	for (char name[2] = "a"; name[0] < 'f'; name[0]++)
		put(name, &file);
	p = pickup_new(t.loop, t.threads, t.fd, &t.f.world, &t.f.conf);
	serve(3, NULL);
	loop_turn(t.loop, false);
	for (char name[2] = "a"; name[0] < 'f'; name[0]++)
		left += there(name);
	ck_assert_uint_eq(left, 2);
	pickup_soon(p);
	serve(5, NULL);
	close_folder(p);
	buf_fini(&file);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, file_becomes_letter);
	tcase_add_loop_test(
	    tc, bad_file_is_refused, 0, (int)(sizeof bad_files / sizeof *bad_files));
	tcase_add_test(tc, folder_is_taken_in);
	tcase_add_test(tc, file_stays_until_its_message_is_durable);
	tcase_add_test(tc, one_user_does_not_fill_a_round);
}

CHECK_MAIN("pickup", cases)
