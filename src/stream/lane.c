/* SPDX-License-Identifier: MIT */
/*
 * The thread of a lane: reads messages, fills batches, hands them over, and between two of them looks whether the definition has changed, a
 * command has come, or the topic has. It never sleeps but where a wake-up reaches it: at its condition, or in the consumer's queue.
 *
 * Whatever goes wrong is a state with a reason, and is tried again: a topic that is not there yet, brokers that don't answer, a store
 * that is full. Only a definition that can't be compiled, and a position that a human must set, wait for that human.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "stream/kafka.h"

#define REFRESH_PAUSED (5 * CLOCK_SECOND)
#define NEVER INT64_MAX

enum { DRAIN = 256 };			/* messages between two looks around */

/* ---- what is shown ---- */

static bool is_trouble(enum lane_state state)
{
	return state == LANE_BROKEN || state == LANE_DISCONNECTED || state == LANE_BLOCKED || state == LANE_STOPPED;
}

/* What others said is shown as one line, whatever is in it. */
static void print_line(char *out, size_t size, const char *fmt, va_list ap)
{
	vsnprintf(out, size, fmt, ap);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

void lane_show(struct lane *lane, enum lane_state state, const char *fmt, ...)
{
	char reason[sizeof lane->reason];
	bool is_new;
	va_list ap;

	va_start(ap, fmt);
	print_line(reason, sizeof reason, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&lane->lock);
	is_new = lane->state != state;
	lane->state = state;
	memcpy(lane->reason, reason, sizeof reason);
	pthread_mutex_unlock(&lane->lock);
	if (is_new && is_trouble(state))
		log_warn("lane %s: %s: %s", lane->name, report_state_name(state), reason);
	else if (is_new)
		log_info("lane %s: %s%s%s", lane->name, report_state_name(state), reason[0] ? ": " : "", reason);
}

void lane_notice(struct lane *lane, const char *fmt, ...)
{
	char time[CLOCK_TEXT_MAX], text[sizeof lane->notice];
	va_list ap;

	va_start(ap, fmt);
	print_line(text, sizeof text, fmt, ap);
	va_end(ap);
	clock_print_time(clock_now(), false, time);
	pthread_mutex_lock(&lane->lock);
	snprintf(lane->notice, sizeof lane->notice, "%s %.*s", time, (int)(sizeof lane->notice - strlen(time) - 2), text);
	pthread_mutex_unlock(&lane->lock);
}

/* ---- waking and waiting ---- */

void lane_wake(struct lane *lane)
{
	atomic_store(&lane->attention, true);
	pthread_mutex_lock(&lane->lock);
	pthread_cond_broadcast(&lane->wake);
	/* The queue does no more than wake its reader, and the lane keeps it while it stands here. */
	if (lane->queue)
		rd_kafka_queue_yield(lane->queue);
	pthread_mutex_unlock(&lane->lock);
}

static void wait_until(struct lane *lane, int64_t until_ns)
{
	struct timespec until = { .tv_sec = until_ns / CLOCK_SECOND, .tv_nsec = until_ns % CLOCK_SECOND };

	pthread_mutex_lock(&lane->lock);
	while (!atomic_load(&lane->attention))
		if (pthread_cond_timedwait(&lane->wake, &lane->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&lane->lock);
}

static void retry_in(struct lane *lane, int64_t ns)
{
	lane->retry_ns = ns == NEVER ? NEVER : clock_monotonic() + ns;
}

/* ---- failing ---- */

void lane_begin_anew(struct lane *lane)
{
	consumer_close(lane);
	batches_drop(lane);
}

/* Shows why, and when to try again. */
static void show_failure(struct lane *lane, int rc, const char *reason)
{
	switch (rc) {
	case -EHOSTUNREACH:
		lane_show(lane, LANE_DISCONNECTED, "%s", reason);
		break;
	case -ENOENT:
		lane_show(lane, LANE_WAITING, "%s", reason);
		break;
	case -ERANGE:
		lane_show(lane, LANE_STOPPED, "%s", reason);
		retry_in(lane, NEVER);
		return;
	case -EINVAL:
		lane_show(lane, LANE_BROKEN, "%s", reason);
		break;
	case -EIO:
		lane_show(lane, LANE_BLOCKED, "the store takes no writes: %s", reason);
		break;
	default:
		lane_show(lane, LANE_BLOCKED, "%s", reason[0] ? reason : strerror(-rc));
		break;
	}
	retry_in(lane, LANE_RETRY);
}

static struct catalog_group *current_group(struct lane *lane)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(lane->stream->options.cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, lane->group_id);
	struct catalog_group *ref = grp ? catalog_group_ref(grp) : NULL;

	catalog_unref(cat);
	return ref;
}

/* A commit has found another definition than the batch was decoded for, or, which is nobody's doing, another position. */
static void take_refusal(struct lane *lane)
{
	struct catalog_group *grp = current_group(lane);
	bool has_changed = grp != lane->def.grp;

	catalog_group_unref(grp);
	if (has_changed) {
		lane->must_redo = true;
		atomic_store(&lane->attention, true);
		return;
	}
	lane_begin_anew(lane);
	counters_load(lane->stream->options.store, lane->group_id, lane->stream_name, &lane->counters);
	if (lane->replay)
		fseeko(lane->replay, (off_t)lane->counters.replay_offset, SEEK_SET);
}

void lane_fail(struct lane *lane, int rc, const char *reason)
{
	if (!reason && rc == -EAGAIN) {
		take_refusal(lane);
		return;
	}
	if (!reason) {
		lane->must_redo = true;
		reason = lane->batches[lane->oldest].reason;
	}
	show_failure(lane, rc, reason);
}

/* ---- the definition ---- */

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* What was decoded by the old definition is committed by it, or decoded again by the new one. */
static void take_definition(struct lane *lane, struct definition *def)
{
	bool is_elsewhere = !is_same_text(lane->def.topic, def->topic) || !is_same_text(lane->def.group, def->group);

	if (is_elsewhere) {
		lane_begin_anew(lane);
		partitions_free(lane);
		lane->source = 0;
		lane->has_seen_topic = false;
		lane->waits_since_ms = 0;
	}
	if (!is_same_text(lane->def.dead_topic, def->dead_topic))
		forward_close(lane);
	definition_release(&lane->def);
	lane->def = *def;
	if (!lane->n_parts)
		consumer_recall(lane);
	lane->retry_ns = 0;
	/* Batches that wait point to the old group. */
	lane->must_redo = lane->n_submitted || !batch_is_empty(&lane->batches[lane->oldest]);
}

static void read_definition(struct lane *lane)
{
	struct catalog_group *grp = current_group(lane);
	struct definition def = { 0 };
	struct why why = { "" };
	int rc;

	if (!grp || grp == lane->def.grp || !definition_section(grp, lane->stream_name)) {
		catalog_group_unref(grp);
		return;
	}
	if (!lane->must_redo)
		batches_finish(lane);
	batches_wait(lane, 1);
	rc = definition_read(grp, lane->stream_name, lane->stream->options.schemas, &def, &why);
	if (rc == 0 && !lane->stream->options.brokers[0]) {
		definition_release(&def);
		rc = why_fail(&why, EINVAL, "kafka.brokers is not set: name the brokers in featurefs.conf");
	}
	if (rc == 0) {
		take_definition(lane, &def);
		lane_show(lane, LANE_STARTING, "%s", "");
	} else {
		lane_begin_anew(lane);
		definition_release(&lane->def);
		/* Only another definition helps; a lack of memory passes. */
		lane->def.grp = rc == -ENOMEM ? NULL : catalog_group_ref(grp);
		lane_show(lane, LANE_BROKEN, "%s", why.text[0] ? why.text : strerror(-rc));
		retry_in(lane, LANE_RETRY);
	}
	catalog_group_unref(grp);
}

/* ---- messages ---- */

static void take_error(struct lane *lane, const rd_kafka_message_t *msg)
{
	rd_kafka_resp_err_t err = msg->err;

	if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		consumer_note_end(lane, msg->partition, msg->offset);
	} else if (kafka_is_down(err)) {
		lane->all_down = true;
	} else if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
		   err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED || kafka_is_unknown(err)) {
		lane->must_reopen = true;
	} else {
		if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
			consumer_note_unreadable(lane, rd_kafka_message_errstr(msg));
		lane_notice(lane, "partition %" PRId32 ": %s", msg->partition, rd_kafka_message_errstr(msg));
	}
}

