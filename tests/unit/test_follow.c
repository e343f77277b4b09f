/* SPDX-License-Identifier: MIT */
/* Followers: everything once and in order, across recycled segments and restarts; dropped when they are too slow; woken
 * when there is news. */
#include <pthread.h>
#include <stdatomic.h>
#include "store_help.h"

static struct store_options small_log(void)
{
	struct store_options options = plain_options();

	options.checkpoint_ms = 3;
	options.checkpoint_bytes = 64 << 10;
	return options;
}

/* Does what a record says to the model. */
static unsigned take_record(struct model *model, uint64_t seq, struct slice payload)
{
	struct store_change change;
	struct step step;
	unsigned i = 0, bad = 0;
	char name[32];
	int rc;

	while ((rc = store_change_next(&payload, &change)) == 0) {
		/* A deletion of what was not there is in no record. */
		do
			step = step_of(seq, i++);
		while (step.kind == STEP_DELETE && !model->keys[step.index] && i < steps_of(seq));
		model_step(model, step);
		switch (change.kind) {
		case STORE_CHANGE_ROW:
			bad += step.kind > STEP_ROW_AWAY || change.rows != step.table + 1 ||
			       !slice_equal(change.key, name_of(name, "e", step.index));
			break;
		case STORE_CHANGE_PUT:
			bad += step.kind != STEP_PUT || change.table != STORE_SOURCES ||
			       !slice_equal(change.value, value_of(step.number));
			break;
		case STORE_CHANGE_DELETE:
			bad += step.kind != STEP_DELETE || !slice_equal(change.key, name_of(name, "k", step.index));
			break;
		case STORE_CHANGE_NOTE:
			bad += step.kind != STEP_NOTE || !slice_equal(change.value, slice_str("a note"));
			break;
		case STORE_CHANGE_SET:
			bad += step.kind != STEP_SET || change.rows != MODEL_OVERLAY + 1 ||
			       !slice_equal(change.key, name_of(name, "e", step.index));
			break;
		case STORE_CHANGE_FOLD:
			bad += step.kind != STEP_FOLD || change.into != 1 || (step.first == 0) != (change.value.len == 0);
			break;
		case STORE_CHANGE_CLEAR:
			bad += step.kind != STEP_CLEAR || !slice_equal(change.key, name_of(name, "e", step.index));
			break;
		case STORE_CHANGE_LATE:
			bad++;
			break;
		}
	}
	model->seq = seq;
	return bad + (rc != -ENOENT);
}

static void follow_to(struct store_follower *follower, struct model *model, uint64_t upto)
{
	struct slice payload;
	uint64_t seq;

	while (model->seq < upto) {
		int rc = store_follow_next(follower, &seq, &payload);

		CHECK_INT(rc, 0);
		if (rc < 0)
			return;
		CHECK_INT(seq, model->seq + 1);
		CHECK_INT(take_record(model, seq, payload), 0);
	}
}

static void commit_upto(struct store *store, uint64_t upto)
{
	for (uint64_t seq = last_seq(store) + 1; seq <= upto; seq++)
		CHECK_INT(play_commit(store, seq), 0);
}

static void test_follow(void)
{
	static struct model model;
	struct store_options options = small_log();
	struct store *store;
	struct store_follower *follower, *second;
	struct store_figures figures;
	struct slice payload;
	struct why why;
	uint64_t seq;

	options.log_bytes = 64 << 20;
	store = open_store(path_of("follow"), &options);
	CHECK_INT(store_follow(store, "../x", 0, &follower, &why), -EINVAL);
	CHECK_INT(store_follow(store, "a.new", 0, &follower, &why), -EINVAL);
	CHECK_INT(store_follow(store, "offline", 7, &follower, &why), -ESTALE);
	CHECK_INT(store_follow(store, "offline", 0, &follower, &why), 0);
	CHECK_INT(store_follow(store, "offline", 0, &second, &why), -EEXIST);
	CHECK_INT(store_follow_next(follower, &seq, &payload), -EAGAIN);
	CHECK_INT(store_follow_ack(follower, 1), -EINVAL);
	commit_upto(store, 150);
	follow_to(follower, &model, 150);
	CHECK_INT(store_follow_next(follower, &seq, &payload), -EAGAIN);
	CHECK_INT(compare_model(store, &model), 0);
	CHECK_INT(store_follow_ack(follower, 100), 0);
	commit_upto(store, 600);
	CHECK_INT(store_make_room(store), 0);
	store_follow_end(follower);
	CHECK_INT(store_close(store), 0);

	/* Across a restart, with an eager one beside it: the place is the one acknowledged last. */
	store = open_store(path_of("follow"), &options);
	CHECK_INT(store_follow(store, "offline", 0, &follower, &why), 0);
	memset(&model, 0, sizeof model);
	model_play(&model, 100);
	follow_to(follower, &model, 600);
	CHECK_INT(store_follow(store, "eager", 601, &second, &why), 0);
	CHECK_INT(store_follow_next(second, &seq, &payload), -EAGAIN);
	commit_upto(store, 650);
	CHECK_INT(store_follow_next(second, &seq, &payload), 0);
	CHECK_INT(seq, 601);
	follow_to(follower, &model, 650);
	CHECK_INT(compare_model(store, &model), 0);
	CHECK_INT(store_follow_ack(follower, 650), 0);
	CHECK_INT(store_follow_release(store, "eager"), -EBUSY);
	store_follow_end(second);
	CHECK_INT(store_follow_release(store, "eager"), 0);
	CHECK_INT(store_follow_release(store, "eager"), -ENOENT);
	store_follow_end(follower);
	store_follow_end(NULL);

	/* With everything acknowledged the log is let go of. */
	CHECK_INT(store_make_room(store), 0);
	store_figures(store, &figures);
	CHECK(figures.log_segments <= 2);
	CHECK_INT(store_follow(store, "offline", 5, &follower, &why), -ESTALE);
	CHECK(strstr(why.text, "seed"));
	CHECK_INT(store_follow(store, "offline", 651, &follower, &why), 0);
	store_follow_end(follower);
	CHECK_INT(store_close(store), 0);
}

