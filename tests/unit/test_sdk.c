/* SPDX-License-Identifier: MIT */
/* The client library on a store that stands still: what a view reads, in every form of keys and columns; lists, rows, Arrow. */
#include <errno.h>
#include <math.h>
#include "base/clock.h"
#include "sdk_help.h"

/* ---- opening ---- */

static void test_open(void)
{
	struct featurefs *fs = NULL;
	struct featurefs_place where;
	char path[PATH_MAX];

	CHECK_INT(featurefs_open("/nonexistent", 0, &fs), -ENOENT);
	CHECK(strstr(featurefs_error(), "/nonexistent") != NULL);
	CHECK_INT(featurefs_open("/", 0, &fs), -ENODEV);
	CHECK(strstr(featurefs_error(), "no feature store") != NULL);
	CHECK_INT(featurefs_open(world.path, 3, &fs), -EINVAL);
	CHECK_INT(featurefs_open(world.path, FEATUREFS_MOUNT_ONLY, &fs), -EPERM);
	CHECK(fs == NULL);
	fs = open_it();
	CHECK_INT(featurefs_where(fs, &where), 0);
	NEED(realpath(world.path, path));
	CHECK(where.is_mapped && !where.mount && !strcmp(where.store, path) && !where.reason[0]);
	CHECK_INT(featurefs_changes_new(fs, "kinds", &(struct featurefs_changes *){ NULL }), -ENOTCONN);
	CHECK(strstr(featurefs_error(), "not mounted") != NULL);
	featurefs_close(fs);
	featurefs_close(NULL);
}

static void count_fds(int *out)
{
	char path[64];
	int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n += access(path, F_OK) == 0;
	}
	*out = n;
}

static void test_many_opens(void)
{
	int before, after;
	int64_t value;
	struct featurefs_column column = { .values = &value };
	const char *feature = "kinds/l";

	count_fds(&before);
	for (int i = 0; i < 1000; i++) {
		struct featurefs *fs = open_it(), *second = i % 10 ? NULL : open_it();
		struct featurefs_view *view = view_of(second ? second : fs, &feature, 1);

		value = 0;
		CHECK_INT(featurefs_read_one(view, "u2", &column), 0);
		CHECK_INT(value, 5);
		featurefs_view_free(view);
		featurefs_close(fs);
		featurefs_close(second);
	}
	count_fds(&after);
	CHECK_INT(after, before);
}

/* ---- columns ---- */

static void test_fixed(struct featurefs *fs)
{
	const char *features[] = { "kinds/b", "kinds/i", "kinds/l", "kinds/f", "kinds/d", "kinds/t", "kinds/v" };
	struct featurefs_view *view = view_of(fs, features, 7);
	const char *names[] = { "u1", "u2", "nobody" };
	const struct featurefs_keys keys = { .strings = names };
	struct featurefs_column columns[7] = { { 0 } };
	uint8_t b[3], status[7][3], validity[7][1];
	int64_t l[3], t[3], event_ns[7][3], now_ns = clock_now();
	float f[3], v[3][3];
	double d[3];
	int32_t i[3];
	void *values[7] = { b, i, l, f, d, t, v };

	for (int c = 0; c < 7; c++)
		columns[c] = (struct featurefs_column){ .values = values[c], .validity = validity[c], .status = status[c],
							.event_ns = event_ns[c] };
	CHECK_INT(featurefs_view_columns(view), 7);
	CHECK_INT(featurefs_view_keys(view), 1);
	CHECK(!strcmp(featurefs_view_key(view, 0), "user"));
	CHECK(!strcmp(featurefs_view_field(view, 6)->type_name, "float32[3]"));
	CHECK_INT(featurefs_view_field(view, 6)->width, 12);
	CHECK(featurefs_view_field(view, 7) == NULL);
	NEED(featurefs_read(view, &keys, 1, 3, columns) == 0);
	CHECK(b[0] == 1 && b[1] == 0 && i[0] == -7 && i[1] == 0 && l[0] == 9007199254740993 && l[1] == 5 && l[2] == 0);
	CHECK(f[0] == 0.1f && isnan(f[1]) && isnan(f[2]) && d[0] == 2.5 && isnan(d[1]));
	CHECK_INT(t[0], INT64_C(1795406400000001));
	CHECK(v[0][0] == 1 && v[0][2] == 3 && isnan(v[1][1]) && isnan(v[2][2]));
	CHECK_INT(validity[2][0], 3);		/* l: u1 and u2 */
	CHECK_INT(validity[1][0], 1);		/* i: u1 */
	CHECK_INT(validity[3][0], 3);		/* f: a NaN is a value */
	CHECK_INT(columns[2].n_present, 2);
	CHECK(status[1][0] == FEATUREFS_PRESENT && status[1][1] == FEATUREFS_NULL && status[1][2] == FEATUREFS_MISSING);
	CHECK_INT(status[4][1], FEATUREFS_MISSING);
	CHECK(event_ns[1][1] > now_ns - 3600 * CLOCK_SECOND && event_ns[1][1] <= now_ns);
	CHECK_INT(event_ns[4][1], 0);
	featurefs_view_free(view);
}

