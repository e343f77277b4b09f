/* SPDX-License-Identifier: MIT */
/*
 * The client library for shell cases, linked as programs outside link it. Errors go to stderr in the library's words, with exit status 1.
 *
 *	sdkop where PATH			"mapped" or "mount: REASON", the STORE, the mount
 *	sdkop get PATH FEATURE,... KEY...	a line an entity: each value as text or its status
 *	sdkop row PATH GROUP ENTITY		.row
 *	sdkop values PATH GROUP ENTITY		feature, status, JSON, event time, lane, source
 *	sdkop list PATH GROUP [PREFIX [AFTER [LIMIT]]]
 *	sdkop stats PATH GROUP
 *	sdkop put PATH GROUP ENTITY FEATURE=INT...	prints the version
 *	sdkop refused PATH GROUP ENTITY FEATURE=INT...	the same, among calls that are refused and must add nothing; deletes m
 *	sdkop version PATH; sdkop wait PATH VERSION MS
 *	sdkop acked PATH GROUP N		N times: write through the mount in turns by .upsert, .row and a plain file, then read by the library at
 *						once: the value must be there
 *	sdkop together PATH FEATURE SECONDS	reads entities a and b again and again: they must be equal, and never go back
 *	sdkop ask PATH FEATURE,...		answers each line of names with a line of their numbers, '-' for one that is not present; says
 *						"ready" first
 *	sdkop hold PATH SECONDS			reads rows, and stays in the middle of it
 *
 * SDKOP_FLAGS are flags of featurefs_open. SDKOP_SIGNALS=USEC: a signal comes each so many microseconds, whose handler does not restart
 * what it interrupts, from before the store is opened to the end; how many came is said on stderr.
 */
#include <errno.h>
#include <featurefs.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS_MAX = 64, KEYS_MAX = 4096, ROOM = 1 << 20 };

static struct featurefs *fs;

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, featurefs_error());
	return 1;
}

static int where(void)
{
	struct featurefs_place place;

	if (featurefs_where(fs, &place) < 0)
		return fail("where");
	printf("%s%s\n%s\n%s\n", place.is_mapped ? "mapped" : "mount: ", place.reason, place.store ? place.store : "-",
	       place.mount ? place.mount : "-");
	return 0;
}

static const char *const statuses[] = { "present", "null", "missing", "expired" };

static int make_view(char *list, struct featurefs_view **out)
{
	const char *features[COLUMNS_MAX];
	size_t n = 0;

	/* A comma inside of brackets parts keys. */
	for (char *at = list; n < COLUMNS_MAX; at++) {
		int depth = 0;

		features[n++] = at;
		while (*at && (*at != ',' || depth)) {
			depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
			at++;
		}
		if (!*at)
			break;
		*at = '\0';
	}
	return featurefs_view_new(fs, features, n, out);
}

static void print_value(const struct featurefs_field *field, const struct featurefs_column *column, size_t i)
{
	const char *bytes = column->values;

	if (column->status[i] != FEATUREFS_PRESENT)
		printf("%s", statuses[column->status[i]]);
	else if (!field->width && (!field->is_array || field->type == FEATUREFS_STRING))	/* an array of texts is JSON */
		printf("%.*s", (int)(column->offsets[i + 1] - column->offsets[i]), bytes + column->offsets[i]);
	else if (!field->width)
		printf("%lld elements", (long long)(column->offsets[i + 1] - column->offsets[i]));
	else if (field->is_array)
		printf("%g...", (double)((const float *)column->values)[i * field->length]);
	else if (field->type == FEATUREFS_BOOL)
		printf("%s", bytes[i] ? "true" : "false");
	else if (field->type == FEATUREFS_INT32)
		printf("%d", ((const int32_t *)column->values)[i]);
	else if (field->type == FEATUREFS_FLOAT32)
		printf("%g", (double)((const float *)column->values)[i]);
	else if (field->type == FEATUREFS_FLOAT64)
		printf("%g", ((const double *)column->values)[i]);
	else
		printf("%lld", (long long)((const int64_t *)column->values)[i]);
}

