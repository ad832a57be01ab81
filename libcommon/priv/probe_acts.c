/* SPDX-License-Identifier: ISC */
#include "priv/probe_acts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int
err_of(long rc)
{
	return rc < 0 ? errno : 0;
}

/* A descriptor that was got is let go of. */
static int
err_of_fd(long fd)
{
	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

int
act_raw(const struct act *a)
{
	return err_of(syscall(a->nr, a->args[0], a->args[1], a->args[2], a->args[3], a->args[4]));
}

/* Files by name. */

static int
stat_root(const struct probe_env *env)
{
	struct stat st;

	(void)env;
	return err_of(stat("/", &st));
}

static int
open_victim(const struct probe_env *env)
{
	return err_of_fd(open(env->victim, O_RDONLY | O_CLOEXEC));
}

static int
open_victim_rw(const struct probe_env *env)
{
	return err_of_fd(open(env->victim, O_RDWR | O_CLOEXEC));
}

static int
truncate_victim(const struct probe_env *env)
{
	return err_of(truncate(env->victim, 1));
}

static int
chmod_victim(const struct probe_env *env)
{
	return err_of(chmod(env->victim, 0600));
}

static int
rename_victim(const struct probe_env *env)
{
	int err = err_of(rename(env->victim, "probe-moved"));

	if (err == 0 && rename("probe-moved", env->victim) != 0)
		return errno;
	return err;
}

static int
link_victim(const struct probe_env *env)
{
	int err = err_of(link(env->victim, "probe-link"));

	if (err == 0)
		unlink("probe-link");
	return err;
}

/* The last act on it. */
static int
unlink_victim(const struct probe_env *env)
{
	return err_of(unlinkat(AT_FDCWD, env->victim, 0));
}

static int
create(const struct probe_env *env)
{
	int err = err_of_fd(open("probe-made", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));

	(void)env;
	if (err == 0)
		unlink("probe-made");
	return err;
}

static int
create_nameless(const struct probe_env *env)
{
	(void)env;
	return err_of_fd(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int
make_dir(const struct probe_env *env)
{
	int err = err_of(mkdirat(AT_FDCWD, "probe-dir", 0700));

	(void)env;
	if (err == 0)
		rmdir("probe-dir");
	return err;
}

/* Processes. */

static int
child_of(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return err_of(pid);
}

static int
fork_child(const struct probe_env *env)
{
	(void)env;
	return child_of(fork());
}

static int
clone_namespace(const struct probe_env *env)
{
	(void)env;
	return child_of(syscall(SYS_clone, (long)CLONE_NEWUSER | SIGCHLD, 0L, 0L, 0L, 0L));
}

static int
kill_outsider(const struct probe_env *env)
{
	return err_of(kill(env->outsider, 0));
}

static int
tgkill_outsider(const struct probe_env *env)
{
	return err_of(syscall(SYS_tgkill, env->outsider, env->outsider, 0));
}

static int
read_outsider(const struct probe_env *env)
{
	char a[8];
	struct iovec here = { a, sizeof a }, there = { a, sizeof a };

	return err_of(syscall(SYS_process_vm_readv, env->outsider, &here, 1L, &there, 1L, 0L));
}

static int
raise_limit(const struct probe_env *env)
{
	struct rlimit r = { 1 << 20, 1 << 20 };

	(void)env;
	return err_of(syscall(SYS_prlimit64, 0L, (long)RLIMIT_CORE, &r, NULL));
}

/* Memory. */

static int
map_exec(const struct probe_env *env)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)env;
	if (p == MAP_FAILED)
		return errno;
	munmap(p, 4096);
	return 0;
}

static int
protect_exec(const struct probe_env *env)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	(void)env;
	if (p == MAP_FAILED)
		return 0; /* this must go: says ALLOWED */
	err = err_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
	munmap(p, 4096);
	return err;
}

/* The network. */

static int
tcp(int (*call)(int, const struct sockaddr *, socklen_t), uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return errno;
	err = err_of(call(fd, (struct sockaddr *)&sin, sizeof sin));
	close(fd);
	return err;
}

static int
tcp_connect(const struct probe_env *env)
{
	(void)env;
	return tcp(connect, 1);
}

