/* SPDX-License-Identifier: MIT */
/*
 * Avro schemas out of their JSON text. Only what reading needs is kept: no docs, no defaults, no aliases, for messages are read by the schema
 * they were written with, and fields are found by the paths of the mapping. Types refer to one another by number, so that a schema may
 * contain itself.
 *
 * Why not libavro: its C library (1.11) drops logical types, which is how Avro writes times, follows data as deep as the data goes, and
 * loops as often as the data says, which a message of a few bytes can make 2^62.
 */
#include "stream/avro.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum {
	DEPTH_MAX = 64,			/* of types in types, as text */
	TYPES_MAX = 65535,
	FIXED_MAX = 1 << 20,
	SCALE_MAX = 38,
};

static const char *const kind_names[] = {
	"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed",
};

/* A named type, while its schema is read. */
struct named {
	size_t at, len;			/* its full name, in reader->full */
	unsigned type;
};

/* A member whose name is still an offset, for names move while they are added. */
struct member {
	size_t at, len;
	unsigned type;
};

struct reader {
	struct buf types, members, names, full, named;
	unsigned depth;
	struct why *why;
};

const char *avro_kind_name(enum avro_kind kind)
{
	return kind_names[kind];
}

static int refuse(const struct reader *r, const char *what, struct slice name)
{
	return why_fail(r->why, EINVAL, "the Avro schema: %s%s%.*s%s", what, name.len ? " \"" : "", (int)(name.len < 128 ? name.len : 128),
			name.len ? (const char *)name.data : "", name.len ? "\"" : "");
}

static struct slice text_of(yyjson_val *val)
{
	return yyjson_is_str(val) ? slice_of(yyjson_get_str(val), yyjson_get_len(val)) : slice_of("", 0);
}

static int read_type(struct reader *r, yyjson_val *json, struct slice space, unsigned *out);

static struct avro_type *type_at(const struct reader *r, unsigned type)
{
	return (struct avro_type *)r->types.data + type;
}

static int add_type(struct reader *r, enum avro_kind kind, unsigned *out)
{
	struct avro_type type = { .kind = kind };

	*out = (unsigned)(r->types.len / sizeof type);
	if (*out >= TYPES_MAX)
		return refuse(r, "it has too many types", slice_of("", 0));
	buf_append(&r->types, &type, sizeof type);
	return buf_error(&r->types);
}

/* ---- names ---- */

/* Appends the full name and gives its place: a name with dots is full already. */
static int full_name(struct reader *r, struct slice name, struct slice space, struct slice *out)
{
	size_t at = r->full.len;

	if (!memchr(name.data, '.', name.len) && space.len) {
		buf_append_slice(&r->full, space);
		buf_append_char(&r->full, '.');
	}
	buf_append_slice(&r->full, name);
	if (buf_error(&r->full) < 0)
		return -ENOMEM;
	*out = slice_of(r->full.data + at, r->full.len - at);
	return 0;
}

static int find_named(const struct reader *r, struct slice full)
{
	const struct named *named = (const struct named *)r->named.data;

	for (size_t i = 0; i < r->named.len / sizeof *named; i++)
		if (slice_equal(full, slice_of(r->full.data + named[i].at, named[i].len)))
			return (int)named[i].type;
	return -1;
}

/* The name of a record, enum or fixed is known from here on; `out_space` is what names inside of it belong to. */
static int define_name(struct reader *r, yyjson_val *json, struct slice space, unsigned type, struct slice *out_space)
{
	struct slice name = text_of(yyjson_obj_get(json, "name")), full;
	yyjson_val *own = yyjson_obj_get(json, "namespace");
	struct named named = { .type = type };
	const char *dot;
	int rc;

	if (!name.len)
		return refuse(r, "a record, enum or fixed has no name", name);
	rc = full_name(r, name, own ? text_of(own) : space, &full);
	if (rc < 0)
		return rc;
	if (find_named(r, full) >= 0)
		return refuse(r, "two types are called", full);
	named.at = (size_t)((const char *)full.data - r->full.data);
	named.len = full.len;
	buf_append(&r->named, &named, sizeof named);
	/* From the document where it can be, for the buffer moves. */
	dot = memrchr(name.data, '.', name.len);
	*out_space = dot ? slice_of(name.data, (size_t)(dot - (const char *)name.data)) : own ? text_of(own) : space;
	return buf_error(&r->named);
}