/* What is not durable yet is not shown; a checkpoint or the next commit that syncs makes it so. */
static void test_postponed(void)
{
	static struct model model;
	struct store_options options = small_log();
	struct store_follower *follower;
	struct slice payload;
	struct store *store;
	struct why why;
	uint64_t seq;

	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	store = open_store(path_of("postponed"), &options);
	CHECK_INT(store_follow(store, "a", 0, &follower, &why), 0);
	help_postpones = true;
	commit_upto(store, 15);
	follow_to(follower, &model, 10);
	CHECK_INT(store_follow_next(follower, &seq, &payload), -EAGAIN);
	CHECK_INT(store_follow_ack(follower, 10), 0);
	CHECK_INT(store_pace(store), 0);
	commit_upto(store, 20);
	follow_to(follower, &model, 20);
	commit_upto(store, 27);
	CHECK_INT(store_follow_next(follower, &seq, &payload), -EAGAIN);
	CHECK_INT(store_make_room(store), 0);
	follow_to(follower, &model, 27);
	help_postpones = false;
	store_follow_end(follower);
	check_store(store);
	CHECK_INT(store_close(store), 0);
}

/* One that falls behind the bound is dropped, and told; the log shrinks. */
static void test_drop(void)
{
	struct store_options options = small_log();
	struct store *store;
	struct store_follower *slow, *absent;
	struct store_figures figures;
	struct slice payload;
	uint64_t seq;

	options.log_bytes = 200 << 10;
	store = open_store(path_of("drop"), &options);
	CHECK_INT(store_follow(store, "slow", 0, &slow, NULL), 0);
	CHECK_INT(store_follow(store, "absent", 0, &absent, NULL), 0);
	store_follow_end(absent);
	commit_upto(store, 20);
	CHECK_INT(store_follow_next(slow, &seq, &payload), 0);
	commit_upto(store, 900);
	CHECK_INT(store_make_room(store), 0);
	store_figures(store, &figures);
	CHECK(figures.log_bytes_written > 2 * options.log_bytes);
	CHECK(figures.log_segments < 7);
	CHECK_INT(store_follow_next(slow, &seq, &payload), -ESTALE);
	CHECK_INT(store_follow_ack(slow, 10), -ESTALE);
	CHECK_INT(store_follow_wait(slow, 60000), 0);
	CHECK(strstr(help_notice, "was dropped"));
	store_follow_end(slow);
	CHECK_INT(store_follow(store, "slow", 2, &slow, NULL), -ESTALE);
	CHECK_INT(store_follow_release(store, "absent"), -ENOENT);
	CHECK_INT(store_follow(store, "slow", 901, &slow, NULL), 0);
	store_follow_end(slow);
	CHECK_INT(store_close(store), 0);
}

struct chase {
	struct store *store;
	struct store_follower *follower;
	uint64_t upto;
	_Atomic uint64_t at;
	unsigned bad;
};

static void *chase(void *arg)
{
	struct chase *c = arg;
	struct slice payload;
	uint64_t seq;
	int rc;

	while (atomic_load(&c->at) < c->upto) {
		rc = store_follow_next(c->follower, &seq, &payload);
		if (rc == -EAGAIN) {
			c->bad += store_follow_wait(c->follower, 5000) != 0;
			continue;
		}
		if (rc < 0 || seq != atomic_load(&c->at) + 1) {
			c->bad++;
			break;
		}
		atomic_store(&c->at, seq);
		if (seq % 25 == 0)
			c->bad += store_follow_ack(c->follower, seq) != 0;
	}
	return NULL;
}

/* A thread follows while commits, checkpoints and recycling go on. */
static void test_thread(void)
{
	struct store_options options = small_log();
	struct chase c = { .upto = 500 };
	pthread_t thread;

	options.log_bytes = 64 << 20;
	c.store = open_store(path_of("thread"), &options);
	CHECK_INT(store_follow(c.store, "chaser", 0, &c.follower, NULL), 0);
	CHECK_INT(store_follow_wait(c.follower, 5), 0);
	NEED(pthread_create(&thread, NULL, chase, &c) == 0);
	commit_upto(c.store, 500);
	pthread_join(thread, NULL);
	CHECK_INT(c.bad, 0);
	CHECK_INT(c.at, 500);
	store_follow_end(c.follower);
	CHECK_INT(store_close(c.store), 0);
}

int main(void)
{
	test_follow();
	test_postponed();
	test_drop();
	test_thread();
	return test_end("follow");
}
