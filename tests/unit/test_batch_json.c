/* SPDX-License-Identifier: MIT */
/* JSON Lines in both shapes, and what is refused of them. */
#include "batch_help.h"

static const char schema[] =
	"[group]\nentity = user\n"
	"[feature n]\ntype = int64\n"
	"[feature x]\ntype = float32\n"
	"[feature s]\ntype = string\n"
	"[feature v]\ntype = float32[2]\n"
	"[feature raw]\ntype = bytes\n"
	"[feature j]\ntype = json\n"
	"[feature old]\ntype = int64\nretired = yes\n"
	"[batch]\nfeature.s = label\n";

static struct help help;

static void check_json(const char *text, const char *want)
{
	CHECK_INT(help_read_text(&help, "a.jsonl", text), 0);
	CHECK_TEXT(buf_slice(&help.text), want);
}

static void test_columns(void)
{
	check_json("{\"user\": \"u1\", \"n\": 1, \"x\": 0.1, \"label\": \"a\\u00e9\\n\"}\n{\"x\": 2, \"user\": \"u2\"}\n",
		   "1 u1 - n=1 x=0.1 s=\"a\xc3\xa9\\n\"\n2 u2 - x=2\n");
	check_json("\xef\xbb\xbf{\"user\": \"u1\", \"n\": null, \"extra\": [1], \"s\": \"by its own name\"}\r\n\n  \n"
		   "{\"other\": 1, \"extra\": 2, \"user\": \"a/b\", \"v\": [1, 2], \"raw\": \"AAE=\", \"j\": {\"k\":  1.50}}",
		   "1 u1 - n=null\n4 a%2Fb - v=[1,2] raw=\"AAE=\" j={\"k\":1.50}\n");
	CHECK_TEXT(buf_slice(&help.ignored), "extra, s, other");
	check_json("{\"user\": 42, \"n\": 1}\n{\"user\": 42.0, \"n\": 1}\n{\"user\": -7, \"n\": 1}\n{\"user\": -0.0, \"n\": 1}\n"
		   "{\"user\": \"042\", \"n\": 1}\n{\"user\": 4.2, \"n\": 1}\n{\"user\": 1e3, \"n\": 1}\n{\"user\": true, \"n\": 1}\n",
		   "1 42 - n=1\n2 42 - n=1\n3 -7 - n=1\n4 0 - n=1\n5 042 - n=1\n"
		   "!6 4.2: the key \"user\" is the entity; as a number it must be a plain integer\n"
		   "!7 1e3: the key \"user\" is the entity; as a number it must be a plain integer\n"
		   "!8 : the key \"user\" is the entity, and must be a string or an integer\n");
	check_json("{\"entity\": \"a%b\", \"n\": 1, \"event_time\": \"2026-11-23T01:00:00Z\"}\n{\"entity\": \"u\", \"n\": 1, \"event_time\": 10}\n"
		   "{\"entity\": \"u\", \"n\": 1, \"event_time\": null}\n{\"entity\": \"u\", \"n\": 1, \"event_time\": []}\n",
		   "1 a%25b 2026-11-23T01:00:00Z n=1\n2 u 1970-01-01T00:00:10Z n=1\n3 u - n=1\n"
		   "!4 u: event time must be text (\"2026-11-23T04:00:00Z\") or seconds since 1970\n");
}

/* A key may hold NUL bytes, and is as long as it is. */
static void test_keys_with_nul(void)
{
	static const char line[] = "{\"user\": \"u1\", \"a\\u0000 longer than what stands before its NUL byte\": 1, \"n\\u0000\": 2, \"n\": 3}\n";
	char text[2 * sizeof line];

	snprintf(text, sizeof text, "%s%s", line, line);
	check_json(text, "1 u1 - n=3\n2 u1 - n=3\n");
}