static int read_name(struct reader *r, struct slice name, struct slice space, unsigned *out)
{
	size_t before = r->full.len;
	struct slice full;
	int found, rc;

	if (!name.len)
		return refuse(r, "a type is missing", name);
	for (enum avro_kind kind = AVRO_NULL; kind <= AVRO_STRING; kind++)
		if (slice_equal(name, slice_str(kind_names[kind])))
			return add_type(r, kind, out);
	rc = full_name(r, name, space, &full);
	if (rc < 0)
		return rc;
	found = find_named(r, full);
	if (found < 0)
		found = find_named(r, name);
	r->full.len = before;
	if (found < 0)
		return refuse(r, "there is no type", name);
	*out = (unsigned)found;
	return 0;
}

/* ---- members ---- */

static int add_member(struct reader *r, struct slice name, unsigned type)
{
	struct member member = { r->names.len, name.len, type };

	buf_append_slice(&r->names, name);
	buf_append(&r->members, &member, sizeof member);
	return buf_error(&r->names) < 0 || buf_error(&r->members) < 0 ? -ENOMEM : 0;
}

/* Members stand side by side, but those of inner types come between: room is kept first and filled afterwards. */
static int begin_members(struct reader *r, unsigned type, size_t count)
{
	struct avro_type *t = type_at(r, type);
	int rc = 0;

	if (count > TYPES_MAX)
		return refuse(r, "it has too many types", slice_of("", 0));
	t->first = (unsigned)(r->members.len / sizeof(struct member));
	t->count = (unsigned)count;
	while (rc == 0 && count--)
		rc = add_member(r, slice_of("", 0), 0);
	return rc;
}

static int set_member(struct reader *r, unsigned type, size_t i, struct slice name, unsigned member_type)
{
	struct member *member = (struct member *)r->members.data + type_at(r, type)->first + i;

	*member = (struct member){ r->names.len, name.len, member_type };
	buf_append_slice(&r->names, name);
	return buf_error(&r->names);
}

static int read_fields(struct reader *r, yyjson_val *json, struct slice space, unsigned type)
{
	yyjson_val *fields = yyjson_obj_get(json, "fields"), *field;
	size_t i, max;
	int rc;

	if (!yyjson_is_arr(fields))
		return refuse(r, "a record has no list of fields:", text_of(yyjson_obj_get(json, "name")));
	rc = begin_members(r, type, yyjson_arr_size(fields));
	yyjson_arr_foreach(fields, i, max, field) {
		struct slice name = text_of(yyjson_obj_get(field, "name"));
		unsigned member = 0;

		if (rc == 0 && !name.len)
			rc = refuse(r, "a field has no name in", text_of(yyjson_obj_get(json, "name")));
		if (rc == 0)
			rc = read_type(r, yyjson_obj_get(field, "type"), space, &member);
		if (rc == 0)
			rc = set_member(r, type, i, name, member);
	}
	return rc;
}

static int read_symbols(struct reader *r, yyjson_val *json, unsigned type)
{
	yyjson_val *symbols = yyjson_obj_get(json, "symbols"), *symbol;
	size_t i, max;
	int rc;

	if (!yyjson_is_arr(symbols))
		return refuse(r, "an enum has no list of symbols:", text_of(yyjson_obj_get(json, "name")));
	rc = begin_members(r, type, yyjson_arr_size(symbols));
	yyjson_arr_foreach(symbols, i, max, symbol) {
		if (rc == 0)
			rc = set_member(r, type, i, text_of(symbol), 0);
	}
	return rc;
}

