/* SPDX-License-Identifier: MIT */
/* INI to callbacks: long lines, continuation, comments, line numbers, and what is refused. */
#include <errno.h>
#include "base/buf.h"
#include "base/conf.h"
#include "test.h"

struct record {
	struct buf text;	/* "[section]" and "line:key=value|" in order */
	const char *refuse;	/* the key at which the handler refuses */
};

static int take(void *arg, const char *section, const char *key, const char *value, unsigned line, struct why *why)
{
	struct record *record = arg;

	if (!key) {
		buf_printf(&record->text, "[%s]", section);
		return 0;
	}
	if (record->refuse && !strcmp(record->refuse, key))
		return why_fail(why, ERANGE, "not that");
	buf_printf(&record->text, "%u:%s=%s|", line, key, value);
	return 0;
}

static void check_text(const char *text, const char *want)
{
	struct record record = { 0 };
	struct why why = { "" };

	CHECK_INT(conf_parse("x.conf", slice_str(text), take, &record, &why), 0);
	CHECK_TEXT(slice_str(why.text), "");
	CHECK_TEXT(buf_slice(&record.text), want);
	buf_release(&record.text);
}

static void check_refused(struct slice text, const char *want)
{
	struct record record = { 0 };
	struct why why = { "" };

	CHECK_INT(conf_parse("x.conf", text, take, &record, &why), -EINVAL);
	if (strncmp(why.text, want, strlen(want)))
		CHECK_TEXT(slice_str(why.text), want);
	buf_release(&record.text);
}

static void test_form(void)
{
	check_text("", "");
	check_text("; nothing\n\n# at all", "");
	check_text("[a]\nk = v\n", "[a]2:k=v|");
	check_text("\xef\xbb\xbf[a]\r\nk = v\r\n", "[a]2:k=v|");
	check_text("[a]\n[b]\n[ feature  x ] ; why\n", "[a][b][feature  x]");
	check_text("[a]\nk=v ; comment\nj : w;x\ni = #7\nh = a = b", "[a]2:k=v|3:j=w;x|4:i=#7|5:h=a = b|");
	check_text("[a]\nk =\nj = ; empty too\n", "[a]2:k=|3:j=|");
	check_text("[a]\n  k = v\nj = 1\n   and 2\n\n# between\n\tand 3 ; not this\ni = 4",
		   "[a]2:k=v|3:j=1 and 2 and 3|8:i=4|");
	check_text("[a]\nk = 1\n[b]\nk = 2", "[a]2:k=1|[b]4:k=2|");
	check_text("[a]\nk = 1\n [not a section] = 2", "[a]2:k=1 [not a section] = 2|");
}

static void test_refusals(void)
{
	struct record record = { .refuse = "bad" };
	struct why why;

	check_refused(slice_str("k = v"), "x.conf:1: a key stands before");
	check_refused(slice_str("[a]\nnonsense\nk = v"), "x.conf:2: neither");
	check_refused(slice_str("[a]\nnonsense"), "x.conf:2: neither");
	check_refused(slice_str("[a]\n = v"), "x.conf:2: the key is empty");
	check_refused(slice_str("[a\nk = v"), "x.conf:1: a section is");
	check_refused(slice_str("[a] b\n"), "x.conf:1: a section is");
	check_refused(slice_str("\n[ ]\n"), "x.conf:2: the name");
	check_refused(slice_str("[a]\nk = 1\nj = 2\nk = 3\n"), "x.conf:4: the key stands twice");
	check_refused(slice_of("[a]\nk = \0\n", 10), "x.conf: holds a NUL");
	check_refused(slice_str("[a]\nk = \xff\n"), "x.conf: is not UTF-8");
	CHECK_INT(conf_parse("x.conf", slice_str("[a]\nk = 1\nbad = 2\nj = 3"), take, &record, &why), -ERANGE);
	CHECK_TEXT(slice_str(why.text), "x.conf:3: not that");
	CHECK_TEXT(buf_slice(&record.text), "[a]2:k=1|");
	buf_release(&record.text);
}

