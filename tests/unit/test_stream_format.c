/* SPDX-License-Identifier: MIT */
/* Messages to rows: mappings, paths, event times, each format. */
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"
#include "store/store.h"
#include "stream/format.h"
#include "stream/stream.h"
#include "test.h"

static const char features[] =
	"[group]\nentity = user\n\n"
	"[feature clicks]\ntype = int64\n\n[feature ctr]\ntype = float32\n\n[feature name]\ntype = string\n\n"
	"[feature tags]\ntype = string[]\n\n[feature vec]\ntype = float32[3]\n\n[feature raw]\ntype = json\n\n"
	"[feature blob]\ntype = bytes\n\n[feature at]\ntype = timestamp\n\n[feature on]\ntype = bool\n\n[feature small]\ntype = int32\n\n";

struct world {
	struct catalog_group *grp;
	struct stream_mapping *map;
	struct stream_row row;
	struct why why;
	struct buf text;	/* the last row, printed */
};

static int try_group(struct world *w, const char *head, const char *section)
{
	struct buf text = { 0 };
	int rc;

	*w = (struct world){ 0 };
	buf_printf(&text, "%s[stream s]\ntopic = t\n%s", head, section);
	rc = catalog_group_parse("test", buf_slice(&text), &w->grp, &w->why);
	if (rc == 0)
		rc = stream_mapping_new(w->grp, &w->grp->sections[0], NULL, &w->map, &w->why);
	buf_release(&text);
	return rc;
}

static void close_world(struct world *w)
{
	stream_mapping_free(w->map);
	catalog_group_unref(w->grp);
	buf_release(&w->text);
}

static void open_world(struct world *w, const char *section)
{
	int rc = try_group(w, features, section);

	if (rc < 0)
		fprintf(stderr, "%s\n", w->why.text);
	NEED(rc == 0);
}

static int decode_message(struct world *w, const struct stream_message *msg)
{
	w->why.text[0] = '\0';
	return stream_mapping_decode(w->map, msg, &w->row, &w->why);
}

static int decode_bytes(struct world *w, const char *key, struct slice value)
{
	struct stream_message msg = { .value = value, .has_value = true, .timestamp_ns = 7 * CLOCK_SECOND };

	if (key) {
		msg.has_key = true;
		msg.key = slice_str(key);
	}
	return decode_message(w, &msg);
}

static int decode(struct world *w, const char *value)
{
	return decode_bytes(w, NULL, slice_str(value));
}

/* "entity@seconds feature=json ..." in the order of the row. */
static struct slice shown(struct world *w)
{
	buf_reset(&w->text);
	buf_printf(&w->text, "%.*s", (int)w->row.entity.len, (const char *)w->row.entity.data);
	for (size_t i = 0; i < w->row.n_values; i++) {
		const struct stream_value *value = &w->row.values[i];
		const struct catalog_feature *feature = catalog_feature_at(w->grp, value->slot);

		buf_printf(&w->text, " %s=", feature->name);
		if (value->state == RECORD_NULL) {
			buf_append_str(&w->text, "null");
			continue;
		}
		CHECK_INT(value->type_code, type_code(&feature->type));
		CHECK_INT(type_check(&feature->type, value->bytes, NULL), 0);
		CHECK_INT(type_json_print(&feature->type, value->bytes, &w->text), 0);
	}
	return buf_slice(&w->text);
}

#define REFUSED(w, value, err, part) do { \
	CHECK_INT(decode(w, value), -(err)); \
	if (!strstr((w)->why.text, part)) \
		fprintf(stderr, "%s:%d: the reason is \"%s\"\n", __FILE__, __LINE__, (w)->why.text); \
	CHECK(strstr((w)->why.text, part)); \
} while (0)