/* The message before the position: is it the one that was consumed? */
static void check_seam(struct lane *lane, struct partition *part, const rd_kafka_message_t *msg)
{
	rd_kafka_timestamp_type_t type;
	int64_t timestamp_ms = rd_kafka_message_timestamp(msg, &type);

	if (!part->checks_seam)
		return;
	part->checks_seam = false;
	if (msg->offset != part->next - 1 || type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ||
	    timestamp_ms == part->committed.timestamp_ns / STREAM_MS)
		return;
	part->is_replaced = true;
	lane->must_reopen = true;
}

/* 1: it is not wanted. Takes the message unless it is -EAGAIN or -ENOMEM. */
static int take_message(struct lane *lane, rd_kafka_message_t *msg)
{
	struct partition *part = !msg->err && msg->partition < lane->n_parts ? &lane->parts[msg->partition] : NULL;
	struct batch *batch = batch_filling(lane);
	int rc = 1;

	if (msg->err)
		take_error(lane, msg);
	else
		lane->all_down = false;
	if (!msg->err)
		lane->unreadable[0] = '\0';
	if (part && part->is_assigned)
		check_seam(lane, part, msg);
	if (part && part->is_assigned && !lane->must_reopen && msg->offset >= part->next)
		rc = batch_add_message(lane, batch, msg);
	if (rc == 1)
		rd_kafka_message_destroy(msg);
	return rc;
}

