/* SPDX-License-Identifier: MIT */
/*
 * A null file system: the yardstick of every figure with a FUSE request in it. It has the shape of the editing mount:
 * the same session, the same options of the kernel, the same timeouts, the same flags of open files, so that the
 * kernel asks both the same questions. It answers them from nothing: /GROUP/ENTITY/FEATURE exists for every name,
 * holds one constant text, takes every write and forgets it. A group lists --entities made-up names and an entity
 * --features, the names that bench_fill gives to a store. What is left of a request's time is the kernel's and
 * libfuse's share. With --serving 1 it has the shape of the serving mount instead: names and attributes are kept, and files are opened by the kernel.
 *
 * A node's number tells its level in the top bits and its name by a hash below, so that there is no table to keep. It
 * ends when it is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "names.h"

enum { LEVEL_SHIFT = 60, LEVEL_GROUP = 1, LEVEL_ENTITY = 2, LEVEL_FEATURE = 3 };

/* As in the editing mount's session.c and attr.c. */
enum { WRITE_MAX = 1 << 20, BACKGROUND_MAX = 256, THREADS = 10 };
#define ATTR_TIMEOUT (is_serving ? 1e8 : 1.5e-9)
/* As in serving.c. */
#define SERVING_WANTED (FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPLICIT_INVAL_DATA | \
			FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO)

static const char constant[] = BENCH_TEXT;
static long n_entities = 1000, n_features = BENCH_FEATURES;
static bool is_serving;
static struct timespec started;

static unsigned level_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? 0 : (unsigned)(ino >> LEVEL_SHIFT);
}

static fuse_ino_t node_of(fuse_ino_t parent, const char *name)
{
	uint64_t hash = parent ^ UINT64_C(0xcbf29ce484222325);

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * UINT64_C(0x100000001b3);
	hash ^= hash >> 29;
	return (fuse_ino_t)(level_of(parent) + 1) << LEVEL_SHIFT | (hash & ((UINT64_C(1) << LEVEL_SHIFT) - 1));
}

static void fill_stat(fuse_ino_t ino, struct stat *st)
{
	bool is_file = level_of(ino) == LEVEL_FEATURE;

	*st = (struct stat){ .st_ino = ino, .st_mode = is_file ? S_IFREG | 0644 : S_IFDIR | 0755, .st_nlink = is_file ? 1 : 2,
			     .st_size = is_file ? sizeof(constant) - 1 : 0, .st_blksize = 4096, .st_blocks = is_file };
	st->st_atim = st->st_mtim = st->st_ctim = started;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ASYNC_READ;

	(void)userdata;
	conn->want = (is_serving ? SERVING_WANTED : wanted) & conn->capable;
	conn->max_write = WRITE_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX;
	conn->time_gran = 1;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .generation = 1, .attr_timeout = ATTR_TIMEOUT, .entry_timeout = is_serving ? 1e8 : 0 };

	if (level_of(parent) == LEVEL_FEATURE) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	entry.ino = node_of(parent, name);
	fill_stat(entry.ino, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	(void)ino;
	(void)count;
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fill_stat(ino, &st);
	fuse_reply_attr(req, &st, ATTR_TIMEOUT);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)attr;
	(void)to_set;
	op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (is_serving) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->direct_io = 1;
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	size_t len = sizeof(constant) - 1;

	(void)ino;
	(void)fi;
	if (off < 0 || (size_t)off >= len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, constant + off, len - (size_t)off < size ? len - (size_t)off : size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	(void)bytes;
	(void)off;
	(void)fi;
	fuse_reply_write(req, size);
}

static void accept_handle(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

/* The name at position i of a directory, "." and ".." before the others; false at its end. */
static bool name_at(fuse_ino_t ino, long i, char name[BENCH_NAME_MAX])
{
	unsigned level = level_of(ino);

	if (i < 2) {
		snprintf(name, BENCH_NAME_MAX, i ? ".." : ".");
		return true;
	}
	i -= 2;
	if (level == 0 && i < 1)
		snprintf(name, BENCH_NAME_MAX, "%s", BENCH_GROUP);
	else if (level == LEVEL_GROUP && i < n_entities)
		bench_entity_name((uint64_t)i, name);
	else if (level == LEVEL_ENTITY && i < n_features)
		bench_feature_name((unsigned)i, name);
	else
		return false;
	return true;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	static __thread char buf[WRITE_MAX];
	char name[BENCH_NAME_MAX];
	struct stat st = { 0 };
	size_t len = 0, need;

	(void)fi;
	if (size > sizeof(buf))
		size = sizeof(buf);
	for (long i = off; name_at(ino, i, name); i++) {
		st.st_ino = i < 2 ? ino : node_of(ino, name);
		st.st_mode = level_of(st.st_ino) == LEVEL_FEATURE ? S_IFREG : S_IFDIR;
		need = fuse_add_direntry(req, buf + len, size - len, name, &st, i + 1);
		if (need > size - len)
			break;
		len += need;
	}
	fuse_reply_buf(req, buf, len);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };

	(void)ino;
	fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init, .lookup = op_lookup, .forget = op_forget, .forget_multi = op_forget_multi, .getattr = op_getattr,
	.setattr = op_setattr, .open = op_open, .read = op_read, .write = op_write, .flush = accept_handle, .release = accept_handle,
	.getxattr = op_getxattr, .opendir = op_opendir, .readdir = op_readdir, .releasedir = accept_handle, .statfs = op_statfs,
};

static void *serve(void *arg)
{
	struct fuse_session *se = arg;
	struct fuse_buf buf = { 0 };
	int rc;

	for (;;) {
		rc = fuse_session_receive_buf(se, &buf);
		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc <= 0)
			break;
		fuse_session_process_buf(se, &buf);
	}
	free(buf.mem);
	return NULL;
}

/* Until it is unmounted. */
static void serve_all(struct fuse_session *se, long threads)
{
	pthread_t *list = bench_alloc((size_t)threads, sizeof(*list));

	for (long i = 0; i < threads; i++)
		if (pthread_create(&list[i], NULL, serve, se))
			bench_die("no thread");
	for (long i = 0; i < threads; i++)
		pthread_join(list[i], NULL);
	free(list);
}

int main(int argc, char **argv)
{
	char program[] = "nullfs", option[] = "-odefault_permissions,fsname=nullfs,subtype=nullfs";
	char *args_v[] = { program, option, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, args_v);
	struct fuse_session *se;
	long threads = THREADS;

	for (int i = 2; i < argc; i += 2) {
		if (strcmp(argv[i], "--entities") == 0)
			n_entities = bench_number(argv[i], argv[i + 1], 0);
		else if (strcmp(argv[i], "--features") == 0)
			n_features = bench_number(argv[i], argv[i + 1], 0);
		else if (strcmp(argv[i], "--serving") == 0)
			is_serving = bench_number(argv[i], argv[i + 1], 0) != 0;
		else if (strcmp(argv[i], "--threads") == 0)
			threads = bench_number(argv[i], argv[i + 1], 1);
		else
			bench_die("unknown option %s", argv[i]);
	}
	if (argc < 2)
		bench_die("usage: nullfs MOUNTPOINT [--entities N] [--features N] [--threads N] [--serving 1]");
	clock_gettime(CLOCK_REALTIME, &started);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_session_mount(se, argv[1]) < 0)
		return 1;
	serve_all(se, threads);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	return 0;
}