static int
tcp_bind(const struct probe_env *env)
{
	(void)env;
	return tcp(bind, 41025);
}

static int
tcp_bind_any(const struct probe_env *env)
{
	(void)env;
	return tcp(bind, 0);
}

static int
connect_abstract(const struct probe_env *env)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strnlen(env->abstract, sizeof sun.sun_path - 1);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return errno;
	memcpy(sun.sun_path + 1, env->abstract, n);
	err = err_of(connect(fd, (struct sockaddr *)&sun, len));
	close(fd);
	return err;
}

static int
pair(const struct probe_env *env)
{
	int sv[2];

	(void)env;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	close(sv[0]);
	close(sv[1]);
	return 0;
}

/* The segment: what was appended and acknowledged must be out of reach. */

static struct iovec one_byte = { (void *)(uintptr_t) "!", 1 };

static int
seg_pwritev2(const struct probe_env *env)
{
	return err_of(pwritev2(env->segment, &one_byte, 1, 0, RWF_NOAPPEND));
}

static int
seg_pwrite(const struct probe_env *env)
{
	return err_of(pwrite(env->segment, "!", 1, 0));
}

static int
seg_pwritev(const struct probe_env *env)
{
	return err_of(pwritev(env->segment, &one_byte, 1, 0));
}

static int
seg_ftruncate(const struct probe_env *env)
{
	return err_of(ftruncate(env->segment, 1));
}

static int
seg_reserve(const struct probe_env *env)
{
	return err_of(fallocate(env->segment, FALLOC_FL_KEEP_SIZE, 0, 4096));
}

static int
seg_punch(const struct probe_env *env)
{
	return err_of(fallocate(env->segment, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 1));
}

static int
seg_setfl(const struct probe_env *env)
{
	return err_of(fcntl(env->segment, F_SETFL, 0));
}

static int
seg_lseek(const struct probe_env *env)
{
	return lseek(env->segment, 0, SEEK_SET) < 0 ? errno : err_of(write(env->segment, "!", 1));
}

static int
seg_map(const struct probe_env *env)
{
	void *p = mmap(NULL, 1, PROT_WRITE, MAP_SHARED, env->segment, 0);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, 1);
	return 0;
}

static int
seg_reopen(const struct probe_env *env)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/self/fd/%d", env->segment);
	return err_of_fd(open(name, O_RDWR | O_CLOEXEC));
}

static int
seg_reopen_handle(const struct probe_env *env)
{
	struct {
		struct file_handle h;
		unsigned char room[MAX_HANDLE_SZ];
	} fh = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount;

	if (name_to_handle_at(env->segment, "", &fh.h, &mount, AT_EMPTY_PATH) != 0)
		return errno;
	return err_of_fd(open_by_handle_at(env->segment, &fh.h, O_RDWR | O_CLOEXEC));
}

static int
seg_link(const struct probe_env *env)
{
	int err = err_of(linkat(env->segment, "", AT_FDCWD, "probe-segment", AT_EMPTY_PATH));

	if (err == 0)
		unlink("probe-segment");
	return err;
}

/* A pipe with a byte in it, then moved by `nr` into the segment. */
static int
from_pipe(const struct probe_env *env, long nr)
{
	int p[2], err;

	if (pipe2(p, O_CLOEXEC) != 0)
		return 0; /* pipes must go: says ALLOWED */
	err = 0;
	if (write(p[1], "!", 1) == 1)
		err = err_of(syscall(nr, p[0], NULL, env->segment, NULL, 1L, 0L));
	close(p[0]);
	close(p[1]);
	return err;
}

static int
seg_splice(const struct probe_env *env)
{
	return from_pipe(env, SYS_splice);
}

static int
seg_tee(const struct probe_env *env)
{
	return err_of(syscall(SYS_tee, env->segment, env->segment, 1L, 0L));
}

static int
seg_vmsplice(const struct probe_env *env)
{
	return err_of(syscall(SYS_vmsplice, env->segment, &one_byte, 1L, 0L));
}

static int
seg_sendfile(const struct probe_env *env)
{
	return err_of(syscall(SYS_sendfile, env->segment, env->segment, NULL, 1L));
}

