/* SPDX-License-Identifier: MIT */
/*
 * Definitions and groups: what is read, what is refused and in which line, that the canonical text is a fixed point,
 * the stored form, and what a group may become.
 */
#include <errno.h>
#include "base/text.h"
#include "catalog/catalog.h"
#include "test.h"

static uint64_t seed = 7;

static unsigned next_random(unsigned bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % bound;
}

static struct catalog_group *parse(const char *text)
{
	struct catalog_group *grp = NULL;
	struct why why = { "" };
	int rc = catalog_group_parse("d.ini", slice_str(text), &grp, &why);

	CHECK_INT(rc, 0);
	CHECK_TEXT(slice_str(why.text), "");
	NEED(grp);
	return grp;
}

static void check_print(const struct catalog_group *grp, const char *want)
{
	struct buf out = { 0 };

	CHECK_INT(catalog_group_print(grp, &out), 0);
	CHECK_TEXT(buf_slice(&out), want);
	buf_release(&out);
}

static void check_canonical(const char *text, const char *want)
{
	struct catalog_group *grp = parse(text);

	check_print(grp, want);
	catalog_group_unref(grp);
}

static void check_refused(const char *text, const char *want)
{
	struct catalog_group *grp = NULL;
	struct why why = { "" };

	CHECK_INT(catalog_group_parse("d.ini", slice_str(text), &grp, &why), -EINVAL);
	CHECK(!grp);
	if (strncmp(why.text, want, strlen(want)))
		CHECK_TEXT(slice_str(why.text), want);
}

static const char full[] =
	"[group]\n"
	"entity = user_id, day\n"
	"owner = growth-ml\n"
	"description = Rolling click behaviour per user\n"
	"tier = 1\n"
	"ttl = 30d\n"
	"tags = a, b\n"
	"source = clicks\n"
	"\n"
	"[feature clicks_7d]\n"
	"type = int64\n"
	"description = Clicks in the last seven days\n"
	"min = 0\n"
	"max = 9223372036854775807\n"
	"not_null = yes\n"
	"\n"
	"[feature ratio]\n"
	"type = float32\n"
	"min = -0.1\n"
	"max = 0.1\n"
	"nan = yes\n"
	"\n"
	"[feature seen]\n"
	"type = timestamp\n"
	"min = 2020-01-01T00:00:00Z\n"
	"\n"
	"[feature plan]\n"
	"type = string\n"
	"enum = free, pro plus, team\n"
	"max_length = 20\n"
	"\n"
	"[feature embedding@v2]\n"
	"type = float32[384]\n"
	"index = cosine\n"
	"\n"
	"[feature old]\n"
	"type = json\n"
	"retired = yes\n"
	"\n"
	"[stream clicks]\n"
	"topic = user-clicks\n"
	"format = json\n"
	"entity = $.user.id\n"
	"event_time = $.ts\n"
	"start = earliest\n"
	"filter.$.kind = click\n"
	"feature.clicks_7d = $.stats.clicks\n"
	"\n"
	"[batch]\n"
	"entity = uid\n"
	"null =\n"
	"feature.clicks_7d = clicks\n";