static void test_json_by_name(void)
{
	struct world w;

	open_world(&w, "");
	CHECK_INT(decode(&w, "{\"user\":\"u1\",\"clicks\":3,\"ctr\":0.1,\"other\":{\"x\":[1,2]},\"name\":\"Zo\\u00eb\"}"), 0);
	CHECK_TEXT(shown(&w), "u1 clicks=3 ctr=0.1 name=\"Zo\303\253\"");
	CHECK_INT(w.row.event_ns, 7 * CLOCK_SECOND);
	CHECK(!w.row.is_delete);
	CHECK_INT(decode(&w, " {\"user\":42,\"tags\":[\"a\",\"b,c\"],\"vec\":[1,2.5,-3e2],\"raw\":{\"a\":[1.50,null]},\"blob\":\"AAEC\","
			     "\"at\":\"2026-11-23T04:00:00Z\",\"on\":true,\"small\":-7,\"clicks\":null}\n"), 0);
	CHECK_TEXT(shown(&w), "42 clicks=null tags=[\"a\",\"b,c\"] vec=[1,2.5,-300] raw={\"a\":[1.50,null]} blob=\"AAEC\""
			      " at=\"2026-11-23T04:00:00Z\" on=true small=-7");
	/* Absent features are untouched; a message without any is none of ours. */
	CHECK_INT(decode(&w, "{\"user\":\"u1\",\"other\":1}"), 1);
	CHECK_INT(decode(&w, "{\"user\":\"a/b,c\",\"clicks\":9223372036854775807}"), 0);
	CHECK_TEXT(shown(&w), "a%2Fb%2Cc clicks=9223372036854775807");
	close_world(&w);
}

static void test_json_refusals(void)
{
	struct world w;

	open_world(&w, "");
	REFUSED(&w, "", EINVAL, "nothing is there");
	REFUSED(&w, "{\"user\":\"u1\",", EINVAL, "no JSON at byte 13");
	REFUSED(&w, "[1]", EINVAL, "$: array where an object belongs");
	REFUSED(&w, "\"u1\"", EINVAL, "$: string where an object belongs");
	REFUSED(&w, "null", EINVAL, "entity (user): it is not in the message");
	REFUSED(&w, "{\"clicks\":1}", EINVAL, "entity (user): it is not in the message");
	REFUSED(&w, "{\"user\":null,\"clicks\":1}", EINVAL, "entity (user): JSON null");
	REFUSED(&w, "{\"user\":\"\",\"clicks\":1}", EINVAL, "entity (user): it is empty");
	REFUSED(&w, "{\"user\":\"a\\u0000b\",\"clicks\":1}", EINVAL, "NUL");
	REFUSED(&w, "{\"user\":1.5,\"clicks\":1}", EINVAL, "1.5 is no plain integer");
	REFUSED(&w, "{\"user\":1e3,\"clicks\":1}", EINVAL, "no plain integer");
	REFUSED(&w, "{\"user\":true,\"clicks\":1}", EINVAL, "where a string or an integer belongs");
	REFUSED(&w, "{\"user\":\"u\",\"clicks\":\"3\"}", EINVAL, "clicks (clicks): JSON string");
	REFUSED(&w, "{\"user\":\"u\",\"clicks\":3.0}", EINVAL, "clicks (clicks)");
	REFUSED(&w, "{\"user\":\"u\",\"clicks\":9223372036854775808}", ERANGE, "out of the range of int64");
	REFUSED(&w, "{\"user\":\"u\",\"small\":2147483648}", ERANGE, "out of the range of int32");
	REFUSED(&w, "{\"user\":\"u\",\"ctr\":1e39}", ERANGE, "out of the range of float32");
	REFUSED(&w, "{\"user\":\"u\",\"ctr\":\"NaN\"}", EINVAL, "nan");
	REFUSED(&w, "{\"user\":\"u\",\"vec\":[1,2]}", EINVAL, "3 elements; here are 2");
	REFUSED(&w, "{\"user\":\"u\",\"vec\":[1,2,null]}", EINVAL, "null can't stand inside an array");
	REFUSED(&w, "{\"user\":\"u\",\"blob\":\"?\"}", EINVAL, "base64");
	REFUSED(&w, "{\"user\":\"u\",\"clicks\":1,\"clicks\":2}", EINVAL, "$.clicks: it stands twice");
	REFUSED(&w, "{\"user\":\"u\377\",\"clicks\":1}", EILSEQ, "UTF-8");
	/* After all that it still reads. */
	CHECK_INT(decode(&w, "{\"user\":7.0,\"clicks\":-0}"), 0);
	CHECK_TEXT(shown(&w), "7 clicks=0");
	CHECK_INT(decode(&w, "{\"user\":-0,\"clicks\":1}"), 0);
	CHECK_TEXT(shown(&w), "0 clicks=1");
	close_world(&w);
}