/* Messages until none is there, the batch is full, or one can't be taken now. */
static bool drain(struct lane *lane, int timeout_ms)
{
	for (int i = 0; i < DRAIN; i++) {
		rd_kafka_message_t *msg = lane->held ? lane->held : rd_kafka_consumer_poll(lane->rk, i ? 0 : timeout_ms);
		int rc;

		lane->held = NULL;
		/* A callback may have taken the partitions away meanwhile. */
		if (lane->must_reopen || lane->must_redo) {
			if (msg)
				rd_kafka_message_destroy(msg);
			lane->must_reopen = lane->must_reopen || msg != NULL;
			return true;
		}
		if (!msg)
			return true;
		rc = take_message(lane, msg);
		if (rc < 0) {
			lane->held = msg;
			return true;
		}
		if (batch_is_full(lane, batch_filling(lane)))
			return false;
	}
	return false;
}

static void hand_over(struct lane *lane, bool is_drained)
{
	struct batch *batch = batch_filling(lane);
	int rc;

	if (batch_is_empty(batch) || lane->n_submitted >= batches_allowed(lane))
		return;
	if (!is_drained && !batch_is_full(lane, batch))
		return;
	rc = batch_submit(lane, !is_drained);
	if (rc < 0) {
		/* The dead letters have no room: nothing is lost, the messages stay. */
		lane->must_redo = true;
		show_failure(lane, rc, "dead letters can't be written");
	}
}

static void consume(struct lane *lane)
{
	bool is_drained, may_submit;
	int64_t left_ns = lane->tick_ns - clock_monotonic();
	struct batch *batch;
	int rc = batches_reap(lane);

	if (rc < 0) {
		lane_fail(lane, rc, NULL);
		return;
	}
	batch = batch_filling(lane);
	may_submit = lane->n_submitted < batches_allowed(lane);
	if (!may_submit && batch_is_full(lane, batch)) {
		batches_wait(lane, batches_allowed(lane));
		return;
	}
	if (left_ns < 0 || lane->held || (may_submit && !batch_is_empty(batch)))
		left_ns = 0;
	is_drained = drain(lane, (int)(left_ns / STREAM_MS));
	if (lane->must_reopen || lane->must_redo)
		return;
	hand_over(lane, is_drained);
	if (lane->held) {
		lane_show(lane, LANE_BLOCKED, "%s", lane->hold_why.text);
		retry_in(lane, LANE_RETRY / 2);
	}
}

/* ---- attaching and pausing ---- */

/* Nothing is assigned, but how far the topic has come is still of interest. */
static void stay_paused(struct lane *lane)
{
	struct why why = { "" };
	int64_t now_ns = clock_monotonic();

	upkeep_note_ends(lane);
	if (lane->is_attached)
		lane_begin_anew(lane);
	lane_show(lane, LANE_PAUSED, "by command");
	if (now_ns - lane->refresh_ns >= REFRESH_PAUSED) {
		/* What it can't learn now it may learn the next time. */
		consumer_look(lane, &why);
		lane->refresh_ns = clock_monotonic();
	}
	wait_until(lane, clock_monotonic() + LANE_TICK);
}

