/* SPDX-License-Identifier: MIT */
/*
 * File text and .bin of values. The first byte chooses the type, the rest is the text. What is accepted is of the type,
 * prints, and reads back to the same bytes; no beginning of it was called hopeless.
 */
#include <assert.h>
#include <stdint.h>
#include "catalog/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"bool", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "json", "bool[]", "int32[]",
	"int64[2]", "float32[3]",
	"float64[]", "string[]", "bytes[]", "timestamp[]", "json[]",
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static void check_text(const struct type *type, struct slice text)
{
	struct buf stored = { 0 }, printed = { 0 }, again = { 0 };
	struct why why;

	if (type_text_parse(type, true, text, &stored, &why) < 0)
		goto out;
	for (size_t len = 0; len <= text.len && len < 4096; len++)
		assert(type_text_viable(type, slice_of(text.data, len), &why) == 0);
	assert(type_check(type, buf_slice(&stored), &why) == 0);
	assert(type_text_print(type, buf_slice(&stored), &printed) == 0);
	assert(type_text_parse(type, true, buf_slice(&printed), &again, &why) == 0);
	assert(slice_equal(buf_slice(&stored), buf_slice(&again)));
out:
	buf_release(&stored);
	buf_release(&printed);
	buf_release(&again);
}

static void check_bin(const struct type *type, struct slice bytes)
{
	struct buf stored = { 0 }, printed = { 0 };
	struct why why;

	if (type_bin_parse(type, true, bytes, &stored, &why) == 0) {
		assert(type_check(type, buf_slice(&stored), &why) == 0);
		assert(type_text_print(type, buf_slice(&stored), &printed) == 0);
		assert(type_json_print(type, buf_slice(&stored), &printed) == 0);
		assert(type_bin_print(type, buf_slice(&stored), &printed) == 0);
	}
	buf_release(&stored);
	buf_release(&printed);
}

/* Stored bytes that something damaged: no crash, and what passes the check prints. */
static void check_damaged(const struct type *type, struct slice bytes)
{
	struct buf printed = { 0 };
	struct why why;
	int rc = type_text_print(type, bytes, &printed);

	if (type_check(type, bytes, &why) == 0)
		assert(rc == 0);
	buf_release(&printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;
	struct type type;

	if (!size || type_parse(slice_str(names[data[0] % NAMES]), &type, NULL) < 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	check_text(&type, rest);
	check_bin(&type, rest);
	check_damaged(&type, rest);
	return 0;
}
