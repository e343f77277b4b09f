/* SPDX-License-Identifier: MIT */
/* Avro messages: written by somebody else's library and by hand, by schemas from a folder and from a registry. */
#include <arpa/inet.h>
#include <avro.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/store.h"
#include "stream/format.h"
#include "stream/schemas.h"
#include "test.h"

static char folder[] = "/tmp/featurefs-avro.XXXXXX";

static const char definition[] =
	"[group]\nentity = user\n\n"
	"[feature clicks]\ntype = int64\n\n[feature small]\ntype = int32\n\n[feature ctr]\ntype = float32\n\n[feature wide]\ntype = float64\n\n"
	"[feature name]\ntype = string\n\n[feature tags]\ntype = string[]\n\n[feature vec]\ntype = float32[3]\n\n[feature raw]\ntype = json\n\n"
	"[feature blob]\ntype = bytes\n\n[feature at]\ntype = timestamp\n\n[feature on]\ntype = bool\n\n[feature ats]\ntype = timestamp[]\n\n";

struct world {
	struct catalog_group *grp;
	struct stream_schemas *schemas;
	struct stream_mapping *map;
	struct stream_row row;
	struct why why;
	struct buf text;
};

static void write_schema(uint32_t id, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof path, "%s/%u.avsc", folder, id);
	file = fopen(path, "w");
	NEED(file);
	fputs(text, file);
	fclose(file);
}

static void open_world(struct world *w, const struct stream_schemas_options *options, const char *section)
{
	struct buf text = { 0 };

	*w = (struct world){ 0 };
	buf_printf(&text, "%s[stream s]\ntopic = t\nformat = avro\n%s", definition, section);
	NEED(catalog_group_parse("test", buf_slice(&text), &w->grp, &w->why) == 0);
	if (options)
		NEED(stream_schemas_new(options, &w->schemas, &w->why) == 0);
	if (stream_mapping_new(w->grp, &w->grp->sections[0], w->schemas, &w->map, &w->why) < 0) {
		fprintf(stderr, "%s\n", w->why.text);
		exit(1);
	}
	buf_release(&text);
}

static void close_world(struct world *w)
{
	stream_mapping_free(w->map);
	stream_schemas_free(w->schemas);
	catalog_group_unref(w->grp);
	buf_release(&w->text);
}

static const struct stream_schemas_options in_folder = { .folder = folder };

static int decode(struct world *w, uint32_t id, const void *data, size_t len)
{
	struct buf bytes = { 0 };
	struct stream_message msg = { .has_value = true, .timestamp_ns = 9 };
	char *exact;
	int rc;

	buf_append_u8(&bytes, 0);
	id = htonl(id);
	buf_append(&bytes, &id, 4);
	buf_append(&bytes, data, len);
	exact = malloc(bytes.len);	/* of this size, so that a sanitizer sees a read past the end */
	NEED(exact);
	memcpy(exact, bytes.data, bytes.len);
	msg.value = slice_of(exact, bytes.len);
	w->why.text[0] = '\0';
	rc = stream_mapping_decode(w->map, &msg, &w->row, &w->why);
	buf_reset(&w->text);
	if (rc == 0)
		buf_printf(&w->text, "%.*s", (int)w->row.entity.len, (const char *)w->row.entity.data);
	for (size_t i = 0; rc == 0 && i < w->row.n_values; i++) {
		const struct stream_value *value = &w->row.values[i];
		const struct catalog_feature *feature = catalog_feature_at(w->grp, value->slot);

		buf_printf(&w->text, " %s=", feature->name);
		if (value->state == RECORD_NULL)
			buf_append_str(&w->text, "null");
		else
			CHECK_INT(type_json_print(&feature->type, value->bytes, &w->text), 0);
	}
	free(exact);
	buf_release(&bytes);
	return rc;
}

#define DECODED(w, id, bytes, want) do { \
	CHECK_INT(decode(w, id, bytes, sizeof(bytes) - 1), 0); \
	CHECK_TEXT(buf_slice(&(w)->text), want); \
	if ((w)->why.text[0]) \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, (w)->why.text); \
} while (0)

#define REFUSED(w, id, bytes, err, part) do { \
	CHECK_INT(decode(w, id, bytes, sizeof(bytes) - 1), -(err)); \
	if (!strstr((w)->why.text, part)) \
		fprintf(stderr, "%s:%d: the reason is \"%s\"\n", __FILE__, __LINE__, (w)->why.text); \
	CHECK(strstr((w)->why.text, part)); \
} while (0)