static int read_union(struct reader *r, yyjson_val *json, struct slice space, unsigned *out)
{
	yyjson_val *branch;
	size_t i, max;
	int rc = add_type(r, AVRO_UNION, out);

	if (rc == 0)
		rc = begin_members(r, *out, yyjson_arr_size(json));
	yyjson_arr_foreach(json, i, max, branch) {
		unsigned type = 0;

		if (rc == 0 && yyjson_is_arr(branch))
			rc = refuse(r, "a union stands in a union", slice_of("", 0));
		if (rc == 0)
			rc = read_type(r, branch, space, &type);
		if (rc == 0)
			rc = set_member(r, *out, i, slice_of("", 0), type);
	}
	return rc;
}

static int read_items(struct reader *r, yyjson_val *items, struct slice space, unsigned type)
{
	unsigned member = 0;
	int rc = begin_members(r, type, 1);

	if (rc == 0)
		rc = read_type(r, items, space, &member);
	return rc < 0 ? rc : set_member(r, type, 0, slice_of("", 0), member);
}

static int read_fixed(struct reader *r, yyjson_val *json, unsigned type)
{
	yyjson_val *size = yyjson_obj_get(json, "size");

	if (!yyjson_is_uint(size) || yyjson_get_uint(size) > FIXED_MAX)
		return refuse(r, "a fixed has no size, or one past 1 MiB:", text_of(yyjson_obj_get(json, "name")));
	type_at(r, type)->size = (uint32_t)yyjson_get_uint(size);
	return 0;
}

/* ---- types ---- */

/* A logical type that means nothing on the type it stands at is ignored, as the specification wants it. */
static void read_logical(const struct reader *r, yyjson_val *json, unsigned type)
{
	static const struct {
		const char *name;
		enum avro_kind kind;
		enum avro_logical logical;
	} known[] = {
		{ "date", AVRO_INT, AVRO_DATE }, { "timestamp-millis", AVRO_LONG, AVRO_MILLIS }, { "timestamp-micros", AVRO_LONG, AVRO_MICROS },
		{ "timestamp-nanos", AVRO_LONG, AVRO_NANOS }, { "local-timestamp-millis", AVRO_LONG, AVRO_MILLIS },
		{ "local-timestamp-micros", AVRO_LONG, AVRO_MICROS }, { "local-timestamp-nanos", AVRO_LONG, AVRO_NANOS },
		{ "decimal", AVRO_BYTES, AVRO_DECIMAL }, { "decimal", AVRO_FIXED, AVRO_DECIMAL },
	};
	struct avro_type *t = type_at(r, type);
	struct slice name = text_of(yyjson_obj_get(json, "logicalType"));
	yyjson_val *scale = yyjson_obj_get(json, "scale");

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].kind == t->kind && slice_equal(name, slice_str(known[i].name)))
			t->logical = known[i].logical;
	if (t->logical == AVRO_DECIMAL && yyjson_is_uint(scale))
		t->scale = yyjson_get_uint(scale) <= SCALE_MAX ? (uint32_t)yyjson_get_uint(scale) : 0;
	if (t->logical == AVRO_DECIMAL && scale && (!yyjson_is_uint(scale) || yyjson_get_uint(scale) > SCALE_MAX))
		t->logical = AVRO_PLAIN;
}

static int read_named(struct reader *r, yyjson_val *json, enum avro_kind kind, struct slice space, unsigned *out)
{
	struct slice inner = space;
	int rc = add_type(r, kind, out);

	if (rc == 0)
		rc = define_name(r, json, space, *out, &inner);
	if (rc < 0)
		return rc;
	if (kind == AVRO_RECORD)
		return read_fields(r, json, inner, *out);
	return kind == AVRO_ENUM ? read_symbols(r, json, *out) : read_fixed(r, json, *out);
}