static void test_json_paths(void)
{
	struct world w;

	open_world(&w, "entity = $.user.id\nevent_time = $.meta.ts\nfilter.$.type = click\nfilter.v = 2\n"
		       "feature.clicks = $.stats.clicks\nfeature.ctr = stats['the.ctr'][1]\nfeature.name = $.user.id\n"
		       "feature.raw = $\n");
	CHECK_INT(decode(&w, "{\"type\":\"click\",\"v\":2,\"user\":{\"id\":\"u1\"},\"stats\":{\"clicks\":5,\"the.ctr\":[9,0.5]},"
			     "\"meta\":{\"ts\":1764000000123}}"), 0);
	CHECK_INT(w.row.event_ns, 1764000000123 * 1000000);
	CHECK_INT(w.row.n_values, 4);
	CHECK(strstr((shown(&w), buf_append_char(&w.text, '\0'), w.text.data), "u1 clicks=5 ctr=0.5 name=\"u1\" raw={"));
	CHECK_INT(decode(&w, "{\"type\":\"view\",\"v\":2,\"user\":\"of another shape\"}"), -EINVAL);
	CHECK_INT(decode(&w, "{\"type\":\"view\",\"v\":2}"), 1);
	CHECK_INT(decode(&w, "{\"type\":\"click\",\"v\":3}"), 1);
	CHECK_INT(decode(&w, "{\"type\":\"click\"}"), 1);
	REFUSED(&w, "{\"type\":\"click\",\"v\":2,\"user\":{\"id\":1},\"stats\":3,\"meta\":{\"ts\":1}}", EINVAL,
		"$.stats: number where an object belongs");
	REFUSED(&w, "{\"type\":\"click\",\"v\":2,\"user\":{\"id\":1},\"meta\":{}}", EINVAL, "event_time ($.meta.ts): it is not");
	REFUSED(&w, "{\"type\":\"click\",\"v\":2,\"user\":{\"id\":1},\"meta\":{\"ts\":\"soon\"}}", EINVAL, "\"soon\" is no time");
	/* What lies behind a null, or behind the end of an array, is missing. */
	CHECK_INT(decode(&w, "{\"type\":\"click\",\"v\":2,\"user\":{\"id\":\"1\"},\"stats\":null,\"meta\":{\"ts\":\"2026-11-23T04:00:00Z\"}}"), 0);
	CHECK_INT(w.row.n_values, 2);
	close_world(&w);
}

static int find_header(void *arg, const char *name, struct slice *out)
{
	const char *const *pair = arg;

	if (strcmp(pair[0], name))
		return -ENOENT;
	*out = slice_str(pair[1]);
	return 0;
}

static void test_keys(void)
{
	const char *pair[] = { "when", "1764000000.5" };
	struct stream_message msg = { .key = slice_str("u/1"), .has_key = true, .timestamp_ns = STREAM_NO_TIME, .header = find_header,
				      .header_arg = pair };
	struct world w;

	open_world(&w, "entity = key\nevent_time = header:when\n");
	CHECK_INT(decode_message(&w, &msg), 0);
	CHECK(w.row.is_delete);
	CHECK_INT(w.row.n_values, 0);
	CHECK_TEXT(w.row.entity, "u%2F1");
	CHECK_INT(w.row.event_ns, 1764000000 * CLOCK_SECOND + CLOCK_SECOND / 2);
	msg.value = slice_str("{\"clicks\":1}");
	msg.has_value = true;
	CHECK_INT(decode_message(&w, &msg), 0);
	CHECK_TEXT(shown(&w), "u%2F1 clicks=1");
	pair[0] = "whence";
	CHECK_INT(decode_message(&w, &msg), -EINVAL);
	CHECK(strstr(w.why.text, "header:when): the record has no such header"));
	pair[0] = "when";
	msg.has_key = false;
	CHECK_INT(decode_message(&w, &msg), -EINVAL);
	CHECK(strstr(w.why.text, "entity (key): the record has no key"));
	close_world(&w);

	/* A tombstone without a time of its own takes the record's; without its entity in the key it is refused. */
	open_world(&w, "entity = key.$.id\nevent_time = $.ts\n");
	msg = (struct stream_message){ .key = slice_str("{\"id\":17}"), .has_key = true, .timestamp_ns = 5 };
	CHECK_INT(decode_message(&w, &msg), 0);
	CHECK_TEXT(w.row.entity, "17");
	CHECK_INT(w.row.event_ns, 5);
	msg.key = slice_str("17");
	CHECK_INT(decode_message(&w, &msg), -EINVAL);
	CHECK(strstr(w.why.text, "key: $: number where an object belongs"));
	close_world(&w);
	open_world(&w, "");
	CHECK_INT(decode_message(&w, &msg), -EINVAL);
	CHECK(strstr(w.why.text, "tombstone"));
	close_world(&w);
}

