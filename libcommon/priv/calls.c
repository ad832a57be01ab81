/* SPDX-License-Identifier: ISC */
#include "priv/calls.h"

#include "priv/profiles.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/*
 * Arguments are compared only where a call is off the hot path: a filter that looks at none is
 * answered from the kernel's bitmap. Those compared are plain numbers; the kernel cannot look
 * behind a pointer for us, so names and addresses are left to Landlock and to the modes of
 * folders.
 *
 * What is missing on purpose, for all: execve, ptrace, process_vm_*, io_uring_*, bpf, userfaultfd,
 * perf_event_open, mount and namespaces, open_by_handle_at, keyctl, personality, set*id (but for
 * who delivers as the recipient), chroot,
 * chmod, chown, executable memory, memory mapped from files. For who appends to a segment
 * (CALLS_APPEND): all that could write elsewhere than at its end or change the descriptor:
 * pwrite64, pwritev, pwritev2 (whose RWF_NOAPPEND writes over what stands there), lseek,
 * ftruncate, fallocate, splice, tee, sendfile, copy_file_range, F_SETFL, and any open.
 */
#define ROW(group, call, nargs, ...)                                         \
	{                                                                    \
		CALLS_##group, SCMP_SYS(call), nargs, { __VA_ARGS__ }, #call \
	}
#define IS(n, v)                     \
	{                            \
		n, SCMP_CMP_EQ, v, 0 \
	}
#define HAS(n, mask, v)                        \
	{                                      \
		n, SCMP_CMP_MASKED_EQ, mask, v \
	} /* its bits of mask are v */

/* Whatever its arguments; argument n is v; of argument n the bits of mask are v; both; two such. */
#define CALL(group, call) ROW(group, call, 0, { 0 })
#define CALL_EQ(group, call, n, v) ROW(group, call, 1, IS(n, v))
#define CALL_BITS(group, call, n, mask, v) ROW(group, call, 1, HAS(n, mask, v))
#define CALL_EQ_BITS(group, call, n, v, m, mask, w) ROW(group, call, 2, IS(n, v), HAS(m, mask, w))
#define CALL_BITS_BITS(group, call, n, mask, v, m, mask2, w) \
	ROW(group, call, 2, HAS(n, mask, v), HAS(m, mask2, w))

/*
 * pthread_create(3) and fork(3) of glibc, to the bit; clone3 keeps its flags behind a pointer and
 * gets ENOSYS.
 */
#define CLONE_AS_THREAD                                                                     \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define CLONE_AS_FORK (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

#define SOCK_TYPE_BITS 0xfU
/* What makes an open(2) more than reading; O_TMPFILE's own bit is in it. */
#define OPEN_CHANGES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

