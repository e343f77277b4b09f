/* SPDX-License-Identifier: MIT */
/* Parquet files of every kind that others write, through the process that reads them; damaged ones; and the lack of that process. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "batch_help.h"

static const char schema[] =
	"[group]\nentity = user\n"
	"[feature n]\ntype = int64\n"
	"[feature i]\ntype = int32\n"
	"[feature x]\ntype = float64\n"
	"[feature f]\ntype = float32\nnan = yes\n"
	"[feature s]\ntype = string\n"
	"[feature b]\ntype = bool\n"
	"[feature t]\ntype = timestamp\n"
	"[feature raw]\ntype = bytes\n"
	"[feature j]\ntype = json\n"
	"[feature v]\ntype = float32[]\n"
	"[feature e]\ntype = float32[3]\n"
	"[feature w]\ntype = string[]\n"
	"[feature l]\ntype = int64[]\n";

static struct help help;
static char programs[PATH_MAX];		/* where the programs were built */
static char file[] = "/tmp/featurefs-parquet-XXXXXX";

/* Writes what the SELECT gives to the file. */
static void write_file(const char *select, const char *options)
{
	char sql[4096], command[PATH_MAX * 2 + 8192];

	snprintf(sql, sizeof sql, "COPY (%s) TO '%s' (FORMAT parquet%s%s)", select, file, *options ? ", " : "", options);
	NEED(!strchr(sql, '`') && !strchr(sql, '$'));
	snprintf(command, sizeof command, "'%s/tests/parquet/duckdb_run' '%s' \"%s\"", programs, programs, sql);
	if (system(command) != 0) {
		fprintf(stderr, "%s\n", sql);
		exit(1);
	}
}

static int read_file(const char *name)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	NEED(fd >= 0);
	return help_read_fd(&help, NULL, name, fd);
}

static void check_select(const char *select, const char *want)
{
	write_file(select, "");
	help.why.text[0] = '\0';
	CHECK_INT(read_file("a.parquet"), 0);
	CHECK_TEXT(slice_str(help.why.text), "");
	CHECK_TEXT(buf_slice(&help.text), want);
}

static void check_refused(const char *select, const char *say)
{
	write_file(select, "");
	CHECK_INT(read_file("a.parquet"), -EINVAL);
	if (!strstr(help.why.text, say))
		fprintf(stderr, "%s\n", help.why.text);
	CHECK(strstr(help.why.text, say));
}