/* A float32 matrix, a row an entity, from columns of many types. */
static void test_matrix(struct featurefs *fs)
{
	const char *features[] = { "kinds/b", "kinds/i", "kinds/l", "kinds/f", "kinds/v" };
	struct featurefs_view *view = view_of(fs, features, 5);
	const char *names[] = { "u2", "u1" };
	const struct featurefs_keys keys = { .strings = names };
	struct featurefs_column columns[5] = { { 0 } };
	float matrix[2][7];
	double wide[2];

	for (int c = 0; c < 5; c++)
		columns[c] = (struct featurefs_column){ .values = &matrix[0][c], .stride = sizeof matrix[0], .as = FEATUREFS_FLOAT32 };
	NEED(featurefs_read(view, &keys, 1, 2, columns) == 0);
	CHECK(matrix[1][0] == 1 && matrix[1][1] == -7 && matrix[1][2] == 9007199254740992.0f && matrix[1][3] == 0.1f);
	CHECK(matrix[1][4] == 1 && matrix[1][5] == 2 && matrix[1][6] == 3);
	CHECK(isnan(matrix[0][0]) && isnan(matrix[0][1]) && matrix[0][2] == 5 && isnan(matrix[0][4]) && isnan(matrix[0][6]));
	for (int c = 0; c < 5; c++)
		columns[c] = (struct featurefs_column){ 0 };
	columns[1] = (struct featurefs_column){ .values = wide, .as = FEATUREFS_FLOAT64 };
	NEED(featurefs_read(view, &keys, 1, 2, columns) == 0);
	CHECK(isnan(wide[0]) && wide[1] == -7);
	columns[1].as = FEATUREFS_INT64;
	CHECK_INT(featurefs_read(view, &keys, 1, 2, columns), -EINVAL);
	columns[1] = (struct featurefs_column){ .values = wide, .stride = 2 };
	CHECK_INT(featurefs_read(view, &keys, 1, 2, columns), -EINVAL);
	CHECK(strstr(featurefs_error(), "stride") != NULL);
	featurefs_view_free(view);
}

static void test_varying(struct featurefs *fs)
{
	const char *features[] = { "kinds/s", "kinds/y", "kinds/j", "kinds/a", "kinds/n" };
	struct featurefs_view *view = view_of(fs, features, 5);
	const char *names[] = { "u1", "nobody", "u2", "u1" };
	const struct featurefs_keys keys = { .strings = names };
	struct featurefs_column columns[5] = { { 0 } };
	int64_t offsets[5][5];
	char values[5][64];
	uint8_t validity[5];

	for (int c = 0; c < 5; c++)
		columns[c] = (struct featurefs_column){ .values = values[c], .values_room = 64, .offsets = offsets[c], .validity = &validity[c] };
	NEED(featurefs_read(view, &keys, 1, 4, columns) == 0);
	CHECK_TEXT(slice_of(values[0], (size_t)offsets[0][4]), "grüngrün");
	CHECK(offsets[0][1] == 5 && offsets[0][2] == 5 && offsets[0][3] == 5);
	CHECK_INT(validity[0], 1 | 4 | 8);	/* u2 has an empty text */
	CHECK(offsets[1][4] == 6 && !memcmp(values[1], "\0\1\2\0\1\2", 6));
	CHECK_TEXT(slice_of(values[2], (size_t)offsets[2][1]), "{\"x\":[1,2]}");
	CHECK(offsets[3][1] == 2 && offsets[3][3] == 2 && offsets[3][4] == 4);	/* elements */
	CHECK_INT(((const int64_t *)(const void *)values[3])[1], 6);
	CHECK_INT(validity[3], 1 | 4 | 8);
	CHECK_TEXT(slice_of(values[4], (size_t)offsets[4][1]), "[\"p\",\"q\"]");
	columns[0].values_room = 7;
	CHECK_INT(featurefs_read(view, &keys, 1, 4, columns), -ENOBUFS);
	CHECK_INT(columns[0].values_len, 10);
	CHECK(strstr(featurefs_error(), "column s") != NULL);
	columns[0].offsets = NULL;
	CHECK_INT(featurefs_read(view, &keys, 1, 4, columns), -EINVAL);
	featurefs_view_free(view);
}