static void test_full(void)
{
	struct catalog_group *grp = parse(full);
	const struct catalog_feature *f;

	check_print(grp, full);
	CHECK_INT(grp->n_keys, 2);
	CHECK_TEXT(slice_str(grp->keys[1]), "day");
	CHECK_TEXT(slice_str(grp->owner), "growth-ml");
	CHECK_INT(grp->tier, 1);
	CHECK_INT(grp->ttl_ns, INT64_C(2592000000000000));
	CHECK_INT(grp->n_features, 6);
	CHECK_INT(grp->next_slot, 6);
	f = catalog_find_feature(grp, slice_str("clicks_7d"));
	NEED(f);
	CHECK(f->has_min && f->has_max && f->not_null && !f->nan && !f->retired && !f->index);
	CHECK_INT(f->max.i, INT64_MAX);
	f = catalog_find_feature(grp, slice_str("ratio"));
	NEED(f);
	CHECK(f->max.f == (double)0.1f);
	f = catalog_find_feature(grp, slice_str("seen"));
	NEED(f);
	CHECK_INT(f->min.i, INT64_C(1577836800000000));
	f = catalog_find_feature(grp, slice_str("plan"));
	NEED(f);
	CHECK_INT(f->n_enums, 3);
	CHECK_TEXT(slice_str(f->enums[1]), "pro plus");
	f = catalog_find_feature(grp, slice_str("old"));
	CHECK(f && f->retired && f->slot == 5);
	CHECK(f == catalog_feature_at(grp, 5));
	CHECK(!catalog_feature_at(grp, 6));
	CHECK(!catalog_find_feature(grp, slice_str("embedding")));
	CHECK(!catalog_find_feature(grp, slice_str("")));
	CHECK_INT(grp->n_sections, 2);
	CHECK_TEXT(slice_str(grp->sections[0].name), "stream clicks");
	catalog_group_unref(catalog_group_ref(grp));
	catalog_group_unref(grp);
	catalog_group_unref(NULL);
}

static void test_canonical(void)
{
	check_canonical("", "[group]\nentity = entity\n");
	check_canonical("[group]\nttl = 0\nowner =\nentity =\n", "[group]\nentity = entity\n");
	/* Any order: of sections, and of keys in them. */
	check_canonical("[batch]\nfeature.a = A\n\n[feature  a]\nmax=7\nmin = +05 ; low\ntype: int32\n[group]\n"
			"ttl = 1w\n"
			"entity = a ,b\n",
			"[group]\nentity = a, b\nttl = 7d\n\n[feature a]\ntype = int32\nmin = 5\nmax = 7\n\n[batch]\n"
			"feature.a = A\n");
	check_canonical("[feature a]\nenum = 3,+1 , 02\ntype = int32\nnot_null = no\n",
			"[group]\nentity = entity\n\n[feature a]\ntype = int32\nenum = 3, 1, 2\n");
	check_canonical("[feature a]\ntype = timestamp[]\nmax = 0.5\nmax_length = 3\n",
			"[group]\nentity = entity\n\n[feature a]\ntype = timestamp[]\n"
			"max = 1970-01-01T00:00:00.500000Z\nmax_length = 3\n");
	check_canonical("[group]\ndescription = one\n  two\n", "[group]\nentity = entity\ndescription = one two\n");
}

