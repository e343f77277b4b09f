/* SPDX-License-Identifier: MIT */
/* CSV in all its spellings, bad rows, long rows, and what compression does. */
#include <zlib.h>
#include <zstd.h>
#include "batch_help.h"

static const char schema[] =
	"[group]\nentity = user\n"
	"[feature n]\ntype = int64\n"
	"[feature x]\ntype = float64\n"
	"[feature s]\ntype = string\n"
	"[feature b]\ntype = bool\n"
	"[feature v]\ntype = float32[2]\n"
	"[feature t]\ntype = timestamp\n";

static struct help help;

/* The whole text that came out. */
static void check_csv(const char *text, const char *want)
{
	CHECK_INT(help_read_text(&help, "a.csv", text), 0);
	CHECK_TEXT(buf_slice(&help.text), want);
}

static void test_plain(void)
{
	check_csv("user,n,x,s,b\nu1,1,0.5,abc,true\nu2,-9223372036854775808,-1e300,,0\n",
		  "2 u1 - n=1 x=0.5 s=\"abc\" b=true\n3 u2 - n=-9223372036854775808 x=-1e300 s=null b=false\n");
	check_csv("s,user,n\nabc,u1,1", "2 u1 - n=1 s=\"abc\"\n");		/* no last line end, other order */
	check_csv("\xef\xbb\xbfuser,n\r\nu1,1\r\nu2,\r\n", "2 u1 - n=1\n3 u2 - n=null\n");
	check_csv("user,n\n\nu1,1\n\r\n\nu2,2\n", "3 u1 - n=1\n6 u2 - n=2\n");
	check_csv("user,n\n", "");
	check_csv("", "");
	check_csv("user,v,t\nu1,\"[1,2.5]\",2026-11-23T04:00:00Z\n", "2 u1 - v=[1,2.5] t=\"2026-11-23T04:00:00Z\"\n");
	check_csv("user,x\nu1,+1.\nu2,.5\nu3,1e3\nu4,00.1\nu5,-0\n", "2 u1 - x=1\n3 u2 - x=0.5\n4 u3 - x=1000\n5 u4 - x=0.1\n6 u5 - x=-0.0\n");
}

static void test_quotes(void)
{
	check_csv("user,s,n\n\"u1\",\"a,b\",\"1\"\nu2,\"a\"\"b\"\"\",2\nu3,\"two\nlines\r\nthree\",3\nu4,\"\",4\n\"u5\",\"x\"\r\n",
		  "2 u1 - n=1 s=\"a,b\"\n3 u2 - n=2 s=\"a\\\"b\\\"\"\n4 u3 - n=3 s=\"two\\nlines\\r\\nthree\"\n7 u4 - n=4 s=\"\"\n"
		  "!8 : the row has 2 columns, the header 3\n");
	check_csv("\"user\",\"s\"\nu1,a\"b\"c\n", "2 u1 - s=\"a\\\"b\\\"c\"\n");	/* in the middle it is a character */
	check_csv("user,s\nu1,\"a\"b\nu2,ok\n", "!2 : text stands behind the closing quote of a field\n3 u2 - s=\"ok\"\n");
	check_csv("user,s\nu1,\"open\nu2,no", "!2 : a quote is opened and never closed\n");
	/* What is quoted is never null. */
	check_csv("user,n\nu1,\"\"\n", "!2 u1: n: \"\" is not a decimal integer\n");
}

static void test_bad_rows(void)
{
	static const char foreign[] = "user,s\nu\0" "1,a\nu2,a\0b\nu3,\xff\n\xff,a\nu5,ok\n";

	check_csv("user,n\nu1\nu2,1,2\n,3\nu4,x\nu5,5\n",
		  "!2 : the row has 1 column, the header 2\n!3 : the row has 3 columns, the header 2\n!4 : the entity is empty\n"
		  "!5 u4: n: \"x\" is not a decimal integer\n6 u5 - n=5\n");
	check_csv("user,event_time,n\nu1,nonsense,1\nu2,99999999999,2\nu3,,3\nu4,1.5,4\nu5,2026-11-23T01:00:00+01:00,5\n",
		  "!2 u1: event time: \"nonsense\" is not a time: 2026-11-23T04:00:00Z, or seconds since 1970\n"
		  "!3 u2: event time: \"99999999999\" is out of range (a bare number is seconds since 1970)\n"
		  "4 u3 - n=3\n5 u4 1970-01-01T00:00:01.500000000Z n=4\n6 u5 - n=5\n");
	CHECK_INT(help_read(&help, NULL, "a.csv", foreign, sizeof foreign - 1), 0);
	CHECK_TEXT(buf_slice(&help.text),
		   "!2 : the entity has a NUL byte\n!3 u2: s: the text holds a NUL byte\n"
		   "!4 u3: s: a string is UTF-8; these bytes are not\n!5 : the entity is not UTF-8\n6 u5 - s=\"ok\"\n");
}

