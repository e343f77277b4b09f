/* SPDX-License-Identifier: MIT */
/*
 * Schemas by number. One lock guards the table, another is held by the one who is asking a source, so that a schema that is known is never
 * waited for. An answer that says "no" stands for a while, be it "there is none" or "not now": a topic full of bad messages must not become a flood of
 * requests.
 */
#include "stream/schemas.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>
#include "base/clock.h"

enum {
	TEXT_MAX = 1 << 20,		/* bytes of a schema */
	ENTRIES_MAX = 4096,		/* numbers come with messages, so their count is bounded; then all is forgotten */
	TIMEOUT_MS = 5000,
};

static const int64_t absent_ns = 10 * CLOCK_SECOND, unreachable_ns = CLOCK_SECOND;

struct entry {
	uint32_t id;
	int rc;
	int64_t until_ns;		/* of an answer that was no */
	char *text;
	size_t len;
	struct why why;
};

struct stream_schemas {
	int folder_fd;			/* -1: none */
	char *folder, *registry, *user, *ca_file;
	unsigned timeout_ms;
	pthread_mutex_t lock;		/* the table */
	struct entry *entries;
	unsigned n_entries;
	pthread_mutex_t asking;		/* a source */
	CURL *curl;			/* by `asking`; made when it is needed */
};

/* ---- the table ---- */

static struct entry *find(struct stream_schemas *schemas, uint32_t id)
{
	for (unsigned i = 0; i < schemas->n_entries; i++)
		if (schemas->entries[i].id == id)
			return &schemas->entries[i];
	return NULL;
}

/* 1: nothing is known. */
static int look_up(struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why)
{
	const struct entry *entry;
	int rc = 1;

	pthread_mutex_lock(&schemas->lock);
	entry = find(schemas, id);
	if (entry && entry->rc == 0) {
		buf_append(out, entry->text, entry->len);
		rc = buf_error(out);
	} else if (entry && clock_monotonic() < entry->until_ns) {
		rc = entry->rc;
		*why = entry->why;
	}
	pthread_mutex_unlock(&schemas->lock);
	return rc;
}

static void forget_all(struct stream_schemas *schemas)
{
	for (unsigned i = 0; i < schemas->n_entries; i++)
		free(schemas->entries[i].text);
	schemas->n_entries = 0;
}

/* Keeps an answer. */
static int keep(struct stream_schemas *schemas, uint32_t id, int rc, const struct buf *text, const struct why *why)
{
	char *copy = rc == 0 ? strndup(text->len ? text->data : "", text->len) : NULL;
	struct entry *entry;

	if (rc == 0 && !copy)
		return -ENOMEM;
	pthread_mutex_lock(&schemas->lock);
	entry = find(schemas, id);
	if (!entry && schemas->n_entries == ENTRIES_MAX)
		forget_all(schemas);
	if (!entry)
		entry = &schemas->entries[schemas->n_entries++];
	else
		free(entry->text);
	*entry = (struct entry){ .id = id, .rc = rc, .text = copy, .len = copy ? text->len : 0, .why = *why };
	entry->until_ns = clock_monotonic() + (rc == -EAGAIN ? unreachable_ns : absent_ns);
	pthread_mutex_unlock(&schemas->lock);
	return rc;
}

/* ---- the folder ---- */

static int read_all(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_reserve(out, 16384);
		ssize_t n = room ? read(fd, room, 16384) : -1;

		if (!room)
			return -ENOMEM;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len > TEXT_MAX)
			return -EFBIG;
	}
}