static void test_refusals(void)
{
	check_refused("[groop]\n", "d.ini:1: no such section; sections are");
	check_refused("[group]\n[feature a]\ntype=bool\n[group]\n", "d.ini:4: [group] stands twice");
	check_refused("[group x]\n", "d.ini:1: no such section");
	check_refused("[store]\nid = 1\n", "d.ini:1: no such section");
	check_refused("[group]\ncolour = red\n", "d.ini:2: [group] has no key \"colour\"; it has entity, owner,");
	check_refused("[group]\ntier = 5\n", "d.ini:2: tier: a tier is 0");
	check_refused("[group]\nttl = soon\n", "d.ini:2: ttl: a ttl is a span");
	check_refused("[group]\nentity = a, a\n", "d.ini:2: entity: \"a\" stands twice");
	check_refused("[group]\nentity = a,,b\n", "d.ini:2: entity: a part of the list is empty");
	check_refused("[group]\nentity = 9\n", "d.ini:2: entity: \"9\" can't name");
	check_refused("[group]\ndescription = a\tb\n", "d.ini:2: the text holds the control byte 0x09");
	check_refused("[feature a.b]\ntype = bool\n", "d.ini:1: \"a.b\": the name of a feature");
	check_refused("[feature]\n", "d.ini:1: no such section");
	check_refused("[feature a]\nmin = 1\n", "d.ini:1: feature a has no type");
	check_refused("[feature a]\ntype = bool\n\n[feature a]\ntype = bool\n", "d.ini:4: feature a stands twice");
	check_refused("[feature a]\ntype = text\n", "d.ini:2: feature a, type: \"text\" is no type; types are bool,");
	check_refused("[feature a]\ntype = bool\nsize = 1\n", "d.ini:3: a feature has no key \"size\"; it has type,");
	check_refused("[feature a]\nmin = 1\ntype = string\n", "d.ini:2: feature a, min: only numbers");
	check_refused("[feature a]\ntype = int32\nmin = 2147483648\n",
		      "d.ini:3: feature a, min: 2147483648 is out of the range");
	check_refused("[feature a]\ntype = float64\nnan = yes\nmin = nan\n",
		      "d.ini:4: feature a, min: nan and infinities");
	check_refused("[feature a]\ntype = int32\nmin = 2\nmax = 1\n", "d.ini:4: feature a, max: min is greater");
	check_refused("[feature a]\ntype = float32\nenum = 1\n", "d.ini:3: feature a, enum: only string");
	check_refused("[feature a]\ntype = int32\nenum = 1, 01\n", "d.ini:3: feature a, enum: \"1\" stands twice");
	check_refused("[feature a]\ntype = int32\nmax_length = 1\n", "d.ini:3: feature a, max_length: only");
	check_refused("[feature a]\ntype = int32[4]\nmax_length = 1\n",
		      "d.ini:3: feature a, max_length: the type itself");
	check_refused("[feature a]\ntype = string\nmax_length = 0\n", "d.ini:3: feature a, max_length: it is a number");
	check_refused("[feature a]\ntype = string\nnot_null = true\n", "d.ini:3: feature a, not_null: it is yes or no");
	check_refused("[feature a]\ntype = string\nnan = yes\n", "d.ini:3: feature a, nan: only float32");
	check_refused("[feature a]\ntype = float32[]\nindex = l2\n", "d.ini:3: feature a, index: only float32[N]");
	check_refused("[feature a]\ntype = float32[3]\nindex = L2\n", "d.ini:3: feature a, index: it is cosine");
	check_refused("[stream a]\nfeature.b = x\n", "d.ini:2: feature.b: the group has no such feature");
	check_refused("[feature b]\ntype = bool\nretired = yes\n[batch]\nfeature.b = x\n",
		      "d.ini:5: feature.b: the feature is retired");
	check_refused("[stream a]\nretention = 1d\n", "d.ini:2: [stream NAME] has no key \"retention\"; it has topic,");
	check_refused("[batch]\ntopic = x\n", "d.ini:2: [batch] has no key \"topic\"; it has entity,");
	check_refused("[stream a]\nformat = xml\n", "d.ini:2: format is json");
	check_refused("[stream a]\ntopic =\n", "d.ini:2: topic is empty");
	check_refused("[stream 1]\n", "d.ini:1: [stream 1]: a stream's name");
	check_refused("[stream a]\n[stream a]\n", "d.ini:2: [stream a] stands twice");
	check_refused("[batch]\n[batch]\n", "d.ini:2: [batch] stands twice");
	check_refused("[feature a]\ntype = bool\ntype = int32\n", "d.ini:3: the key stands twice");
}

