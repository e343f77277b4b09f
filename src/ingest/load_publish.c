/* SPDX-License-Identifier: MIT */
/*
 * How a load begins and ends. The leader knows it from its beginning on, so that rows can be screened; it starts with its first row, once what is
 * read has been sorted, and that is the ingest time of its values. Its shadow is noted as unused from the first commit on, so that a start after a
 * crash knows what to clear; the commit that publishes takes the note back and makes the shadow the group's own table, if nothing else of the group
 * would be left below it, else its overlay. That commit is small whatever the load's size, and the only one of a load that must be durable: the log
 * before it becomes so with it.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- begin ---- */

struct beginning {
	struct work work;
	struct ingest_load *load;
	bool is_begun;
};

static int note(struct ingest_load *load, struct store_batch *batch, const char *what, const char *rest)
{
	char text[128];

	snprintf(text, sizeof text, "load %s %u %u%s", what, load->shadow, load->grp->id, rest);
	return store_batch_note(batch, slice_str(text));
}

static int apply_begin(struct ingest *ingest, struct work *work, struct why *why)
{
	struct ingest_load *load = ((struct beginning *)work)->load;
	struct commit *commit = &ingest->commit;
	const struct catalog_group *grp = catalog_find_id(commit->cat, load->grp->id);
	uint32_t number;
	int rc;

	for (struct ingest_load *other = ingest->active; other; other = other->next_active)
		if (other->grp->id == load->grp->id)
			return why_fail(why, EBUSY, "another load of the group is at work");
	if (!grp)
		return why_fail(why, ENOENT, "the group was removed meanwhile");
	if (commit->no_room)
		return fail_no_room(commit, why);
	rc = apply_next_number(commit, "next_load", &number);
	if (rc == 0 && number > UINT32_MAX - LOADING_FIRST_ROWS)
		rc = -ENOSPC;
	if (rc < 0)
		return rc;
	load->shadow = LOADING_FIRST_ROWS + number;
	return apply_note_unused(commit, load->shadow, grp->id);
}

static void begin_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct beginning *begin = (struct beginning *)work;
	struct ingest_load *load = begin->load;

	(void)seq;
	(void)why;
	if (rc < 0)
		return;
	load->next_active = load->ingest->active;
	load->ingest->active = load;
	load->is_active = true;
}

int loading_begin(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	struct beginning begin = { .work = { .apply = apply_begin, .done = begin_done }, .load = load };
	int rc = 0;

	if (load->options.source.len)
		rc = ingest_source(ingest, load->options.source, &load->stamp.source);
	if (rc < 0)
		return why_fail(why, -rc, "the load's source can't be stored: %s", strerror(-rc));
	return work_run(ingest, &begin.work, why);
}

/* ---- start ---- */

static int apply_start(struct ingest *ingest, struct work *work, struct why *why)
{
	struct ingest_load *load = ((struct beginning *)work)->load;
	char rest[32];

	(void)why;
	load->stamp.ingest_ns = ingest->commit.clock.ingest_ns;
	snprintf(rest, sizeof rest, " %lld", (long long)load->stamp.ingest_ns);
	return note(load, ingest->commit.batch, "begin", rest);
}

int loading_start(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	struct beginning start = { .work = { .apply = apply_start }, .load = load };
	struct judge *judges[] = { &load->judge, &load->again };
	int rc = load->has_started || load->options.dry_run ? 0 : work_run(ingest, &start.work, why);

	if (rc < 0 || load->has_started)
		return rc;
	load->has_started = true;
	screen_close(load);
	for (unsigned i = 0; i < 2; i++) {
		judges[i]->stamp = load->stamp;
		judges[i]->clock.ingest_ns = load->stamp.ingest_ns;
	}
	return 0;
}

/* ---- publish ---- */

static int count_group(struct commit *commit, uint32_t group_id, const struct tally *sum, uint64_t *out_rows)
{
	int rc = 0;
	struct catalog_stats *stats = commit_stats(commit, group_id, &rc);

	if (!stats)
		return rc;
	*out_rows = stats->rows;
	stats->entities += (uint64_t)sum->gain.entities;
	stats->rows += (uint64_t)sum->gain.rows;
	stats->row_bytes += (uint64_t)sum->gain.bytes;
	stats->applied[RECORD_LANE_BATCH - 1] += sum->applied;
	stats->late[RECORD_LANE_BATCH - 1] += sum->figures.late;
	if (sum->newest_event_ns > stats->newest_event_ns)
		stats->newest_event_ns = sum->newest_event_ns;
	return 0;
}

