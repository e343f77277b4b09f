/* SPDX-License-Identifier: MIT */
/*
 * The simulated disk: what was written and not synced when the power goes is lost page by page at random, pages are torn at sectors, and names
 * that no sync of their directory covers are lost from some point on.
 */
#include "power_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"

enum { PAGE = 4096, SECTOR = 512 };

/* Bytes of a write that has been issued, in order of issue. */
struct pending {
	uint64_t at, len;
	const char *data;	/* NULL: the size was set to `at` (or, with len 1, grown to it) */
	uint64_t order;		/* number of the event */
};

struct file {
	uint64_t ino;
	struct buf synced;	/* the content that is safe */
	struct pending *pending;
	size_t n_pending, cap;
};

struct name_op {
	enum power_kind kind;
	char *from, *to;
	size_t file;		/* CREATE */
	uint64_t order;
};

struct name {
	char *path;
	size_t file;		/* SIZE_MAX: a directory */
};

static void *more(void *list, size_t n, size_t size)
{
	void *grown = realloc(list, (n + 1) * size);

	if (!grown)
		power_die("memory");
	return grown;
}

static struct file *file_of(struct disk *disk, uint64_t ino)
{
	/* A number that was used again belongs to the newest file. */
	for (size_t i = disk->n_files; i-- > 0;)
		if (disk->files[i].ino == ino)
			return &disk->files[i];
	return NULL;
}

static size_t add_file(struct disk *disk, uint64_t ino)
{
	disk->files = more(disk->files, disk->n_files, sizeof *disk->files);
	disk->files[disk->n_files] = (struct file){ .ino = ino };
	return disk->n_files++;
}

static void set_size(struct buf *content, uint64_t size)
{
	if (size > content->len) {
		char *room = buf_reserve(content, size - content->len);

		if (!room)
			power_die("memory");
		memset(room, 0, size - content->len);
	}
	content->len = size;
}

static void apply_pending(struct buf *content, const struct pending *pending)
{
	if (!pending->data) {
		if (!pending->len || pending->at > content->len)
			set_size(content, pending->at);
		return;
	}
	if (pending->at + pending->len > content->len)
		set_size(content, pending->at + pending->len);
	memcpy(content->data + pending->at, pending->data, pending->len);
}

static void add_pending(struct disk *disk, uint64_t ino, const struct pending *pending)
{
	struct file *file = file_of(disk, ino);

	if (!file)
		return;
	if (file->n_pending == file->cap) {
		file->cap = file->cap ? 2 * file->cap : 64;
		file->pending = realloc(file->pending, file->cap * sizeof *pending);
		if (!file->pending)
			power_die("memory");
	}
	file->pending[file->n_pending++] = *pending;
}

/* A sync that began at event `order` has ended: what was issued before it is safe. */
static void sync_file(struct disk *disk, uint64_t ino, uint64_t order)
{
	struct file *file = file_of(disk, ino);
	size_t n = 0;

	if (!file)
		return;
	while (n < file->n_pending && file->pending[n].order < order)
		apply_pending(&file->synced, &file->pending[n++]);
	file->n_pending -= n;
	memmove(file->pending, file->pending + n, file->n_pending * sizeof *file->pending);
}

static struct name *find_name(struct disk *disk, const char *path)
{
	for (size_t i = 0; i < disk->n_names; i++)
		if (strcmp(disk->names[i].path, path) == 0)
			return &disk->names[i];
	return NULL;
}

static void drop_name(struct disk *disk, const char *path)
{
	struct name *name = find_name(disk, path);

	if (!name)
		return;
	free(name->path);
	*name = disk->names[--disk->n_names];
}

static void add_name(struct disk *disk, const char *path, size_t file)
{
	drop_name(disk, path);
	disk->names = more(disk->names, disk->n_names, sizeof *disk->names);
	disk->names[disk->n_names++] = (struct name){ strdup(path), file };
}

