/* SPDX-License-Identifier: MIT */
/*
 * The Arrow C data interface: columns are read into memory that the batch then owns, so nothing is copied but bools, which are bits there.
 * A consumer may move a child out of its parent and release either first, so every node owns its own buffers and nothing else.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS_MAX = 3, FIRST_ROOM = 24, TRIES = 8 };

/* ---- schema ---- */

static void release_schema(struct ArrowSchema *schema)
{
	for (int64_t i = 0; i < schema->n_children; i++) {
		if (schema->children[i]->release)
			schema->children[i]->release(schema->children[i]);
		free(schema->children[i]);
	}
	free(schema->children);
	free((char *)schema->format);
	free((char *)schema->name);
	schema->release = NULL;
}

static int make_schema(const char *format, const char *name, int64_t n_children, struct ArrowSchema *out)
{
	*out = (struct ArrowSchema){ .format = strdup(format), .name = strdup(name), .flags = ARROW_FLAG_NULLABLE, .release = release_schema };
	if (n_children)
		out->children = calloc((size_t)n_children, sizeof *out->children);
	if (out->format && out->name && (out->children || !n_children))
		return 0;
	release_schema(out);
	return -ENOMEM;
}

/* A place for one more child. NULL without memory. */
static struct ArrowSchema *add_schema(struct ArrowSchema *parent)
{
	struct ArrowSchema *child = calloc(1, sizeof *child);

	if (child)
		parent->children[parent->n_children++] = child;
	return child;
}

static const char *format_of(enum type_base base)
{
	static const char *const formats[] = {
		[TYPE_BOOL] = "b", [TYPE_INT32] = "i", [TYPE_INT64] = "l", [TYPE_FLOAT32] = "f", [TYPE_FLOAT64] = "g", [TYPE_STRING] = "U",
		[TYPE_BYTES] = "Z", [TYPE_TIMESTAMP] = "tsu:UTC", [TYPE_JSON] = "U",
	};

	return formats[base];
}

static bool is_nested(const struct type *type)
{
	return type->is_array && column_width(&(struct type){ .base = type->base }) != 0;
}

static int column_schema(const struct view_column *column, struct ArrowSchema *parent)
{
	const struct type *type = &column->type;
	struct ArrowSchema *child = add_schema(parent), *item;
	char format[32];
	int rc;

	if (!child)
		return -ENOMEM;
	if (!is_nested(type))
		/* Arrays of texts are the text of a JSON array. */
		return make_schema(type->is_array ? "U" : format_of(type->base), column->name, 0, child);
	if (type->length)
		snprintf(format, sizeof format, "+w:%u", type->length);
	else
		snprintf(format, sizeof format, "+L");
	rc = make_schema(format, column->name, 1, child);
	if (rc < 0)
		return rc;
	item = add_schema(child);
	return item ? make_schema(format_of(type->base), "item", 0, item) : -ENOMEM;
}

static int extra_schema(const struct view_column *column, const char *suffix, const char *format, struct ArrowSchema *parent)
{
	struct ArrowSchema *child = add_schema(parent);
	char *name;
	int rc;

	if (!child || asprintf(&name, "%s.%s", column->name, suffix) < 0)
		return -ENOMEM;
	rc = make_schema(format, name, 0, child);
	free(name);
	return rc;
}

static int64_t children_of(const struct featurefs_view *view, unsigned flags)
{
	return (int64_t)view->n_columns * (1 + !!(flags & FEATUREFS_ARROW_EVENT_TIMES) + !!(flags & FEATUREFS_ARROW_STATUS));
}

int featurefs_view_schema(const struct featurefs_view *view, unsigned flags, struct ArrowSchema *out_schema)
{
	struct ArrowSchema schema;
	int rc = make_schema("+s", "", children_of(view, flags), &schema);

	if (rc < 0)
		return sdk_return(rc, NULL);
	schema.flags = 0;
	for (unsigned c = 0; c < view->n_columns && rc == 0; c++) {
		rc = column_schema(&view->columns[c], &schema);
		if (rc == 0 && (flags & FEATUREFS_ARROW_EVENT_TIMES))
			rc = extra_schema(&view->columns[c], "event_time", "tsn:UTC", &schema);
		if (rc == 0 && (flags & FEATUREFS_ARROW_STATUS))
			rc = extra_schema(&view->columns[c], "status", "C", &schema);
	}
	if (rc < 0)
		release_schema(&schema);
	else
		*out_schema = schema;
	return sdk_return(rc, NULL);
}