static int get(char *list, char **names, size_t n)
{
	const struct featurefs_keys keys = { .strings = (const char *const *)names };
	struct featurefs_column columns[COLUMNS_MAX] = { { 0 } };
	struct featurefs_view *view;
	size_t n_columns;
	int rc;

	if (make_view(list, &view) < 0)
		return fail("view");
	n_columns = featurefs_view_columns(view);
	for (size_t c = 0; c < n_columns; c++) {
		size_t width = featurefs_view_field(view, c)->width;

		columns[c] = (struct featurefs_column){ .values = malloc(width ? (n + 1) * width : ROOM), .values_room = ROOM,
							.status = malloc(n + 1), .event_ns = malloc((n + 1) * sizeof(int64_t)),
							.offsets = width ? NULL : malloc((n + 1) * sizeof(int64_t)) };
	}
	rc = featurefs_read(view, &keys, 1, n, columns);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		printf("%s", names[i]);
		for (size_t c = 0; c < n_columns; c++) {
			putchar(' ');
			print_value(featurefs_view_field(view, c), &columns[c], i);
			if ((columns[c].status[i] == FEATUREFS_PRESENT || columns[c].status[i] == FEATUREFS_NULL) && !columns[c].event_ns[i])
				printf(" without a time");
		}
		putchar('\n');
	}
	for (size_t c = 0; c < n_columns; c++) {
		free(columns[c].values);
		free(columns[c].status);
		free(columns[c].event_ns);
		free(columns[c].offsets);
	}
	featurefs_view_free(view);
	return rc < 0 ? fail("read") : 0;
}

static int show_value(void *arg, const struct featurefs_value *value)
{
	(void)arg;
	printf("%s %s %s %lld %s %s\n", value->feature, statuses[value->status], value->json, (long long)value->event_ns, value->lane,
	       value->source);
	return 0;
}

static int list(char **args, int n)
{
	struct featurefs_text text = { 0 };
	size_t count;
	int rc = featurefs_entities(fs, args[0], n > 1 ? args[1] : NULL, n > 2 ? args[2] : NULL, n > 3 ? strtoul(args[3], NULL, 10) : 0,
				    &text, &count);

	if (rc == 0)
		printf("%s%zu\n", text.data, count);
	featurefs_text_release(&text);
	return rc < 0 ? fail("list") : 0;
}

static int show_row(const char *group, const char *entity)
{
	struct featurefs_text text = { 0 };
	int rc = featurefs_row(fs, group, entity, &text);

	if (rc == 0)
		fputs(text.data, stdout);
	featurefs_text_release(&text);
	return rc < 0 ? fail("row") : 0;
}

static int stats(const char *group)
{
	struct featurefs_stats s;

	if (featurefs_stats(fs, group, &s) < 0)
		return fail("stats");
	printf("%llu entities, %llu values by the direct lane, newest %lld\n", (unsigned long long)s.entities, (unsigned long long)s.applied[0],
	       (long long)s.newest_event_ns);
	return 0;
}

/* 0, if each is refused with its errno. */
static int add_refused(struct featurefs_changes *chg)
{
	const char *no_text = "\xff";

	if (featurefs_changes_set(chg, no_text, FEATUREFS_INT32, &(int32_t){ 1 }, 0) != -EILSEQ)
		return 1;
	if (featurefs_changes_set(chg, "n", FEATUREFS_STRING, no_text, 1) != -EILSEQ)
		return 1;
	if (featurefs_changes_delete(chg, no_text) != -EILSEQ)
		return 1;
	if (featurefs_changes_delete(chg, "m") || featurefs_changes_delete(chg, no_text) != -EILSEQ)
		return 1;
	return 0;
}