static void test_numbers(void)
{
	check_select("SELECT 'u1' AS user, 1::TINYINT AS n, -2::SMALLINT AS i, 3::UINTEGER AS x, 4::BIGINT AS f UNION ALL "
		     "SELECT 'u2', NULL, NULL, NULL, NULL",
		     "1 u1 - n=1 i=-2 x=3 f=4\n2 u2 - n=null i=null x=null f=null\n");
	check_select("SELECT 'u' AS user, n, i FROM (VALUES (1, 5::DOUBLE, 7::FLOAT), (2, 1.5::DOUBLE, 7.5::FLOAT), (3, 1e300::DOUBLE, 1e10::FLOAT), "
		     "(4, 'nan'::DOUBLE, 0::FLOAT), (5, -0.0::DOUBLE, -0.0::FLOAT)) AS v(k, n, i) ORDER BY k",
		     "1 u - n=5 i=7\n!2 u: n: 1.5 is not an integer\n!3 u: n: 1e+300 is out of the range of int64\n!4 u: n: nan is not an integer\n"
		     "5 u - n=0 i=0\n");
	check_select("SELECT 'u' AS user, 18446744073709551615::UBIGINT AS n UNION ALL SELECT 'u', 9223372036854775807::UBIGINT",
		     "!1 u: n: 18446744073709551615 is out of the range of int64\n2 u - n=9223372036854775807\n");
	check_select("SELECT 'u' AS user, 42.00::DECIMAL(10,2) AS n, 0.1::DECIMAL(4,2) AS x, 123456789012345678901234567.89::DECIMAL(38,2) AS f",
		     "1 u - n=42 x=0.1 f=1.2345679e26\n");
	check_select("SELECT 'u' AS user, 42.50::DECIMAL(10,2) AS n", "!1 u: n: 42.50 is not an integer\n");
	check_select("SELECT 'u' AS user, 0.1::DOUBLE AS f, 0.1::FLOAT AS x UNION ALL SELECT 'u', 'inf'::DOUBLE, 1::FLOAT UNION ALL "
		     "SELECT 'u', 1e200::DOUBLE, 1::FLOAT UNION ALL SELECT 'u', 1, 'nan'::FLOAT",
		     "1 u - x=0.10000000149011612 f=0.1\n2 u - x=1 f=\"Infinity\"\n!3 u: f: the number is out of the range of float32\n"
		     "!4 u: x: nan and infinities are refused here; a feature that may hold them says \"nan = yes\"\n");
	check_select("SELECT 'u' AS user, true AS b UNION ALL SELECT 'u', false", "1 u - b=true\n2 u - b=false\n");
	check_select("SELECT 'u' AS user, 1 AS b UNION ALL SELECT 'u', 2", "1 u - b=true\n!2 u: b: 2 is not a bool: true, false, 1 or 0\n");
	check_select("SELECT 'u' AS user, 2147483648 AS i", "!1 u: i: 2147483648 is out of the range of int32\n");
	check_refused("SELECT 'u' AS user, '1' AS n", "the column n is VARCHAR: it can't be feature n, which is int64");
	check_refused("SELECT 'u' AS user, 1 AS s", "the column s is INTEGER: it can't be feature s, which is string");
	check_refused("SELECT 'u' AS user, [1] AS n", "the column n is INTEGER[]: it can't be feature n");
	check_refused("SELECT 'u' AS user, TIME '10:00' AS t", "the column t is TIME: it can't be feature t");
}

static void test_times(void)
{
	static const char *const types[] = { "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ" };
	char sql[512];

	for (unsigned k = 0; k < sizeof types / sizeof *types; k++) {
		snprintf(sql, sizeof sql, "SELECT 'u' AS user, '2026-11-23 04:00:01%s'::%s AS event_time, '1969-12-31 23:59:59%s'::%s AS t",
			 k == 4 ? "+00" : "", types[k], k == 4 ? "+00" : "", types[k]);
		check_select(sql, "1 u 2026-11-23T04:00:01Z t=\"1969-12-31T23:59:59Z\"\n");
	}
	check_select("SELECT 'u' AS user, '2026-11-23 04:00:01.123456789'::TIMESTAMP_NS AS event_time, '1969-12-31 23:59:59.9999999'::TIMESTAMP_NS AS t",
		     "1 u 2026-11-23T04:00:01.123456789Z t=\"1969-12-31T23:59:59.999999Z\"\n");
	check_select("SELECT 'u' AS user, DATE '2026-11-24' AS event_time, DATE '1969-12-31' AS t",
		     "1 u 2026-11-24T00:00:00Z t=\"1969-12-31T00:00:00Z\"\n");
	check_select("SELECT 'u' AS user, '2026-11-24T00:00:00Z' AS event_time, '2026-11-24T00:00:00Z' AS t",
		     "1 u 2026-11-24T00:00:00Z t=\"2026-11-24T00:00:00Z\"\n");
	check_select("SELECT 'u' AS user, 10 AS event_time, 1764000000000 AS t UNION ALL SELECT 'u', NULL, 5 UNION ALL SELECT 'u', 1764000000000, 5",
		     "!1 u: t: the time is out of range: 1677-09-21 to 2262-04-11 (an integer is seconds since 1970)\n2 u - t=\"1970-01-01T00:00:05Z\"\n"
		     "!3 u: event time: the time is out of range: 1677-09-21 to 2262-04-11 (an integer is seconds since 1970)\n");
	check_select("SELECT 'u' AS user, 'infinity'::TIMESTAMP AS t", "!1 u: t: the time is out of range: 1677-09-21 to 2262-04-11\n");
}