/* Nothing of the group is left below the shadow: then that is the group's table. */
static bool covers_all(const struct tally *sum, uint64_t standing_rows)
{
	return !sum->hides && sum->covered == standing_rows;
}

/* The group on its new tables. `standing_rows` are those that it had before. What stood over them is in the shadow. */
static int switch_tables(struct ingest *ingest, struct ingest_load *load, const struct tally *sum, uint64_t standing_rows)
{
	struct commit *commit = &ingest->commit;
	const struct catalog_group *grp = catalog_find_id(commit->cat, load->grp->id);
	struct ingest_changed whole = { .group_id = grp->id, .is_whole = true };
	struct catalog_group *next;
	char rest[32];
	int rc = grp->overlay ? apply_note_unused(commit, grp->overlay, grp->id) : 0;

	if (rc < 0)
		return rc;
	if (covers_all(sum, standing_rows)) {
		if (standing_rows || grp->overlay)
			rc = apply_note_unused(commit, grp->rows, grp->id);
		if (rc == 0)
			rc = catalog_group_on_tables(grp, load->shadow, 0, 0, &next);
	} else {
		rc = catalog_group_on_tables(grp, grp->rows, load->shadow, commit->clock.now_ns, &next);
	}
	if (rc < 0)
		return rc;
	snprintf(rest, sizeof rest, " %u", next->rows);
	rc = apply_put_group(commit, next);
	if (rc == 0)
		rc = apply_drop_unused(commit, load->shadow);
	if (rc == 0)
		rc = note(load, commit->batch, "publish", rest);
	return rc < 0 ? rc : commit_remember_changed(commit, &whole);
}

static int apply_publish(struct ingest *ingest, struct work *work, struct why *why)
{
	struct publishing *publishing = (struct publishing *)work;
	struct ingest_load *load = publishing->load;
	struct commit *commit = &ingest->commit;
	struct tally sum = load->total;
	uint64_t standing_rows = 0;
	bool writes;
	int rc;

	publishing->lacks_overlay = false;
	rc = loading_check_group(load, commit->cat, why);

	if (rc == 0)
		rc = loading_judge_last(ingest, load, publishing->limit, &publishing->tally);
	if (rc < 0)
		return rc;
	loading_add(&sum, &publishing->tally);
	rc = count_group(commit, load->grp->id, &sum, &standing_rows);
	writes = store_batch_has_rows(commit->batch, load->shadow);
	if (rc == 0 && writes && !load->meets_overlay) {
		publishing->lacks_overlay = true;
		return -EAGAIN;
	}
	if (rc == 0 && writes)
		rc = switch_tables(ingest, load, &sum, standing_rows);
	else if (rc == 0)
		rc = note(load, commit->batch, "publish", " 0");
	if (rc == 0 && load->options.position_key.len)
		rc = store_batch_put(commit->batch, STORE_POSITIONS, load->options.position_key, load->options.position);
	return rc;
}

static void deactivate(struct ingest_load *load)
{
	for (struct ingest_load **link = &load->ingest->active; load->is_active && *link; link = &(*link)->next_active)
		if (*link == load) {
			*link = load->next_active;
			break;
		}
	load->is_active = false;
}

static void publish_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct publishing *publishing = (struct publishing *)work;
	struct ingest_load *load = publishing->load;

	(void)seq;
	(void)why;
	if (rc < 0)
		return;
	deactivate(load);
	loading_add(&load->total, &publishing->tally);
	pthread_mutex_lock(&load->lock);
	load->figures = load->total.figures;
	pthread_mutex_unlock(&load->lock);
}

int loading_publish(struct ingest *ingest, struct ingest_load *load, size_t limit, bool *out_lacks_overlay, struct why *why)
{
	struct publishing publishing = { .work = { .apply = apply_publish, .done = publish_done, .syncs = true }, .load = load, .limit = limit };
	int rc = work_run(ingest, &publishing.work, why);

	*out_lacks_overlay = publishing.lacks_overlay;
	return rc;
}

/* ---- abort ---- */

static int apply_end(struct ingest *ingest, struct work *work, struct why *why)
{
	struct ingest_load *load = ((struct beginning *)work)->load;

	(void)why;
	return load->has_started ? note(load, ingest->commit.batch, "abort", "") : 0;
}

static void end_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	(void)rc;
	(void)seq;
	(void)why;
	deactivate(((struct beginning *)work)->load);
}

void loading_end(struct ingest *ingest, struct ingest_load *load)
{
	struct beginning end = { .work = { .apply = apply_end, .done = end_done, .ends = true }, .load = load };

	if (!load->is_active)
		return;
	/* Without a leader nobody looks at the list any more. */
	work_run(ingest, &end.work, NULL);
	keep_wake(ingest);
}
