/* SPDX-License-Identifier: MIT */
/* What lanes say about themselves: "key: value" lines for people and scripts, metrics for Prometheus. Nothing here quotes a value or an entity. */
#include "stream/private.h"

#include <inttypes.h>
#include <string.h>

#define FADE_STEP (CLOCK_SECOND / 2)
#define FADE 0.7			/* what a step leaves of a rate: it is that of the last two seconds or so */
#define FADE_GRACE CLOCK_SECOND		/* the lane counts twice a second */
#define LONG_COMMIT (2 * CLOCK_SECOND)

enum { LONG_RUN = 100 };	/* dead letters in a row: more than one bad producer among others makes */

const char *report_state_name(enum lane_state state)
{
	static const char *const names[LANE_STATES] = {
		[LANE_STARTING] = "starting", [LANE_BROKEN] = "broken", [LANE_WAITING] = "waiting", [LANE_DISCONNECTED] = "disconnected",
		[LANE_RUNNING] = "running", [LANE_PAUSED] = "paused", [LANE_BLOCKED] = "blocked", [LANE_STOPPED] = "stopped",
	};

	return names[state];
}

/* With lane->lock held: all of these. */

/* -1: not known. */
static int64_t lag_of(const struct partition *part)
{
	int64_t at = part->committed.next;

	if (part->high < 0 || at < 0)
		return -1;
	if (at == part->end_next && at < part->end)
		at = part->end;
	if (at < part->committed.empty_to)
		at = part->committed.empty_to;
	return part->high > at ? part->high - at : 0;
}

/* Of those of which it is known; -1: of none. */
static int64_t lag_of_all(const struct lane *lane)
{
	int64_t sum = -1;

	for (int32_t i = 0; i < lane->n_shown_parts; i++) {
		int64_t lag = lag_of(&lane->shown_parts[i]);

		if (lag >= 0)
			sum = sum < 0 ? lag : sum + lag;
	}
	return sum;
}

double report_fade(int64_t ns)
{
	double left = 1;

	for (; ns > 0 && left > 1e-6; ns -= FADE_STEP)
		left *= FADE;
	return left;
}

/* The lane's thread may wait for a commit meanwhile, and count nothing. */
static double rate_now(const struct lane *lane, int64_t now_ns)
{
	int64_t idle_ns = now_ns - lane->rate_ns - FADE_GRACE;

	return idle_ns > 0 ? lane->rate * report_fade(idle_ns) : lane->rate;
}

/* How long the oldest commit has been under way, or the part of it that is being made; 0: none is. */
static int64_t commit_age(const struct lane *lane, int64_t now_ns)
{
	int64_t age_ns = 0;

	for (int i = 0; i < BATCHES; i++) {
		const struct batch *batch = &lane->batches[i];
		int64_t since_ns;

		if (batch->state != BATCH_SUBMITTED)
			continue;
		since_ns = batch->part_ns > batch->submitted_ns ? batch->part_ns : batch->submitted_ns;
		if (now_ns - since_ns > age_ns)
			age_ns = now_ns - since_ns;
	}
	return age_ns;
}

const char *report_dead_run(const struct lane *lane)
{
	static const char *const reasons[] = {
		[REFUSAL_FORM] = "they can't be read as the stream's section says",
		[REFUSAL_TIME] = "their event times are ahead of this machine's clock: is it right?",
		[REFUSAL_VALUE] = "their values break the rules of the group's features",
		[REFUSAL_COMMIT] = "they were refused when they were to be stored",
	};

	return lane->dead_run >= LONG_RUN ? reasons[lane->dead_run_why] : NULL;
}

static void print_reason(const struct lane *lane, int64_t now_ns, struct buf *out)
{
	int64_t age_ns = commit_age(lane, now_ns);
	const char *dead_run = report_dead_run(lane);

	if (lane->reason[0])
		buf_printf(out, "reason: %s\n", lane->reason);
	else if (age_ns > LONG_COMMIT)
		buf_printf(out, "reason: a commit has been under way for %.1f s: the store's disk is slow, or others write much\n",
			   (double)age_ns / (double)CLOCK_SECOND);
	else if (dead_run)
		buf_printf(out, "reason: the last %" PRIu64 " messages all became dead letters: %s\n", lane->dead_run, dead_run);
}

static unsigned count_assigned(const struct lane *lane)
{
	unsigned n = 0;

	for (int32_t i = 0; i < lane->n_shown_parts; i++)
		n += lane->shown_parts[i].is_assigned;
	return n;
}

static void print_number(const char *key, int64_t number, struct buf *out)
{
	if (number < 0)
		buf_printf(out, "%s -", key);
	else
		buf_printf(out, "%s %" PRId64, key, number);
}