static void test_entities(void)
{
	check_select("SELECT user, 1 AS n FROM (VALUES (1, 'a/b'), (2, ''), (3, NULL)) AS v(k, user) ORDER BY k",
		     "1 a%2Fb - n=1\n!2 : the entity is empty\n!3 : the entity is empty\n");
	check_select("SELECT 42 AS user, 1 AS n", "1 42 - n=1\n");
	check_select("SELECT 42::DOUBLE AS user, 1 AS n UNION ALL SELECT 4.5, 1", "1 42 - n=1\n!2 : the entity: 4.5 is not an integer\n");
	check_select("SELECT 18446744073709551615::UBIGINT AS user, 1 AS n", "1 18446744073709551615 - n=1\n");
	check_select("SELECT DATE '2026-11-23' AS user, 1 AS n", "1 2026-11-23 - n=1\n");
	check_select("SELECT '2f2f2f2f-0000-0000-0000-000000000001'::UUID AS user, 1 AS n", "1 2f2f2f2f-0000-0000-0000-000000000001 - n=1\n");
	check_refused("SELECT true AS user, 1 AS n", "the column user is BOOLEAN: it can't be an entity");
	check_refused("SELECT 1 AS uid, 1 AS n", "no column is the entity: the file has uid, n");
}

static void test_texts(void)
{
	check_select("SELECT 'u' AS user, 'twelve bytes' AS s, 'more than twelve bytes' AS raw, '{\\\"a\\\":  [1.50]}' AS j",
		     "1 u - s=\"twelve bytes\" raw=\"bW9yZSB0aGFuIHR3ZWx2ZSBieXRlcw==\" j={\"a\":[1.50]}\n");
	check_select("SELECT 'u' AS user, '\\xAA\\x00'::BLOB AS raw, {'a': 1, 'b': [NULL, 'x']} AS j", "1 u - raw=\"qgA=\" j={\"a\":1,\"b\":[null,\"x\"]}\n");
	check_select("SELECT 'u' AS user, 'free'::ENUM('free', 'pro') AS s", "1 u - s=\"free\"\n");
	check_select("SELECT 'u' AS user, MAP {'k': 1} AS j", "1 u - j={\"k\":1}\n");
	check_select("SELECT 'u' AS user, '{' AS j", "!1 u: j: not JSON: unexpected end of data, at byte 1\n");
}

static void test_lists(void)
{
	check_select("SELECT 'u' AS user, [1.5, 2]::FLOAT[] AS v, [1, 2, 3]::DOUBLE[] AS e, ['a', NULL, 'a text that is long'] AS w, [1, 2] AS l",
		     "!1 u: w: element 1: null can't stand inside an array\n");
	check_select("SELECT 'u' AS user, [1.5, 2]::FLOAT[] AS v, [1, 2, 3]::DOUBLE[] AS e, ['', 'a text that is long'] AS w, [1, 2] AS l UNION ALL "
		     "SELECT 'u2', [], [4, 5, 6], [], NULL UNION ALL SELECT 'u3', NULL, [1], NULL, NULL",
		     "1 u - v=[1.5,2] e=[1,2,3] w=[\"\",\"a text that is long\"] l=[1,2]\n2 u2 - v=[] e=[4,5,6] w=[] l=null\n"
		     "!3 u3: e: the array has 1 elements, the feature 3\n");
	check_refused("SELECT 'u' AS user, [[1]] AS l", "the column l is INTEGER[][]: it can't be feature l");
	/* Many rows, so that batches are cut inside of chunks, and lists of all lengths, some null. */
	write_file("SELECT i AS user, CASE WHEN i % 7 = 0 THEN NULL ELSE range(i % 50) END AS l, repeat('x', (i % 3000)::INT) AS s, "
		   "CASE WHEN i % 11 = 0 THEN NULL ELSE i END AS n FROM range(20000) t(i)", "COMPRESSION zstd, ROW_GROUP_SIZE 4096");
	CHECK_INT(read_file("rows"), 0);
	CHECK_INT(help.rows, 20000);
	CHECK_INT(help.rejects, 0);
	CHECK(memmem(help.text.data, help.text.len, "\n3005 3004 - n=3004 s=\"xxxx\" l=[0,1,2,3]\n", 40));
	CHECK(memmem(help.text.data, help.text.len, "\n3004 3003 - n=null s=\"xxx\" l=null\n", 34));
}

