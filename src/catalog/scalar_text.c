/* SPDX-License-Identifier: MIT */
/* The kinds that JSON writes as a text, and json itself, whose numbers stay as they were written. */
#include "catalog/scalar_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

/* ---- string and bytes ---- */

static int string_check(struct slice value, bool nan, struct why *why)
{
	(void)nan;
	return text_is_utf8(value) ? 0 : why_fail(why, EILSEQ, "a string is UTF-8; these bytes are not");
}

static int string_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	int rc = string_check(text, nan, why);

	if (rc == 0)
		buf_append_slice(out, text);
	return rc;
}

static int string_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	if (!yyjson_is_str(json))
		return scalar_refuse_json(json, "a string", why);
	buf_append_slice(out, scalar_json_text(json));
	return 0;
}

static int string_print_text(struct slice value, struct buf *out)
{
	if (!text_is_utf8(value))
		return -EBADMSG;
	buf_append_slice(out, value);
	return 0;
}

static void print_escape(uint8_t c, struct buf *out)
{
	static const char short_form[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
					   ['"'] = '"', ['\\'] = '\\' };

	buf_append_char(out, '\\');
	if (short_form[c])
		buf_append_char(out, short_form[c]);
	else
		buf_printf(out, "u%04x", c);
}

static int string_print_json(struct slice value, struct buf *out)
{
	const uint8_t *p = value.data;
	size_t start = 0;

	if (!text_is_utf8(value))
		return -EBADMSG;
	buf_append_char(out, '"');
	for (size_t i = 0; i < value.len; i++) {
		if (p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			continue;
		buf_append(out, p + start, i - start);
		print_escape(p[i], out);
		start = i + 1;
	}
	if (value.len)
		buf_append(out, p + start, value.len - start);
	buf_append_char(out, '"');
	return 0;
}

static int bytes_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	(void)why;
	buf_append_slice(out, text);
	return 0;
}

static int bytes_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	int rc;

	(void)nan;
	if (!yyjson_is_str(json))
		return scalar_refuse_json(json, "a string of base64", why);
	rc = text_base64_decode(scalar_json_text(json), out);
	return rc == -EINVAL ? why_fail(why, EINVAL, "the string is not base64 with padding") : rc;
}

static int bytes_print_text(struct slice value, struct buf *out)
{
	buf_append_slice(out, value);
	return 0;
}

static int bytes_print_json(struct slice value, struct buf *out)
{
	buf_append_char(out, '"');
	text_base64_encode(value, out);
	buf_append_char(out, '"');
	return 0;
}

const struct scalar scalar_string = {
	"string", 0, string_parse_text, string_parse_json, string_check,
	string_print_text, string_print_json,
};
const struct scalar scalar_bytes = {
	"bytes", 0, bytes_parse_text, bytes_parse_json, scalar_any_check,
	bytes_print_text, bytes_print_json,
};

/* ---- timestamp ---- */

static int check_us(int64_t us, struct why *why)
{
	if (us < INT64_MIN / 1000 || us > INT64_MAX / 1000)
		return why_fail(why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11");
	return 0;
}

static int put_us(int64_t us, struct buf *out, struct why *why)
{
	int rc = check_us(us, why);

	if (rc == 0)
		buf_append_u64(out, (uint64_t)us);
	return rc;
}

static int put_seconds(double seconds, struct buf *out, struct why *why)
{
	double us = floor(seconds * 1e6);

	if (!(us > -9.3e15 && us < 9.3e15))	/* just past what check_us allows, and what fits into int64 */
		return check_us(INT64_MAX, why);
	return put_us((int64_t)us, out, why);
}

static int timestamp_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	int64_t ns;
	int rc = clock_parse_time(text, &ns);

	(void)nan;
	if (rc == -ERANGE)
		return check_us(INT64_MAX, why);
	if (rc < 0)
		return scalar_refuse_text(text, "a time: 2026-11-23T04:00:00Z, or seconds since 1970", why);
	return put_us(ns / 1000 - (ns % 1000 < 0), out, why);
}

