/* SPDX-License-Identifier: MIT */
/*
 * One row while it is being typed. Slots and type codes are laid out once for a file, so a row costs its values and one pass that packs
 * them. Texts of the usual types are read right here; whatever that does not take goes to the catalog, which accepts it or finds the words,
 * so that what is accepted is the catalog's to say.
 */
#include "batch/row.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "base/text.h"

int row_init(struct row *row, const struct batch_mapping *mapping, const unsigned *targets, unsigned n)
{
	*row = (struct row){ .mapping = mapping, .n = n };
	row->features = calloc(n + 1, sizeof *row->features);
	row->cells = calloc(n + 1, sizeof *row->cells);
	row->some = calloc(n + 1, sizeof *row->some);
	row->fixed = calloc(n + 1, sizeof *row->fixed);
	row->var_at = calloc(n + 1, sizeof *row->var_at);
	if (!row->features || !row->cells || !row->some || !row->fixed || !row->var_at) {
		row_release(row);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < n; i++) {
		row->features[i] = mapping->targets[targets[i]];
		row->cells[i] = (struct record_cell){ .slot = row->features[i]->slot, .type = type_code(&row->features[i]->type) };
	}
	return 0;
}

void row_release(struct row *row)
{
	free(row->features);
	free(row->cells);
	free(row->some);
	free(row->fixed);
	free(row->var_at);
	buf_release(&row->var);
	buf_release(&row->entity);
	*row = (struct row){ 0 };
}

void row_begin(struct row *row)
{
	row->has_absent = false;
	if (!row->has_var)
		return;
	row->has_var = false;
	buf_reset(&row->var);
	memset(row->var_at, 0, row->n * sizeof *row->var_at);
}

void row_begin_absent(struct row *row)
{
	row_begin(row);
	for (unsigned i = 0; i < row->n; i++)
		row_state(row, i, RECORD_ABSENT);
	row->has_absent = true;
}

void row_var_begin(struct row *row, unsigned i)
{
	row->var_at[i] = row->var.len + 1;
	row->has_var = true;
}

void row_var_end(struct row *row, unsigned i)
{
	row_bytes(row, i, slice_of(NULL, row->var.len - (row->var_at[i] - 1)));
}

/* ---- text ---- */

/* Eight bytes of ASCII without a NUL among them. */
static bool are_plain(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
	uint64_t eight;

	memcpy(&eight, p, sizeof eight);
	return !((eight | (eight - ones)) & high);
}

static bool is_plain(struct slice text)
{
	const char *p = text.data;
	size_t i = 0;

	if (text.len < 8)
		return false;
	for (; i + 8 <= text.len; i += 8)
		if (!are_plain(p + i))
			return false;
	return i == text.len || are_plain(p + text.len - 8);
}

static int fail_value(const struct row *row, unsigned i, int rc, struct why *why)
{
	if (rc != -ENOMEM)
		why_prefix(why, "%s", row->features[i]->name);
	return rc;
}

/* Text is one: a NUL byte in it is the mark of a file that was not meant to be read as text. */
static int take_string(struct row *row, unsigned i, struct slice text, struct why *why)
{
	int rc = 0;

	row_bytes(row, i, text);
	if (text.len <= TYPE_VALUE_MAX && is_plain(text))
		return 0;
	if (text.len > TYPE_VALUE_MAX)
		rc = why_fail(why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
	else if (text.len && memchr(text.data, 0, text.len))
		rc = why_fail(why, EINVAL, "the text holds a NUL byte");
	else if (!text_is_utf8(text))
		rc = why_fail(why, EILSEQ, "a string is UTF-8; these bytes are not");
	return rc < 0 ? fail_value(row, i, rc, why) : 0;
}

/* The usual forms of the usual types; false for all else, wrong or only unusual. */
static bool take_usual(const struct catalog_feature *feature, struct slice text, uint8_t *out, size_t *out_len)
{
	const char *p = text.data;
	int64_t integer;
	double real;

	switch (feature->type.base) {
	case TYPE_INT64:
		*out_len = 8;
		return num_parse_i64(text, &integer) == 0 && (memcpy(out, &integer, 8), true);
	case TYPE_FLOAT64:
		*out_len = 8;
		return num_parse_f64(text, &real) == 0 && isfinite(real) && (memcpy(out, &real, 8), true);
	case TYPE_BOOL:
		*out_len = 1;
		*out = text.len == 1 ? p[0] == '1' : text.len == 4;
		return (text.len == 1 && (p[0] == '0' || p[0] == '1')) || (text.len == 4 && !memcmp(p, "true", 4)) ||
			(text.len == 5 && !memcmp(p, "false", 5));
	default:
		return false;
	}
}

static int take_fixed(struct row *row, unsigned i, struct slice text, struct why *why)
{
	const struct catalog_feature *feature = row->features[i];
	struct buf place = { .data = (char *)row->fixed[i], .cap = sizeof row->fixed[i] };	/* no value of these types outgrows it */
	int rc;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (take_usual(feature, text, row->fixed[i], &place.len)) {
		row_bytes(row, i, slice_of(place.data, place.len));
		return 0;
	}
	place.len = 0;
#endif
	rc = type_text_parse(&feature->type, feature->nan, text, &place, why);
	if (rc < 0)
		return fail_value(row, i, rc, why);
	row_bytes(row, i, slice_of(place.data, place.len));
	return 0;
}

int row_text(struct row *row, unsigned i, struct slice text, struct why *why)
{
	const struct catalog_feature *feature = row->features[i];
	int rc;

	if (!feature->type.is_array) {
		if (feature->type.base == TYPE_STRING)
			return take_string(row, i, text, why);
		if (feature->type.base != TYPE_BYTES && feature->type.base != TYPE_JSON)
			return take_fixed(row, i, text, why);
	}
	row_var_begin(row, i);
	rc = type_text_parse(&feature->type, feature->nan, text, &row->var, why);
	if (rc < 0)
		return fail_value(row, i, rc, why);
	row_var_end(row, i);
	return 0;
}

int row_json(struct row *row, unsigned i, struct yyjson_val *json, struct why *why)
{
	const struct catalog_feature *feature = row->features[i];
	int rc;

	row_var_begin(row, i);
	rc = type_json_parse(&feature->type, feature->nan, json, &row->var, why);
	if (rc < 0)
		return fail_value(row, i, rc, why);
	row_var_end(row, i);
	return 0;
}

/* ---- packing ---- */

/* `var` has come to rest. */
static void settle_var(struct row *row)
{
	for (unsigned i = 0; i < row->n; i++)
		if (row->var_at[i] && row->cells[i].state == RECORD_PRESENT)
			row->cells[i].value.data = row->var.data + row->var_at[i] - 1;
}

int row_finish(struct row *row, uint8_t flags, int64_t event_ns, uint64_t line, struct why *why)
{
	const struct record_cell *cells = row->cells;
	size_t n = row->n;

	if (row->has_var) {
		if (buf_error(&row->var) < 0)
			return -ENOMEM;
		settle_var(row);
	}
	if (row->has_absent) {
		n = 0;
		for (unsigned i = 0; i < row->n; i++)
			if (row->cells[i].state != RECORD_ABSENT)
				row->some[n++] = row->cells[i];
		cells = row->some;
	}
	if (record_packed_len(flags, cells, n) > BATCH_ROW_MAX)
		return why_fail(why, EFBIG, "the row has more than %d bytes of values", BATCH_ROW_MAX);
	row_done(row, cells, n, flags, event_ns, line);
	return 0;
}
