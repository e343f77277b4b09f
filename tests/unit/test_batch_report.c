/* SPDX-License-Identifier: MIT */
/* What the report of a job that waits says about those before it. The lane loads nothing here, so that each job stays what it is made. */
#include <fcntl.h>
#include "batch/private.h"
#include "world.h"

static void drop(struct batch *batch, uint32_t group_id, const char *name)
{
	struct batch_file *file;

	NEED(batch_file_open(batch, group_id, name, O_WRONLY | O_CREAT, &file) == 0);
	NEED(batch_file_write(file, slice_str("user,clicks\nu1,1\n"), 0, false) == 0);
	batch_file_closing(file, name);
	batch_file_close(file, name);
}

static void check_report(struct batch *batch, uint32_t group_id, const char *name, const char *want)
{
	struct buf text = { 0 };
	const char *behind;

	CHECK_INT(batch_report(batch, group_id, name, &text), 0);
	buf_append_char(&text, '\0');
	behind = strstr(text.data, "seconds: 0.000\n");
	NEED(behind);
	CHECK_TEXT(slice_str(behind + strlen("seconds: 0.000\n")), want);
	buf_release(&text);
}

static void set_state(struct batch *batch, struct batch_job *job, enum job_state state, unsigned permille)
{
	pthread_mutex_lock(&batch->lock);
	job->state = state;
	job->permille = permille;
	pthread_mutex_unlock(&batch->lock);
}

int main(void)
{
	struct world world = { 0 };
	struct batch_options options = { .spool_bytes = 1 << 20, .spool_files = 100, .retention_ns = 3600 * CLOCK_SECOND,
					 .memory_bytes = 64 << 20, .read_only = true };
	struct ingest_request *req;
	struct ingest_result result;
	struct batch *batch;
	char want[100];
	struct why why;

	world_begin(&world, "batch_report");
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("other"), 0, 0, 0755, "root");
	NEED(world_run(&world, req, &result) == 0);
	NEED(batch_start(world.store, world.cur, world.ingest, &options, &batch, &why) == 0);
	drop(batch, world.group_id, "a.csv");
	drop(batch, world.group_id, "b.csv");
	drop(batch, result.group_id, "c.csv");
	NEED(batch->n_jobs == 3);
	check_report(batch, world.group_id, "a.csv.status", "");
	check_report(batch, world.group_id, "b.csv.status", "jobs_before: 1\n");
	check_report(batch, result.group_id, "c.csv.status", "jobs_before: 2\n");
	/* One that runs is named by its group: what other groups drop is not for everybody to read. */
	set_state(batch, batch->first, JOB_RUNNING, 427);
	snprintf(want, sizeof want, "jobs_before: 2\nwaits_for: import %llu into g, 42 percent\n", (unsigned long long)batch->first->id);
	check_report(batch, result.group_id, "c.csv.status", want);
	/* One that has ended is before nobody. */
	set_state(batch, batch->first, JOB_DONE, 0);
	check_report(batch, world.group_id, "b.csv.status", "");
	check_report(batch, result.group_id, "c.csv.status", "jobs_before: 1\n");
	batch_stop(batch);
	world_end(&world);
	return test_end("batch_report");
}