static void test_format(void)
{
	check_json("{\"entity\": \"a%2Fb\", \"event_time\": 10, \"features\": {\"n\": 3, \"s\": null}, \"delete\": [\"x\"]}\n"
		   "{\"entity\": \"u\", \"delete\": true}\n{\"entity\": \"u\", \"features\": {}}\n{\"group\": \"\", \"entity\": 5, \"features\": {\"n\": 1}}\n",
		   "1 a%2Fb 1970-01-01T00:00:10Z n=3 x=deleted s=null\n2 u - gone\n3 u -\n4 5 - n=1\n");
	check_json("{\"entity\": \"a/b\", \"features\": {\"n\": 3}}\n{\"entity\": \"u\", \"features\": {\"nn\": 3}}\n"
		   "{\"entity\": \"u\", \"features\": {\"old\": 3}}\n{\"entity\": \"u\", \"features\": {\"n\": 3}, \"feature\": 1}\n"
		   "{\"features\": {\"n\": 3}}\n{\"entity\": \"u\", \"features\": {\"n\": 3}, \"delete\": [\"n\"]}\n"
		   "{\"entity\": \"u\", \"features\": {\"n\": 3}, \"delete\": true}\n{\"entity\": \"u\", \"features\": {\"n\": 3}, \"force\": true}\n"
		   "{\"entity\": \"u\", \"features\": {\"n\": 3}, \"group\": \"other\"}\n{\"entity\": \"u\", \"features\": {\"n\": 3, \"n\": 4}}\n"
		   "{\"entity\": \"u\", \"delete\": 1}\n",
		   "!1 : byte 0x2f in an entity's name is written %2F\n!2 u: the feature \"nn\" is not declared in .schema\n"
		   "!3 u: the feature \"old\" is retired in .schema\n"
		   "!4 : the key \"feature\" means nothing in a row; a row has entity, event_time, features, delete\n"
		   "!5 : the row names no entity\n!6 u: n stands in both features and delete\n"
		   "!7 u: a row can't delete its entity and set features\n"
		   "!8 u: force is not for files of rows; a load that wins whatever its time has mode = overwrite\n"
		   "!9 u: the row names another group\n!10 u: n: the row has it twice\n"
		   "!11 u: delete must be a list of features, or true\n");
}

static void test_bad_lines(void)
{
	check_json("{\"user\": \"u1\", \"n\": 1\n[1]\n{\"user\": \"u2\", \"n\": \"x\"}\n{\"user\": \"u3\", \"n\": 1.5}\n{\"n\": 1}\n"
		   "{\"user\": \"\", \"n\": 1}\n{\"user\": \"u\\u0000\", \"n\": 1}\n{\"user\": \"u4\", \"other\": 1}\n{\"user\": \"\xff\", \"n\": 1}\n"
		   "{\"user\": \"u5\", \"v\": [1]}\n{\"user\": \"u6\", \"n\": 1} x\n{\"user\": \"u7\", \"user\": \"u8\", \"n\": 1}\n",
		   "!1 : no JSON at byte 21: unexpected end of data\n!2 : the line is JSON, but no object\n"
		   "!3 u2: n: JSON string where an integer belongs\n!4 u3: n: \"1.5\" is not a decimal integer\n"
		   "!5 : the row names no entity: it lacks user; see [batch] in .schema\n!6 : the entity is empty\n"
		   "!7 : the entity has a NUL byte\n"
		   "!8 u4: no key of the row is a feature; an entity without values has \"features\": {}\n"
		   "!9 : the row is not valid UTF-8\n!10 u5: v: float32[2] has 2 elements; here are 1\n"
		   "!11 : no JSON at byte 23: unexpected content after document\n!12 u7: the key \"user\" stands twice\n");
	CHECK_INT(help_read_text(&help, "a.json", "[\n{\"user\": \"u1\"}]\n"), -EINVAL);
	CHECK(strstr(help.why.text, "one JSON array"));
	check_json("", "");
	/* By content, whatever the name. */
	CHECK_INT(help_read_text(&help, "part-0", " \n{\"user\": \"u1\", \"n\": 1}"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 - n=1\n");
}

static void test_long_lines(void)
{
	size_t big = 9 << 20;
	struct buf text = { 0 };
	char *place;

	buf_append_str(&text, "{\"user\": \"u1\", \"n\": 1}\n{\"user\": \"u2\", \"label\": \"");
	place = buf_reserve(&text, big);
	NEED(place);
	memset(place, 'x', big);
	text.len += big;
	buf_append_str(&text, "\"}\n{\"user\": \"u3\", \"n\": 1}\n");
	CHECK_INT(help_read(&help, NULL, "a.json", text.data, text.len), 0);
	CHECK_TEXT(buf_slice(&help.text), "1 u1 - n=1\n!2 : the line is longer than 4194304 bytes\n3 u3 - n=1\n");
	buf_release(&text);
}

/* Lines of all lengths, so that windows end everywhere in them. */
static void test_windows(void)
{
	struct buf text = { 0 };
	unsigned rows = 40000;

	for (unsigned i = 0; i < rows; i++)
		buf_printf(&text, "{\"user\": \"user%u\", \"n\": %u, \"label\": \"%.*s\"}\n", i, i, (int)(i % 41),
			   "01234567890123456789012345678901234567890");
	CHECK_INT(help_read(&help, NULL, "a.json", text.data, text.len), 0);
	CHECK_INT(help.rows, rows);
	CHECK_INT(help.rejects, 0);
	CHECK(memmem(help.text.data, help.text.len, "\n40000 user39999 - n=39999 s=\"012345678901234567890123\"\n", 56));
	buf_release(&text);
}

int main(void)
{
	help.grp = help_group(schema);
	test_columns();
	test_keys_with_nul();
	test_format();
	test_bad_lines();
	test_long_lines();
	test_windows();
	help_release(&help);
	catalog_group_unref(help.grp);
	return test_end("batch_json");
}