static int
seg_copy(const struct probe_env *env)
{
	return err_of(syscall(SYS_copy_file_range, env->segment, NULL, env->segment, NULL, 1L, 0L));
}

static int
seg_clone(const struct probe_env *env)
{
	return err_of(ioctl(env->segment, FICLONE, env->segment));
}

static int
seg_flags(const struct probe_env *env)
{
	int flags = 0;

	return err_of(ioctl(env->segment, FS_IOC_GETFLAGS, &flags));
}

static int
seg_lease(const struct probe_env *env)
{
	return err_of(fcntl(env->segment, F_SETLEASE, F_UNLCK));
}

static int
seg_lock(const struct probe_env *env)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return err_of(fcntl(env->segment, F_OFD_SETLK, &l));
}

static int
seg_owner(const struct probe_env *env)
{
	return err_of(fcntl(env->segment, F_SETOWN, getpid()));
}

static int
seg_fchmod(const struct probe_env *env)
{
	return err_of(fchmod(env->segment, 0600));
}

static int
seg_fchown(const struct probe_env *env)
{
	return err_of(fchown(env->segment, -1U, -1U));
}

static int
seg_xattr(const struct probe_env *env)
{
	return err_of(syscall(SYS_fsetxattr, env->segment, "user.probe", "!", 1L, 0L));
}

static int
seg_times(const struct probe_env *env)
{
	return err_of(futimens(env->segment, NULL));
}

/* Its descriptor is for writing: here the kernel's own no is the refusal. */
static int
seg_read(const struct probe_env *env)
{
	char c;

	return err_of(read(env->segment, &c, 1));
}

static int
seg_pread(const struct probe_env *env)
{
	char c;

	return err_of(pread(env->segment, &c, 1, 0));
}

#define ACT(name, on, permitted, fn)                   \
	{                                              \
		name, ON_##on, permitted, 0, 0, fn, 0, \
		{                                      \
			0                              \
		}                                      \
	}
#define ACT_ALSO(name, on, permitted, also, fn)           \
	{                                                 \
		name, ON_##on, permitted, also, 0, fn, 0, \
		{                                         \
			0                                 \
		}                                         \
	}
#define ACT_ABI(name, on, permitted, abi, fn)            \
	{                                                \
		name, ON_##on, permitted, 0, abi, fn, 0, \
		{                                        \
			0                                \
		}                                        \
	}
/*
 * Without a function: arguments with which a call that is let through fails harmlessly, or works
 * so.
 */
#define RAW_ALSO(name, permitted, also, nr, ...)                      \
	{                                                             \
		name, ON_NOTHING, permitted, also, 0, NULL, SYS_##nr, \
		{                                                     \
			__VA_ARGS__                                   \
		}                                                     \
	}
#define RAW(name, permitted, nr, ...) RAW_ALSO(name, permitted, 0, nr, __VA_ARGS__)
#define PTR(p) (long)(uintptr_t)(p)