static void test_entities(void)
{
	static const char two[] = "[group]\nentity = user, day\n[feature n]\ntype = int64\n";
	struct batch_mapping_override override = { .entity = "k" };
	struct help composite = { .grp = help_group(two) };

	check_csv("user,n\na/b,1\n100%,2\n.x,3\n\"a,b\",4\n042,5\n42.0,6\n\xc3\xa9,7\n",
		  "2 a%2Fb - n=1\n3 100%25 - n=2\n4 %2Ex - n=3\n5 a%2Cb - n=4\n6 042 - n=5\n7 42.0 - n=6\n8 \xc3\xa9 - n=7\n");
	check_csv("entity,n\na/b,1\n", "2 a%2Fb - n=1\n");
	CHECK_INT(help_read_text(&composite, "a.csv", "n,day,user\n1,mon,u/1\n2,.tue,.u\n3,,u\n"), 0);
	CHECK_TEXT(buf_slice(&composite.text), "2 u%2F1,mon - n=1\n3 %2Eu,.tue - n=2\n!4 u,: the entity is empty\n");
	CHECK_INT(help_read_text(&composite, "a.csv", "n,entity\n1,\"u%2F1,mon\"\n2,u1\n"), 0);
	CHECK_INT(composite.rows, 1);
	CHECK_INT(composite.rejects, 1);
	CHECK_INT(help_read_with(&composite, &override, "n,k\n1,\"u,mon\"\n"), 0);
	CHECK_TEXT(buf_slice(&composite.text), "2 u,mon - n=1\n");
	CHECK_INT(help_read_text(&composite, "a.csv", "n,user\n1,u\n"), -EINVAL);
	CHECK(strstr(composite.why.text, "no column is the entity: the file has n, user; expected is user, day, entity"));
	catalog_group_unref(composite.grp);
	help_release(&composite);
}

