/* SPDX-License-Identifier: MIT */
/* What an operator tells a lane to do. The form is checked where the command is given, the rest by the lane, which answers when it is done. */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

static struct slice trim(const char *text)
{
	size_t len;

	text += strspn(text, " \t");
	len = strlen(text);
	while (len && strchr(" \t\n", text[len - 1]))
		len--;
	return slice_of(text, len);
}

/* What stands behind the word, if the text begins with it. */
static bool behind_word(struct slice text, const char *word, struct slice *out)
{
	size_t len = strlen(word);
	const char *at = text.data;

	if (text.len < len || memcmp(at, word, len) || (text.len > len && at[len] != ' ' && at[len] != '\t'))
		return false;
	while (len < text.len && (at[len] == ' ' || at[len] == '\t'))
		len++;
	*out = slice_of(at + len, text.len - len);
	return true;
}

/* ---- pause, resume ---- */

static int set_paused(struct lane *lane, bool is_paused, struct why *why)
{
	int rc;

	if (lane->counters.is_paused == is_paused)
		return 0;
	rc = lane->must_redo ? 0 : batches_finish(lane);
	/* What can't be committed now is read again; a pause is stored as soon as anything can be. */
	if (rc < 0 || lane->must_redo)
		lane_begin_anew(lane);
	rc = positions_put(lane, NULL, &(struct counters_change){ .sets_paused = true, .is_paused = is_paused }, why);
	if (rc == 0 && is_paused)
		lane_show(lane, LANE_PAUSED, "by command");
	return rc;
}

static int do_pause(struct lane *lane, struct slice rest, struct why *why)
{
	(void)rest;
	return set_paused(lane, true, why);
}

static int do_resume(struct lane *lane, struct slice rest, struct why *why)
{
	(void)rest;
	return set_paused(lane, false, why);
}

/* ---- seek ---- */

/* "0:500,3:0". -EINVAL: it is no such list; -ENOENT: no such partition. */
static int parse_places(struct slice text, int64_t *next, int32_t n_parts, struct why *why)
{
	const char *at = text.data, *end = at + text.len;

	while (at <= end) {
		const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
		const char *colon = memchr(at, ':', (size_t)(stop - at));
		uint64_t partition, offset;

		if (!colon || num_parse_u64(slice_of(at, (size_t)(colon - at)), &partition) < 0 ||
		    num_parse_u64(slice_of(colon + 1, (size_t)(stop - colon - 1)), &offset) < 0 || offset > INT64_MAX)
			return why_fail(why, EINVAL, "it is earliest, latest, a time like 2026-11-23T04:00:00Z, or PARTITION:OFFSET,...");
		if (n_parts && partition >= (uint64_t)n_parts)
			return why_fail(why, ENOENT, "the topic has no partition %" PRIu64, partition);
		if (next && next[partition] >= 0)
			return why_fail(why, EINVAL, "partition %" PRIu64 " stands twice", partition);
		if (next)
			next[partition] = (int64_t)offset;
		at = stop + 1;
	}
	return 0;
}

static int find_places(struct lane *lane, struct slice text, int64_t *next, struct why *why)
{
	static const struct wanted all = { .all = true };
	struct whence whence;
	int rc;

	if (whence_parse(text, &whence) == 0)
		return ask_places(lane, &whence, &all, next, why);
	rc = parse_places(text, next, lane->n_parts, why);
	return rc < 0 ? rc : ask_check_places(lane, next, why);
}

static int do_seek(struct lane *lane, struct slice rest, struct why *why)
{
	int64_t *next = NULL;
	int rc;

	if (!lane->def.map)
		return why_fail(why, EINVAL, "the stream's definition is broken: %s", lane->reason);
	/* What is under way is committed; what can't be is read again or passed over by the new position. */
	if (!lane->must_redo)
		batches_finish(lane);
	lane_begin_anew(lane);
	rc = consumer_open(lane, why);
	if (rc == 0)
		rc = consumer_learn(lane, why);
	next = rc == 0 ? malloc(((size_t)lane->n_parts + 1) * sizeof *next) : NULL;
	if (rc == 0 && !next)
		rc = -ENOMEM;
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++)
		next[i] = -1;
	if (rc == 0)
		rc = find_places(lane, rest, next, why);
	if (rc == 0)
		rc = positions_put(lane, next, &(struct counters_change){ 0 }, why);
	free(next);
	if (rc == 0)
		consumer_show(lane);
	lane_begin_anew(lane);
	return rc;
}

static int do_replay(struct lane *lane, struct slice rest, struct why *why)
{
	int rc;

	(void)rest;
	if (!lane->def.map)
		return why_fail(why, EINVAL, "the stream's definition is broken: %s", lane->reason);
	rc = lane->must_redo ? -EAGAIN : batches_finish(lane);
	if (rc < 0)
		return why_fail(why, EAGAIN, "nothing can be committed just now");
	return replay_begin(lane, why);
}

/* ---- the table ---- */

static const struct word {
	const char *word;
	bool takes_place;
	int (*run)(struct lane *lane, struct slice rest, struct why *why);
} words[] = {
	{ "pause", false, do_pause }, { "resume", false, do_resume }, { "seek", true, do_seek }, { "replay", false, do_replay },
};

static const struct word *find_word(struct slice text, struct slice *out_rest)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (behind_word(text, words[i].word, out_rest))
			return &words[i];
	return NULL;
}

void command_notice(struct lane *lane, const char *text, const char *reason)
{
	struct slice cmd = trim(text);

	lane_notice(lane, "%.*s: %s", (int)(cmd.len < 100 ? cmd.len : 100), (const char *)cmd.data, reason);
}

int command_check(const char *text, struct why *why)
{
	const struct word *word;
	struct whence whence;
	struct slice rest;

	word = find_word(trim(text), &rest);
	if (!word)
		return why_fail(why, EINVAL, "commands are pause, resume, seek and replay");
	if (!word->takes_place)
		return rest.len ? why_fail(why, EINVAL, "%s takes no more words", word->word) : 0;
	return whence_parse(rest, &whence) == 0 ? 0 : parse_places(rest, NULL, 0, why);
}

static struct command *take_command(struct lane *lane)
{
	struct command *cmd;

	pthread_mutex_lock(&lane->lock);
	cmd = lane->commands;
	if (cmd) {
		lane->commands = cmd->next;
		if (!lane->commands)
			lane->last_command = &lane->commands;
	}
	pthread_mutex_unlock(&lane->lock);
	return cmd;
}

void commands_serve(struct lane *lane)
{
	struct command *cmd;

	while ((cmd = take_command(lane))) {
		struct slice rest = slice_str("");
		const struct word *word = find_word(trim(cmd->text), &rest);
		struct why why = { "" };
		int rc = word ? word->run(lane, rest, &why) : -EINVAL;

		if (rc < 0)
			command_notice(lane, cmd->text, why.text[0] ? why.text : strerror(-rc));
		lane->retry_ns = 0;
		cmd->done(cmd->arg, rc);
		free(cmd);
	}
}

void commands_refuse(struct lane *lane, int rc)
{
	struct command *cmd;

	while ((cmd = take_command(lane))) {
		cmd->done(cmd->arg, rc);
		free(cmd);
	}
}
