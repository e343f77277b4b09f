/* SPDX-License-Identifier: MIT */
/*
 * Makes and deletes topics, which kcat can't, and empties them, as their retention does in time:
 * topic BROKERS create NAME [PARTITIONS [CONFIG=VALUE...]] | delete NAME | empty NAME [PARTITIONS]
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 30000 };

static int fail(const char *what)
{
	fprintf(stderr, "topic: %s\n", what);
	return 1;
}

static rd_kafka_NewTopic_t *describe(int argc, char **argv, char *err, size_t err_size)
{
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(argv[3], argc > 4 ? (int)strtol(argv[4], NULL, 10) : 1, 1, err, err_size);

	for (int i = 5; topic && i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			continue;
		*value++ = '\0';
		rd_kafka_NewTopic_set_config(topic, argv[i], value);
	}
	return topic;
}

/* All records of all partitions. */
static rd_kafka_DeleteRecords_t *describe_all(const char *name, int partitions)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	rd_kafka_DeleteRecords_t *records;

	for (int i = 0; i < partitions; i++)
		rd_kafka_topic_partition_list_add(list, name, i)->offset = RD_KAFKA_OFFSET_END;
	records = rd_kafka_DeleteRecords_new(list);
	rd_kafka_topic_partition_list_destroy(list);
	return records;
}

static int show_partitions(rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *list = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	int rc = 0;

	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].err)
			rc = fail(rd_kafka_err2str(list->elems[i].err));
	return rc;
}

static int show_results(rd_kafka_event_t *event)
{
	const rd_kafka_topic_result_t **results = NULL;
	size_t n = 0;
	int rc = 0;

	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DELETERECORDS_RESULT)
		return show_partitions(event);

	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_CREATETOPICS_RESULT)
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
	else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DELETETOPICS_RESULT)
		results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
	for (size_t i = 0; i < n; i++)
		if (rd_kafka_topic_result_error(results[i]))
			rc = fail(rd_kafka_topic_result_error_string(results[i]));
	return rc;
}

int main(int argc, char **argv)
{
	char err[512] = "";
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	rd_kafka_t *rk;
	int rc;

	if (argc < 4 || (strcmp(argv[2], "create") && strcmp(argv[2], "delete") && strcmp(argv[2], "empty")))
		return fail("usage: topic BROKERS create|delete|empty NAME [PARTITIONS [CONFIG=VALUE...]]");
	if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], err, sizeof err))
		return fail(err);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, err, sizeof err);
	if (!rk)
		return fail(err);
	queue = rd_kafka_queue_new(rk);
	options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_ANY);
	rd_kafka_AdminOptions_set_request_timeout(options, TIMEOUT_MS, err, sizeof err);
	if (!strcmp(argv[2], "create")) {
		rd_kafka_NewTopic_t *topic = describe(argc, argv, err, sizeof err);

		if (!topic)
			return fail(err);
		rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
		rd_kafka_NewTopic_destroy(topic);
	} else if (!strcmp(argv[2], "empty")) {
		rd_kafka_DeleteRecords_t *records = describe_all(argv[3], argc > 4 ? (int)strtol(argv[4], NULL, 10) : 1);

		rd_kafka_DeleteRecords(rk, &records, 1, options, queue);
		rd_kafka_DeleteRecords_destroy(records);
	} else {
		rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[3]);

		rd_kafka_DeleteTopics(rk, &topic, 1, options, queue);
		rd_kafka_DeleteTopic_destroy(topic);
	}
	event = rd_kafka_queue_poll(queue, TIMEOUT_MS + 5000);
	if (!event)
		return fail("no answer");
	rc = rd_kafka_event_error(event) ? fail(rd_kafka_event_error_string(event)) : show_results(event);
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_destroy(rk);
	return rc;
}