static void print_partitions(const struct lane *lane, struct buf *out)
{
	if (lane->shown_topic && lane->shown_topic[0])
		buf_printf(out, "topic: %s\n", lane->shown_topic);
	buf_printf(out, "partitions: %" PRId32 "\nassigned: %u\n", lane->n_shown_parts, count_assigned(lane));
	print_number("lag:", lag_of_all(lane), out);
	buf_append_char(out, '\n');
	for (int32_t i = 0; i < lane->n_shown_parts; i++) {
		const struct partition *part = &lane->shown_parts[i];

		buf_printf(out, "partition.%" PRId32 ":", i);
		print_number(" position", part->committed.next, out);
		print_number(" low", part->low, out);
		print_number(" high", part->high, out);
		print_number(" lag", lag_of(part), out);
		buf_printf(out, "%s\n", part->is_assigned ? "" : " unassigned");
	}
}

static void print_age(const char *key, const struct freshness *fresh, int64_t now_ns, struct buf *out)
{
	int64_t p50 = freshness_quantile(fresh, 0.5, now_ns), p99 = freshness_quantile(fresh, 0.99, now_ns);

	if (p50 >= 0)
		buf_printf(out, "%s_p50_ms: %.3f\n%s_p99_ms: %.3f\n", key, (double)p50 / 1e6, key, (double)p99 / 1e6);
}

void report_status(struct lane *lane, struct buf *out)
{
	int64_t now_ns = clock_monotonic();

	pthread_mutex_lock(&lane->lock);
	buf_printf(out, "state: %s\n", report_state_name(lane->state));
	print_reason(lane, now_ns, out);
	if (lane->notice[0])
		buf_printf(out, "notice: %s\n", lane->notice);
	print_partitions(lane, out);
#define X(name) buf_printf(out, #name ": %" PRIu64 "\n", lane->shown.name);
	LANE_COUNTERS(X)
#undef X
	buf_printf(out, "replaying: %s\nrebalances: %" PRIu64 "\n", lane->is_replaying ? "yes" : "no", lane->rebalances);
	buf_printf(out, "dead_in_a_row: %" PRIu64 "\n", lane->dead_run);
	buf_printf(out, "dead_letter_bytes: %" PRIu64 "\ndead_letter_bytes_dropped: %" PRIu64 "\nnot_forwarded: %" PRIu64 "\n", lane->dead_bytes,
		   lane->dead_dropped, lane->not_forwarded);
	buf_printf(out, "messages_per_second: %.1f\ncommits: %" PRIu64 "\nbytes: %" PRIu64 "\n", rate_now(lane, now_ns), lane->commits,
		   lane->consumed_bytes);
	print_age("freshness_event", &lane->event_age, now_ns, out);
	print_age("freshness_broker", &lane->broker_age, now_ns, out);
	pthread_mutex_unlock(&lane->lock);
}

/* ---- metrics ---- */

typedef void (*sample)(const struct lane *lane, const char *name, struct buf *out);

static void print_sample(const struct lane *lane, const char *name, const char *label, const char *value, double number, struct buf *out)
{
	size_t group_len = strlen(lane->name) - strlen(lane->stream_name) - 1;

	buf_printf(out, "featurefs_stream_%s{group=\"%.*s\",stream=\"%s\"", name, (int)group_len, lane->name, lane->stream_name);
	if (label)
		buf_printf(out, ",%s=\"%s\"", label, value);
	buf_printf(out, "} %.15g\n", number);
}

static void sample_state(const struct lane *lane, const char *name, struct buf *out)
{
	for (int i = 0; i < LANE_STATES; i++)
		print_sample(lane, name, "state", report_state_name((enum lane_state)i), lane->state == (enum lane_state)i, out);
}

#define X(field) static void sample_##field(const struct lane *lane, const char *name, struct buf *out) \
{ \
	print_sample(lane, name, NULL, NULL, (double)lane->shown.field, out); \
}
LANE_COUNTERS(X)
#undef X

static void sample_rebalances(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->rebalances, out);
}

static void sample_assigned(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, count_assigned(lane), out);
}

static void sample_lag(const struct lane *lane, const char *name, struct buf *out)
{
	int64_t lag = lag_of_all(lane);

	if (lag >= 0)
		print_sample(lane, name, NULL, NULL, (double)lag, out);
}

static void sample_bytes(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->consumed_bytes, out);
}

static void sample_not_forwarded(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->not_forwarded, out);
}

static void sample_dead_run(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->dead_run, out);
}