/* -ENOENT: it has no such file. */
static int ask_folder(const struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why)
{
	char name[32];
	int fd, rc;

	snprintf(name, sizeof name, "%u.avsc", id);
	fd = openat(schemas->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	rc = fd < 0 ? -errno : read_all(fd, out);
	if (fd >= 0)
		close(fd);
	if (rc < 0 && rc != -ENOMEM)
		return why_fail(why, rc == -EFBIG ? EINVAL : EAGAIN, "schema %u: %s/%s: %s", id, schemas->folder, name,
				rc == -EFBIG ? "more than 1 MiB" : strerror(-rc));
	return rc;
}

/* ---- the registry ---- */

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *body = arg;

	if (body->len + size * n > TEXT_MAX)
		return 0;
	buf_append(body, data, size * n);
	return buf_error(body) < 0 ? 0 : size * n;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int make_curl(struct stream_schemas *schemas)
{
	CURL *curl;
	bool good;

	if (schemas->curl)
		return 0;
	pthread_once(&curl_once, start_curl);
	curl = curl_easy_init();
	if (!curl)
		return -ENOMEM;
	good = !curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) && !curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") &&
		!curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)schemas->timeout_ms) &&
		!curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) &&
		!curl_easy_setopt(curl, CURLOPT_USERAGENT, "featurefs/" FEATUREFS_VERSION);
	if (good && schemas->user)
		good = !curl_easy_setopt(curl, CURLOPT_USERPWD, schemas->user);
	if (good && schemas->ca_file)
		good = !curl_easy_setopt(curl, CURLOPT_CAINFO, schemas->ca_file);
	if (!good) {
		curl_easy_cleanup(curl);
		return -ENOMEM;
	}
	schemas->curl = curl;
	return 0;
}

/* The body of GET URL/schemas/ids/ID. */
static int get(struct stream_schemas *schemas, uint32_t id, struct buf *body, long *out_status, struct why *why)
{
	char error[CURL_ERROR_SIZE] = "";
	struct buf url = { 0 };
	CURLcode code;
	int rc = make_curl(schemas);

	if (rc < 0)
		return rc;
	buf_printf(&url, "%s/schemas/ids/%u", schemas->registry, id);
	buf_append_char(&url, '\0');
	rc = buf_error(&url);
	if (rc < 0 || curl_easy_setopt(schemas->curl, CURLOPT_URL, url.data) || curl_easy_setopt(schemas->curl, CURLOPT_WRITEDATA, body) ||
	    curl_easy_setopt(schemas->curl, CURLOPT_ERRORBUFFER, error)) {
		buf_release(&url);
		return -ENOMEM;
	}
	code = curl_easy_perform(schemas->curl);
	curl_easy_setopt(schemas->curl, CURLOPT_ERRORBUFFER, NULL);
	if (code)
		rc = why_fail(why, EAGAIN, "schema %u: %s: %s", id, url.data, *error ? error : curl_easy_strerror(code));
	else
		curl_easy_getinfo(schemas->curl, CURLINFO_RESPONSE_CODE, out_status);
	buf_release(&url);
	return rc;
}

/* {"schema": "...", "schemaType": "AVRO", "references": []} */
static int take_answer(uint32_t id, const struct buf *body, struct buf *out, struct why *why)
{
	yyjson_doc *doc = body->len ? yyjson_read(body->data, body->len, 0) : NULL;
	yyjson_val *root = yyjson_doc_get_root(doc), *schema = yyjson_obj_get(root, "schema"), *type = yyjson_obj_get(root, "schemaType");
	int rc = 0;

	if (!yyjson_is_str(schema))
		rc = why_fail(why, EAGAIN, "schema %u: the registry's answer has no \"schema\"; is the URL right?", id);
	else if (yyjson_is_str(type) && strcmp(yyjson_get_str(type), "AVRO"))
		rc = why_fail(why, EINVAL, "schema %u is of type %s, not AVRO", id, yyjson_get_str(type));
	else if (yyjson_arr_size(yyjson_obj_get(root, "references")))
		rc = why_fail(why, EINVAL, "schema %u refers to other schemas, which is not supported; put a whole one into the schema folder, as %u.avsc",
			      id, id);
	else
		buf_append(out, yyjson_get_str(schema), yyjson_get_len(schema));
	yyjson_doc_free(doc);
	return rc < 0 ? rc : buf_error(out);
}

