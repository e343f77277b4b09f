/* SPDX-License-Identifier: MIT */
/*
 * mock [TOPIC:PARTITIONS...]: librdkafka's own mock broker on a loopback port, for a demo and for tests without Java. Prints
 * host:port, takes commands on stdin (one a line) and ends when that is closed:
 *
 *	down | up			the broker stops answering, or answers again
 *	topic NAME PARTITIONS		makes a topic
 *	error NAME unknown|none		the topic can't be found any more, or is back
 *
 * Topics are made by whoever asks for one by name and allows it (kcat does). Messages live in memory, 5 MiB a partition at the most.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make_topic(rd_kafka_mock_cluster_t *cluster, const char *name, const char *partitions)
{
	rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(cluster, name, (int)strtol(partitions, NULL, 10), 1);

	if (err)
		fprintf(stderr, "mock: topic %s: %s\n", name, rd_kafka_err2str(err));
	return err != 0;
}

static int obey(rd_kafka_mock_cluster_t *cluster, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save), *name = strtok_r(NULL, " \n", &save), *rest = strtok_r(NULL, " \n", &save);

	if (!word)
		return 0;
	if (!strcmp(word, "down"))
		return rd_kafka_mock_broker_set_down(cluster, 1) != 0;
	if (!strcmp(word, "up"))
		return rd_kafka_mock_broker_set_up(cluster, 1) != 0;
	if (!strcmp(word, "topic") && rest)
		return make_topic(cluster, name, rest);
	if (!strcmp(word, "error") && rest) {
		rd_kafka_mock_topic_set_error(cluster, name, !strcmp(rest, "none") ? RD_KAFKA_RESP_ERR_NO_ERROR
										     : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
		return 0;
	}
	fprintf(stderr, "mock: what is \"%s\"?\n", word);
	return 1;
}

int main(int argc, char **argv)
{
	char text[256], line[512];
	rd_kafka_mock_cluster_t *cluster;
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
	int rc = 0;

	if (!rk) {
		fprintf(stderr, "mock: %s\n", text);
		return EXIT_FAILURE;
	}
	cluster = rd_kafka_mock_cluster_new(rk, 1);
	if (!cluster) {
		fprintf(stderr, "mock: no cluster\n");
		rd_kafka_destroy(rk);
		return EXIT_FAILURE;
	}
	for (int i = 1; rc == 0 && i < argc; i++) {
		char *colon = strchr(argv[i], ':');

		if (colon)
			*colon = '\0';
		rc = make_topic(cluster, argv[i], colon ? colon + 1 : "1");
	}
	if (rc == 0) {
		printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
		fflush(stdout);
	}
	while (rc == 0 && fgets(line, sizeof line, stdin)) {
		rc = obey(cluster, line);
		printf("%s\n", rc == 0 ? "ok" : "failed");
		fflush(stdout);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