static const struct call table[] = {
	/* Own descriptors. newfstatat is what fstat(3) of glibc 2.33 to 2.38 is made of. */
	CALL(CORE, read), CALL(CORE, write), CALL(CORE, writev), CALL(CORE, close),
	CALL(CORE, fstat), CALL_EQ(CORE, newfstatat, 3, AT_EMPTY_PATH),
	CALL_EQ(CORE, fcntl, 1, F_GETFL), CALL_EQ(CORE, fcntl, 1, F_GETFD),
	CALL_EQ(CORE, fcntl, 1, F_SETFD), CALL_EQ(CORE, fcntl, 1, F_DUPFD_CLOEXEC),
	CALL_EQ(CORE, fcntl, 1, F_GET_SEALS), /* of memory files that were handed over */
	CALL_EQ(CORE, ioctl, 1, FIONREAD),
	CALL_EQ(CORE, ioctl, 1, TCGETS), /* stdio and scanners ask whether a stream is a terminal */
	CALL(CORE, pread64),		 /* a configuration generation that was handed over */
	/* Messages and streams. */
	CALL(CORE, recvmsg), CALL(CORE, sendmsg), CALL(CORE, recvfrom), CALL(CORE, sendto),
	CALL(CORE, getsockopt), CALL(CORE, setsockopt), CALL(CORE, shutdown),
	/* Events: what libevent makes its loop of, also in a worker after its fork. */
	CALL(CORE, epoll_create1), CALL(CORE, epoll_ctl),
#ifdef __NR_epoll_wait
	CALL(CORE, epoll_wait),
#else
	CALL(CORE, epoll_pwait),
#endif
	CALL(CORE, pipe2), CALL(CORE, eventfd2),
	/* libevent looks whether it runs set-id before it believes its variables */
	CALL(CORE, getuid), CALL(CORE, geteuid), CALL(CORE, getgid), CALL(CORE, getegid),
	/* Memory, never executable and never a file's. */
	CALL(CORE, brk),
	CALL_BITS_BITS(CORE, mmap, 2, PROT_EXEC, 0, 3, MAP_ANONYMOUS, MAP_ANONYMOUS),
	CALL_BITS(CORE, mprotect, 2, PROT_EXEC, 0), CALL(CORE, munmap), CALL(CORE, mremap),
	CALL(CORE, madvise),
	/* Locks, signals, time where the vdso passes a question on, chance, the end. */
	CALL(CORE, futex), CALL(CORE, rt_sigaction), CALL(CORE, rt_sigprocmask),
	CALL(CORE, rt_sigreturn), CALL(CORE, restart_syscall), CALL(CORE, clock_gettime),
	CALL(CORE, gettimeofday), CALL(CORE, getrandom), CALL(CORE, getpid), CALL(CORE, gettid),
	CALL(CORE, tgkill), /* abort(3); Landlock and the uid bound whom it reaches */
	CALL(CORE, exit), CALL(CORE, exit_group),

	CALL_EQ(THREAD, clone, 0, CLONE_AS_THREAD), CALL(THREAD, set_robust_list),
	CALL(THREAD, rseq),

	CALL(ACCEPT, accept4),

	CALL(APPEND, fdatasync), CALL(APPEND, fstatfs),

	CALL_EQ_BITS(DIAL, socket, 0, AF_UNIX, 1, SOCK_TYPE_BITS, SOCK_SEQPACKET),
	CALL(DIAL, connect),

	CALL_EQ_BITS(TCP, socket, 0, AF_INET, 1, SOCK_TYPE_BITS, SOCK_STREAM),
	CALL_EQ_BITS(TCP, socket, 0, AF_INET6, 1, SOCK_TYPE_BITS, SOCK_STREAM), CALL(TCP, connect),
	CALL(TCP, bind), /* a source address; Landlock allows port 0 only, and listen is not here */

	CALL_EQ_BITS(UDP, socket, 0, AF_INET, 1, SOCK_TYPE_BITS, SOCK_DGRAM),
	CALL_EQ_BITS(UDP, socket, 0, AF_INET6, 1, SOCK_TYPE_BITS, SOCK_DGRAM), CALL(UDP, connect),

	CALL_EQ(FOLDER, unshare, 0, CLONE_FS), CALL(FOLDER, fchdir),

	CALL(SEND, preadv), CALL(SEND, sendfile),

	CALL_BITS(OPEN, openat, 2, OPEN_CHANGES, O_RDONLY), CALL(OPEN, getdents64),
	CALL(OPEN, newfstatat),

	CALL(UNLINK, unlinkat),

	CALL_BITS(LOG, openat, 2, OPEN_CHANGES, O_WRONLY | O_APPEND | O_CREAT),
	CALL_EQ_BITS(LOG, socket, 0, AF_UNIX, 1, SOCK_TYPE_BITS, SOCK_DGRAM), CALL(LOG, connect),

	CALL(KEEP, openat), CALL(KEEP, lseek), CALL(KEEP, mkdirat), CALL(KEEP, rename),
	CALL(KEEP, renameat), CALL(KEEP, renameat2), CALL(KEEP, unlink), CALL(KEEP, pwrite64),
	CALL(KEEP, pwritev), CALL(KEEP, ftruncate), CALL(KEEP, fsync), CALL(KEEP, fdatasync),
	CALL(KEEP, fstatfs),

	CALL(SPOOL, fallocate), CALL(SPOOL, flock),
	CALL(SPOOL, fadvise64),	   /* drop cached pages of a file just filled */
	CALL(SPOOL, memfd_create), /* what bounced is handed */
	CALL_EQ(SPOOL, fcntl, 1, F_ADD_SEALS), CALL_EQ(SPOOL, fcntl, 1, F_SETLEASE),
	CALL_EQ(SPOOL, fcntl, 1, F_GETLEASE), CALL_EQ(SPOOL, fcntl, 1, F_SETLK),
	CALL_EQ(SPOOL, fcntl, 1, F_SETLKW), CALL_EQ(SPOOL, fcntl, 1, F_OFD_SETLK),
	CALL_EQ(SPOOL, fcntl, 1, F_OFD_SETLKW),

	CALL_EQ(FORK, clone, 0, CLONE_AS_FORK), CALL(FORK, set_robust_list), CALL(FORK, wait4),
	CALL(FORK, kill), /* Landlock: only processes in our own sandbox or below */
	CALL_EQ_BITS(FORK, socketpair, 0, AF_UNIX, 1, SOCK_TYPE_BITS, SOCK_SEQPACKET),
	CALL(FORK, close_range), CALL(FORK, getppid), CALL_EQ(FORK, prctl, 0, PR_SET_PDEATHSIG),

	CALL(BECOME, setgroups), CALL(BECOME, getgroups),
	CALL(BECOME, setresgid), /* sandbox.c: not to 0; setresuid not below local_uid_min */
	CALL(BECOME, setresuid), CALL(BECOME, getresgid), CALL(BECOME, getresuid),
	CALL(BECOME, capget), CALL(BECOME, capset), CALL_EQ(BECOME, prctl, 0, PR_CAP_AMBIENT),
	CALL(BECOME, setitimer),
#ifdef __NR_alarm
	CALL(BECOME, alarm),
#endif

	CALL_EQ_BITS(UNIX, socket, 0, AF_UNIX, 1, SOCK_TYPE_BITS, SOCK_STREAM), CALL(UNIX, connect),
	CALL(UNIX, ppoll),
#ifdef __NR_poll
	CALL(UNIX, poll),
#endif

	CALL(HOME, linkat), CALL(HOME, clock_nanosleep), /* between two looks at a lock */
	CALL_EQ(HOME, fcntl, 1, F_SETLK),

	CALL(NAMES, lseek),

	CALL_EQ(ENTER, unshare, 0, CLONE_THREAD), /* does nothing; fails where there are threads */
	CALL_EQ(ENTER, prlimit64, 0, 0), CALL_EQ(ENTER, prctl, 0, PR_SET_NO_NEW_PRIVS),
	CALL_EQ_BITS(ENTER, prctl, 0, PR_SET_DUMPABLE, 1, ~0ULL, 0),
	CALL(ENTER, landlock_create_ruleset), CALL(ENTER, landlock_add_rule),
	CALL(ENTER, landlock_restrict_self), CALL(ENTER, seccomp),

#ifdef ANG_SAN
	/*
	 * The runtime would also like its own name, the memory map and the source files for a
	 * report; refused, it reports addresses, which addr2line(1) turns into lines.
	 */
	CALL(SANITIZER, sigaltstack),	    /* each thread has a stack for reports */
	CALL(SANITIZER, sched_yield),	    /* locks of the runtime spin */
	CALL(SANITIZER, sched_getaffinity), /* a thread asks where its stack is */
#endif
};

const struct call *
calls_table(size_t *n)
{
	*n = sizeof table / sizeof *table;
	return table;
}