static void test_limits(void)
{
	struct buf text = { 0 };
	struct catalog_group *grp;
	struct why why;
	char name[TEXT_NAME_MAX + 1];

	/* The longest description, and the longest names of a feature and of a key that maps it. */
	memset(name, 'n', TEXT_NAME_MAX);
	name[TEXT_NAME_MAX] = '\0';
	buf_printf(&text, "[group]\nentity = entity\ndescription = x");
	for (unsigned i = 0; i < 4094; i++)
		buf_append_char(&text, " #"[i % 2]);
	buf_printf(&text, "x\n\n[feature %s]\ntype = bool\n\n[stream %.100s]\nfeature.%s = x\n", name, name, name);
	buf_append_char(&text, '\0');
	check_canonical(text.data, text.data);
	buf_reset(&text);
	buf_append_str(&text, "[group]\ndescription = ");
	for (unsigned i = 0; i < 4097; i++)
		buf_append_char(&text, 'x');
	buf_append_char(&text, '\0');
	check_refused(text.data, "d.ini:2: the text has 4097 bytes");

	for (unsigned n = CATALOG_FEATURES_MAX; n <= CATALOG_FEATURES_MAX + 1; n++) {
		buf_reset(&text);
		for (unsigned i = 0; i < n; i++)
			buf_printf(&text, "[feature f%u]\ntype = int32\n", i);
		grp = NULL;
		CHECK_INT(catalog_group_parse("d.ini", buf_slice(&text), &grp, &why), n > CATALOG_FEATURES_MAX ?
			  -EINVAL : 0);
		for (unsigned i = 0; grp && i < n; i += 97) {
			char feature[16];

			snprintf(feature, sizeof(feature), "f%u", i);
			CHECK(catalog_find_feature(grp, slice_str(feature)) == &grp->features[i]);
			CHECK(catalog_feature_at(grp, (uint16_t)i) == &grp->features[i]);
		}
		catalog_group_unref(grp);
	}
	buf_release(&text);
}

/* ---- generated definitions ---- */

static const char *pick(const char *const *list, unsigned n)
{
	return list[next_random(n)];
}

static void print_random_text(struct buf *out)
{
	static const char *const words[] = { "clicks", "a;b", "#x", "[y]", "z = 1", "\xc3\xa9t\xc3\xa9", "  ", "100%",
					     "x:", "\"q\"", "," };

	buf_append_str(out, "t");
	for (unsigned n = next_random(60); n; n--)
		buf_printf(out, "%s%s", pick(words, sizeof(words) / sizeof(words[0])), next_random(2) ? " t" : "");
	buf_append_str(out, "t\n");
}

static void print_random_feature(unsigned i, struct buf *out)
{
	static const char *const types[] = { "bool", "int32", "int64", "float32", "float64", "string", "bytes",
					     "timestamp", "json", "int32[]",
					     "float32[8]", "string[]", "float64[]", "timestamp[3]" };
	const char *type = pick(types, sizeof(types) / sizeof(types[0]));

	buf_printf(out, "[feature f%u%s]\ntype = %s\n", i, next_random(4) ? "" : "@v3", type);
	if (next_random(2)) {
		buf_append_str(out, "description = ");
		print_random_text(out);
	}
	if (strchr("if", type[0]) || type[0] == 't') {
		if (next_random(2))
			buf_printf(out, "min = -%u%s\n", next_random(100000), type[0] == 'i' ? "" : ".25");
		if (next_random(2))
			buf_printf(out, "max = %u%s\n", next_random(100000), type[0] == 'i' ? "" : ".1");
	}
	if (type[0] == 'f' && next_random(2))
		buf_append_str(out, "nan = yes\n");
	if (!strcmp(type, "string") && next_random(2))
		buf_printf(out, "enum = a%u, b ,c%u\nmax_length = %u\n", next_random(9), next_random(9),
			   1 + next_random(99));
	if (!strcmp(type, "float32[8]") && next_random(2))
		buf_append_str(out, "index = ip\n");
	if (!next_random(4))
		buf_append_str(out, "retired = yes\n");
	if (!next_random(4))
		buf_append_str(out, "not_null = yes\n");
}

static void print_random_definition(struct buf *out)
{
	unsigned n = next_random(12);

	if (next_random(2)) {
		buf_append_str(out, "[group]\n");
		if (next_random(2))
			buf_append_str(out, "entity = k1,k2\n");
		if (next_random(2))
			buf_printf(out, "ttl = %ums\ntier = %u\n", next_random(1000000000), next_random(5));
		if (next_random(2)) {
			buf_append_str(out, "description = ");
			print_random_text(out);
		}
	}
	for (unsigned i = 0; i < n; i++)
		print_random_feature(i, out);
	if (next_random(2))
		buf_append_str(out, "[stream s]\nfilter.a.b c = x\ntopic = t ; the topic\n[batch]\nnull = \n");
}