static int ask_registry(struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why)
{
	struct buf body = { 0 };
	long status = 0;
	int rc = get(schemas, id, &body, &status, why);

	if (rc == 0 && status == 404)
		rc = -ENOENT;
	else if (rc == 0 && status != 200)
		rc = why_fail(why, EAGAIN, "schema %u: the registry answers with HTTP status %ld", id, status);
	else if (rc == 0)
		rc = take_answer(id, &body, out, why);
	buf_release(&body);
	return rc;
}

/* ---- the door ---- */

static int ask(struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why)
{
	int rc = -ENOENT;

	if (schemas->folder_fd >= 0)
		rc = ask_folder(schemas, id, out, why);
	if (rc == -ENOENT && schemas->registry)
		rc = ask_registry(schemas, id, out, why);
	if (rc == -ENOENT)
		why_fail(why, ENOENT, "there is no schema %u in %s%s%s", id, schemas->folder ? schemas->folder : "",
			 schemas->folder && schemas->registry ? " or " : "", schemas->registry ? schemas->registry : "");
	return rc;
}

int stream_schemas_get(struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why)
{
	struct buf text = { 0 };
	struct why own = { "" };
	int rc;

	if (!why)
		why = &own;
	if (!schemas)
		return why_fail(why, EAGAIN, "format avro needs its schemas: name a folder of them, or a registry, in the configuration");
	rc = look_up(schemas, id, out, why);
	if (rc <= 0)
		return rc;
	pthread_mutex_lock(&schemas->asking);
	rc = look_up(schemas, id, out, why);		/* somebody else may have asked meanwhile */
	if (rc > 0) {
		rc = ask(schemas, id, &text, why);
		if (rc != -ENOMEM)
			rc = keep(schemas, id, rc, &text, why);
		if (rc == 0) {
			buf_append(out, text.data, text.len);
			rc = buf_error(out);
		}
	}
	pthread_mutex_unlock(&schemas->asking);
	buf_release(&text);
	return rc;
}

static int copy(const char *text, char **out)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static int open_folder(struct stream_schemas *schemas, struct why *why)
{
	if (!schemas->folder)
		return 0;
	schemas->folder_fd = open(schemas->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return schemas->folder_fd < 0 ? why_fail(why, errno, "the schema folder %s: %s", schemas->folder, strerror(errno)) : 0;
}

int stream_schemas_new(const struct stream_schemas_options *options, struct stream_schemas **out, struct why *why)
{
	struct stream_schemas *schemas = calloc(1, sizeof *schemas);
	const char *url = options->registry;
	int rc = 0;

	if (!schemas)
		return -ENOMEM;
	schemas->folder_fd = -1;
	schemas->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
	pthread_mutex_init(&schemas->lock, NULL);
	pthread_mutex_init(&schemas->asking, NULL);
	schemas->entries = calloc(ENTRIES_MAX, sizeof *schemas->entries);
	if (!schemas->entries || copy(options->folder, &schemas->folder) < 0 || copy(url, &schemas->registry) < 0 ||
	    copy(options->user, &schemas->user) < 0 || copy(options->ca_file, &schemas->ca_file) < 0)
		rc = -ENOMEM;
	if (rc == 0 && url && strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
		rc = why_fail(why, EINVAL, "the schema registry \"%s\" is no http:// or https:// address", url);
	if (rc == 0)
		rc = open_folder(schemas, why);
	for (size_t len = rc == 0 && url ? strlen(url) : 0; len && schemas->registry[len - 1] == '/'; len--)
		schemas->registry[len - 1] = '\0';
	if (rc < 0)
		stream_schemas_free(schemas);
	else
		*out = schemas;
	return rc;
}

void stream_schemas_free(struct stream_schemas *schemas)
{
	if (!schemas)
		return;
	if (schemas->curl)
		curl_easy_cleanup(schemas->curl);
	if (schemas->folder_fd >= 0)
		close(schemas->folder_fd);
	if (schemas->entries)
		forget_all(schemas);
	pthread_mutex_destroy(&schemas->lock);
	pthread_mutex_destroy(&schemas->asking);
	free(schemas->entries);
	free(schemas->folder);
	free(schemas->registry);
	free(schemas->user);
	free(schemas->ca_file);
	free(schemas);
}