/* ---- arrays ---- */

static void release_array(struct ArrowArray *array)
{
	for (int64_t i = 0; i < array->n_children; i++) {
		if (array->children[i]->release)
			array->children[i]->release(array->children[i]);
		free(array->children[i]);
	}
	free(array->children);
	for (int64_t i = 0; array->buffers && i < array->n_buffers; i++)
		free((void *)array->buffers[i]);
	free(array->buffers);
	array->release = NULL;
}

static int make_array(int64_t length, int64_t n_buffers, int64_t n_children, struct ArrowArray *out)
{
	*out = (struct ArrowArray){ .length = length, .n_buffers = n_buffers, .release = release_array };
	out->buffers = calloc(BUFFERS_MAX, sizeof *out->buffers);
	if (n_children)
		out->children = calloc((size_t)n_children, sizeof *out->children);
	if (out->buffers && (out->children || !n_children))
		return 0;
	release_array(out);
	return -ENOMEM;
}

static struct ArrowArray *add_array(struct ArrowArray *parent)
{
	struct ArrowArray *child = calloc(1, sizeof *child);

	if (child)
		parent->children[parent->n_children++] = child;
	return child;
}

/* The memory of a read, until the batch takes it. */
struct reading {
	struct featurefs_column *columns;
	unsigned n_columns;
	size_t n;
};

static void reading_release(struct reading *reading)
{
	for (unsigned c = 0; reading->columns && c < reading->n_columns; c++) {
		free(reading->columns[c].values);
		free(reading->columns[c].offsets);
		free(reading->columns[c].validity);
		free(reading->columns[c].status);
		free(reading->columns[c].event_ns);
	}
	free(reading->columns);
}

static int reading_init(struct reading *reading, const struct featurefs_view *view, size_t n, unsigned flags)
{
	*reading = (struct reading){ .n_columns = view->n_columns, .n = n };
	reading->columns = calloc(view->n_columns, sizeof *reading->columns);
	if (!reading->columns)
		return -ENOMEM;
	for (unsigned c = 0; c < view->n_columns; c++) {
		struct featurefs_column *column = &reading->columns[c];
		size_t width = column_width(&view->columns[c].type), bytes;

		if (__builtin_mul_overflow(n + 1, width ? width : FIRST_ROOM, &bytes))
			return -ENOMEM;
		column->values = malloc(bytes);
		column->values_room = bytes;
		column->validity = malloc(n / 8 + 1);
		if (!column->values || !column->validity)
			return -ENOMEM;
		if (!width && !(column->offsets = calloc(n + 1, sizeof *column->offsets)))
			return -ENOMEM;
		if ((flags & FEATUREFS_ARROW_EVENT_TIMES) && !(column->event_ns = calloc(n + 1, sizeof *column->event_ns)))
			return -ENOMEM;
		if ((flags & FEATUREFS_ARROW_STATUS) && !(column->status = calloc(n + 1, sizeof *column->status)))
			return -ENOMEM;
	}
	return 0;
}

/* Reads, and makes room until all fits: the store may change in between. */
static int fill(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, struct reading *reading, struct why *why)
{
	int rc = -ENOBUFS;

	for (int i = 0; i < TRIES && rc == -ENOBUFS; i++) {
		why->text[0] = '\0';
		rc = sdk_read(view, keys, n_keys, reading->n, reading->columns, why);
		for (unsigned c = 0; c < view->n_columns && rc == -ENOBUFS; c++) {
			struct featurefs_column *column = &reading->columns[c];
			void *grown;

			if (!column->offsets || column->values_len <= column->values_room)
				continue;
			grown = realloc(column->values, column->values_len + column->values_len / 8);
			if (!grown)
				return -ENOMEM;
			column->values = grown;
			column->values_room = column->values_len + column->values_len / 8;
		}
	}
	return rc;
}

/* One byte a bool to one bit. */
static void *pack_bools(const uint8_t *bytes, size_t n)
{
	uint8_t *bits = calloc(n / 8 + 1, 1);

	for (size_t i = 0; bits && i < n; i++)
		bits[i / 8] |= (uint8_t)((bytes[i] != 0) << (i % 8));
	return bits;
}