static int read_object(struct reader *r, yyjson_val *json, struct slice space, unsigned *out)
{
	yyjson_val *type = yyjson_obj_get(json, "type");
	struct slice name = text_of(type);
	size_t before = r->types.len;
	int rc;

	if (slice_equal(name, slice_str("record")) || slice_equal(name, slice_str("error")))
		return read_named(r, json, AVRO_RECORD, space, out);
	if (slice_equal(name, slice_str("enum")))
		return read_named(r, json, AVRO_ENUM, space, out);
	if (slice_equal(name, slice_str("fixed"))) {
		rc = read_named(r, json, AVRO_FIXED, space, out);
	} else if (slice_equal(name, slice_str("array")) || slice_equal(name, slice_str("map"))) {
		bool is_array = name.len == 5;

		rc = add_type(r, is_array ? AVRO_ARRAY : AVRO_MAP, out);
		return rc < 0 ? rc : read_items(r, yyjson_obj_get(json, is_array ? "items" : "values"), space, *out);
	} else {
		rc = read_type(r, type, space, out);
	}
	/* Only on a type that was made here, not on one that is referred to by name. */
	if (rc == 0 && *out * sizeof(struct avro_type) >= before)
		read_logical(r, json, *out);
	return rc;
}

static int read_type(struct reader *r, yyjson_val *json, struct slice space, unsigned *out)
{
	int rc;

	if (++r->depth > DEPTH_MAX)
		return refuse(r, "its types are nested deeper than 64", slice_of("", 0));
	if (yyjson_is_arr(json))
		rc = read_union(r, json, space, out);
	else if (yyjson_is_obj(json))
		rc = read_object(r, json, space, out);
	else
		rc = read_name(r, text_of(json), space, out);
	r->depth--;
	return rc;
}

/* ---- the whole ---- */

static void *take(struct buf *buf, size_t element, unsigned *out_count)
{
	void *data = buf->data ? buf->data : calloc(1, element);

	*out_count = (unsigned)(buf->len / element);
	buf->data = NULL;
	return data;
}

static int finish(struct reader *r, struct avro_schema **out)
{
	struct avro_schema *schema = calloc(1, sizeof *schema);
	const struct member *members = (const struct member *)r->members.data;
	unsigned count = (unsigned)(r->members.len / sizeof *members), unused;

	if (!schema)
		return -ENOMEM;
	schema->types = take(&r->types, sizeof *schema->types, &schema->n_types);
	schema->names = take(&r->names, 1, &unused);
	schema->members = calloc(count + 1, sizeof *schema->members);
	schema->n_members = count;
	if (!schema->types || !schema->names || !schema->members) {
		avro_schema_free(schema);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < count; i++)
		schema->members[i] = (struct avro_member){ slice_of(schema->names + members[i].at, members[i].len), members[i].type };
	*out = schema;
	return 0;
}

int avro_schema_parse(struct slice text, struct avro_schema **out, struct why *why)
{
	struct reader r = { .why = why };
	yyjson_read_err err;
	yyjson_doc *doc = NULL;
	unsigned root = 0;
	int rc;

	if (text.len)
		doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.len, 0, NULL, &err);
	if (!doc)
		return text.len && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? -ENOMEM :
			why_fail(why, EINVAL, "the Avro schema is no JSON%s%s", text.len ? ": " : "", text.len ? err.msg : "");
	rc = read_type(&r, yyjson_doc_get_root(doc), slice_of("", 0), &root);
	yyjson_doc_free(doc);
	if (rc == 0)
		rc = finish(&r, out);
	buf_release(&r.types);
	buf_release(&r.members);
	buf_release(&r.names);
	buf_release(&r.full);
	buf_release(&r.named);
	return rc;
}

void avro_schema_free(struct avro_schema *schema)
{
	if (!schema)
		return;
	free(schema->types);
	free(schema->members);
	free(schema->names);
	free(schema);
}
