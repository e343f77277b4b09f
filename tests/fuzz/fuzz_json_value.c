/* SPDX-License-Identifier: MIT */
/*
 * Values in rows of JSON. The first byte chooses the type and how the row was read; what is accepted prints as JSON
 * that reads back to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <yyjson.h>
#include "catalog/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"bool", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "json", "bool[]", "int32[2]",
	"int64[]", "float32[]",
	"float64[3]", "string[]", "bytes[]", "timestamp[]", "json[]",
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static int parse_json(const struct type *type, bool is_raw, struct slice text, struct buf *out)
{
	yyjson_doc *doc = yyjson_read(text.data, text.len, is_raw ? YYJSON_READ_NUMBER_AS_RAW : YYJSON_READ_NOFLAG);
	struct why why;
	int rc;

	if (!doc)
		return -1;
	rc = type_json_parse(type, true, yyjson_doc_get_root(doc), out, &why);
	yyjson_doc_free(doc);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf stored = { 0 }, printed = { 0 }, again = { 0 };
	struct why why;
	struct type type;
	bool is_raw;

	if (!size || type_parse(slice_str(names[data[0] % NAMES]), &type, NULL) < 0)
		return 0;
	is_raw = data[0] & 0x80;
	if (parse_json(&type, is_raw, slice_of(data + 1, size - 1), &stored) < 0)
		goto out;
	assert(type_check(&type, buf_slice(&stored), &why) == 0);
	assert(type_json_print(&type, buf_slice(&stored), &printed) == 0);
	assert(parse_json(&type, true, buf_slice(&printed), &again) == 0);
	assert(slice_equal(buf_slice(&stored), buf_slice(&again)));
out:
	buf_release(&stored);
	buf_release(&printed);
	buf_release(&again);
	return 0;
}