/* The values' memory becomes the node's. */
static int take_values(struct featurefs_column *column, const struct type *type, size_t n, struct ArrowArray *to, int at)
{
	if (type->base != TYPE_BOOL) {
		to->buffers[at] = column->values;
		column->values = NULL;
		return 0;
	}
	to->buffers[at] = pack_bools(column->values, n);
	return to->buffers[at] ? 0 : -ENOMEM;
}

static int take_column(struct featurefs_column *column, const struct type *type, size_t n, struct ArrowArray *parent)
{
	struct ArrowArray *child = add_array(parent), *item;
	bool has_offsets = column->offsets != NULL, is_list = is_nested(type);
	size_t items;
	int rc;

	if (!child)
		return -ENOMEM;
	rc = make_array((int64_t)n, is_list ? 1 + has_offsets : 2 + has_offsets, is_list, child);
	if (rc < 0)
		return rc;
	child->null_count = (int64_t)(n - column->n_present);
	child->buffers[0] = column->validity;
	column->validity = NULL;
	/* How many elements a list has in all is what its last offset says. */
	items = has_offsets ? (size_t)column->offsets[n] : n * type->length;
	if (has_offsets) {
		child->buffers[1] = column->offsets;
		column->offsets = NULL;
	}
	if (!is_list)
		return take_values(column, type, n, child, 1 + has_offsets);
	item = add_array(child);
	rc = item ? make_array((int64_t)items, 2, 0, item) : -ENOMEM;
	return rc < 0 ? rc : take_values(column, type, items, item, 1);
}

static int take_extra(void **takes, size_t n, struct ArrowArray *parent)
{
	struct ArrowArray *child = add_array(parent);
	int rc = child ? make_array((int64_t)n, 2, 0, child) : -ENOMEM;

	if (rc < 0)
		return rc;
	child->buffers[1] = *takes;
	*takes = NULL;
	return 0;
}

/* A value that is missing has no event time. */
static int take_times(struct featurefs_column *column, size_t n, struct ArrowArray *parent)
{
	uint8_t *has = calloc(n / 8 + 1, 1);
	int64_t nulls = 0;
	void *times = column->event_ns;
	int rc;

	if (!has)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (column->event_ns[i])
			has[i / 8] |= (uint8_t)(1u << (i % 8));
		else
			nulls++;
	}
	rc = take_extra(&times, n, parent);
	column->event_ns = times;
	if (rc < 0) {
		free(has);
		return rc;
	}
	parent->children[parent->n_children - 1]->buffers[0] = has;
	parent->children[parent->n_children - 1]->null_count = nulls;
	return 0;
}

static int take_all(const struct featurefs_view *view, struct reading *reading, unsigned flags, struct ArrowArray *out)
{
	int rc = make_array((int64_t)reading->n, 1, children_of(view, flags), out);

	if (rc < 0)
		return rc;
	for (unsigned c = 0; c < view->n_columns && rc == 0; c++) {
		struct featurefs_column *column = &reading->columns[c];
		void *status = column->status;

		rc = take_column(column, &view->columns[c].type, reading->n, out);
		if (rc == 0 && (flags & FEATUREFS_ARROW_EVENT_TIMES))
			rc = take_times(column, reading->n, out);
		if (rc == 0 && (flags & FEATUREFS_ARROW_STATUS)) {
			rc = take_extra(&status, reading->n, out);
			column->status = status;
		}
	}
	if (rc < 0)
		release_array(out);
	return rc;
}

int featurefs_read_arrow(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, unsigned flags,
			 struct ArrowSchema *out_schema, struct ArrowArray *out_array)
{
	struct why why = { "" };
	struct reading reading;
	int rc = reading_init(&reading, view, n, flags);

	if (rc == 0)
		rc = fill(view, keys, n_keys, &reading, &why);
	if (rc == 0)
		rc = featurefs_view_schema(view, flags, out_schema);
	if (rc == 0) {
		rc = take_all(view, &reading, flags, out_array);
		if (rc < 0)
			release_schema(out_schema);
	}
	reading_release(&reading);
	return sdk_return(rc, &why);
}
