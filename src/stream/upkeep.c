/* SPDX-License-Identifier: MIT */
/*
 * What a lane looks at twice a second beside reading: the rate, the dead letters' bytes, whether the topic is still there and how far it has come, and
 * which state that makes. Nothing here waits but for a broker's answer, and that no longer than ask.c allows.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>

#define REFRESH (10 * CLOCK_SECOND)	/* between two looks at the topic */
#define SAID_AGAIN (40 * CLOCK_SECOND)	/* librdkafka repeats what it has said after 30 seconds */

static void count_rate(struct lane *lane, int64_t now_ns)
{
	double fade, rate;

	pthread_mutex_lock(&lane->lock);
	rate = (double)(lane->counters.messages - lane->rate_messages) * (double)CLOCK_SECOND / (double)(now_ns - lane->rate_ns);
	fade = lane->rate_ns ? report_fade(now_ns - lane->rate_ns) : 0;
	lane->rate = lane->rate_ns ? lane->rate * fade + rate * (1 - fade) : 0;
	lane->rate_ns = now_ns;
	pthread_mutex_unlock(&lane->lock);
	lane->rate_messages = lane->counters.messages;
}

/* Is the topic still there, has it more partitions, does anybody answer? */
static void look_at_topic(struct lane *lane)
{
	int32_t had = lane->n_parts;
	struct why why = { "" };
	int rc = consumer_learn(lane, &why);

	if (rc == -ENOENT || (rc == 0 && lane->n_parts != had && !lane->def.group))
		lane->must_reopen = true;
	else if (rc < 0)
		lane_show(lane, LANE_DISCONNECTED, "%s", why.text);
}

/* Nothing is fetched once the queue is full, but how far the topic has come is of interest all the more. */
static void look_at_marks_blocked(struct lane *lane, int64_t now_ns)
{
	struct why why = { "" };

	if (now_ns - lane->refresh_ns < REFRESH)
		return;
	/* What it can't learn now it may learn the next time. */
	consumer_ask_marks(lane, &why);
	lane->refresh_ns = clock_monotonic();
}

static void look_at_letters(struct lane *lane)
{
	uint64_t bytes, dropped;
	bool are_gone;

	pthread_mutex_lock(&lane->dead_lock);
	bytes = dead_bytes(&lane->dead);
	dropped = lane->dead.dropped;
	pthread_mutex_unlock(&lane->dead_lock);
	pthread_mutex_lock(&lane->lock);
	are_gone = dropped > lane->dead_dropped;
	lane->dead_bytes = bytes;
	lane->dead_dropped = dropped;
	pthread_mutex_unlock(&lane->lock);
	if (are_gone)
		lane_notice(lane, "the dead letters are more than kafka.dead_letter_bytes: the oldest are gone, %" PRIu64 " bytes since the start",
			    dropped);
}

void upkeep_note_ends(struct lane *lane)
{
	struct why why = { "" };

	if (lane->is_attached && !lane->must_redo && !lane->held && !lane->n_submitted && batch_is_empty(batch_filling(lane)))
		positions_note_ends(lane, &why);
}

void upkeep_tick(struct lane *lane, int64_t now_ns)
{
	lane->tick_ns = now_ns + LANE_TICK;
	count_rate(lane, now_ns);
	look_at_letters(lane);
	if (lane->producer)
		rd_kafka_poll(lane->producer, 0);
	if (!lane->is_attached || lane->must_reopen || lane->counters.is_paused)
		return;
	consumer_look_at_marks(lane);
	if (lane->must_redo || lane->held) {
		look_at_marks_blocked(lane, now_ns);
		return;
	}
	if (now_ns - lane->refresh_ns >= (lane->all_down ? LANE_RETRY : REFRESH)) {
		look_at_topic(lane);
		lane->refresh_ns = clock_monotonic();
	}
	upkeep_note_ends(lane);
	if (lane->all_down || lane->must_reopen)
		return;
	if (lane->unreadable[0] && now_ns - lane->unreadable_ns < SAID_AGAIN)
		lane_show(lane, LANE_BLOCKED, "what the brokers send can't be read: %s", lane->unreadable);
	else
		lane_show(lane, LANE_RUNNING, "%s", "");
}