static void test_composite(void)
{
	static const char two[] = "[group]\nentity = user, day\n\n[feature n]\ntype = int32\n\n";
	struct world w;

	CHECK_INT(try_group(&w, two, "entity = key, $['a,b'].day\n"), 0);
	CHECK_INT(decode_bytes(&w, ".x,y", slice_str("{\"a,b\":{\"day\":20261123},\"n\":1}")), 0);
	CHECK_TEXT(shown(&w), "%2Ex%2Cy,20261123 n=1");
	close_world(&w);
	CHECK_INT(try_group(&w, two, ""), 0);
	CHECK_INT(decode(&w, "{\"user\":\"u\",\"day\":\".d\",\"n\":null}"), 0);
	CHECK_TEXT(shown(&w), "u,.d n=null");
	close_world(&w);
	CHECK_INT(try_group(&w, two, "entity = $.user\n"), -EINVAL);
	CHECK(strstr(w.why.text, "entity: it has 1 part, but the group's entity has 2"));
	close_world(&w);
}

static void test_bad_mappings(void)
{
	static const struct {
		const char *section, *reason;
	} bad[] = {
		{ "entity = $.\n", "a name is missing" }, { "entity = $x\n", "steps are" }, { "entity = a b\n", "steps are" },
		{ "entity = $[x]\n", "element's number" }, { "entity = $['x]\n", "a quote is not closed" }, { "entity = $[1\n", "bracket" },
		{ "entity = a, b\n", "2 parts" }, { "entity = a,\n", "2 parts" }, { "event_time = header:\n", "header: without a name" },
		{ "event_time = $.*\n", "event_time: " }, { "filter.$.a[ = 1\n", "filter.$.a[: " }, { "feature.clicks = ..\n", "feature.clicks: " },
		{ "event_time_unit = minutes\n", "event_time_unit: it is s, ms, us, ns" }, { "entity = $[1048577]\n", "element's number" },
		{ "format = csv\n", "is no column: it is one of those" }, { "format = csv\ncolumns = user, a, a\n", "\"a\" stands twice" },
		{ "format = csv\ncolumns = user,, a\n", "name 2 is empty" },
		{ "format = csv\ncolumns = user, clicks\nfeature.ctr = $3\n", "\"columns\" lists 2" },
		{ "format = csv\nentity = $0\nfeature.ctr = $2\n", "no column" }, { "columns = user\n", "only format csv knows it" },
		{ "format = csv\nentity = key.$\nfeature.ctr = $2\n", "a text as a whole" }, { "format = csv\ndelimiter = ab\n", "delimiter: " },
		{ "entity = a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\n", "more than 32 steps" },
	};
	struct world w;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK_INT(try_group(&w, features, bad[i].section), -EINVAL);
		if (!strstr(w.why.text, bad[i].reason))
			fprintf(stderr, "%s: %s\n", bad[i].section, w.why.text);
		CHECK(strstr(w.why.text, bad[i].reason));
		if (w.grp) {
			CHECK_INT(stream_check_group(w.grp, &w.why), -EINVAL);
			CHECK(strstr(w.why.text, "[stream s]: "));
		}
		close_world(&w);
	}
}