static void test_delimiters(void)
{
	struct batch_mapping_override tab = { .delimiter = "tab" }, semicolon = { .delimiter = "semicolon", .null = "NA" };
	struct batch_mapping_override bad = { .delimiter = "xy" };

	CHECK_INT(help_read_with(&help, &tab, "user\tn\nu1\t1\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 - n=1\n");
	CHECK_INT(help_read_text(&help, "a.tsv", "user\ts\nu1\ta,b\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 - s=\"a,b\"\n");
	/* With another marker an empty field is an empty text. */
	CHECK_INT(help_read_with(&help, &semicolon, "user;n;s\nu1;NA;NA\nu2;1;\nu3;1;\"NA\"\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 - n=null s=null\n3 u2 - n=1 s=\"\"\n4 u3 - n=1 s=\"NA\"\n");
	CHECK_INT(help_read_with(&help, &bad, "user\n"), -EINVAL);
	CHECK(strstr(help.why.text, "delimiter is comma"));
}

static void test_headers(void)
{
	check_csv("user,n,extra,n2\nu1,1,x,y\n", "2 u1 - n=1\n");
	CHECK_TEXT(buf_slice(&help.ignored), "extra, n2");
	CHECK_INT(help_read_text(&help, "a.csv", "user,n,n\n"), -EINVAL);
	CHECK(strstr(help.why.text, "the column n stands twice"));
	CHECK_INT(help_read_text(&help, "a.csv", "a,b\n1,2\n"), -EINVAL);
	CHECK(strstr(help.why.text, "no column is the entity: the file has a, b; expected is user, entity"));
	CHECK_INT(help_read_text(&help, "a.csv", "user,b2\n1,2\n"), -EINVAL);
	CHECK(strstr(help.why.text, "no column is a feature: the file has user, b2; the group takes n, x, s, b, v, t"));
	CHECK_INT(help_read_text(&help, "a.csv", "user,\"n\n1,2\n"), -EINVAL);
	CHECK(strstr(help.why.text, "a quote is opened"));
}

/* Windows are refilled in the middle of rows, quotes and line ends, wherever those fall. */
static void test_windows(void)
{
	struct buf csv = { 0 }, want = { 0 };
	unsigned rows = 30000;

	buf_append_str(&csv, "user,s,n\r\n");
	for (unsigned i = 0; i < rows; i++) {
		buf_printf(&csv, "user%u,\"%.*s\"\"\r\n%u\",%u\r\n", i, (int)(i % 37), "0123456789012345678901234567890123456789", i, i);
		if (i % 1000 == 0)
			buf_printf(&want, "%u user%u - n=%u s=\"%.*s\\\"\\r\\n%u\"\n", 2 + 2 * i, i, i, (int)(i % 37),
				   "0123456789012345678901234567890123456789", i);
	}
	CHECK_INT(help_read(&help, NULL, "a.csv", csv.data, csv.len), 0);
	CHECK_INT(help.rows, rows);
	CHECK_INT(help.rejects, 0);
	for (char *line = want.data, *end; want.len && line < want.data + want.len; line = end + 1) {
		end = strchr(line, '\n');
		CHECK(memmem(help.text.data, help.text.len, line, (size_t)(end + 1 - line)));
	}
	buf_release(&csv);
	buf_release(&want);
}

/* A row longer than any row may be is passed over, in quotes and out of them, and the next one is read. */
static void test_long_rows(void)
{
	static const char *const heads[] = { "u1,", "u1,\"a,\"\"b\n" }, *const tails[] = { "\nu2,ok\n", "\"\nu2,ok\n" };
	size_t big = 9 << 20;

	for (unsigned k = 0; k < 2; k++) {
		struct buf csv = { 0 };
		char *place;

		buf_append_str(&csv, "user,s\n");
		buf_append_str(&csv, heads[k]);
		place = buf_reserve(&csv, big);
		NEED(place);
		memset(place, 'x', big);
		csv.len += big;
		buf_append_str(&csv, tails[k]);
		CHECK_INT(help_read(&help, NULL, "a.csv", csv.data, csv.len), 0);
		CHECK_TEXT(buf_slice(&help.text), k ? "!2 : the row is longer than 4194304 bytes; is a quote missing?\n4 u2 - s=\"ok\"\n" :
			   "!2 : the row is longer than 4194304 bytes\n3 u2 - s=\"ok\"\n");
		/* A value has its own bound, below the row's. */
		buf_reset(&csv);
		buf_append_str(&csv, "user,s\nu1,");
		place = buf_reserve(&csv, 2 << 20);
		NEED(place);
		memset(place, 'x', 2 << 20);
		csv.len += 2 << 20;
		buf_append_str(&csv, "\nu2,ok\n");
		CHECK_INT(help_read(&help, NULL, "a.csv", csv.data, csv.len), 0);
		CHECK_TEXT(buf_slice(&help.text), "!2 u1: s: a value is at most 1048576 bytes\n3 u2 - s=\"ok\"\n");
		buf_release(&csv);
	}
}

/* ---- compression ---- */

static void gzip_text(const void *data, size_t len, struct buf *out)
{
	z_stream z = { 0 };
	size_t bound = len + len / 1000 + 128;

	NEED(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	NEED(buf_reserve(out, bound));
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)out->data + out->len;
	z.avail_out = (uInt)bound;
	NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out->len += bound - z.avail_out;
	deflateEnd(&z);
}

static void zstd_text(const void *data, size_t len, struct buf *out)
{
	size_t bound = ZSTD_compressBound(len), n;

	NEED(buf_reserve(out, bound));
	n = ZSTD_compress(out->data + out->len, bound, data, len, 3);
	NEED(!ZSTD_isError(n));
	out->len += n;
}

static void test_compressed(void)
{
	static const char first[] = "user,n\nu1,1\n", second[] = "u2,2\nu3,3\n", rows[] = "2 u1 - n=1\n3 u2 - n=2\n4 u3 - n=3\n";
	static void (*const pack[])(const void *, size_t, struct buf *) = { gzip_text, zstd_text };
	static const char *const names[] = { "a.csv.gz", "a.CSV.zst" };

	for (unsigned k = 0; k < 2; k++) {
		struct buf packed = { 0 };
		size_t whole;

		pack[k](first, sizeof first - 1, &packed);
		pack[k](second, sizeof second - 1, &packed);
		whole = packed.len;
		CHECK_INT(help_read(&help, NULL, names[k], packed.data, packed.len), 0);
		CHECK_TEXT(buf_slice(&help.text), rows);
		CHECK_INT(help_read(&help, NULL, "rows", packed.data, packed.len), 0);	/* by content alone */
		CHECK_TEXT(buf_slice(&help.text), rows);
		/* Cut anywhere it is damaged, and never takes a part for the whole. */
		for (size_t len = 5; len < whole; len += 1 + len / 16)
			if (help_read(&help, NULL, names[k], packed.data, len) == 0)
				CHECK_TEXT(buf_slice(&help.text), "2 u1 - n=1\n");	/* exactly the first member */
		CHECK_INT(help_read(&help, NULL, names[k], packed.data, whole - 1), -EINVAL);
		CHECK(strstr(help.why.text, "ends in the middle"));
		packed.data[whole / 4]++;
		CHECK(help_read(&help, NULL, names[k], packed.data, whole) < 0 || help.rejects);
		packed.data[whole / 4]--;
		buf_append_str(&packed, "garbage");
		CHECK_INT(help_read(&help, NULL, names[k], packed.data, packed.len), -EINVAL);
		CHECK(strstr(help.why.text, "is damaged"));
		buf_release(&packed);
	}
}

/* A gigabyte of nothing in a megabyte is no file of rows; it ends early, whatever it is made of. */
static void test_bomb(void)
{
	struct buf packed = { 0 }, piece = { 0 };
	char *one = malloc(8 << 20);

	NEED(one);
	memset(one, 'x', 8 << 20);
	zstd_text("user,n\n", 7, &packed);
	zstd_text(one, 8 << 20, &piece);
	for (unsigned i = 0; i < 64; i++)
		buf_append_slice(&packed, buf_slice(&piece));
	CHECK_INT(help_read(&help, NULL, "bomb.csv.zst", packed.data, packed.len), -EINVAL);
	CHECK(strstr(help.why.text, "more than 1000-fold"));
	free(one);
	buf_release(&packed);
	buf_release(&piece);
}

static void test_other_files(void)
{
	static const struct {
		const char *name, *bytes, *say;
	} files[] = {
		{ "a.csv", "PK\x03\x04 rest of it", "a zip archive or a spreadsheet" }, { "a.csv", "\xff\xfeu\x01", "UTF-16" },
		{ "a", "BZh91AY", "bzip2" }, { "a.parquet", "user,n\n", "does not begin as Parquet does" },
		{ "a.orc", "ORC\x0a", "ORC" },
	};
	struct batch_mapping *mapping;
	struct batch_source *source;
	struct why why;

	for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
		CHECK_INT(help_read_text(&help, files[i].name, files[i].bytes), -EINVAL);
		CHECK(strstr(help.why.text, files[i].say));
	}
	NEED(batch_mapping_new(help.grp, NULL, &mapping, &why) == 0);
	CHECK_INT(batch_source_open(-1, "/dev/null", &(struct batch_source_options){ .mapping = mapping }, &source, &why), -EINVAL);
	CHECK_INT(batch_source_open(-1, "/proc/self/exe", &(struct batch_source_options){ .mapping = mapping }, &source, &why), -ELOOP);
	CHECK_INT(batch_source_open(-1, "/", &(struct batch_source_options){ .mapping = mapping }, &source, &why), -EISDIR);
	batch_mapping_free(mapping);
}

int main(void)
{
	help.grp = help_group(schema);
	test_plain();
	test_quotes();
	test_bad_rows();
	test_entities();
	test_delimiters();
	test_headers();
	test_windows();
	test_long_rows();
	test_compressed();
	test_bomb();
	test_other_files();
	help_release(&help);
	catalog_group_unref(help.grp);
	return test_end("batch_csv");
}