/* ---- what libavro writes ---- */

static const char full_schema[] =
	"{\"type\":\"record\",\"name\":\"Event\",\"namespace\":\"org.example\",\"fields\":["
	"{\"name\":\"ignored\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":[\"null\",\"string\"]}}},"
	"{\"name\":\"user\",\"type\":{\"type\":\"record\",\"name\":\"User\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},"
	"{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"Kind\",\"symbols\":[\"FREE\",\"PRO\"]}}]}},"
	"{\"name\":\"ts\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
	"{\"name\":\"stats\",\"type\":[\"null\",{\"type\":\"map\",\"values\":\"long\"}]},"
	"{\"name\":\"friend\",\"type\":[\"null\",\"User\"]},"
	"{\"name\":\"ctr\",\"type\":\"float\"},{\"name\":\"wide\",\"type\":\"double\"},{\"name\":\"on\",\"type\":\"boolean\"},"
	"{\"name\":\"blob\",\"type\":\"bytes\"},{\"name\":\"fix\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}},"
	"{\"name\":\"vec\",\"type\":{\"type\":\"array\",\"items\":\"float\"}},"
	"{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}]}";

static void set_by_name(avro_value_t *record, const char *name, avro_value_t *out)
{
	NEED(avro_value_get_by_name(record, name, out, NULL) == 0);
}

/* Fills a record with what `n` makes of it. */
static void fill_event(avro_value_t *event, long n)
{
	avro_value_t field, inner, more;
	static const char *const tags[] = { "a", "", "c,\"d\"" };

	set_by_name(event, "ignored", &field);
	for (long i = 0; i < n % 4; i++) {
		avro_value_append(&field, &inner, NULL);
		avro_value_add(&inner, "k", &more, NULL, NULL);
		avro_value_set_branch(&more, (int)(n & 1), &more);
		if (n & 1)
			avro_value_set_string(&more, "v");
		else
			avro_value_set_null(&more);
	}
	set_by_name(event, "user", &field);
	set_by_name(&field, "id", &inner);
	avro_value_set_long(&inner, n * 1000003);
	set_by_name(&field, "kind", &inner);
	avro_value_set_enum(&inner, (int)(n & 1));
	set_by_name(event, "ts", &field);
	avro_value_set_long(&field, 1764000000000 + n);
	set_by_name(event, "stats", &field);
	avro_value_set_branch(&field, n % 3 != 0, &inner);
	if (n % 3) {
		avro_value_add(&inner, "views", &more, NULL, NULL);
		avro_value_set_long(&more, 1);
		avro_value_add(&inner, "clicks", &more, NULL, NULL);
		avro_value_set_long(&more, -n);
	} else {
		avro_value_set_null(&inner);
	}
	set_by_name(event, "friend", &field);
	avro_value_set_branch(&field, 0, &inner);
	avro_value_set_null(&inner);
	set_by_name(event, "ctr", &field);
	avro_value_set_float(&field, 0.1f);
	set_by_name(event, "wide", &field);
	avro_value_set_double(&field, -1e300);
	set_by_name(event, "on", &field);
	avro_value_set_boolean(&field, (int)(n & 1));
	set_by_name(event, "blob", &field);
	avro_value_set_bytes(&field, (void *)(uintptr_t)"\0\1\2", 3);
	set_by_name(event, "fix", &field);
	avro_value_set_fixed(&field, (void *)(uintptr_t)"xyz", 3);
	set_by_name(event, "vec", &field);
	for (int i = 0; i < 3; i++) {
		avro_value_append(&field, &inner, NULL);
		avro_value_set_float(&inner, (float)i / 2);
	}
	set_by_name(event, "tags", &field);
	for (long i = 0; i < n % 4 && i < 3; i++) {
		avro_value_append(&field, &inner, NULL);
		avro_value_set_string(&inner, tags[i]);
	}
}

static size_t write_event(long n, char *out, size_t size)
{
	avro_writer_t writer = avro_writer_memory(out, (int64_t)size);
	avro_schema_t schema;
	avro_value_iface_t *iface;
	avro_value_t event;
	size_t len;

	NEED(avro_schema_from_json_length(full_schema, strlen(full_schema), &schema) == 0);
	iface = avro_generic_class_from_schema(schema);
	avro_generic_value_new(iface, &event);
	fill_event(&event, n);
	NEED(avro_value_write(writer, &event) == 0);
	len = (size_t)avro_writer_tell(writer);
	avro_value_decref(&event);
	avro_value_iface_decref(iface);
	avro_schema_decref(schema);
	avro_writer_free(writer);
	return len;
}

static void test_foreign_writer(void)
{
	struct buf want = { 0 };
	char bytes[1024];
	struct world w;
	size_t len;

	write_schema(1, full_schema);
	open_world(&w, &in_folder,
		   "entity = $.user.id\nevent_time = $.ts\nfeature.clicks = $.stats.clicks\nfeature.name = $.user.kind\nfeature.ctr = $.ctr\n"
		   "feature.wide = $.wide\nfeature.on = $.on\nfeature.blob = $.blob\nfeature.vec = $.vec\nfeature.tags = $.tags\n"
		   "feature.raw = $.friend\nfeature.at = $.ts\nfeature.small = $.stats.views\n");
	for (long n = 0; n < 500; n++) {
		static const char *const lists[] = { "[]", "[\"a\"]", "[\"a\",\"\"]", "[\"a\",\"\",\"c,\\\"d\\\"\"]" };

		len = write_event(n, bytes, sizeof bytes);
		CHECK_INT(decode(&w, 1, bytes, len), 0);
		CHECK_INT(w.row.event_ns, (1764000000000 + n) * 1000000);
		buf_reset(&want);
		buf_printf(&want, "%ld", n * 1000003);
		if (n % 3)
			buf_printf(&want, " clicks=%ld", -n);
		buf_printf(&want, " name=\"%s\" ctr=0.1 wide=-1e300 on=%s blob=\"AAEC\" vec=[0,0.5,1] tags=%s raw=null", n & 1 ? "PRO" : "FREE",
			   n & 1 ? "true" : "false", lists[n % 4]);
		buf_append_str(&want, " at=");
		CHECK(w.text.len > want.len && !memcmp(w.text.data, want.data, want.len));
		if (n % 3)
			CHECK_TEXT(slice_of(w.text.data + w.text.len - 8, 8), " small=1");
	}
	/* Cut off anywhere, it is refused; and so is a byte too many. */
	len = write_event(7, bytes, sizeof bytes - 1);
	for (size_t cut = 0; cut < len; cut++)
		CHECK_INT(decode(&w, 1, bytes, cut), -EINVAL);
	bytes[len] = 0;
	CHECK_INT(decode(&w, 1, bytes, len + 1), -EINVAL);
	CHECK(strstr(w.why.text, "by schema 1: 1 bytes are left over"));
	buf_release(&want);
	close_world(&w);
}

/* ---- by hand ---- */

static const char record_of[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"user\",\"type\":\"string\"},{\"name\":\"x\",\"type\":%s}]}";

static void schema_of_x(uint32_t id, const char *type)
{
	char text[2048];

	snprintf(text, sizeof text, record_of, type);
	write_schema(id, text);
}

static void test_conversions(void)
{
	struct world w;

	schema_of_x(10, "\"long\"");
	schema_of_x(11, "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}");
	schema_of_x(12, "{\"type\":\"int\",\"logicalType\":\"date\"}");
	schema_of_x(13, "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}");
	schema_of_x(14, "{\"type\":\"fixed\",\"name\":\"D\",\"size\":2,\"logicalType\":\"decimal\",\"precision\":4}");
	schema_of_x(15, "[\"null\",\"double\",\"string\"]");
	schema_of_x(16, "{\"type\":\"array\",\"items\":[\"null\",\"int\"]}");
	schema_of_x(17, "{\"type\":\"array\",\"items\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}");
	schema_of_x(18, "{\"type\":\"string\",\"logicalType\":\"uuid\"}");
	open_world(&w, &in_folder, "feature.small = x\nfeature.wide = x\nfeature.raw = x\n");
	DECODED(&w, 10, "\2u\6", "u small=3 wide=3 raw=3");
	DECODED(&w, 10, "\2u\xff\xff\xff\xff\x0f", "u small=-2147483648 wide=-2147483648 raw=-2147483648");
	REFUSED(&w, 10, "\2u\x80\x80\x80\x80\x10", ERANGE, "small (x): 2147483648 is out of the range of int32");
	REFUSED(&w, 10, "\2u\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", EINVAL, "a number has more than 64 bits");
	REFUSED(&w, 15, "\2u\2\0\0\0\0\0\0\xf0\x3f", EINVAL, "small (x): Avro double where");
	DECODED(&w, 15, "\2u\0", "u small=null wide=null raw=null");
	REFUSED(&w, 15, "\2u\6", EINVAL, "branch 3 of 3");
	DECODED(&w, 14, "\2u\xff\xfe", "u small=-2 wide=-2 raw=-2");
	REFUSED(&w, 13, "\2u\2\xfb", EINVAL, "small (x): \"-0.05\" is not a decimal integer");
	close_world(&w);
	open_world(&w, &in_folder, "feature.wide = x\nfeature.raw = x\nfeature.name = x\n");
	DECODED(&w, 13, "\2u\2\xfb", "u wide=-0.05 raw=-0.05 name=\"-0.05\"");
	DECODED(&w, 13, "\2u\4\x30\x39", "u wide=123.45 raw=123.45 name=\"123.45\"");
	REFUSED(&w, 13, "\2u\0", EINVAL, "a decimal of 0 bytes");
	close_world(&w);
	open_world(&w, &in_folder, "feature.at = x\nfeature.raw = x\n");
	DECODED(&w, 10, "\2u\2", "u at=\"1970-01-01T00:00:01Z\" raw=1");
	DECODED(&w, 11, "\2u\1", "u at=\"1969-12-31T23:59:59.999999Z\" raw=\"1969-12-31T23:59:59.999999Z\"");
	DECODED(&w, 12, "\2u\2", "u at=\"1970-01-02T00:00:00Z\" raw=\"1970-01-02T00:00:00Z\"");
	DECODED(&w, 15, "\2u\4(2026-11-23T04:00:00Z", "u at=\"2026-11-23T04:00:00Z\" raw=\"2026-11-23T04:00:00Z\"");
	DECODED(&w, 15, "\2u\2\0\0\0\0\0\0\xe0\x3f", "u at=\"1970-01-01T00:00:00.500000Z\" raw=0.5");
	close_world(&w);
	open_world(&w, &in_folder, "feature.ats = x\nfeature.raw = x\n");
	DECODED(&w, 17, "\2u\4\2\3\0", "u ats=[\"1970-01-01T00:00:00.001000Z\",\"1969-12-31T23:59:59.998000Z\"]"
		" raw=[\"1970-01-01T00:00:00.001000Z\",\"1969-12-31T23:59:59.998000Z\"]");
	close_world(&w);
	/* Blocks that say their size, several of them, and a null among the items. */
	open_world(&w, &in_folder, "entity = user\nfeature.vec = x\n");
	DECODED(&w, 16, "\2u\3\10\2\2\2\4\2\2\6\0", "u vec=[1,2,3]");
	REFUSED(&w, 16, "\2u\6\2\2\0\2\4\0", EINVAL, "element 1: null can't stand inside an array");
	REFUSED(&w, 16, "\2u\4\2\2\2\4\0", EINVAL, "3 elements belong here; there are 2");
	close_world(&w);
	/* A path into a null is missing, one into a number is refused. */
	open_world(&w, &in_folder, "feature.clicks = x.y\nfeature.name = user\n");
	DECODED(&w, 15, "\2u\0", "u name=\"u\"");
	REFUSED(&w, 10, "\2u\2", EINVAL, "$.x: long where a record or map belongs");
	close_world(&w);
	open_world(&w, &in_folder, "feature.clicks = x[1]\nfilter.user = u\n");
	DECODED(&w, 16, "\2u\4\2\2\2\4\0", "u clicks=2");
	CHECK_INT(decode(&w, 16, "\2v\4\2\2\2\4\0", 8), 1);
	CHECK_INT(decode(&w, 16, "\2u\2\2\2\0", 6), 1);
	close_world(&w);
}

/* A datum that lies, and schemas that can't be. */
static void test_hostile(void)
{
	struct buf deep = { 0 };
	struct world w;

	write_schema(20, "{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":\"user\",\"type\":\"string\"},"
			 "{\"name\":\"next\",\"type\":[\"null\",\"N\"]}]}");
	schema_of_x(21, "{\"type\":\"array\",\"items\":\"null\"}");
	schema_of_x(22, "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"E\",\"fields\":[]}}");
	write_schema(23, "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"self\",\"type\":\"S\"},{\"name\":\"user\",\"type\":\"string\"}]}");
	write_schema(24, "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"user\",\"type\":\"Unknown\"}]}");
	write_schema(25, "{\"type\":");
	write_schema(26, "");
	write_schema(27, "[\"null\",[\"int\"]]");
	write_schema(28, "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"type\":\"int\"}]}");
	schema_of_x(29, "{\"type\":\"map\",\"values\":\"long\"}");
	open_world(&w, &in_folder, "feature.name = user\nfeature.raw = x\nfeature.clicks = x.y\n");
	for (int i = 0; i < 300; i++)
		buf_append_str(&deep, "\2u\2");
	buf_append(&deep, "\2u\0", 3);
	CHECK_INT(decode(&w, 20, deep.data, deep.len), -EINVAL);
	CHECK(strstr(w.why.text, "values are nested deeper than 256"));
	CHECK_INT(decode(&w, 20, deep.data + 3 * 200, deep.len - 3 * 200), 0);
	REFUSED(&w, 23, "\2u", EINVAL, "nested deeper");
	REFUSED(&w, 24, "\2u", EINVAL, "schema 24: the Avro schema: there is no type \"Unknown\"");
	REFUSED(&w, 25, "\2u", EINVAL, "schema 25: the Avro schema is no JSON");
	REFUSED(&w, 26, "\2u", EINVAL, "schema 26: the Avro schema is no JSON");
	REFUSED(&w, 27, "\2u", EINVAL, "a union stands in a union");
	REFUSED(&w, 28, "\2u", EINVAL, "a field has no name in \"S\"");
	REFUSED(&w, 29, "\2u\4\2y\2\2y\4\0", EINVAL, "$.x.y: it stands twice");
	REFUSED(&w, 29, "\2u\4\2z\2\2\xff\4\0", EILSEQ, "raw (x): a text is not UTF-8");
	REFUSED(&w, 29, "\2u\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0", EINVAL, "");
	REFUSED(&w, 30, "\2u", ENOENT, "there is no schema 30 in /tmp/featurefs-avro.");
	close_world(&w);
	open_world(&w, &in_folder, "feature.name = user\nfeature.raw = x\n");
	REFUSED(&w, 21, "\2u\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", EINVAL, "more items than a message of its size can hold");
	REFUSED(&w, 22, "\2u\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", EINVAL, "more items");
	REFUSED(&w, 22, "\2u\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0", EINVAL, "more items");
	close_world(&w);
	open_world(&w, &in_folder, "feature.name = user\n");
	REFUSED(&w, 21, "\2u\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", EINVAL, "more items");
	DECODED(&w, 21, "\2u\x80\x04\0", "u name=\"u\"");
	close_world(&w);
	open_world(&w, NULL, "feature.name = user\n");
	REFUSED(&w, 21, "\2u\0", EAGAIN, "format avro needs its schemas");
	close_world(&w);
	buf_release(&deep);
}

/* A field that a later version renames is missing there; one that widens is read by either. */
static void test_evolution(void)
{
	struct world w;

	schema_of_x(40, "\"int\"");
	write_schema(41, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"y\",\"type\":\"string\"},{\"name\":\"x\",\"type\":\"long\"},"
			 "{\"name\":\"user\",\"type\":\"string\"},{\"name\":\"name\",\"type\":[\"null\",\"string\"],\"default\":null}]}");
	write_schema(42, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"user\",\"type\":\"int\"},{\"name\":\"name\",\"type\":\"string\"}]}");
	open_world(&w, &in_folder, "feature.clicks = x\nfeature.name = name\n");
	DECODED(&w, 40, "\2u\2", "u clicks=1");
	DECODED(&w, 41, "\2?\4\2u\2\2n", "u clicks=2 name=\"n\"");
	DECODED(&w, 42, "\6\2n", "3 name=\"n\"");
	DECODED(&w, 40, "\2u\6", "u clicks=3");
	close_world(&w);
}

/* ---- a registry ---- */

struct registry {
	int fd, port;
	atomic_int requests;
	atomic_bool is_down, ends;
	pthread_t thread;
};

static const char *answer_for(const char *request)
{
	if (strstr(request, "GET /api/schemas/ids/50 "))
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":"
		       "[{\\\"name\\\":\\\"user\\\",\\\"type\\\":\\\"string\\\"},{\\\"name\\\":\\\"x\\\",\\\"type\\\":\\\"int\\\"}]}\"}";
	if (strstr(request, "/51 "))
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"schema\":\"{}\",\"schemaType\":\"PROTOBUF\"}";
	if (strstr(request, "/52 "))
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"schema\":\"{}\",\"references\":[{\"name\":\"a\"}]}";
	if (strstr(request, "/53 "))
		return "HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n";
	if (strstr(request, "/54 "))
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>";
	return "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"error_code\":40403}";
}

static void *run_registry(void *arg)
{
	struct registry *reg = arg;

	while (!reg->ends) {
		struct pollfd poller = { .fd = reg->fd, .events = POLLIN };
		char request[4096];
		ssize_t n;
		int fd;

		if (poll(&poller, 1, 50) <= 0)
			continue;
		fd = accept(reg->fd, NULL, NULL);
		n = read(fd, request, sizeof request - 1);
		if (n > 0 && !reg->is_down) {
			const char *text;

			request[n] = '\0';
			reg->requests++;
			text = answer_for(request);
			CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
		}
		while (reg->is_down && !reg->ends)
			usleep(1000);		/* longer than the other side waits */
		close(fd);
	}
	return NULL;
}

static void start_registry(struct registry *reg)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;

	reg->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	NEED(bind(reg->fd, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(reg->fd, 8) == 0);
	NEED(getsockname(reg->fd, (struct sockaddr *)&addr, &len) == 0);
	reg->port = ntohs(addr.sin_port);
	NEED(pthread_create(&reg->thread, NULL, run_registry, reg) == 0);
}

static void test_registry(void)
{
	struct registry reg = { 0 };
	/* A busy machine may let the registry wait for its turn: only who asks one that is silent is in a hurry. */
	struct stream_schemas_options options = { .timeout_ms = 60000 }, hasty;
	char url[64];
	struct world w, other;

	start_registry(&reg);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/api/", reg.port);
	options.registry = url;
	open_world(&w, &options, "feature.clicks = x\n");
	for (int i = 0; i < 3; i++)
		DECODED(&w, 50, "\2u\2", "u clicks=1");
	CHECK_INT(reg.requests, 1);
	for (int i = 0; i < 3; i++)
		REFUSED(&w, 99, "\2u\2", ENOENT, "there is no schema 99 in http://127.0.0.1");
	CHECK_INT(reg.requests, 2);
	REFUSED(&w, 51, "\2u\2", EINVAL, "schema 51 is of type PROTOBUF");
	REFUSED(&w, 52, "\2u\2", EINVAL, "schema 52 refers to other schemas");
	REFUSED(&w, 53, "\2u\2", EAGAIN, "HTTP status 503");
	REFUSED(&w, 53, "\2u\2", EAGAIN, "HTTP status 503");
	REFUSED(&w, 54, "\2u\2", EAGAIN, "is the URL right?");
	CHECK_INT(reg.requests, 6);
	reg.is_down = true;
	hasty = options;
	hasty.timeout_ms = 200;
	open_world(&other, &hasty, "feature.clicks = x\n");
	REFUSED(&other, 60, "\2u\2", EAGAIN, "schema 60: http://127.0.0.1");
	close_world(&other);
	DECODED(&w, 50, "\2u\4", "u clicks=2");		/* known ones need nobody */
	reg.ends = true;
	pthread_join(reg.thread, NULL);
	close(reg.fd);
	REFUSED(&w, 61, "\2u\2", EAGAIN, "schema 61: http://127.0.0.1");
	close_world(&w);
	options.registry = "ftp://x";
	w.schemas = NULL;
	CHECK_INT(stream_schemas_new(&options, &w.schemas, &w.why), -EINVAL);
	options = (struct stream_schemas_options){ .folder = "/nowhere" };
	CHECK_INT(stream_schemas_new(&options, &w.schemas, &w.why), -ENOENT);
}

int main(void)
{
	char command[128];

	NEED(mkdtemp(folder));
	test_foreign_writer();
	test_conversions();
	test_hostile();
	test_evolution();
	test_registry();
	snprintf(command, sizeof command, "rm -rf %s", folder);
	CHECK_INT(system(command), 0);
	return test_end("stream_avro");
}