static const struct act table[] = {
	/* /etc and /proc are not below our root directory: not found is a refusal too. */
	RAW_ALSO(
	    "open-passwd", CALLS_BECOME, ENOENT, openat, AT_FDCWD, PTR("/etc/passwd"), O_RDONLY),
	RAW_ALSO("open-passwd-rw", 0, ENOENT, openat, AT_FDCWD, PTR("/etc/passwd"), O_RDWR),
	RAW_ALSO("open-mem", 0, ENOENT, openat, AT_FDCWD, PTR("/proc/self/mem"), O_RDWR),
	RAW("open-root", CALLS_BECOME, openat, AT_FDCWD, PTR("/"), O_RDONLY | O_DIRECTORY),
	RAW("open-above", CALLS_BECOME, openat, AT_FDCWD, PTR(".."), O_RDONLY | O_DIRECTORY),
	RAW("openat2", 0, openat2, AT_FDCWD, PTR("."), 0, 0),
	ACT("open-file", VICTIM, CALLS_BECOME, open_victim),
	ACT("open-file-rw", VICTIM, CALLS_BECOME, open_victim_rw),
	ACT("truncate-file", VICTIM, 0, truncate_victim),
	ACT("chmod-file", VICTIM, 0, chmod_victim),
	ACT("rename-file", VICTIM, CALLS_BECOME, rename_victim),
	ACT("link-file", VICTIM, CALLS_BECOME, link_victim),
	ACT("unlink-file", VICTIM, CALLS_BECOME, unlink_victim),
	ACT("create-file", NOTHING, CALLS_BECOME, create),
	ACT("create-nameless", NOTHING, CALLS_BECOME, create_nameless),
	ACT("mkdir", NOTHING, CALLS_BECOME, make_dir),
	RAW("mknod", 0, mknodat, AT_FDCWD, PTR("probe-fifo"), S_IFIFO | 0600, 0),
	RAW("symlink", 0, symlinkat, PTR("probe"), AT_FDCWD, PTR("probe-symlink")),
	RAW("access", 0, faccessat, AT_FDCWD, PTR("/"), F_OK),
	ACT("stat", NOTHING, CALLS_OPEN, stat_root),
	RAW("chdir", 0, chdir, PTR("/")),
	RAW("chroot", 0, chroot, PTR(".")),
	RAW("mount", 0, mount, PTR("none"), PTR("/"), PTR("tmpfs"), 0, 0),
	RAW("umount", 0, umount2, PTR("/"), 0),
	RAW("open-tree", 0, open_tree, AT_FDCWD, PTR("/"), 0),
	RAW("inotify", 0, inotify_init1, O_CLOEXEC),

	RAW("execve", 0, execve, PTR("/probe-none"), 0, 0),
	RAW("execveat", 0, execveat, -1, PTR("/probe-none"), 0, 0, 0),
	ACT("fork", NOTHING, CALLS_FORK, fork_child),
	ACT("clone-namespace", NOTHING, 0, clone_namespace),
	RAW_ALSO("clone3", 0, ENOSYS, clone3, 0, 0),
	RAW("unshare", 0, unshare, CLONE_NEWUSER),
	RAW("setns", 0, setns, -1, 0),
	ACT_ABI("kill", OUTSIDER, 0, 6, kill_outsider),
	ACT_ABI("tgkill", OUTSIDER, 0, 6, tgkill_outsider),
	RAW("ptrace", 0, ptrace, PTRACE_PEEKDATA, INT_MAX, 0, 0),
	ACT("process-vm-readv", OUTSIDER, 0, read_outsider),
	RAW("pidfd-open", 0, pidfd_open, INT_MAX, 0),
	RAW("setsid", 0, setsid, 0),
	RAW("setuid", 0, setuid, 0),
	/* changes nothing: anybody may, outside */
	RAW("setresuid", CALLS_BECOME, setresuid, -1, -1, -1),
	RAW("become-root", 0, setresuid, 0, 0, 0),
	RAW("become-root-low", 0, setresuid, 0x100000000, -1, -1), /* the kernel looks at 32 bits */
	RAW("become-system-user", 0, setresuid, 1, 1, 1),
	RAW("become-system-user-low", 0, setresuid, -1, 0x100000001, -1),
	RAW("become-group-root", 0, setresgid, 0, 0, 0),
	RAW("setresgid", CALLS_BECOME, setresgid, -1, -1, -1),
	RAW("setgroups", CALLS_BECOME, setgroups, 0, 0),
	RAW("capset", CALLS_BECOME, capset, 0, 0),
	RAW("dumpable", 0, prctl, PR_SET_DUMPABLE, 1, 0, 0, 0),
	RAW("keep-capabilities", 0, prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0),
	RAW("personality", 0, personality, 0xffffffff),
	RAW("scheduler", 0, sched_setscheduler, 0, SCHED_IDLE, 0),
	ACT("raise-limit", NOTHING, 0, raise_limit),

	ACT("mmap-exec", NOTHING, 0, map_exec),
	RAW("mmap-file", 0, mmap, 0, 4096, PROT_READ, MAP_SHARED, -1),
	ACT("mprotect-exec", NOTHING, 0, protect_exec),
	RAW("memfd", CALLS_SPOOL, memfd_create, PTR("probe"), MFD_CLOEXEC),
	RAW("userfaultfd", 0, userfaultfd, 1),
	RAW("bpf", 0, bpf, 0, 0, 0),
	RAW("keyctl", 0, keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0),
	RAW("io-uring", 0, io_uring_setup, 1, 0),
	RAW("aio", 0, io_setup, 1, 0),
	RAW("perf", 0, perf_event_open, 0, 0, -1, -1, 0),
	RAW("shm", 0, shmget, 0, 0, 0),
	RAW("module", 0, init_module, 0, 0, 0),
	RAW("reboot", 0, reboot, 0, 0, 0, 0),
	RAW("set-clock", 0, clock_settime, 0, 0),

	RAW("socket-unix", CALLS_DIAL, socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
	RAW("socket-unix-stream", CALLS_UNIX, socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
	RAW("socket-unix-dgram", CALLS_LOG, socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	RAW("socket-inet", CALLS_TCP, socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	RAW("socket-inet6", CALLS_TCP, socket, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0),
	RAW("socket-udp", CALLS_UDP, socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	RAW("socket-udp6", CALLS_UDP, socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	RAW("socket-raw", 0, socket, AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1),
	RAW("socket-netlink", 0, socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0),
	RAW("socket-packet", 0, socket, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0),
	RAW("socket-alg", 0, socket, AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
	RAW("socket-vsock", 0, socket, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0),
	ACT("socketpair-stream", NOTHING, 0, pair),
	RAW("listen", 0, listen, -1, 1),
	ACT("tcp-connect", NOTHING, CALLS_TCP, tcp_connect),
	ACT_ABI("tcp-bind", NOTHING, 0, 4, tcp_bind),
	ACT("tcp-bind-any", NOTHING, CALLS_TCP, tcp_bind_any),
	ACT_ABI("abstract-socket", ABSTRACT, 0, 6, connect_abstract),

	ACT("segment-pwritev2-noappend", SEGMENT, 0, seg_pwritev2),
	ACT("segment-pwrite", SEGMENT, CALLS_KEEP, seg_pwrite),
	ACT("segment-pwritev", SEGMENT, CALLS_KEEP, seg_pwritev),
	ACT("segment-lseek", SEGMENT, CALLS_KEEP | CALLS_NAMES, seg_lseek),
	ACT("segment-ftruncate", SEGMENT, CALLS_KEEP, seg_ftruncate),
	ACT("segment-fallocate", SEGMENT, CALLS_SPOOL, seg_reserve),
	ACT("segment-punch", SEGMENT, CALLS_SPOOL, seg_punch),
	ACT("segment-setfl", SEGMENT, 0, seg_setfl),
	ACT("segment-mmap", SEGMENT, 0, seg_map),
	ACT_ALSO("segment-reopen", SEGMENT, 0, ENOENT, seg_reopen),
	ACT("segment-reopen-handle", SEGMENT, 0, seg_reopen_handle),
	ACT("segment-link", SEGMENT, CALLS_HOME, seg_link),
	ACT("segment-splice", SEGMENT, 0, seg_splice),
	ACT("segment-tee", SEGMENT, 0, seg_tee),
	ACT("segment-vmsplice", SEGMENT, 0, seg_vmsplice),
	ACT("segment-sendfile", SEGMENT, CALLS_SEND, seg_sendfile),
	ACT("segment-copy-range", SEGMENT, 0, seg_copy),
	ACT("segment-clone", SEGMENT, 0, seg_clone),
	ACT("segment-flags", SEGMENT, 0, seg_flags),
	ACT("segment-lease", SEGMENT, CALLS_SPOOL, seg_lease),
	ACT("segment-lock", SEGMENT, CALLS_SPOOL | CALLS_HOME, seg_lock),
	ACT("segment-owner", SEGMENT, 0, seg_owner),
	ACT("segment-chmod", SEGMENT, 0, seg_fchmod),
	ACT("segment-chown", SEGMENT, 0, seg_fchown),
	ACT("segment-xattr", SEGMENT, 0, seg_xattr),
	ACT("segment-times", SEGMENT, 0, seg_times),
	ACT_ALSO("segment-read", SEGMENT, 0, EBADF, seg_read),
	ACT_ALSO("segment-pread", SEGMENT, 0, EBADF, seg_pread),
};

const struct act *
acts_table(size_t *n)
{
	*n = sizeof table / sizeof *table;
	return table;
}
