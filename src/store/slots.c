/* SPDX-License-Identifier: MIT */
/*
 * Small files that must be replaced whole, and on a full disk too: the checkpoint, the state, the positions of
 * followers. A new file renamed onto the old one needs space and two syncs of a directory; here the file is written to
 * its full size once, and holds two slots, which are overwritten in turn:
 *
 *	offset	bytes	what
 *	0	8	hash of all that follows up to the content's end
 *	8	4	"FSLT"
 *	12	4	length of the content
 *	16	8	number of this replacement, from 1
 *	24	8	zero
 *	32	...	content
 *
 * The slot that is whole and has the higher number counts. A replacement writes the other one and syncs it, so whatever
 * part of it a loss of power leaves, the newest slot that was synced is still whole. A slot that was synced and is
 * damaged later lets the older one count again; where that matters, somebody else must know the number (see the log's
 * records).
 */
#include "store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/file.h"
#include "store/le.h"

#define MAGIC UINT32_C(0x544c5346)

static int encode(struct slice content, uint64_t number, size_t slot_bytes, struct buf *out)
{
	if (content.len > slot_bytes - SLOTS_HEADER)
		return -EFBIG;
	buf_append_u64(out, 0);
	buf_append_u32(out, MAGIC);
	buf_append_u32(out, (uint32_t)content.len);
	buf_append_u64(out, number);
	buf_append_u64(out, 0);
	buf_append_slice(out, content);
	if (buf_error(out) < 0)
		return -ENOMEM;
	le_put64(out->data, XXH3_64bits(out->data + 8, out->len - 8));
	return 0;
}

/* The number of a slot that is whole, else 0. */
static uint64_t judge(const uint8_t *slot, size_t slot_bytes)
{
	size_t content = le_get32(slot + 12);

	if (le_get32(slot + 8) != MAGIC || content > slot_bytes - SLOTS_HEADER)
		return 0;
	if (le_get64(slot) != XXH3_64bits(slot + 8, SLOTS_HEADER - 8 + content))
		return 0;
	return le_get64(slot + 16);
}

int slots_create(int dir_fd, const char *name, size_t slot_bytes, struct slice content)
{
	struct buf bytes = { 0 };
	char temp[300];
	int fd = -1, rc;

	snprintf(temp, sizeof temp, "%s.new", name);
	rc = encode(content, 1, slot_bytes, &bytes);
	if (rc < 0)
		goto out;
	if (!buf_reserve(&bytes, 2 * slot_bytes)) {
		rc = -ENOMEM;
		goto out;
	}
	memset(bytes.data + bytes.len, 0, 2 * slot_bytes - bytes.len);
	fd = openat(dir_fd, temp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0660);
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	rc = file_write_at(fd, bytes.data, 2 * slot_bytes, 0);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = -errno;
	if (rc == 0 && renameat(dir_fd, temp, dir_fd, name) < 0)
		rc = -errno;
	if (rc == 0 && fsync(dir_fd) < 0)
		rc = -errno;
out:
	if (fd >= 0)
		close(fd);
	buf_release(&bytes);
	return rc;
}

/* What was read may be in the kernel's memory alone: its writer may have been killed before its sync, or been told that the sync failed. A
 * writer builds on it (it overwrites the other slot next), so it is written once more and synced. */
static int settle(const struct slots *slots, const uint8_t *slot)
{
	int rc = file_write_at(slots->fd, slot, SLOTS_HEADER + le_get32(slot + 12), slots->newest * slots->slot_bytes);

	return rc == 0 && fdatasync(slots->fd) < 0 ? -errno : rc;
}

int slots_open(int dir_fd, const char *name, size_t slot_bytes, bool is_writer, struct slots *out_slots,
	       struct buf *out)
{
	struct slots slots = { .slot_bytes = slot_bytes };
	uint8_t *bytes = calloc(2, slot_bytes), *slot;
	uint64_t first, second;
	ssize_t len;
	int rc = 0;

	slots.fd = openat(dir_fd, name, (is_writer ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (slots.fd < 0 || !bytes) {
		rc = slots.fd < 0 ? -errno : -ENOMEM;
		goto out;
	}
	len = file_read_at(slots.fd, bytes, 2 * slot_bytes, 0);
	if (len < 0) {
		rc = (int)len;
		goto out;
	}
	first = judge(bytes, slot_bytes);
	second = judge(bytes + slot_bytes, slot_bytes);
	slots.newest = second > first;
	slots.number = slots.newest ? second : first;
	if (!slots.number) {
		rc = -EBADMSG;
		goto out;
	}
	slot = bytes + slots.newest * slot_bytes;
	rc = is_writer ? settle(&slots, slot) : 0;
	if (rc < 0)
		goto out;
	buf_append(out, slot + SLOTS_HEADER, le_get32(slot + 12));
	rc = buf_error(out);
out:
	free(bytes);
	if (rc == 0)
		*out_slots = slots;
	else if (slots.fd >= 0)
		close(slots.fd);
	return rc;
}

int slots_write(struct slots *slots, struct slice content)
{
	unsigned other = !slots->newest;
	struct buf bytes = { 0 };
	int rc = encode(content, slots->number + 1, slots->slot_bytes, &bytes);

	if (rc == 0)
		rc = file_write_at(slots->fd, bytes.data, bytes.len, other * slots->slot_bytes);
	if (rc == 0 && fdatasync(slots->fd) < 0)
		rc = -errno;
	if (rc == 0) {
		slots->newest = other;
		slots->number++;
	}
	buf_release(&bytes);
	return rc;
}

void slots_close(struct slots *slots)
{
	if (slots->fd >= 0)
		close(slots->fd);
	slots->fd = -1;
}
