/* SPDX-License-Identifier: MIT */
/*
 * Dead letters once more, after a fix. The files are set aside one after the other, so that letters which fail again, and new ones, go to new
 * files. The place in the file is stored with the values, as a topic's offset is, so a replay counts each letter once, too, and goes on behind a
 * restart. Each file has a number of its own, so that a letter that failed in an earlier replay is not taken for one of this.
 */
#include "stream/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t replay_place(const struct lane *lane, uint64_t offset)
{
	return lane->counters.replays << REPLAY_SHIFT | offset;
}

static void show_replay(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->is_replaying = lane->replay != NULL;
	pthread_mutex_unlock(&lane->lock);
}

static int open_aside(struct lane *lane)
{
	int fd, rc;

	pthread_mutex_lock(&lane->dead_lock);
	rc = dead_open_aside(&lane->dead, &fd);
	pthread_mutex_unlock(&lane->dead_lock);
	if (rc < 0)
		return rc;
	lane->replay = fdopen(fd, "r");
	if (!lane->replay || fseeko(lane->replay, (off_t)lane->counters.replay_offset, SEEK_SET) < 0) {
		rc = -errno;
		if (lane->replay)
			fclose(lane->replay);
		else
			close(fd);
		lane->replay = NULL;
	}
	show_replay(lane);
	return rc;
}

void replay_resume(struct lane *lane)
{
	int rc = open_aside(lane);

	lane->replays_both = rc == 0;
	if (rc < 0 && rc != -ENOENT)
		lane_notice(lane, "the dead letters that were being replayed can't be read: %s", strerror(-rc));
}

/* Sets a file aside, with a number of its own that is stored first. */
static int begin_file(struct lane *lane, bool is_older, struct why *why)
{
	int rc = positions_put(lane, NULL, &(struct counters_change){ .begins_replay = true }, why);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&lane->dead_lock);
	rc = dead_set_aside(&lane->dead, is_older);
	pthread_mutex_unlock(&lane->dead_lock);
	return rc < 0 ? rc : open_aside(lane);
}

int replay_begin(struct lane *lane, struct why *why)
{
	int rc;

	if (lane->replay)
		return why_fail(why, EBUSY, "a replay is under way");
	rc = begin_file(lane, true, why);
	lane->replays_both = rc == 0;
	if (rc == -ENOENT)
		rc = begin_file(lane, false, why);
	return rc == -ENOENT ? why_fail(why, ENOENT, "there are no dead letters") : rc;
}

static void end_file(struct lane *lane)
{
	struct why why = { "" };
	int rc;

	fclose(lane->replay);
	lane->replay = NULL;
	pthread_mutex_lock(&lane->dead_lock);
	rc = dead_remove_aside(&lane->dead);
	pthread_mutex_unlock(&lane->dead_lock);
	if (rc == 0 && lane->replays_both)
		rc = begin_file(lane, false, &why);
	lane->replays_both = false;
	if (rc < 0 && rc != -ENOENT)
		lane_notice(lane, "the replay ended early: %s", why.text[0] ? why.text : strerror(-rc));
	show_replay(lane);
}

/* Adds letters to the batch until it is full. 1: the file's end; -EAGAIN: the next one can't be decoded just now. */
static int fill(struct lane *lane, struct batch *batch)
{
	struct letter *letter;
	struct why why;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len = 0;
	int rc = 0;

	batch->replay_from = batch->replay_to = ftello(lane->replay);
	while (rc == 0 && !batch_is_full(lane, batch) && (len = getline(&line, &cap, lane->replay)) > 0) {
		rc = letter_parse(slice_of(line, (size_t)len), &letter, &why);
		if (rc == -EINVAL) {
			lane_notice(lane, "a dead letter can't be replayed: %s", why.text);
			rc = 0;
			batch->replay_to += len;
			continue;
		}
		if (rc < 0)
			break;
		letter->replay = (int64_t)replay_place(lane, (uint64_t)batch->replay_to);
		rc = batch_add_letter(lane, batch, letter);
		if (rc < 0)
			free(letter);
		else
			batch->replay_to += len;
	}
	free(line);
	if (rc < 0)
		fseeko(lane->replay, batch->replay_to, SEEK_SET);
	return rc < 0 ? rc : len <= 0;
}

bool replay_step(struct lane *lane)
{
	struct batch *batch;
	int rc, end;

	if (!lane->replay)
		return false;
	rc = batches_finish(lane);
	if (rc < 0) {
		lane_fail(lane, rc, NULL);
		return true;
	}
	batch = batch_filling(lane);
	end = fill(lane, batch);
	rc = batches_finish(lane);
	if (rc < 0)
		lane_fail(lane, rc, NULL);
	else if (end == 1)
		end_file(lane);
	else if (end < 0)
		lane_fail(lane, end, lane->hold_why.text);
	return true;
}

void replay_close(struct lane *lane)
{
	if (lane->replay)
		fclose(lane->replay);
	lane->replay = NULL;
}