/* ---- keys and groups ---- */

static void test_keys(struct featurefs *fs)
{
	const char *feature = "kinds/l";
	struct featurefs_view *view = view_of(fs, &feature, 1);
	const int64_t numbers[] = { 42, -1 }, offsets[] = { 0, 2, 4 };
	const struct featurefs_bytes texts[] = { { "u2", 2 }, { "a%2Fb", 5 } }, raw[] = { { "a/b", 3 }, { "a%2Fb", 5 } };
	struct featurefs_column column = { 0 };
	int64_t l[100], big[100];
	char written[256];
	struct featurefs_keys keys;

	column.values = l;
	keys = (struct featurefs_keys){ .ints = numbers };
	NEED(featurefs_read(view, &keys, 1, 2, &column) == 0);
	CHECK(l[0] == 42 && column.n_present == 1);
	keys = (struct featurefs_keys){ .texts = texts };
	NEED(featurefs_read(view, &keys, 1, 2, &column) == 0);
	CHECK(l[0] == 5 && l[1] == 43);
	keys = (struct featurefs_keys){ .texts = raw, .flags = FEATUREFS_KEYS_RAW };
	NEED(featurefs_read(view, &keys, 1, 2, &column) == 0);
	CHECK(l[0] == 43 && column.n_present == 1);
	keys = (struct featurefs_keys){ .data = "u242", .offsets = offsets };
	NEED(featurefs_read(view, &keys, 1, 2, &column) == 0);
	CHECK(l[0] == 5 && l[1] == 42);
	for (int i = 0; i < 100; i++)
		big[i] = i % 3 ? i : 42;
	keys = (struct featurefs_keys){ .ints = big };
	NEED(featurefs_read(view, &keys, 1, 100, &column) == 0);	/* more than a block */
	CHECK_INT(column.n_present, 34);
	CHECK(l[99] == 42 && l[98] == 0 && l[33] == 42);
	NEED(featurefs_read(view, &keys, 1, 0, &column) == 0);
	CHECK_INT(column.n_present, 0);
	keys.strings = (const char *const[]){ "u1" };
	CHECK_INT(featurefs_read(view, &keys, 1, 1, &column), -EINVAL);
	CHECK_INT(featurefs_read(view, &keys, 2, 1, &column), -EINVAL);
	CHECK_INT(featurefs_escape("a/b,c", 5, written), 9);
	CHECK(!strcmp(written, "a%2Fb%2Cc"));
	CHECK_INT(featurefs_escape("", 0, written), -EINVAL);
	CHECK_INT(featurefs_escape("\xff", 1, written), -EILSEQ);
	featurefs_view_free(view);
}