/* Columns that are taken as they stand but for a value that they can't be: among good ones, of every type. */
static void test_doubtful(void)
{
	check_select("SELECT 'u' AS user, n, i, x, f, b FROM (VALUES (1, 1::BIGINT, 2, 0.5::DOUBLE, 0.25::FLOAT, true), (2, NULL, NULL, NULL, NULL, NULL), "
		     "(3, '-9223372036854775808'::BIGINT, -2147483648, -0.0::DOUBLE, -0.0::FLOAT, false)) AS v(k, n, i, x, f, b) ORDER BY k",
		     "1 u - n=1 i=2 x=0.5 f=0.25 b=true\n2 u - n=null i=null x=null f=null b=null\n"
		     "3 u - n=-9223372036854775808 i=-2147483648 x=-0.0 f=-0.0 b=false\n");
	check_select("SELECT 'u' AS user, i, x, f FROM (VALUES (1, 1::BIGINT, 1::DOUBLE, 'nan'::FLOAT), (2, 2147483648::BIGINT, 1::DOUBLE, '-inf'::FLOAT), "
		     "(3, 3::BIGINT, 'inf'::DOUBLE, 3::FLOAT), (4, 4::BIGINT, 4::DOUBLE, 4::FLOAT)) AS v(k, i, x, f) ORDER BY k",
		     "1 u - i=1 x=1 f=\"NaN\"\n!2 u: i: 2147483648 is out of the range of int32\n"
		     "!3 u: x: nan and infinities are refused here; a feature that may hold them says \"nan = yes\"\n4 u - i=4 x=4 f=4\n");
	check_select("SELECT 'u' AS user, t, s FROM (VALUES (1, '2026-11-23 04:00:01'::TIMESTAMP, 'a'), (2, 'infinity'::TIMESTAMP, NULL), "
		     "(3, NULL, 'b\303\244'), (4, '1960-01-01'::TIMESTAMP, '')) AS v(k, t, s) ORDER BY k",
		     "1 u - s=\"a\" t=\"2026-11-23T04:00:01Z\"\n!2 u: t: the time is out of range: 1677-09-21 to 2262-04-11\n"
		     "3 u - s=\"b\303\244\" t=null\n4 u - s=\"\" t=\"1960-01-01T00:00:00Z\"\n");
	check_select("SELECT 'u' AS user, v, e, l FROM (VALUES (1, [0.5]::FLOAT[], [1, 2, 3]::FLOAT[], []::BIGINT[]), "
		     "(2, NULL, NULL, NULL), (3, []::FLOAT[], [4, 5, 6]::FLOAT[], [7, 8]::BIGINT[])) AS v(k, v, e, l) ORDER BY k",
		     "1 u - v=[0.5] e=[1,2,3] l=[]\n2 u - v=null e=null l=null\n3 u - v=[] e=[4,5,6] l=[7,8]\n");
	check_select("SELECT 'u' AS user, v, e, l FROM (VALUES (1, [0.5]::FLOAT[], [1, 2, 3]::FLOAT[], [1]::BIGINT[]), "
		     "(2, [1]::FLOAT[], [1, 2]::FLOAT[], [2]::BIGINT[]), (3, ['nan']::FLOAT[], NULL, NULL), "
		     "(4, [1]::FLOAT[], [1, NULL, 3]::FLOAT[], [4]::BIGINT[]), "
		     "(5, [1]::FLOAT[], [1, 2, 3]::FLOAT[], [NULL]::BIGINT[])) AS v(k, v, e, l) ORDER BY k",
		     "1 u - v=[0.5] e=[1,2,3] l=[1]\n!2 u: e: the array has 2 elements, the feature 3\n"
		     "!3 u: v: element 0: nan and infinities are refused here; a feature that may hold them says \"nan = yes\"\n"
		     "!4 u: e: element 1: null can't stand inside an array\n!5 u: l: element 0: null can't stand inside an array\n");
}

