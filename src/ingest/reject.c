/* SPDX-License-Identifier: MIT */
/*
 * The last refusals of each group: a ring of ready-made lines for each, so that reading .errors costs a copy and a flood of bad input costs
 * no more memory than a quiet day. Values stand in the group's own lines only; the summary over all groups is made of a second, shorter line.
 */
#include "ingest/reject.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "store/record.h"

enum {
	RING_LINES = 128,	/* of each group */
	RING_GROUPS = 4096,	/* groups that ever refused something; past that, the one that was quiet longest is forgotten */
	VALUE_SHOWN = 120,	/* bytes of a value that a line shows */
};

struct ring {
	uint32_t group_id;
	uint64_t total;
	uint64_t touched;	/* the log's counter at the last line */
	unsigned next;
	char *full[RING_LINES], *brief[RING_LINES];
	int64_t time_ns[RING_LINES];
};

struct reject_log {
	pthread_mutex_t lock;	/* protects all below */
	struct ring **rings;
	size_t n_rings;
	uint64_t added;
	uint64_t by_reason[REJECT_N];
};

static const struct {
	const char *name;
	int err;
	const char *text;
} reasons[] = {
#define X(name, err, text) { #name, err, text },
	REJECT_REASONS(X)
#undef X
};

const char *reject_reason_name(enum reject_reason reason)
{
	return reason < REJECT_N ? reasons[reason].name : "other";
}

enum reject_reason reject_reason_of(int err)
{
	switch (err) {
	case EPERM:
		return REJECT_undeclared;
	case ERANGE:
		return REJECT_out_of_range;
	case EINVAL:
		return REJECT_not_of_type;
	case EILSEQ:
		return REJECT_encoding;
	case EFBIG:
		return REJECT_too_big;
	case ESTALE:
		return REJECT_stale;
	case ENAMETOOLONG:
		return REJECT_bad_name;
	case ENOSPC:
		return REJECT_no_space;
	case EIO:
		return REJECT_io;
	default:
		return REJECT_other;
	}
}

int reject_log_new(struct reject_log **out)
{
	struct reject_log *log = calloc(1, sizeof *log);

	if (!log)
		return -ENOMEM;
	pthread_mutex_init(&log->lock, NULL);
	*out = log;
	return 0;
}

static void ring_free(struct ring *ring)
{
	for (unsigned i = 0; i < RING_LINES; i++) {
		free(ring->full[i]);
		free(ring->brief[i]);
	}
	free(ring);
}