static void test_groups(struct featurefs *fs)
{
	const char *features[] = { "items/price", "kinds/l", "affinity/score", "other=kinds(friend)/l", "items/stock" };
	struct featurefs_view *view = view_of(fs, features, 5);
	const char *items[] = { "x", "7" }, *users[] = { "u1", "42" }, *friends[] = { "u2", "a%2Fb" };
	struct featurefs_keys keys[3] = { { .strings = items }, { .strings = users }, { .strings = friends } };
	const char *whole[] = { "x,u1,u2", "7,42,a%2Fb" };
	struct featurefs_column columns[5] = { { 0 } };
	double price[2];
	int64_t l[2], other[2];
	float score[2];

	CHECK_INT(featurefs_view_keys(view), 3);
	CHECK(!strcmp(featurefs_view_key(view, 0), "item") && !strcmp(featurefs_view_key(view, 1), "user") &&
	      !strcmp(featurefs_view_key(view, 2), "friend"));
	CHECK(!strcmp(featurefs_view_field(view, 3)->name, "other"));
	columns[0].values = price;
	columns[1].values = l;
	columns[2].values = score;
	columns[3].values = other;
	for (int pass = 0; pass < 2; pass++) {
		memset(price, 0, sizeof price);
		memset(score, 0, sizeof score);
		memset(other, 0, sizeof other);
		if (pass == 0)
			NEED(featurefs_read(view, keys, 3, 2, columns) == 0);
		else
			NEED(featurefs_read(view, &(struct featurefs_keys){ .strings = whole }, 1, 2, columns) == 0);
		CHECK(price[0] == 1.5 && price[1] == 7.5 && l[1] == 42 && score[0] == 0.5f && score[1] == 0.75f && other[0] == 5 &&
		      other[1] == 43);
	}
	NEED(featurefs_read(view, &(struct featurefs_keys){ .strings = items }, 1, 2, columns) == 0);	/* a whole name has three parts */
	CHECK_INT(columns[0].n_present, 0);
	featurefs_view_free(view);
}

static void test_specs(struct featurefs *fs)
{
	const char *all[] = { "items/*", "kinds/l", "kinds(friend)/l" }, *same[] = { "a=kinds/l", "a=kinds/i" };
	struct featurefs_view *view;

	refuse(fs, "kinds", -EINVAL, "group/feature");
	refuse(fs, "", -EINVAL, "group/feature");
	refuse(fs, "=kinds/l", -EINVAL, "group/feature");
	refuse(fs, "nosuch/l", -ENOENT, "no group nosuch");
	refuse(fs, "kinds/nosuch", -ENOENT, "no feature nosuch");
	refuse(fs, "kinds(a,b)/l", -EINVAL, "1 part");
	refuse(fs, "affinity(a)/score", -EINVAL, "2 parts");
	refuse(fs, "kinds(a b)/l", -EINVAL, "name");
	refuse(fs, "x=kinds/*", -EINVAL, "one name");
	CHECK_INT(featurefs_view_new(fs, NULL, 0, &view), -EINVAL);
	CHECK_INT(featurefs_view_new(fs, same, 2, &view), -EINVAL);
	view = view_of(fs, all, 4 - 1);
	CHECK_INT(featurefs_view_columns(view), 4);
	CHECK(!strcmp(featurefs_view_field(view, 0)->name, "price") && !strcmp(featurefs_view_field(view, 1)->name, "stock"));
	featurefs_view_free(view);
}

/* ---- lists, rows, values ---- */

static int count_row(void *arg, const struct featurefs_row *row)
{
	unsigned *n = arg;

	CHECK(row->json[row->json_len - 1] == '\n' && row->done == *n + 1 && row->total >= row->done);
	++*n;
	return *n == 5 ? 99 : 0;
}

static int check_value(void *arg, const struct featurefs_value *value)
{
	unsigned *seen = arg;

	if (!strcmp(value->feature, "l")) {
		CHECK(!strcmp(value->text, "9007199254740993\n") && !strcmp(value->json, "9007199254740993"));
		CHECK(!strcmp(value->lane, "direct") && !strcmp(value->source, "uid 7") && value->event_ns > 0 && value->ingest_ns > 0);
	}
	if (!strcmp(value->feature, "y"))
		CHECK(value->text_len == 3 && value->text[2] == 2);
	CHECK_INT(value->status, FEATUREFS_PRESENT);
	++*seen;
	return 0;
}

