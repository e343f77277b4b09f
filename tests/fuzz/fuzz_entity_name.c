/* SPDX-License-Identifier: MIT */
/*
 * Names, times and numbers from outside. A raw key part has exactly one written form, which passes the check; an entity
 * name that passes is what its own parts are written as.
 */
#include <assert.h>
#include <stdint.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned hex(uint8_t c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Unescapes a checked name part by part and writes it again. */
static void check_written(struct slice name)
{
	const uint8_t *p = name.data;
	struct buf part = { 0 }, written = { 0 };

	for (size_t i = 0; i <= name.len; i++) {
		if (i == name.len || p[i] == ',') {
			assert(text_escape_entity_part(buf_slice(&part), written.len == 0, &written) == 0);
			if (i < name.len)
				buf_append_char(&written, ',');
			buf_reset(&part);
		} else if (p[i] == '%') {
			buf_append_u8(&part, (uint8_t)(hex(p[i + 1]) << 4 | hex(p[i + 2])));
			i += 2;
		} else {
			buf_append_u8(&part, p[i]);
		}
	}
	assert(slice_equal(buf_slice(&written), name));
	buf_release(&part);
	buf_release(&written);
}

static void check_names(struct slice input)
{
	struct buf written = { 0 };
	struct why why;

	for (unsigned parts = 1; parts <= 3; parts++)
		if (text_check_entity(input, parts, &why) == 0)
			check_written(input);
	if (text_escape_entity_part(input, true, &written) == 0 && written.len <= TEXT_ENTITY_MAX)
		assert(text_check_entity(buf_slice(&written), 1, &why) == 0);
	if (text_check_group_name(input, &why) == 0)
		assert(text_check_feature_name(input, &why) == 0 && text_check_entity(input, 1, &why) == 0);
	buf_release(&written);
}

static void check_numbers(struct slice input)
{
	char text[NUM_MAX], time[CLOCK_TEXT_MAX];
	struct buf bytes = { 0 };
	int64_t i, again;
	uint64_t u;
	double d, back;
	float f;

	if (num_parse_i64(input, &i) == 0)
		assert(num_parse_i64(slice_of(text, num_print_i64(i, text)), &again) == 0 && again == i);
	if (num_parse_f64(input, &d) == 0)
		assert(num_parse_f64(slice_of(text, num_print_f64(d, text)), &back) == 0 && (back == d || d != d));
	if (num_parse_f32(input, &f) == 0)
		num_print_f32(f, text);
	num_parse_bytes(input, &u);
	if (clock_parse_time(input, &i) == 0)
		assert(clock_parse_time(slice_of(time, clock_print_time(i, true, time)), &again) == 0 && again == i);
	if (clock_parse_span(input, &i) == 0)
		assert(clock_parse_span(slice_of(time, clock_print_span(i, time)), &again) == 0 && again == i);
	if (text_base64_decode(input, &bytes) == 0) {
		struct buf encoded = { 0 };

		text_base64_encode(buf_slice(&bytes), &encoded);
		assert(slice_equal(buf_slice(&encoded), input));
		buf_release(&encoded);
	}
	buf_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { data, size };

	check_names(input);
	check_numbers(input);
	if (text_is_utf8(input))
		for (size_t len = 0; len < size && len < 512; len++)
			assert(text_is_utf8_prefix(slice_of(data, len)));
	return 0;
}