static int put(char **args, int n, bool with_refused)
{
	struct featurefs_changes *chg;
	uint64_t version;
	int rc = featurefs_changes_new(fs, args[0], &chg);

	if (rc < 0)
		return fail("put");
	rc = featurefs_changes_entity(chg, args[1], FEATUREFS_NOW, 0);
	if (rc == 0 && with_refused && add_refused(chg)) {
		fprintf(stderr, "put: what is refused was taken\n");
		return 1;
	}
	for (int i = 2; i < n && rc == 0; i++) {
		char *equals = strchr(args[i], '=');
		int64_t number;

		if (!equals)
			return 2;
		*equals = '\0';
		number = strtoll(equals + 1, NULL, 10);
		rc = featurefs_changes_set(chg, args[i], FEATUREFS_INT64, &number, 0);
	}
	if (rc == 0)
		rc = featurefs_changes_commit(chg, &version);
	featurefs_changes_free(chg);
	if (rc < 0)
		return fail("put");
	printf("%llu\n", (unsigned long long)version);
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666), rc = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;

	if (fd >= 0 && close(fd) < 0)
		rc = -1;
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return rc;
}

static int acked(const char *mount, const char *group, int n)
{
	char feature[300], path[4200], text[300];
	const char *features[] = { feature };
	struct featurefs_view *view;
	int64_t value;
	struct featurefs_column column = { .values = &value };

	snprintf(feature, sizeof feature, "%s/n", group);
	if (featurefs_view_new(fs, features, 1, &view) < 0)
		return fail("view");
	for (int i = 1; i <= n; i++) {
		static const char *const files[] = { ".upsert", "e/.row", "e/n" };

		snprintf(path, sizeof path, "%s/%s/%s", mount, group, files[i % 3]);
		if (i % 3 == 2)
			snprintf(text, sizeof text, "%d\n", i);
		else
			snprintf(text, sizeof text, "{\"entity\": \"e\", \"features\": {\"n\": %d}}\n", i);
		if (write_file(path, text) < 0)
			return 1;
		if (featurefs_read_one(view, "e", &column) < 0)
			return fail("read");
		if (value != i) {
			fprintf(stderr, "%d was acknowledged by %s, and %lld was read\n", i, files[i % 3], (long long)value);
			return 1;
		}
	}
	featurefs_view_free(view);
	printf("%d of %d\n", n, n);
	return 0;
}

static int together(char *feature, int seconds)
{
	const char *names[] = { "a", "b" };
	const struct featurefs_keys keys = { .strings = names };
	int64_t values[2] = { 0 }, last = 0, reads = 0, changes = 0;
	struct featurefs_column column = { .values = values };
	time_t end = time(NULL) + seconds;
	struct featurefs_view *view;

	if (make_view(feature, &view) < 0)
		return fail("view");
	while (time(NULL) < end) {
		int rc = featurefs_read(view, &keys, 1, 2, &column);

		if (rc < 0)
			return fail("read");
		if (values[0] != values[1] || values[0] < last) {
			fprintf(stderr, "read %lld and %lld after %lld\n", (long long)values[0], (long long)values[1], (long long)last);
			return 1;
		}
		reads++;
		changes += values[0] != last;
		last = values[0];
	}
	featurefs_view_free(view);
	printf("%lld reads, %lld changes\n", (long long)reads, (long long)changes);
	return reads > 0 && changes > 1 ? 0 : 1;
}