static void test_generated(void)
{
	for (unsigned round = 0; round < 2000; round++) {
		struct buf text = { 0 }, once = { 0 }, twice = { 0 }, stored = { 0 }, again = { 0 };
		struct catalog_group *first = NULL, *second = NULL, *decoded = NULL;
		struct why why = { "" };

		print_random_definition(&text);
		CHECK_INT(catalog_group_parse("d.ini", buf_slice(&text), &first, &why), 0);
		if (!first) {
			fprintf(stderr, "round %u: %s\n%.*s\n", round, why.text, (int)text.len, text.data);
			NEED(first);
		}
		CHECK_INT(catalog_group_print(first, &once), 0);
		CHECK_INT(catalog_group_parse("d.ini", buf_slice(&once), &second, &why), 0);
		NEED(second);
		CHECK_INT(catalog_group_print(second, &twice), 0);
		CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
		CHECK_INT(second->n_features, first->n_features);
		for (unsigned i = 0; i < first->n_features; i++) {
			const struct catalog_feature *a = &first->features[i], *b = &second->features[i];

			CHECK(!strcmp(a->name, b->name) && a->slot == b->slot && type_equal(&a->type, &b->type));
			CHECK(a->has_min == b->has_min && !memcmp(&a->min, &b->min, sizeof(a->min)));
			CHECK(a->has_max == b->has_max && !memcmp(&a->max, &b->max, sizeof(a->max)));
			CHECK(a->retired == b->retired && a->nan == b->nan && a->not_null == b->not_null);
			CHECK(a->n_enums == b->n_enums && a->max_length == b->max_length);
			CHECK(!a->description == !b->description &&
			      (!a->description || !strcmp(a->description, b->description)));
		}
		/* A name is the group's own, not the definition's. */
		first->id = round + 1;
		free(first->name);
		first->name = strdup("g");
		CHECK_INT(catalog_group_encode(first, &stored), 0);
		CHECK_INT(catalog_group_decode(buf_slice(&stored), &decoded, &why), 0);
		NEED(decoded);
		CHECK_INT(catalog_group_encode(decoded, &again), 0);
		CHECK(slice_equal(buf_slice(&stored), buf_slice(&again)));
		catalog_group_unref(first);
		catalog_group_unref(second);
		catalog_group_unref(decoded);
		buf_release(&text);
		buf_release(&once);
		buf_release(&twice);
		buf_release(&stored);
		buf_release(&again);
	}
}

/* ---- identity ---- */

static struct catalog_group *make(const char *name)
{
	struct catalog_group *grp = NULL;
	struct why why;

	NEED(catalog_group_make(3, 4, slice_str(name), 10, 20, 0750, "ann", 1000, &grp, &why) == 0);
	return grp;
}