/* Values of every length around the pieces that inih gets, with every kind of byte where it could be cut. */
static void test_long_values(void)
{
	static const char *const fillings[] = { "x", "ab ", "a#", "a;", "######", ";;;", "a      ", "\xc3\xa9", "=",
						"]", "[", "a  #; b",
						("a                                        "
						 "                                       ") };

	for (unsigned f = 0; f < sizeof(fillings) / sizeof(fillings[0]); f++) {
		for (unsigned len = 1; len < 1300; len += 1 + (len > 450 ? 83 : 0)) {
			struct buf value = { 0 }, text = { 0 }, want = { 0 };
			struct record record = { 0 };
			struct why why = { "" };

			/* "v" before and after, so that no blank and no comment mark is at the edge */
			buf_append_char(&value, 'v');
			while (value.len < len)
				buf_append_str(&value, fillings[f]);
			for (size_t i = 1; i < value.len; i++)
				if (value.data[i] == ';' && value.data[i - 1] == ' ')
					value.data[i] = ':';
			buf_append_str(&value, "v");
			buf_printf(&text, "[s]\nfeature.long_name = %.*s\nnext = 1\n", (int)value.len, value.data);
			buf_printf(&want, "[s]2:feature.long_name=%.*s|3:next=1|", (int)value.len, value.data);
			CHECK_INT(conf_parse("x.conf", buf_slice(&text), take, &record, &why), 0);
			if (!slice_equal(buf_slice(&record.text), buf_slice(&want)))
				CHECK_TEXT(buf_slice(&record.text), want.data);
			buf_release(&value);
			buf_release(&text);
			buf_release(&want);
			buf_release(&record.text);
		}
	}
}

static void test_bounds(void)
{
	struct buf text = { 0 };
	struct record record = { 0 };
	struct why why = { "" };

	buf_append_str(&text, "[");
	for (unsigned i = 0; i < 140; i++)
		buf_append_char(&text, 'n');
	buf_append_str(&text, "]\nfeature.");
	for (unsigned i = 0; i < 128; i++)
		buf_append_char(&text, 'k');
	buf_append_str(&text, " = ");
	while (text.len < 4096)
		buf_append_char(&text, 'v');
	buf_append_char(&text, '\n');
	CHECK_INT(conf_parse("x.conf", buf_slice(&text), take, &record, &why), 0);
	CHECK_INT(record.text.len, 142 + 2 + 136 + 1 + (4096 - 142 - 1 - 136 - 3) + 1);
	buf_release(&record.text);

	buf_reset(&text);
	buf_append_str(&text, "[a]\nk = ");
	while (text.len < CONF_LINE_MAX + 10)
		buf_append_char(&text, 'v');
	check_refused(buf_slice(&text), "x.conf:2: the line is too long");

	buf_reset(&text);
	buf_append_str(&text, "[a]\nk = ");
	for (unsigned i = 0; i < 3; i++) {
		buf_append_str(&text, "\n ");
		for (unsigned n = 0; n < 4000; n++)
			buf_append_char(&text, 'v');
	}
	check_refused(buf_slice(&text), "x.conf:2: the value is too long");

	/* A key that doesn't fit into one line of inih. */
	buf_reset(&text);
	buf_append_str(&text, "[a]\n");
	for (unsigned n = 0; n < 300; n++)
		buf_append_char(&text, 'k');
	buf_append_str(&text, " = v\n");
	check_refused(buf_slice(&text), "x.conf:2: neither");

	/* Many keys: the check for repeats must not be quadratic. */
	buf_reset(&text);
	buf_append_str(&text, "[a]\n");
	for (unsigned n = 0; n < 50000; n++)
		buf_printf(&text, "k%u = 1\n", n);
	buf_append_str(&text, "k77 = 2\n");
	check_refused(buf_slice(&text), "x.conf:50002: the key stands twice");
	buf_release(&text);
}

int main(void)
{
	test_form();
	test_refusals();
	test_long_values();
	test_bounds();
	return test_end("conf");
}