static int ask(char *list)
{
	static int64_t numbers[COLUMNS_MAX][KEYS_MAX];
	static uint8_t status[COLUMNS_MAX][KEYS_MAX];
	static const char *names[KEYS_MAX];
	struct featurefs_column columns[COLUMNS_MAX] = { { 0 } };
	const struct featurefs_keys keys = { .strings = names };
	struct featurefs_view *view;
	char *line = NULL;
	size_t room = 0;
	int rc = 0;

	if (make_view(list, &view) < 0)
		return fail("view");
	for (size_t c = 0; c < featurefs_view_columns(view); c++)
		columns[c] = (struct featurefs_column){ .values = numbers[c], .status = status[c] };
	puts("ready");
	fflush(stdout);
	while (rc == 0 && getline(&line, &room, stdin) > 0) {
		size_t n = 0;

		for (char *name = strtok_r(line, " \n", &list); name && n < KEYS_MAX; name = strtok_r(NULL, " \n", &list))
			names[n++] = name;
		rc = featurefs_read(view, &keys, 1, n, columns);
		for (size_t i = 0; rc == 0 && i < n; i++)
			for (size_t c = 0; c < featurefs_view_columns(view); c++)
				if (status[c][i] == FEATUREFS_PRESENT)
					printf("%lld ", (long long)numbers[c][i]);
				else
					printf("- ");
		putchar('\n');
		fflush(stdout);
	}
	free(line);
	featurefs_view_free(view);
	return rc < 0 ? fail("read") : 0;
}

static int stay(void *arg, const struct featurefs_row *row)
{
	(void)row;
	printf("holding\n");
	fflush(stdout);
	sleep(*(unsigned *)arg);
	return 1;
}

static int hold(unsigned seconds)
{
	return featurefs_rows(fs, NULL, 0, stay, &seconds) < 0 ? fail("rows") : 0;
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void say_signals(void)
{
	fprintf(stderr, "%d signals\n", (int)signals);
}

static void send_signals(long every_us)
{
	const struct itimerval timer = { { 0, every_us }, { 0, every_us } };
	const struct sigaction action = { .sa_handler = count_signal };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	atexit(say_signals);
}

int main(int argc, char **argv)
{
	const char *every = getenv("SDKOP_SIGNALS");
	const char *mount_only = getenv("SDKOP_FLAGS");
	const char *command = argc > 1 ? argv[1] : "";
	uint64_t version;
	int rc = 2;

	if (argc < 3)
		return 2;
	if (every)
		send_signals(strtol(every, NULL, 10));
	if (featurefs_open(argv[2], mount_only ? (unsigned)strtoul(mount_only, NULL, 10) : 0, &fs) < 0)
		return fail("open");
	if (!strcmp(command, "where"))
		rc = where();
	else if (!strcmp(command, "get") && argc > 4)
		rc = get(argv[3], argv + 4, (size_t)argc - 4);
	else if (!strcmp(command, "row") && argc == 5)
		rc = show_row(argv[3], argv[4]);
	else if (!strcmp(command, "values") && argc == 5)
		rc = featurefs_values(fs, argv[3], argv[4], show_value, NULL) < 0 ? fail("values") : 0;
	else if (!strcmp(command, "list") && argc > 3)
		rc = list(argv + 3, argc - 3);
	else if (!strcmp(command, "stats") && argc == 4)
		rc = stats(argv[3]);
	else if ((!strcmp(command, "put") || !strcmp(command, "refused")) && argc > 5)
		rc = put(argv + 3, argc - 3, !strcmp(command, "refused"));
	else if (!strcmp(command, "version"))
		rc = featurefs_version(fs, &version) < 0 ? fail("version") : (printf("%llu\n", (unsigned long long)version), 0);
	else if (!strcmp(command, "wait") && argc == 5)
		rc = featurefs_wait(fs, strtoull(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10)) < 0 ? fail("wait") : 0;
	else if (!strcmp(command, "acked") && argc == 5)
		rc = acked(argv[2], argv[3], (int)strtol(argv[4], NULL, 10));
	else if (!strcmp(command, "together") && argc == 5)
		rc = together(argv[3], (int)strtol(argv[4], NULL, 10));
	else if (!strcmp(command, "ask") && argc == 4)
		rc = ask(argv[3]);
	else if (!strcmp(command, "hold") && argc == 4)
		rc = hold((unsigned)strtoul(argv[3], NULL, 10));
	featurefs_close(fs);
	return rc;
}