static void test_lists(struct featurefs *fs)
{
	const char *items = "items";
	struct featurefs_text text = { 0 };
	struct featurefs_catalog *cat;
	struct featurefs_stats stats;
	unsigned n = 0;
	size_t count;

	NEED(featurefs_catalog_open(fs, &cat) == 0);
	CHECK_INT(featurefs_catalog_size(cat), 4);		/* g is the world's own */
	CHECK(!strcmp(featurefs_catalog_group(cat, 0)->name, "affinity") && featurefs_catalog_group(cat, 4) == NULL);
	CHECK_INT(featurefs_catalog_find(cat, "kinds")->n_features, 12);
	CHECK_INT(featurefs_catalog_find(cat, "kinds")->ttl_ns, 86400 * CLOCK_SECOND);
	CHECK(!strcmp(featurefs_group_key(featurefs_catalog_find(cat, "affinity"), 1), "item"));
	CHECK(featurefs_group_key(featurefs_catalog_find(cat, "affinity"), 2) == NULL);
	CHECK(!strcmp(featurefs_group_feature(featurefs_catalog_find(cat, "kinds"), 9)->type_name, "float32[3]"));
	CHECK(featurefs_catalog_find(cat, "nosuch") == NULL);
	featurefs_catalog_close(cat);
	featurefs_catalog_close(NULL);

	NEED(featurefs_entities(fs, "kinds", NULL, NULL, 0, &text, &count) == 0);
	CHECK_TEXT(slice_of(text.data, text.len), "42\na%2Fb\nu1\nu2\n");
	CHECK_INT(count, 4);
	NEED(featurefs_entities(fs, "kinds", "u", NULL, 1, &text, &count) == 0);
	CHECK_TEXT(slice_of(text.data, text.len), "u1\n");
	NEED(featurefs_entities(fs, "kinds", "u", "u1", 5, &text, &count) == 0);
	CHECK_TEXT(slice_of(text.data, text.len), "u2\n");
	NEED(featurefs_entities(fs, "kinds", "u2", "u1", 5, &text, &count) == 0);
	CHECK_TEXT(slice_of(text.data, text.len), "u2\n");	/* a prefix may be a name itself */
	NEED(featurefs_entities(fs, "kinds", "u", "u2", 5, &text, &count) == 0);
	CHECK_INT(count, 0);
	CHECK_INT(featurefs_entities(fs, "nosuch", NULL, NULL, 0, &text, &count), -ENOENT);

	NEED(featurefs_row(fs, "items", "7", &text) == 0);
	CHECK(strstr(text.data, "\"features\": {\"price\": 7.5}}\n") != NULL);
	CHECK_INT(featurefs_row(fs, "items", "8", &text), -ENOENT);
	CHECK_INT(featurefs_rows(fs, NULL, 0, count_row, &n), 99);
	CHECK_INT(n, 5);
	n = 0;
	CHECK_INT(featurefs_rows(fs, &items, 1, count_row, &n), 0);
	CHECK_INT(n, 2);
	n = 0;
	CHECK_INT(featurefs_values(fs, "kinds", "u1", check_value, &n), 0);
	CHECK_INT(n, 12);
	CHECK_INT(featurefs_values(fs, "kinds", "nobody", check_value, &n), -ENOENT);
	NEED(featurefs_stats(fs, "kinds", &stats) == 0);
	CHECK(stats.entities == 4 && stats.applied[0] == 19 && stats.newest_event_ns > 0);
	CHECK_INT(featurefs_stats(fs, "nosuch", &stats), -ENOENT);
	NEED(featurefs_stats_text(fs, "kinds", &text) == 0);
	CHECK(strstr(text.data, "entities: 4\n") != NULL);
	NEED(featurefs_schema(fs, "items", &text) == 0);
	CHECK(strstr(text.data, "[feature price]\n") != NULL);
	featurefs_text_release(&text);
}

/* ---- Arrow ---- */

static void test_arrow(struct featurefs *fs)
{
	const char *features[] = { "kinds/b", "kinds/i", "kinds/s", "kinds/v", "kinds/a", "kinds/t" };
	struct featurefs_view *view = view_of(fs, features, 6);
	const char *names[] = { "u1", "u2", "nobody" };
	const struct featurefs_keys keys = { .strings = names };
	struct ArrowSchema schema;
	struct ArrowArray array, moved;
	const int64_t *offsets;

	NEED(featurefs_read_arrow(view, &keys, 1, 3, FEATUREFS_ARROW_EVENT_TIMES | FEATUREFS_ARROW_STATUS, &schema, &array) == 0);
	CHECK(!strcmp(schema.format, "+s") && schema.n_children == 18 && array.n_children == 18 && array.length == 3);
	CHECK(!strcmp(schema.children[0]->format, "b") && !strcmp(schema.children[1]->format, "tsn:UTC") &&
	      !strcmp(schema.children[2]->name, "b.status"));
	CHECK(!strcmp(schema.children[6]->format, "U") && !strcmp(schema.children[9]->format, "+w:3") &&
	      !strcmp(schema.children[12]->format, "+L") && !strcmp(schema.children[15]->format, "tsu:UTC"));
	CHECK_INT(*(const uint8_t *)array.children[0]->buffers[1], 1);
	CHECK_INT(array.children[0]->null_count, 2);
	CHECK_INT(((const int32_t *)array.children[3]->buffers[1])[0], -7);
	offsets = array.children[6]->buffers[1];
	CHECK(offsets[1] == 5 && !memcmp(array.children[6]->buffers[2], "grün", 5));
	CHECK(((const float *)array.children[9]->children[0]->buffers[1])[2] == 3.0f && array.children[9]->children[0]->length == 9);
	offsets = array.children[12]->buffers[1];
	CHECK(offsets[1] == 2 && offsets[3] == 2 && array.children[12]->children[0]->length == 2);
	/* A consumer may take a child away and release the rest first. */
	moved = *array.children[12];
	array.children[12]->release = NULL;
	array.release(&array);
	CHECK(array.release == NULL);
	CHECK_INT(((const int64_t *)moved.children[0]->buffers[1])[1], 6);
	moved.release(&moved);
	schema.release(&schema);
	NEED(featurefs_read_arrow(view, &keys, 1, 0, 0, &schema, &array) == 0);
	CHECK(array.length == 0 && array.n_children == 6);
	array.release(&array);
	schema.release(&schema);
	featurefs_view_free(view);
}