static void apply_name_op(struct disk *disk, const struct name_op *op)
{
	struct name *name;
	size_t file;

	switch (op->kind) {
	case POWER_CREATE:
		add_name(disk, op->from, op->file);
		break;
	case POWER_MKDIR:
		add_name(disk, op->from, SIZE_MAX);
		break;
	case POWER_UNLINK:
		drop_name(disk, op->from);
		break;
	case POWER_RENAME:
		name = find_name(disk, op->from);
		if (!name)
			break;
		file = name->file;
		drop_name(disk, op->from);
		add_name(disk, op->to, file);
		break;
	default:
		break;
	}
}

static bool is_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return path && strncmp(path, dir, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/');
}

static void sync_dir(struct disk *disk, const char *dir, uint64_t order)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk->n_ops; i++) {
		struct name_op *op = &disk->ops[i];

		if (op->order < order && (is_in(op->from, dir) || is_in(op->to, dir))) {
			apply_name_op(disk, op);
			free(op->from);
			free(op->to);
		} else {
			disk->ops[kept++] = *op;
		}
	}
	disk->n_ops = kept;
}

void disk_load(struct disk *disk, const char *dir)
{
	DIR *handle = opendir(dir);
	struct dirent *ent;

	if (!handle)
		power_die(dir);
	while ((ent = readdir(handle))) {
		char path[4096];
		struct stat st;

		if (ent->d_name[0] == '.' || strcmp(ent->d_name, "lock.mdb") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, ent->d_name);
		if (stat(path, &st) < 0)
			power_die(path);
		if (S_ISDIR(st.st_mode)) {
			add_name(disk, path, SIZE_MAX);
			disk_load(disk, path);
		} else {
			size_t file = add_file(disk, st.st_ino);
			struct buf *content = &disk->files[file].synced;
			int fd = open(path, O_RDONLY);

			set_size(content, (uint64_t)st.st_size);
			if (fd < 0 || (st.st_size && pread(fd, content->data, content->len, 0) != st.st_size))
				power_die(path);
			close(fd);
			add_name(disk, path, file);
		}
	}
	closedir(handle);
}

void disk_release(struct disk *disk)
{
	for (size_t i = 0; i < disk->n_files; i++) {
		buf_release(&disk->files[i].synced);
		free(disk->files[i].pending);
	}
	for (size_t i = 0; i < disk->n_names; i++)
		free(disk->names[i].path);
	for (size_t i = 0; i < disk->n_ops; i++) {
		free(disk->ops[i].from);
		free(disk->ops[i].to);
	}
	free(disk->files);
	free(disk->names);
	free(disk->ops);
	*disk = (struct disk){ 0 };
}

static void remember_sync(struct disk *disk, uint64_t number, uint64_t order)
{
	size_t at = disk->n_syncs % 64;

	disk->syncs[at].number = number;
	disk->syncs[at].order = order;
	disk->n_syncs++;
}

static uint64_t sync_order(const struct disk *disk, uint64_t number)
{
	/* Each life counts its syncs from 1, so that the newest of a number is the one. */
	for (size_t i = disk->n_syncs; i-- > 0 && disk->n_syncs - i <= 64;)
		if (disk->syncs[i % 64].number == number)
			return disk->syncs[i % 64].order;
	return 0;
}

void disk_take(struct disk *disk, const struct power_event *event, const char *text, const char *data, uint64_t order)
{
	struct name_op op = { .kind = event->kind, .order = order };
	char *copy = strndup(text, event->text_len);

	switch (event->kind) {
	case POWER_CREATE:
		op.file = add_file(disk, event->ino);
		/* fallthrough */
	case POWER_MKDIR:
	case POWER_UNLINK:
	case POWER_RENAME:
		op.from = strdup(copy);
		if (event->kind == POWER_RENAME)
			op.to = strndup(text + strlen(copy) + 1, event->text_len - strlen(copy) - 1);
		disk->ops = more(disk->ops, disk->n_ops, sizeof op);
		disk->ops[disk->n_ops++] = op;
		break;
	case POWER_WRITE:
		add_pending(disk, event->ino, &(struct pending){ event->offset, event->data_len, data, order });
		break;
	case POWER_SIZE:
	case POWER_GROW:
		add_pending(disk, event->ino, &(struct pending){ event->offset, event->kind == POWER_GROW, NULL, order });
		break;
	case POWER_SYNC_BEGIN:
	case POWER_DIR_SYNC_BEGIN:
		remember_sync(disk, event->offset, order);
		break;
	case POWER_SYNC_END:
		sync_file(disk, event->ino, sync_order(disk, event->offset));
		break;
	case POWER_DIR_SYNC_END:
		sync_dir(disk, copy, sync_order(disk, event->offset));
		break;
	default:
		break;
	}
	free(copy);
}