static void attach(struct lane *lane)
{
	struct why why = { "" };
	int rc;

	rc = lane->is_attached ? consumer_learn(lane, &why) : 0;
	if (rc == 0 && lane->must_reopen)
		lane_begin_anew(lane);
	if (rc == 0)
		rc = consumer_open(lane, &why);
	if (rc == 0)
		rc = consumer_attach(lane, &why);
	if (rc < 0) {
		rd_kafka_message_t *msg = lane->rk ? rd_kafka_consumer_poll(lane->rk, 0) : NULL;

		/* Nothing is assigned, or all will be assigned anew. */
		if (msg)
			rd_kafka_message_destroy(msg);
		show_failure(lane, rc, why.text[0] ? why.text : strerror(-rc));
		return;
	}
	lane_show(lane, LANE_RUNNING, "%s", "");
}

static void redo(struct lane *lane)
{
	int rc = batches_redo(lane);

	/* Where nothing was handed over, a schema can't be had just now. */
	if (rc < 0)
		lane_fail(lane, rc, rc == -EAGAIN && lane->n_submitted == 0 ? lane->hold_why.text : NULL);
}

/* ---- the thread ---- */

static bool is_stopping(struct lane *lane)
{
	bool is;

	pthread_mutex_lock(&lane->lock);
	is = lane->is_stopping;
	pthread_mutex_unlock(&lane->lock);
	return is;
}

static void step(struct lane *lane)
{
	int64_t now_ns = clock_monotonic();

	if (now_ns >= lane->tick_ns)
		upkeep_tick(lane, now_ns);
	if (!lane->def.map || lane->retry_ns > now_ns) {
		wait_until(lane, lane->def.map && lane->retry_ns < lane->tick_ns ? lane->retry_ns : lane->tick_ns);
		return;
	}
	if (lane->must_redo)
		redo(lane);
	else if (lane->counters.is_paused)
		stay_paused(lane);
	else if (replay_step(lane))
		return;
	else if (!lane->is_attached || lane->must_reopen)
		attach(lane);
	else
		consume(lane);
}

static void *run(void *arg)
{
	struct lane *lane = arg;

	lane->self = pthread_self();
	replay_resume(lane);
	while (!is_stopping(lane)) {
		if (atomic_exchange(&lane->attention, false)) {
			read_definition(lane);
			commands_serve(lane);
		}
		step(lane);
	}
	if (!lane->must_redo)
		batches_finish(lane);
	upkeep_note_ends(lane);
	lane_begin_anew(lane);
	commands_refuse(lane, -ENODEV);
	forward_close(lane);
	return NULL;
}

static void free_lane(struct lane *lane)
{
	replay_close(lane);
	batches_release(lane);
	definition_release(&lane->def);
	dead_release(&lane->dead);
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->dead_lock);
	pthread_mutex_destroy(&lane->lock);
	partitions_free(lane);
	free(lane->shown_parts);
	free(lane->shown_topic);
	free(lane->name);
	free(lane->stream_name);
	free(lane);
}

static struct lane *new_lane(struct stream *stream, const struct catalog_group *grp, const char *stream_name)
{
	struct lane *lane = calloc(1, sizeof *lane);
	pthread_condattr_t attr;

	if (!lane)
		return NULL;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_mutex_init(&lane->dead_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lane->wake, &attr);
	pthread_condattr_destroy(&attr);
	lane->stream = stream;
	lane->group_id = grp->id;
	lane->last_command = &lane->commands;
	lane->target = 1024;
	atomic_store(&lane->attention, true);
	dead_init(&lane->dead, stream->dead_fd, grp->id, stream_name, stream->options.dead_bytes, stream->options.relaxed);
	lane->stream_name = strdup(stream_name);
	if (asprintf(&lane->name, "%s.%s", grp->name, stream_name) < 0)
		lane->name = NULL;
	if (lane->name && lane->stream_name)
		return lane;
	free_lane(lane);
	return NULL;
}

int lane_start(struct stream *stream, const struct catalog_group *grp, const char *stream_name, struct lane **out)
{
	struct lane *lane = new_lane(stream, grp, stream_name);
	int rc;

	if (!lane)
		return -ENOMEM;
	rc = counters_load(stream->options.store, lane->group_id, stream_name, &lane->counters);
	if (rc == -ENOENT)
		rc = 0;
	lane->shown = lane->counters;
	if (rc == 0)
		rc = -pthread_create(&lane->thread, NULL, run, lane);
	if (rc < 0)
		free_lane(lane);
	else
		*out = lane;
	return rc;
}

void lane_tell_stop(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->is_stopping = true;
	pthread_mutex_unlock(&lane->lock);
	lane_wake(lane);
}

void lane_stop(struct lane *lane)
{
	pthread_join(lane->thread, NULL);
	free_lane(lane);
}
