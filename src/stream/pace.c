/* SPDX-License-Identifier: MIT */
/*
 * How much at once. One message is committed at once when nothing waits; under load a batch takes what came meanwhile, up to what FREE_NS commits.
 *
 * While other lanes write, a batch is as large, or nearly: the more rows there are, the closer they lie together in the map once they are sorted, and
 * the fewer pages each costs. But it is committed in parts of PART_NS, one batch at a time: that is what such a write waits for.
 */
#include "stream/private.h"

#define FREE_NS (80 * STREAM_MS)
#define BUSY_NS (160 * STREAM_MS)
#define PART_NS (STREAM_MS)
#define BUSY_FOR (200 * STREAM_MS)	/* after the last write of another lane */

enum { PART_ROWS_MIN = 48, PART_ROWS_FIRST = 256, ROWS_MIN = 256 };

static bool is_busy(const struct lane *lane)
{
	return lane->direct_ns && clock_monotonic() - lane->direct_ns < BUSY_FOR;
}

bool pace_is_busy(struct lane *lane)
{
	bool is;

	pthread_mutex_lock(&lane->lock);
	is = is_busy(lane);
	pthread_mutex_unlock(&lane->lock);
	return is;
}

unsigned batches_allowed(struct lane *lane)
{
	return pace_is_busy(lane) ? 1 : BATCHES - 1;
}

void pace_look(struct lane *lane)
{
	struct ingest_figures figures;
	bool was_busy;

	ingest_figures(lane->stream->options.ingest, &figures);
	pthread_mutex_lock(&lane->lock);
	was_busy = is_busy(lane);
	if (figures.lane_requests[RECORD_LANE_DIRECT - 1] != lane->direct_seen)
		lane->direct_ns = clock_monotonic();
	lane->direct_seen = figures.lane_requests[RECORD_LANE_DIRECT - 1];
	/* Until the first part beside the others tells. */
	if (!was_busy && is_busy(lane))
		lane->part_rows = PART_ROWS_FIRST;
	pthread_mutex_unlock(&lane->lock);
}

/* The rows for a time, after `n` of them took so long: half way there, for one commit may have had a slow disk. */
static unsigned adapt(unsigned rows, size_t n, int64_t took_ns, int64_t want_ns, unsigned least)
{
	double fits;

	/* What others made small grows again, though few rows tell nothing of what one costs beside the sync. */
	if (rows < least)
		rows = least;
	if (took_ns <= 0 || n < least / 2)
		return rows;
	fits = (double)n * (double)want_ns / (double)took_ns;
	if (fits > 2.0 * rows)
		fits = 2.0 * rows;
	fits = (fits + rows) / 2;
	return fits < least ? least : fits > BATCH_ROWS ? BATCH_ROWS : (unsigned)fits;
}

void pace_learn(struct lane *lane, const struct batch *batch, size_t n)
{
	int64_t begun_ns = batch->submitted_ns > lane->last_done_ns ? batch->submitted_ns : lane->last_done_ns;

	lane->last_done_ns = batch->ended_ns;
	lane->target = adapt(lane->target, n, batch->ended_ns - begun_ns, pace_is_busy(lane) ? BUSY_NS : FREE_NS, ROWS_MIN);
}

void pace_learn_part(struct lane *lane, struct batch *batch, size_t n, int64_t now_ns)
{
	int64_t begun_ns = batch->part_ns > batch->submitted_ns ? batch->part_ns : batch->submitted_ns;

	batch->part_ns = now_ns;
	lane->part_rows = adapt(lane->part_rows, n, now_ns - begun_ns, PART_NS, PART_ROWS_MIN);
}

size_t pace_part(struct lane *lane)
{
	size_t rows;

	pace_look(lane);
	pthread_mutex_lock(&lane->lock);
	rows = is_busy(lane) ? lane->part_rows : SIZE_MAX;
	pthread_mutex_unlock(&lane->lock);
	return rows;
}