static void test_identity(void)
{
	struct catalog_group *grp = make("g"), *renamed = NULL, *owned = NULL, *decoded = NULL, *over = NULL, *again = NULL;
	struct buf stored = { 0 };
	struct why why = { "" };

	check_print(grp, "[group]\nentity = entity\nowner = ann\n");
	CHECK_INT(catalog_group_make(3, 4, slice_str("a.b"), 0, 0, 0, NULL, 0, &renamed, &why), -EINVAL);
	CHECK_INT(catalog_group_renamed(grp, slice_str("9"), 2000, &renamed, &why), -EINVAL);
	CHECK_INT(catalog_group_renamed(grp, slice_str("h"), 2000, &renamed, &why), 0);
	CHECK_TEXT(slice_str(renamed->name), "h");
	CHECK_TEXT(slice_str(grp->name), "g");
	CHECK_INT(catalog_group_owned(renamed, 0100700, 11, 21, 3000, &owned), 0);
	CHECK_INT(owned->mode, 0700);
	CHECK_INT(owned->uid, 11);
	CHECK_INT(owned->gid, 21);
	CHECK_INT(owned->created_ns, 1000);
	CHECK_INT(owned->changed_ns, 3000);
	CHECK_INT(catalog_group_encode(owned, &stored), 0);
	CHECK_INT(catalog_group_decode(buf_slice(&stored), &decoded, &why), 0);
	NEED(decoded);
	CHECK_INT(decoded->id, 3);
	CHECK_INT(decoded->rows, 4);
	CHECK_INT(decoded->overlay, 0);
	CHECK_TEXT(slice_str(decoded->name), "h");
	CHECK_INT(decoded->mode, 0700);
	CHECK_INT(decoded->uid, 11);
	CHECK_INT(decoded->gid, 21);
	CHECK_INT(decoded->created_ns, 1000);
	CHECK_INT(decoded->changed_ns, 3000);
	CHECK_INT(catalog_group_on_tables(decoded, 5, UINT32_MAX, 4000, &over), 0);
	buf_reset(&stored);
	CHECK_INT(catalog_group_encode(over, &stored), 0);
	CHECK_INT(catalog_group_decode(buf_slice(&stored), &again, &why), 0);
	NEED(again);
	CHECK_INT(again->rows, 5);
	CHECK_INT(again->overlay, UINT32_MAX);
	CHECK_INT(again->overlay_ns, 4000);
	CHECK_INT(again->changed_ns, 3000);
	catalog_group_unref(over);
	catalog_group_unref(again);
	catalog_group_unref(grp);
	catalog_group_unref(renamed);
	catalog_group_unref(owned);
	catalog_group_unref(decoded);
	buf_release(&stored);
}

static void test_damaged_store(void)
{
	static const char *const bad[] = {
		"", "[group]\n", "[store]\nid = 1\n",		/* no name */
		"[store]\nid = 1\nname = a.b\n", "[store]\nid = x\nname = a\n", "[store]\nid = 4294967296\nname = a\n",
		"[store]\nid = 1\nname = a\nmode = 888\n", "[store]\nid = 1\nname = a\ncolour = 1\n",
		"[store]\nid = 1\nname = a\nnext_slot = 65536\n",
		"[store]\nid = 1\nname = a\nnext_slot = 1\nslot.f = 1\n[feature f]\ntype = bool\n",
		"[store]\nid = 1\nname = a\nnext_slot = 1\n[feature f]\ntype = bool\n",
		"[store]\nid = 1\nname = a\nnext_slot = 9\nslot.f = 1\nslot.g = 1\n[feature f]\ntype = bool\n"
		"[feature g]\ntype = bool\n",
		"[store]\nid = 1\nname = a\nnext_slot = 9\nslot.g = 1\nslot.f = 2\n[feature f]\ntype = bool\n"
		"[feature g]\ntype = bool\n",
		"[store]\nid = 1\nname = a\nnext_slot = 9\nslot.h = 1\n",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct catalog_group *grp = NULL;
		struct why why = { "" };

		CHECK_INT(catalog_group_decode(slice_str(bad[i]), &grp, &why), -EBADMSG);
		CHECK(why.text[0] && !grp);
	}
}

/* Puts a definition onto a group; NULL if it is refused with `want`. */
static struct catalog_group *evolve(const struct catalog_group *now, const char *text, bool has_rows, int want)
{
	struct catalog_group *next = parse(text), *out = NULL;
	struct why why = { "" };

	CHECK_INT(catalog_group_evolve(now, next, has_rows, 5000, &out, &why), want);
	CHECK(!out == (want < 0));
	CHECK(!why.text[0] == (want == 0));
	catalog_group_unref(next);
	return out;
}