static void test_columns(void)
{
	write_file("SELECT 1 AS \\\"a \\\"\\\"q\\\"\\\"\\\", 'u' AS user, 1 AS n, TIME '10:00' AS nothing", "COMPRESSION snappy");
	CHECK_INT(read_file("a.snappy.parquet"), 0);
	CHECK_TEXT(buf_slice(&help.text), "1 u - n=1\n");
	CHECK_TEXT(buf_slice(&help.ignored), "a \"q\", nothing");
	check_select("SELECT 'u' AS user, 1 AS n WHERE false", "");
}

/* Rows that no store would take are refused one by one, and nothing large is ever sent. */
static void test_large(void)
{
	check_select("SELECT 'u1' AS user, repeat('x', 2000000) AS s UNION ALL SELECT 'u2', 'ok' UNION ALL SELECT 'u3', repeat('x', 5000000)",
		     "!1 u1: s: a value is at most 1048576 bytes\n2 u2 - s=\"ok\"\n!3 : the row is larger than 4194304 bytes\n");
	help.is_quiet = true;
	write_file("SELECT i AS user, repeat('y', 1000000) AS s FROM range(40) t(i)", "COMPRESSION zstd");
	CHECK_INT(read_file("a.parquet"), 0);
	CHECK_INT(help.rows, 40);
	help.is_quiet = false;
}

static void put_file(const void *data, size_t len)
{
	FILE *out = fopen(file, "w");

	NEED(out && fwrite(data, 1, len, out) == len && fclose(out) == 0);
}

/* However a file is cut or changed: a reason, or rows that are whole. */
static void test_damage(void)
{
	struct stat st;
	uint8_t *bytes;
	uint64_t state = 42;
	FILE *in;

	write_file("SELECT i AS user, i AS n, repeat('x', (i % 30)::INT) AS s, [i, 1] AS v FROM range(3000) t(i)", "COMPRESSION snappy");
	in = fopen(file, "r");
	NEED(in && fstat(fileno(in), &st) == 0);
	bytes = malloc((size_t)st.st_size);
	NEED(bytes && fread(bytes, 1, (size_t)st.st_size, in) == (size_t)st.st_size);
	fclose(in);
	help.is_quiet = true;
	for (unsigned k = 0; k < 4; k++) {
		static const unsigned parts[] = { 1, 50, 90, 99 };

		put_file(bytes, (size_t)st.st_size * parts[k] / 100);
		CHECK_INT(read_file("a.parquet"), -EINVAL);
		CHECK(strstr(help.why.text, "the Parquet file can't be read: ") && !strstr(help.why.text, "/proc"));
	}
	for (unsigned k = 0; k < 12; k++) {
		uint8_t *at = bytes + (state = state * 6364136223846793005u + 1442695040888963407u) % (uint64_t)st.st_size, old = *at;

		*at ^= (uint8_t)(state >> 56 | 1);
		put_file(bytes, (size_t)st.st_size);
		help.why.text[0] = '\0';
		CHECK(read_file("a.parquet") == 0 || help.why.text[0]);
		*at = old;
	}
	help.is_quiet = false;
	put_file("PAR1 and nothing else that Parquet has PAR1", 43);
	CHECK_INT(read_file("a.parquet"), -EINVAL);
	free(bytes);
}

