/* SPDX-License-Identifier: MIT */
/*
 * Says whether the map is whole, to the next start and to readers in other processes.
 *
 * The file `state` holds one of two states and the boot that wrote it:
 *
 *	clean		closed cleanly: the map is on the disk whole and nothing follows it in the log
 *	open BOOT	in use since that boot, or its process crashed
 *
 * In a third case, open and no boot, the map must be put back to its checkpoint whatever boot it is: its sync failed
 * (checkpoint.c).
 *
 * Content, in slots (slots.c): u32 STORE_FORMAT, u32 state, u64 number of the store, the boot id with its NULs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "store/env.h"
#include "base/file.h"
#include "store/le.h"

enum { STATE_LEN = 16 + ENV_BOOT_MAX };

static void encode_state(uint8_t out[STATE_LEN], uint64_t store_id, enum state state, const char *boot)
{
	memset(out, 0, STATE_LEN);
	le_put32(out, STORE_FORMAT);
	le_put32(out + 4, state);
	le_put64(out + 8, store_id);
	snprintf((char *)out + 16, ENV_BOOT_MAX, "%s", boot);
}

int state_create(int dir_fd, uint64_t store_id)
{
	uint8_t bytes[STATE_LEN];

	encode_state(bytes, store_id, STATE_CLEAN, "");
	return slots_create(dir_fd, "state", SLOTS_SMALL, slice_of(bytes, sizeof bytes));
}

int state_write(struct store *store, enum state state, const char *boot)
{
	uint8_t bytes[STATE_LEN];

	encode_state(bytes, store->id, state, boot);
	return slots_write(&store->state_file, slice_of(bytes, sizeof bytes));
}

/* Leaves the file open in `out_file`. */
static int read_state(int dir_fd, bool is_writer, struct slots *out_file, struct state_seen *out, uint64_t *out_id,
		      struct why *why)
{
	struct buf bytes = { 0 };
	int rc = slots_open(dir_fd, "state", SLOTS_SMALL, is_writer, out_file, &bytes);

	if (rc == -EBADMSG || (rc == 0 && bytes.len < 4))
		rc = why_fail(why, EBADMSG, "its file state is damaged");
	else if (rc < 0)
		rc = why_fail(why, -rc, "its file state can't be read: %s", strerror(-rc));
	if (rc < 0)
		goto out;
	if (le_get32(bytes.data) != STORE_FORMAT) {
		rc = why_fail(why, EBADMSG, "it has format %u, this program reads format %u", le_get32(bytes.data),
			      STORE_FORMAT);
		goto out;
	}
	if (bytes.len != STATE_LEN) {
		rc = why_fail(why, EBADMSG, "its file state is damaged");
		goto out;
	}
	out->state = le_get32(bytes.data + 4) == STATE_CLEAN ? STATE_CLEAN : STATE_OPEN;
	*out_id = le_get64(bytes.data + 8);
	memcpy(out->boot, bytes.data + 16, ENV_BOOT_MAX);
	out->boot[ENV_BOOT_MAX - 1] = 0;
out:
	buf_release(&bytes);
	return rc;
}

int state_read(struct store *store, struct state_seen *out, struct why *why)
{
	return read_state(store->dir_fd, !store->is_reader, &store->state_file, out, &store->id, why);
}

int state_look(const struct store *store, struct state_seen *out, struct why *why)
{
	struct slots file = { .fd = -1 };
	uint64_t id;
	int rc = read_state(store->dir_fd, false, &file, out, &id, why);

	slots_close(&file);
	return rc;
}

/* Tests say that it is another boot; nobody else should. */
int state_read_boot(char out[ENV_BOOT_MAX], struct why *why)
{
	const char *test = getenv("FEATUREFS_TEST_BOOT_ID");
	int fd;
	ssize_t len;

	memset(out, 0, ENV_BOOT_MAX);
	if (test && *test) {
		snprintf(out, ENV_BOOT_MAX, "%s", test);
		return 0;
	}
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return why_fail(why, errno, "/proc/sys/kernel/random/boot_id: %s", strerror(errno));
	len = file_read_at(fd, out, ENV_BOOT_MAX - 1, 0);
	close(fd);
	if (len <= 0)
		return why_fail(why, EIO, "/proc/sys/kernel/random/boot_id can't be read");
	out[strcspn(out, "\n")] = 0;
	return 0;
}

bool state_is_whole(const struct store *store, const struct state_seen *seen)
{
	return seen->state == STATE_CLEAN || (seen->boot[0] && !strcmp(seen->boot, store->boot));
}