static void test_evolve(void)
{
	struct catalog_group *a = make("g"), *b, *c, *d;

	evolve(a, "[group]\nentity = k, l\n[feature x]\ntype = int32\n[feature y]\ntype = float32[2]\n", true, -EBUSY);
	a->overlay = 7;
	a->overlay_ns = 4000;
	b = evolve(a, "[group]\nentity = k\n[feature x]\ntype = int32\n[feature y]\ntype = float32[2]\n", false, 0);
	NEED(b);
	CHECK_INT(b->id, 3);
	CHECK_INT(b->overlay, 7);
	CHECK_INT(b->overlay_ns, 4000);
	CHECK_INT(b->rows, 4);
	CHECK_INT(b->mode, 0750);
	CHECK_INT(b->created_ns, 1000);
	CHECK_INT(b->changed_ns, 5000);
	CHECK_TEXT(slice_str(b->name), "g");
	CHECK_TEXT(slice_str(b->owner), "ann");		/* a definition without an owner keeps the one that stands */
	CHECK_INT(b->next_slot, 2);
	/* New ones in front: slots stay, the order is that of slots. */
	c = evolve(b,
		   "[group]\nentity = k\n[feature z]\ntype = bool\n[feature y]\ntype = float64[]\n[feature x]\n"
		   "type = int64\nmin = 3\n"
		   "retired = yes\n", true, 0);
	NEED(c);
	check_print(c,
		    "[group]\nentity = k\nowner = ann\n\n[feature x]\ntype = int64\nmin = 3\nretired = yes\n\n[feature y]\n"
		    "type = float64[]\n\n"
		    "[feature z]\ntype = bool\n");
	CHECK_INT(catalog_find_feature(c, slice_str("z"))->slot, 2);
	CHECK_INT(c->next_slot, 3);
	CHECK(catalog_feature_at(c, 1) == catalog_find_feature(c, slice_str("y")));
	evolve(c, "[group]\nentity = k\n[feature y]\ntype = float64[]\n[feature z]\ntype = bool\n", true, -EINVAL);
	evolve(c,
	       "[group]\nentity = k\n[feature x]\ntype = int64\n[feature y]\ntype = float64[]\n[feature z]\n"
	       "type = bool\n", true, -EINVAL);
	evolve(c,
	       "[group]\nentity = k\n[feature x]\ntype = int32\nretired = yes\n[feature y]\ntype = float64[]\n"
	       "[feature z]\ntype = bool\n",
	       true, -EINVAL);
	evolve(c,
	       "[group]\nentity = k\n[feature x]\ntype = int64\nretired = yes\n[feature y]\ntype = float64[]\n"
	       "[feature z]\ntype = int32\n",
	       true, -EINVAL);
	d = evolve(c,
		   "[group]\nentity = k\n[feature x]\ntype = int64\nretired = yes\n[feature y]\ntype = float64[]\n"
		   "[feature z]\ntype = bool\n"
		   "[feature x@v2]\ntype = string\n", true, 0);
	NEED(d);
	CHECK_INT(catalog_find_feature(d, slice_str("x@v2"))->slot, 3);
	/* Slots with gaps below them are found as well. */
	d->features[3].slot = 700;
	CHECK(catalog_feature_at(d, 700) == &d->features[3]);
	CHECK(!catalog_feature_at(d, 3) && !catalog_feature_at(d, 699) && !catalog_feature_at(d, 701));
	CHECK(catalog_feature_at(d, 0) == &d->features[0]);
	catalog_group_unref(a);
	catalog_group_unref(b);
	catalog_group_unref(c);
	catalog_group_unref(d);
	a = make("g");
	a->next_slot = 65535;
	evolve(a, "[group]\nentity = entity\n[feature x]\ntype = int32\n", false, -EINVAL);
	catalog_group_unref(a);
}

int main(void)
{
	test_full();
	test_canonical();
	test_refusals();
	test_limits();
	test_generated();
	test_identity();
	test_damaged_store();
	test_evolve();
	return test_end("group");
}