/* ---- the table of mounts ---- */

static void test_mounts(void)
{
	static const char table[] =
		"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
		"51 21 0:51 / /srv/features ro,nosuid - fuse.featurefs-serving /var/lib/a\\040b rw,user_id=0\n"
		"50 21 0:50 / /mnt/features rw,nosuid shared:9 - fuse.featurefs /var/lib/a\\040b rw,user_id=0\n"
		"52 21 0:52 / /mnt/other rw - fuse.featurefs /var/lib/other rw\n"
		"53 52 0:53 / /mnt/other rw - tmpfs tmpfs rw\n"
		"54 21 0:54 /sub /mnt/bound rw - fuse.featurefs /var/lib/other rw\n"
		"55 21 0:55 / /mnt/alike rw - fuse.featurefsx /var/lib/other rw\n";
	struct sdk_mount mount;
	struct mounts mounts;

	NEED(mounts_parse(slice_str(table), &mounts) == 0);
	CHECK_INT(sdk_mounts_by_path(&mounts, "/mnt/featuresx", &mount), -ENODEV);
	CHECK_INT(sdk_mounts_by_path(&mounts, "/mnt/other", &mount), -ENODEV);	/* hidden */
	CHECK_INT(sdk_mounts_by_path(&mounts, "/mnt/bound", &mount), -ENODEV);	/* no root of a store */
	CHECK_INT(sdk_mounts_by_path(&mounts, "/mnt/alike", &mount), -ENODEV);
	CHECK_INT(sdk_mounts_by_store(&mounts, "/var/lib/other", &mount), -ENOENT);
	NEED(sdk_mounts_by_path(&mounts, "/srv/features", &mount) == 0);
	CHECK(!strcmp(mount.dir, "/srv/features") && mount.is_read_only);
	sdk_mount_release(&mount);
	mounts_release(&mounts);
	NEED(mounts_parse(slice_str(table), &mounts) == 0);
	NEED(sdk_mounts_by_path(&mounts, "/mnt/features/g/u1", &mount) == 0);
	CHECK(!strcmp(mount.dir, "/mnt/features") && !strcmp(mount.source, "/var/lib/a b") && !mount.is_read_only);
	sdk_mount_release(&mount);
	mounts_release(&mounts);
	NEED(mounts_parse(slice_str(table), &mounts) == 0);
	NEED(sdk_mounts_by_store(&mounts, "/var/lib/a b", &mount) == 0);
	CHECK(!strcmp(mount.dir, "/mnt/features"));	/* not the one that is read-only */
	sdk_mount_release(&mount);
	mounts_release(&mounts);
}

int main(void)
{
	struct featurefs *fs;

	sdk_help_begin("sdk");
	test_mounts();
	test_open();
	fs = open_it();
	test_fixed(fs);
	test_matrix(fs);
	test_varying(fs);
	test_keys(fs);
	test_groups(fs);
	test_specs(fs);
	test_lists(fs);
	test_arrow(fs);
	test_many_opens();
	featurefs_close(fs);
	world_open(&world);
	world_end(&world);
	return test_end("sdk");
}