void reject_log_free(struct reject_log *log)
{
	if (!log)
		return;
	for (size_t i = 0; i < log->n_rings; i++)
		ring_free(log->rings[i]);
	free(log->rings);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

static struct ring *find_ring(struct reject_log *log, uint32_t group_id)
{
	for (size_t i = 0; i < log->n_rings; i++)
		if (log->rings[i]->group_id == group_id)
			return log->rings[i];
	return NULL;
}

static void drop_quietest(struct reject_log *log)
{
	size_t quietest = 0;

	for (size_t i = 1; i < log->n_rings; i++)
		if (log->rings[i]->touched < log->rings[quietest]->touched)
			quietest = i;
	ring_free(log->rings[quietest]);
	log->rings[quietest] = log->rings[--log->n_rings];
}

static struct ring *make_ring(struct reject_log *log, uint32_t group_id)
{
	struct ring **grown, *ring;

	if (log->n_rings == RING_GROUPS)
		drop_quietest(log);
	grown = realloc(log->rings, (log->n_rings + 1) * sizeof *grown);
	if (!grown)
		return NULL;
	log->rings = grown;
	ring = calloc(1, sizeof *ring);
	if (!ring)
		return NULL;
	ring->group_id = group_id;
	log->rings[log->n_rings++] = ring;
	return ring;
}

/* Bytes from outside, as they can stand in a line: a JSON string, cut where it is long. */
static void print_quoted(struct slice bytes, struct buf *out)
{
	const unsigned char *at = bytes.data;
	size_t n = bytes.len < VALUE_SHOWN ? bytes.len : VALUE_SHOWN;

	buf_append_char(out, '"');
	for (size_t i = 0; i < n; i++) {
		if (at[i] == '"' || at[i] == '\\')
			buf_append_char(out, '\\');
		if (at[i] == '\n')
			buf_append_str(out, "\\n");
		else if (at[i] < 0x20 || at[i] >= 0x7f)
			buf_printf(out, "\\u%04x", at[i]);
		else
			buf_append_char(out, (char)at[i]);
	}
	buf_append_char(out, '"');
	if (n < bytes.len)
		buf_printf(out, "... (%zu bytes)", bytes.len);
}

static const char *lane_name(uint8_t lane)
{
	return lane == RECORD_LANE_STREAM ? "stream" : lane == RECORD_LANE_BATCH ? "batch" : "direct";
}

static void print_head(const struct reject *rej, struct buf *out)
{
	char time[CLOCK_TEXT_MAX];

	clock_print_time(rej->time_ns, false, time);
	buf_printf(out, "%s %s ", time, lane_name(rej->lane));
}

static char *take_line(struct buf *line)
{
	buf_append_char(line, '\0');
	if (buf_error(line) < 0) {
		buf_release(line);
		return NULL;
	}
	return line->data;
}

/* Entity and feature names may hold any byte while they are what was refused, so they are quoted too where they are not plain. */
static void print_name(struct slice entity, struct slice feature, struct buf *out)
{
	struct buf name = { 0 };
	bool is_plain = true;

	buf_append_slice(&name, entity);
	if (entity.len && feature.len)
		buf_append_char(&name, '/');
	buf_append_slice(&name, feature);
	for (size_t i = 0; i < name.len; i++)
		is_plain = is_plain && (unsigned char)name.data[i] > ' ' && name.data[i] != 0x7f && name.data[i] != '"';
	if (name.len == 0)
		buf_append_char(out, '-');
	else if (is_plain && name.len <= 512)
		buf_append_slice(out, buf_slice(&name));
	else
		print_quoted(buf_slice(&name), out);
	buf_release(&name);
}

void reject_log_add(struct reject_log *log, const struct reject *rej)
{
	const char *detail = rej->detail && *rej->detail ? rej->detail : reasons[rej->reason].text;
	struct buf full = { 0 }, brief = { 0 };
	struct ring *ring;
	char *full_line, *brief_line;

	print_head(rej, &full);
	print_head(rej, &brief);
	buf_append_str(&full, rej->who ? rej->who : "-");
	buf_append_char(&full, ' ');
	print_name(rej->entity, rej->feature, &full);
	buf_printf(&full, " %s (errno %d)", reasons[rej->reason].name, rej->err);
	if (rej->value.data) {
		buf_append_char(&full, ' ');
		print_quoted(rej->value, &full);
	}
	buf_printf(&full, ": %s\n", detail);
	buf_printf(&brief, "%s (errno %d): %s\n", reasons[rej->reason].name, rej->err, reasons[rej->reason].text);
	full_line = take_line(&full);
	brief_line = take_line(&brief);

	pthread_mutex_lock(&log->lock);
	log->by_reason[rej->reason]++;
	log->added++;
	ring = full_line && brief_line ? find_ring(log, rej->group_id) : NULL;
	if (!ring && full_line && brief_line)
		ring = make_ring(log, rej->group_id);
	if (ring) {
		free(ring->full[ring->next]);
		free(ring->brief[ring->next]);
		ring->full[ring->next] = full_line;
		ring->brief[ring->next] = brief_line;
		ring->time_ns[ring->next] = rej->time_ns;
		ring->next = (ring->next + 1) % RING_LINES;
		ring->total++;
		ring->touched = log->added;
		full_line = brief_line = NULL;
	}
	pthread_mutex_unlock(&log->lock);
	free(full_line);
	free(brief_line);
}

void reject_log_print(struct reject_log *log, uint32_t group_id, struct buf *out)
{
	struct ring *ring;

	pthread_mutex_lock(&log->lock);
	ring = find_ring(log, group_id);
	for (unsigned i = 0; ring && i < RING_LINES; i++) {
		const char *line = ring->full[(ring->next + i) % RING_LINES];

		if (line)
			buf_append_str(out, line);
	}
	pthread_mutex_unlock(&log->lock);
}

struct brief_line {
	int64_t time_ns;
	uint32_t group_id;
	const char *text;
};

static int compare_brief(const void *a, const void *b)
{
	const struct brief_line *x = a, *y = b;

	return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

void reject_log_print_all(struct reject_log *log, const char *(*name_of)(void *arg, uint32_t group_id), void *arg,
			  struct buf *out)
{
	struct buf lines = { 0 };
	size_t n;

	pthread_mutex_lock(&log->lock);
	for (size_t r = 0; r < log->n_rings; r++) {
		const struct ring *ring = log->rings[r];

		for (unsigned i = 0; i < RING_LINES; i++) {
			unsigned at = (ring->next + i) % RING_LINES;
			struct brief_line line = { ring->time_ns[at], ring->group_id, ring->brief[at] };

			if (line.text)
				buf_append(&lines, &line, sizeof line);
		}
	}
	n = lines.len / sizeof(struct brief_line);
	if (n)
		qsort(lines.data, n, sizeof(struct brief_line), compare_brief);
	for (size_t i = 0; i < n; i++) {
		const struct brief_line *line = (const struct brief_line *)lines.data + i;
		const char *name = name_of(arg, line->group_id);

		if (!name)
			continue;
		buf_printf(out, "%s ", *name ? name : "/");
		buf_append_str(out, line->text);
	}
	pthread_mutex_unlock(&log->lock);
	buf_release(&lines);
}

void reject_log_forget(struct reject_log *log, uint32_t group_id)
{
	pthread_mutex_lock(&log->lock);
	for (size_t i = 0; i < log->n_rings; i++) {
		if (log->rings[i]->group_id != group_id)
			continue;
		ring_free(log->rings[i]);
		log->rings[i] = log->rings[--log->n_rings];
		break;
	}
	pthread_mutex_unlock(&log->lock);
}

uint64_t reject_log_count(struct reject_log *log, enum reject_reason reason)
{
	uint64_t count;

	pthread_mutex_lock(&log->lock);
	count = log->by_reason[reason];
	pthread_mutex_unlock(&log->lock);
	return count;
}

uint64_t reject_log_group_count(struct reject_log *log, uint32_t group_id)
{
	const struct ring *ring;
	uint64_t count;

	pthread_mutex_lock(&log->lock);
	ring = find_ring(log, group_id);
	count = ring ? ring->total : 0;
	pthread_mutex_unlock(&log->lock);
	return count;
}
