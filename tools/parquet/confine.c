/* SPDX-License-Identifier: MIT */
/*
 * The file is foreign and the code that reads it is large. So before the first byte of it is looked at, the process gives up whatever it
 * will not need: limits on memory, on the size of files that it writes (none) and on descriptors, and a filter of system calls that
 * refuses sockets, programs, signals to others, and every change of names or files. Threads stay allowed, for the library may start some.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum {
	DESCRIPTORS = 64,
	LIBRARY_BYTES = 1 << 30,	/* of addresses: the library's own, and stacks */
};

#if defined(__x86_64__)
#define AUDIT_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_HERE AUDIT_ARCH_AARCH64
#endif

#ifdef AUDIT_HERE
static const int refused[] = {
	SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_execve, SYS_execveat, SYS_ptrace,
	SYS_kill, SYS_tkill, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare,
	SYS_setns, SYS_unlinkat, SYS_renameat2, SYS_mkdirat, SYS_mknodat, SYS_linkat, SYS_symlinkat, SYS_fchmod, SYS_fchmodat, SYS_fchown,
	SYS_fchownat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_setxattr, SYS_fsetxattr, SYS_lsetxattr, SYS_removexattr,
	SYS_fremovexattr, SYS_utimensat, SYS_bpf, SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_io_uring_setup, SYS_userfaultfd,
	SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_memfd_create, SYS_inotify_init1, SYS_prlimit64,
#ifdef __x86_64__
	SYS_open, SYS_creat, SYS_unlink, SYS_rename, SYS_renameat, SYS_mkdir, SYS_rmdir, SYS_mknod, SYS_link, SYS_symlink, SYS_chmod,
	SYS_chown, SYS_lchown, SYS_fork, SYS_vfork, SYS_utime, SYS_utimes, SYS_futimesat,
#endif
};

enum { N_REFUSED = sizeof refused / sizeof *refused };

/* The halves of an argument that matter are the low ones: both machines are little-endian. */
#define ARGUMENT(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))
#define LOAD(at) ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at))
#define IF(test, value, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (uint32_t)(value), yes, no))
#define RETURN(action) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action))

static void filter_calls(void)
{
	struct sock_filter filter[N_REFUSED * 2 + 20];
	struct sock_fprog program = { .filter = filter };
	unsigned short n = 0;

	filter[n++] = LOAD((uint32_t)offsetof(struct seccomp_data, arch));
	filter[n++] = IF(BPF_JEQ, AUDIT_HERE, 1, 0);
	filter[n++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	filter[n++] = LOAD((uint32_t)offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < N_REFUSED; i++) {
		filter[n++] = IF(BPF_JEQ, refused[i], 0, 1);
		filter[n++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
	}
	/* The arguments of clone3 can't be seen; without it the C library makes threads by clone. */
	filter[n++] = IF(BPF_JEQ, SYS_clone3, 0, 1);
	filter[n++] = RETURN(SECCOMP_RET_ERRNO | ENOSYS);
	filter[n++] = IF(BPF_JEQ, SYS_clone, 0, 3);
	filter[n++] = LOAD(ARGUMENT(0));
	filter[n++] = IF(BPF_JSET, CLONE_THREAD, 5, 0);
	filter[n++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
	/* Nothing is opened but to be read. */
	filter[n++] = IF(BPF_JEQ, SYS_openat, 0, 3);
	filter[n++] = LOAD(ARGUMENT(2));
	filter[n++] = IF(BPF_JSET, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1);
	filter[n++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
	filter[n++] = RETURN(SECCOMP_RET_ALLOW);
	program.len = n;
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#else
static void filter_calls(void)
{
}
#endif

static void limit(int what, rlim_t most)
{
	struct rlimit now;

	/* A limit can only be lowered: what stands may be lower already. */
	if (getrlimit(what, &now) < 0)
		return;
	now.rlim_max = now.rlim_max < most ? now.rlim_max : most;
	now.rlim_cur = now.rlim_max;
	setrlimit(what, &now);
}

void confine(size_t memory_bytes)
{
	limit(RLIMIT_AS, (rlim_t)memory_bytes * 2 + LIBRARY_BYTES);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, DESCRIPTORS);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	filter_calls();
}