static void check_time(const char *unit, const char *value, long long want_ns)
{
	struct buf text = { 0 };
	struct world w;

	buf_printf(&text, "event_time = ts\nevent_time_unit = %s\n", unit);
	buf_append_char(&text, '\0');
	open_world(&w, text.data);
	buf_reset(&text);
	buf_printf(&text, "{\"user\":1,\"clicks\":1,\"ts\":%s}", value);
	if (want_ns < 0 && want_ns > -200) {
		CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), want_ns);
	} else {
		CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), 0);
		CHECK_INT(w.row.event_ns, want_ns);
	}
	close_world(&w);
	buf_release(&text);
}

static void test_times(void)
{
	const long long t = 1764000000;

	check_time("auto", "1764000000", t * 1000000000);
	check_time("auto", "1764000000.25", t * 1000000000 + 250000000);
	check_time("auto", "\"1764000000\"", t * 1000000000);
	check_time("auto", "1.764E9", t * 1000000000);
	check_time("auto", "1764000000123", t * 1000000000 + 123000000);
	check_time("auto", "1.764000000123E12", t * 1000000000 + 123000000);
	check_time("auto", "1764000000123456", t * 1000000000 + 123456000);
	check_time("auto", "1764000000123456789", t * 1000000000 + 123456789);
	check_time("auto", "\"2026-11-23T04:00:00.000000001+01:00\"", 1795402800 * 1000000000LL + 1);
	check_time("auto", "0", 0);
	check_time("auto", "-1.5", -1500000000);
	check_time("auto", "99999999999", -ERANGE);
	check_time("auto", "100000000000", 100000000 * 1000000000LL);
	check_time("ms", "5", 5000000);
	check_time("ms", "\"5\"", 5000000);
	check_time("ms", "0.0000019", 1);
	check_time("us", "-7", -7000);
	check_time("ns", "9223372036854775807", INT64_MAX);
	check_time("ns", "-9223372036854775807", INT64_MIN + 1);
	check_time("ns", "-9223372036854775808", -ERANGE);	/* no time at all */
	check_time("ns", "9223372036854775808", -ERANGE);
	check_time("s", "9223372036.854775807", INT64_MAX);
	check_time("s", "1e400", -ERANGE);
	check_time("s", "1e999999999999", -ERANGE);
	check_time("s", "0e999999999999", 0);
	check_time("s", "1e-999999999999", 0);
	check_time("s", "1764000000.00000000000000000000000000000000000000000000000000001", t * 1000000000);
	check_time("s", "100000000000000000000000000000000000000000000000000000000000000000000", -ERANGE);
	check_time("s", "\"\"", -EINVAL);
	check_time("s", "\"1e\"", -EINVAL);
	check_time("s", "\".\"", -EINVAL);
	check_time("s", "\"inf\"", -EINVAL);
	check_time("s", "[1]", -EINVAL);
	check_time("s", "null", -EINVAL);
}

static void test_csv(void)
{
	struct world w;

	open_world(&w, "format = csv\ncolumns = user, ts, clicks, name, tags, other, blob\nevent_time = ts\n");
	CHECK_INT(decode(&w, "u1,1764000000,3,\"a \"\"b\"\", c\",\"[\"\"x\"\"]\",?,raw\r\n"), 0);
	CHECK_TEXT(shown(&w), "u1 clicks=3 name=\"a \\\"b\\\", c\" tags=[\"x\"] blob=\"cmF3\"");
	CHECK_INT(w.row.event_ns, 1764000000 * CLOCK_SECOND);
	CHECK_INT(decode(&w, "u/2,2026-11-23T04:00:00Z,,\"\",[],,\n"), 0);
	CHECK_TEXT(shown(&w), "u%2F2 clicks=null name=\"\" tags=[] blob=null");
	CHECK_INT(decode(&w, "\"two\nlines\",1,1,x,[],,"), 0);
	CHECK_TEXT(shown(&w), "two%0Alines clicks=1 name=\"x\" tags=[] blob=null");
	REFUSED(&w, "u1,1,1,a,[],o", EINVAL, "6 fields where 7 belong");
	REFUSED(&w, "u1,1,1,a,[],o,b,", EINVAL, "8 fields where 7 belong");
	REFUSED(&w, "", EINVAL, "1 fields where 7 belong");
	REFUSED(&w, "\"u1,1,1,a,[],o,b", EINVAL, "a quote is not closed, in field 1");
	REFUSED(&w, "\"u1\"x,1,1,a,[],o,b", EINVAL, "field 1 goes on behind its closing quote");
	REFUSED(&w, "u1,1,1,a,[],o,b\nu2,1,1,a,[],o,b\n", EINVAL, "more than one line");
	REFUSED(&w, "u1,1,1.5,a,[],o,b", EINVAL, "clicks (clicks): \"1.5\" is not a decimal integer");
	REFUSED(&w, "u1,1,1,\377,[],o,b", EILSEQ, "UTF-8");
	REFUSED(&w, ",1,1,x,[],o,b", EINVAL, "entity (user): it is null");
	REFUSED(&w, "\"\",1,1,x,[],o,b", EINVAL, "entity (user): it is empty");
	REFUSED(&w, "u,,1,x,[],o,b", EINVAL, "event_time (ts): it is null");
	close_world(&w);

	open_world(&w, "format = csv\ndelimiter = tab\nnull = \\N\nentity = $2\nfilter.$1 = click\nfeature.clicks = $3\nfeature.name = $4\n");
	CHECK_INT(decode(&w, "click\tu1\t\\N\t\tmore"), 0);
	CHECK_TEXT(shown(&w), "u1 clicks=null name=\"\"");
	CHECK_INT(decode(&w, "view\tu1\tx\t"), 1);
	REFUSED(&w, "click\tu1\t3", EINVAL, "3 fields where 4 belong");
	close_world(&w);
}