static void sample_dead_bytes(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->dead_bytes, out);
}

static void sample_dead_dropped(const struct lane *lane, const char *name, struct buf *out)
{
	print_sample(lane, name, NULL, NULL, (double)lane->dead_dropped, out);
}

static void sample_offsets(const struct lane *lane, const char *name, bool is_high, struct buf *out)
{
	char number[16];

	for (int32_t i = 0; i < lane->n_shown_parts; i++) {
		int64_t offset = is_high ? lane->shown_parts[i].high : lane->shown_parts[i].committed.next;

		if (offset < 0)
			continue;
		snprintf(number, sizeof number, "%" PRId32, i);
		print_sample(lane, name, "partition", number, (double)offset, out);
	}
}

static void sample_position(const struct lane *lane, const char *name, struct buf *out)
{
	sample_offsets(lane, name, false, out);
}

static void sample_high(const struct lane *lane, const char *name, struct buf *out)
{
	sample_offsets(lane, name, true, out);
}

static void sample_ages(const struct lane *lane, const char *name, const struct freshness *fresh, struct buf *out)
{
	static const struct {
		double q;
		const char *text;
	} quantiles[] = { { 0.5, "0.5" }, { 0.99, "0.99" } };

	for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
		int64_t age = freshness_quantile(fresh, quantiles[i].q, clock_monotonic());

		if (age >= 0)
			print_sample(lane, name, "quantile", quantiles[i].text, (double)age / (double)CLOCK_SECOND, out);
	}
}

static void sample_event_age(const struct lane *lane, const char *name, struct buf *out)
{
	sample_ages(lane, name, &lane->event_age, out);
}

static void sample_broker_age(const struct lane *lane, const char *name, struct buf *out)
{
	sample_ages(lane, name, &lane->broker_age, out);
}

static const struct metric {
	const char *name, *type, *help;
	sample print;
} metrics[] = {
	{ "state", "gauge", "1 for the state that the lane is in", sample_state },
	{ "messages_total", "counter", "Messages taken from the topic", sample_messages },
	{ "applied_total", "counter", "Messages that changed or confirmed an entity", sample_applied },
	{ "late_total", "counter", "Messages that lost to newer values", sample_late },
	{ "filtered_total", "counter", "Messages that are not for the group", sample_filtered },
	{ "dead_total", "counter", "Messages that went to the dead letters", sample_dead },
	{ "replayed_total", "counter", "Dead letters that were fed through again", sample_replayed },
	{ "replays_total", "counter", "Files of dead letters that were replayed", sample_replays },
	{ "resets_total", "counter", "Times that the position was not in the topic any more", sample_resets },
	{ "rebalances_total", "counter", "Rebalances of the consumer group since the start", sample_rebalances },
	{ "received_bytes_total", "counter", "Bytes of messages applied since the start", sample_bytes },
	{ "not_forwarded_total", "counter", "Dead letters that did not reach their topic since the start", sample_not_forwarded },
	{ "dead_in_a_row", "gauge", "Newest messages that all became dead letters for one kind of reason, since the start", sample_dead_run },
	{ "dead_letter_bytes", "gauge", "Bytes of dead letters that are kept", sample_dead_bytes },
	{ "dead_letter_dropped_bytes_total", "counter", "Bytes of dead letters that went to make room since the start", sample_dead_dropped },
	{ "assigned_partitions", "gauge", "Partitions that the lane reads", sample_assigned },
	{ "lag", "gauge", "Messages behind the ends of all partitions", sample_lag },
	{ "position", "gauge", "Offset of the next message", sample_position },
	{ "high_water_mark", "gauge", "Offset behind the partition's last message", sample_high },
	{ "freshness_event_seconds", "gauge", "From event time to readable, in the last two minutes", sample_event_age },
	{ "freshness_broker_seconds", "gauge", "From the record's time to readable, in the last two minutes", sample_broker_age },
};

void stream_metrics(struct stream *stream, struct buf *out)
{
	pthread_mutex_lock(&stream->lock);
	for (size_t i = 0; stream->lanes && i < sizeof metrics / sizeof *metrics; i++) {
		const struct metric *metric = &metrics[i];

		buf_printf(out, "# HELP featurefs_stream_%s %s\n# TYPE featurefs_stream_%s %s\n", metric->name, metric->help, metric->name,
			   metric->type);
		for (struct lane *lane = stream->lanes; lane; lane = lane->next) {
			pthread_mutex_lock(&lane->lock);
			metric->print(lane, metric->name, out);
			pthread_mutex_unlock(&lane->lock);
		}
	}
	pthread_mutex_unlock(&stream->lock);
}