/* More row groups than the ring holds at once, to the last row and in order; left in the middle; and without its program. */
static void test_ends(void)
{
	struct batch_source_options options = { .parquet_folder = programs };
	struct batch_mapping *mapping;
	struct batch_source *source;
	struct slice entity, record;
	uint64_t line;
	struct why why;

	write_file("SELECT i AS user, i AS n, repeat(md5(i::VARCHAR), 2) AS s FROM range(500000) t(i)", "");
	NEED(batch_mapping_new(help.grp, NULL, &mapping, &why) == 0);
	options.mapping = mapping;
	NEED(batch_source_open(-1, file, &options, &source, &why) == 0);
	CHECK_TEXT(slice_str(batch_source_format(source)), "Parquet");
	for (uint64_t i = 0; i < 500000; i++) {
		char want[16];

		NEED(batch_source_next(source, &entity, &record, &line, &why) == 0);
		snprintf(want, sizeof want, "%llu", (unsigned long long)i);
		NEED(line == i + 1 && slice_equal(entity, slice_str(want)));
	}
	CHECK_INT(batch_source_next(source, &entity, &record, &line, &why), -ENOENT);
	batch_source_close(source);
	NEED(batch_source_open(-1, file, &options, &source, &why) == 0);
	CHECK_INT(batch_source_next(source, &entity, &record, &line, &why), 0);
	batch_source_close(source);
	options.parquet_folder = "/nonexistent";
	CHECK_INT(batch_source_open(-1, file, &options, &source, &why), -ENOTSUP);
	CHECK(strstr(why.text, "featurefs-parquet is not in /nonexistent"));
	batch_mapping_free(mapping);
}

/* A program beside it that is not the reader: what it says is refused, and so is silence. */
static void test_impostors(void)
{
	static const char *const scripts[] = { "exit 5", "kill -9 0", "printf 'FPQ1\\377\\377\\377\\377'", "printf 'hello, hello'", "printf 'FPQ1'",
					       "printf 'FPQ1\\002\\000\\000\\000ab'", "printf 'JPQ1\\004\\000\\000\\000oops'",
					       "printf 'KPQ1\\004\\000\\000\\000\\000\\000\\000\\000'",
					       "printf 'KPQ1\\014\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\377\\377\\377\\377'",
					       "printf 'KPQ1\\014\\000\\000\\000\\377\\377\\377\\377\\377\\377\\377\\377\\100\\000\\000\\000'" };
	static const char *const say[] = { "ended with 5", "signal 9", "no reader says", "no reader says", "ended with 0", "damaged", "oops",
					    "no reader says", "no reader says", "no reader says" };
	char folder[] = "/tmp/featurefs-impostor-XXXXXX", path[PATH_MAX];

	NEED(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/featurefs-parquet", folder);
	help.parquet_folder = folder;
	for (unsigned k = 0; k < sizeof scripts / sizeof *scripts; k++) {
		FILE *script = fopen(path, "w");

		NEED(script && fprintf(script, "#!/bin/sh\n%s\n", scripts[k]) > 0 && fclose(script) == 0 && chmod(path, 0755) == 0);
		CHECK_INT(read_file("a.parquet"), -EINVAL);
		if (!strstr(help.why.text, say[k]))
			fprintf(stderr, "%u: %s\n", k, help.why.text);
		CHECK(strstr(help.why.text, say[k]));
	}
	help.parquet_folder = programs;
	NEED(unlink(path) == 0 && rmdir(folder) == 0);
}

int main(void)
{
	ssize_t n = readlink("/proc/self/exe", programs, sizeof programs - 1);
	char path[PATH_MAX + 32];
	int fd;

	NEED(n > 0);
	programs[n] = '\0';
	for (unsigned k = 0; k < 3; k++)
		*strrchr(programs, '/') = '\0';		/* tests/unit/test_batch_parquet */
	snprintf(path, sizeof path, "%s/libduckdb.so", programs);
	if (access(path, R_OK) < 0) {
		printf("batch_parquet: skipped: %s is not there; tools/setup fetches it\n", path);
		return 77;
	}
	fd = mkstemp(file);
	NEED(fd >= 0);
	close(fd);
	help.grp = help_group(schema);
	help.parquet_folder = programs;
	test_numbers();
	test_times();
	test_entities();
	test_texts();
	test_lists();
	test_doubtful();
	test_columns();
	test_large();
	test_damage();
	test_ends();
	test_impostors();
	help_release(&help);
	catalog_group_unref(help.grp);
	unlink(file);
	return test_end("batch_parquet");
}