/* Deep, long and broken on purpose. */
static void test_json_hostile(void)
{
	enum { DEEP = 5000000, LONG = 10 << 20 };
	struct buf text = { 0 };
	struct world w;

	open_world(&w, "");
	buf_append_str(&text, "{\"user\":\"u\",\"clicks\":1,\"deep\":");
	for (int i = 0; i < DEEP; i++)
		buf_append_char(&text, '[');
	CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), -EINVAL);
	for (int i = 0; i < DEEP; i++)
		buf_append_char(&text, ']');
	buf_append_char(&text, '}');
	CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), 0);
	CHECK_TEXT(shown(&w), "u clicks=1");
	buf_reset(&text);
	buf_append_str(&text, "{\"user\":\"u\",\"name\":\"");
	for (int i = 0; i < LONG; i++)
		buf_append_char(&text, 'x');
	buf_append_str(&text, "\"}");
	CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), -EFBIG);
	CHECK(strstr(w.why.text, "name (name): a value is at most 1048576 bytes"));
	for (int i = 0; i < STREAM_MESSAGE_MAX - LONG; i++)
		buf_append_char(&text, ' ');
	CHECK_INT(decode_bytes(&w, NULL, buf_slice(&text)), -EFBIG);
	CHECK(strstr(w.why.text, "a message has at most"));
	CHECK_INT(decode(&w, "{\"user\":\"u\",\"clicks\":1}"), 0);
	buf_release(&text);
	close_world(&w);
}

/* More children than are looked through one by one. */
static void test_many_features(void)
{
	struct buf head = { 0 }, message = { 0 };
	struct world w;
	int rc;

	buf_append_str(&head, "[group]\nentity = user\n\n");
	buf_append_str(&message, "{\"user\":\"u\"");
	for (int i = 0; i < 500; i++) {
		buf_printf(&head, "[feature f%d]\ntype = int32\n\n", i);
		buf_printf(&message, ",\"f%d\":%d,\"g%d\":0", 499 - i, 499 - i, i);
	}
	buf_append_str(&message, "}");
	buf_append_char(&head, '\0');
	rc = try_group(&w, head.data, "");
	NEED(rc == 0);
	CHECK_INT(decode_bytes(&w, NULL, buf_slice(&message)), 0);
	CHECK_INT(w.row.n_values, 500);
	for (size_t i = 0; i < w.row.n_values; i++)
		CHECK_INT(*(const unsigned char *)w.row.values[i].bytes.data, w.row.values[i].slot & 255);
	buf_release(&head);
	buf_release(&message);
	close_world(&w);
}

int main(void)
{
	test_json_by_name();
	test_json_refusals();
	test_json_paths();
	test_keys();
	test_composite();
	test_bad_mappings();
	test_times();
	test_csv();
	test_json_hostile();
	test_many_features();
	return test_end("stream_format");
}