static int timestamp_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	double seconds;
	int rc;

	if (yyjson_is_str(json))
		return timestamp_parse_text(scalar_json_text(json), nan, out, why);
	if (yyjson_is_raw(json)) {
		rc = timestamp_parse_text(scalar_json_text(json), nan, out, NULL);
		if (rc != -EINVAL)
			return rc == -ERANGE ? check_us(INT64_MAX, why) : rc;
		rc = num_parse_f64(scalar_json_text(json), &seconds);	/* with an exponent, or more than nine decimals */
		if (rc < 0)
			return scalar_refuse_number(rc, scalar_json_text(json), "timestamp", "a decimal number", why);
		return put_seconds(seconds, out, why);
	}
	if (!yyjson_is_num(json))
		return scalar_refuse_json(json, "a time, a string or a number of seconds,", why);
	return put_seconds(yyjson_get_num(json), out, why);
}

static int timestamp_check(struct slice value, bool nan, struct why *why)
{
	(void)nan;
	return check_us((int64_t)scalar_load(value.data, 8), why);
}

static int timestamp_print_text(struct slice value, struct buf *out)
{
	int64_t us = (int64_t)scalar_load(value.data, 8);
	char text[CLOCK_TEXT_MAX];

	if (check_us(us, NULL) < 0)
		return -EBADMSG;
	buf_append(out, text, clock_print_time(us * 1000, false, text));
	return 0;
}

static int timestamp_print_json(struct slice value, struct buf *out)
{
	int rc;

	buf_append_char(out, '"');
	rc = timestamp_print_text(value, out);
	buf_append_char(out, '"');
	return rc;
}

const struct scalar scalar_timestamp = {
	"timestamp", 8, timestamp_parse_text, timestamp_parse_json, timestamp_check,
	timestamp_print_text, timestamp_print_json,
};

/* ---- json ---- */

int scalar_read_json(struct slice text, yyjson_doc **out, struct why *why)
{
	yyjson_read_err err;
	yyjson_doc *doc;

	if (!text_is_utf8(text))
		return why_fail(why, EILSEQ, "JSON is UTF-8; these bytes are not");
	if (!text.len)
		return why_fail(why, EINVAL, "not JSON: nothing is there");
	/* The flag that would let yyjson write to its input is not set, so the cast breaks no promise. */
	doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.len, YYJSON_READ_NUMBER_AS_RAW, NULL, &err);
	if (!doc && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!doc)
		return why_fail(why, EINVAL, "not JSON: %s, at byte %zu", err.msg, err.pos);
	*out = doc;
	return 0;
}

static int json_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	yyjson_write_err err;
	size_t len;
	char *text = yyjson_val_write_opts(json, YYJSON_WRITE_NOFLAG, NULL, &len, &err);

	(void)nan;
	if (!text && err.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!text)
		return why_fail(why, EINVAL, "can't be written as JSON: %s", err.msg);
	buf_append(out, text, len);
	free(text);
	return 0;
}

static int json_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	yyjson_doc *doc;
	int rc = scalar_read_json(text, &doc, why);

	if (rc < 0)
		return rc;
	rc = json_parse_json(yyjson_doc_get_root(doc), nan, out, why);
	yyjson_doc_free(doc);
	return rc;
}

static int json_check(struct slice value, bool nan, struct why *why)
{
	yyjson_doc *doc;
	int rc = scalar_read_json(value, &doc, why);

	(void)nan;
	if (rc == 0)
		yyjson_doc_free(doc);
	return rc;
}

static int json_print(struct slice value, struct buf *out)
{
	if (!value.len)
		return -EBADMSG;
	buf_append_slice(out, value);		/* checked and made compact when it was stored */
	return 0;
}

const struct scalar scalar_json = { "json", 0, json_parse_text, json_parse_json, json_check, json_print, json_print };