/* One page of a file after the power went: as some prefix of its unsynced writes left it, or, torn, sector by sector after different ones. */
static void lose_page(const struct file *file, struct buf *out, uint64_t page)
{
	uint64_t begin = page * PAGE, end = begin + PAGE < out->len ? begin + PAGE : out->len;
	size_t hits[256], n = 0;
	bool torn = power_rnd(4) == 0;
	size_t prefix;

	for (size_t i = 0; i < file->n_pending && n < 256; i++) {
		const struct pending *pending = &file->pending[i];

		if (pending->data && pending->at < end && pending->at + pending->len > begin)
			hits[n++] = i;
	}
	if (n == 0)
		return;
	prefix = power_rnd(n + 1);
	for (uint64_t sector = begin; sector < end; sector += SECTOR) {
		size_t upto = torn ? power_rnd(n + 1) : prefix;

		for (size_t h = 0; h < upto; h++) {
			const struct pending *pending = &file->pending[hits[h]];
			uint64_t from = pending->at > sector ? pending->at : sector;
			uint64_t to = pending->at + pending->len < sector + SECTOR ? pending->at + pending->len : sector + SECTOR;

			if (to > out->len)
				to = out->len;
			if (from < to)
				memcpy(out->data + from, pending->data + (from - pending->at), to - from);
		}
	}
}

static void lose_file(const struct file *file, struct buf *out)
{
	uint64_t largest = file->synced.len;

	buf_append_slice(out, buf_slice(&file->synced));
	for (size_t i = 0; i < file->n_pending; i++) {
		const struct pending *pending = &file->pending[i];
		uint64_t end = pending->at + (pending->data ? pending->len : 0);

		if (!pending->data && !pending->len)
			largest = power_rnd(2) ? end : largest;
		else if (end > largest)
			largest = end;
	}
	/* The size may have reached the disk without the bytes, or the other way round. */
	if (largest > out->len)
		set_size(out, power_rnd(2) ? largest : out->len + power_rnd(largest - out->len + 1));
	for (uint64_t page = 0; page * PAGE < out->len; page++)
		lose_page(file, out, page);
}

static void write_file(const char *path, struct slice content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	size_t done = 0;

	if (fd < 0)
		power_die(path);
	while (done < content.len) {
		ssize_t n = write(fd, (const char *)content.data + done, content.len - done);

		if (n <= 0)
			power_die(path);
		done += (size_t)n;
	}
	close(fd);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

void disk_lose_power(struct disk *disk, const char *dir)
{
	char command[4200];
	size_t kept = disk->n_ops ? power_rnd(disk->n_ops + 1) : 0;

	for (size_t i = 0; i < kept; i++)
		apply_name_op(disk, &disk->ops[i]);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	if (system(command) != 0 || mkdir(dir, 0700) < 0)
		power_die(dir);
	qsort(disk->names, disk->n_names, sizeof *disk->names, by_path);
	for (size_t i = 0; i < disk->n_names; i++) {
		const struct name *name = &disk->names[i];
		struct buf content = { 0 };

		if (name->file == SIZE_MAX) {
			if (mkdir(name->path, 0700) < 0)
				power_die(name->path);
			continue;
		}
		lose_file(&disk->files[name->file], &content);
		write_file(name->path, buf_slice(&content));
		buf_release(&content);
	}
}
