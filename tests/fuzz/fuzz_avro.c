/* SPDX-License-Identifier: MIT */
/* Avro: the first byte picks one of some schemas for the datum behind it, or says that what follows is a schema itself. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include "stream/avro.h"
#include "stream/schemas.h"
#include "stream_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { A_SCHEMA = 255 };

static const char *const schemas_text[] = {
	"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"user\",\"type\":\"string\"},"
	"{\"name\":\"ts\",\"type\":{\"type\":\"long\",\"logicalType\":"
	"\"timestamp-micros\"}},{\"name\":\"clicks\",\"type\":[\"null\",\"long\"]},{\"name\":\"ctr\",\"type\":\"float\"},"
	"{\"name\":\"name\",\"type\":\"string\"},"
	"{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},{\"name\":\"vec\",\"type\":{\"type\":\"array\",\"items\":\"double\"}},"
	"{\"name\":\"raw\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"double\",\"R\"]}},{\"name\":\"blob\",\"type\":\"bytes\"},"
	"{\"name\":\"at\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},{\"name\":\"on\",\"type\":\"boolean\"}]}",
	"{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":\"user\",\"type\":\"int\"},{\"name\":\"ts\",\"type\":\"double\"},"
	"{\"name\":\"raw\",\"type\":"
	"[\"null\",\"N\",{\"type\":\"array\",\"items\":\"N\"}]},"
	"{\"name\":\"ctr\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"scale\":3}}]}",
	"{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"user\",\"type\":{\"type\":\"enum\",\"name\":\"K\",\"symbols\":[\"a\",\"b\"]}},"
	"{\"name\":\"ts\","
	"\"type\":\"string\"},{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
	"{\"name\":\"blob\",\"type\":{\"type\":\"fixed\",\"name\":\"F\","
	"\"size\":4}},{\"name\":\"raw\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Z\",\"fields\":[]}}}]}",
};

static char folder[] = "/tmp/featurefs-fuzz-avro.XXXXXX";
static struct stream_schemas *schemas;
static struct stream_help by_name, by_path;

static void end(void)
{
	stream_help_close(&by_name);
	stream_help_close(&by_path);
	stream_schemas_free(schemas);
}

static void begin(void)
{
	struct stream_schemas_options options = { .folder = folder };
	char path[64];

	stream_help_require(mkdtemp(folder));
	for (unsigned i = 0; i < sizeof schemas_text / sizeof *schemas_text; i++) {
		FILE *file;

		snprintf(path, sizeof path, "%s/%u.avsc", folder, i);
		file = fopen(path, "w");
		stream_help_require(file && fputs(schemas_text[i], file) >= 0 && fclose(file) == 0);
	}
	stream_help_require(stream_schemas_new(&options, &schemas, NULL) == 0);
	stream_help_open(&by_name, "user", "format = avro\nevent_time = ts\n", schemas);
	stream_help_open(&by_path, "user, day",
			 "format = avro\nentity = user, raw.k.user\nfilter.on = true\nfeature.clicks = raw.k.raw.k.clicks\nfeature.vec = vec\n"
			 "feature.ctr = vec[1]\nfeature.raw = $\n", schemas);
	/* All that is needed of it, before it goes. */
	for (unsigned i = 0; i < sizeof schemas_text / sizeof *schemas_text; i++) {
		struct buf text = { 0 };

		stream_help_require(stream_schemas_get(schemas, i, &text, NULL) == 0);
		buf_release(&text);
		snprintf(path, sizeof path, "%s/%u.avsc", folder, i);
		unlink(path);
	}
	rmdir(folder);
	atexit(end);
}

static void read_schema(struct slice text)
{
	struct avro_schema *schema = NULL;
	struct why why = { "" };
	int rc = avro_schema_parse(text, &schema, &why);

	stream_help_require(rc == 0 || rc == -ENOMEM || (rc == -EINVAL && why.text[0]));
	for (unsigned i = 0; schema && i < schema->n_types; i++)
		stream_help_require(schema->types[i].first + schema->types[i].count <= schema->n_members);
	for (unsigned i = 0; schema && i < schema->n_members; i++)
		stream_help_require(schema->members[i].type < schema->n_types);
	avro_schema_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf message = { 0 };

	if (!schemas)
		begin();
	if (!size)
		return 0;
	if (data[0] == A_SCHEMA) {
		read_schema(slice_of(data + 1, size - 1));
		return 0;
	}
	buf_append(&message, "\0\0\0\0", 4);
	buf_append_u8(&message, data[0] % (sizeof schemas_text / sizeof *schemas_text));
	buf_append(&message, data + 1, size - 1);
	stream_help_decode(&by_name, slice_str(""), buf_slice(&message), true);
	stream_help_decode(&by_path, slice_str(""), buf_slice(&message), true);
	buf_release(&message);
	return 0;
}
