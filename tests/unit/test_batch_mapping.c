/* SPDX-License-Identifier: MIT */
/* Which column is what: [batch], names, and what overrides both. */
#include "base/text.h"
#include "batch/mapping.h"
#include "batch_help.h"

static void check_definition(const char *batch, const char *want)
{
	struct catalog_group *grp;
	struct why why = { "" };
	char text[512];

	snprintf(text, sizeof text, "[group]\nentity = user\n[feature n]\ntype = int64\n[batch]\n%s\n", batch);
	if (!want) {
		CHECK_INT(catalog_group_parse("schema", slice_str(text), &grp, &why), 0);
		catalog_group_unref(grp);
		return;
	}
	CHECK_INT(catalog_group_parse("schema", slice_str(text), &grp, &why), -EINVAL);
	CHECK(strstr(why.text, want));
}

static void test_definitions(void)
{
	check_definition("delimiter = semicolon", NULL);
	check_definition("delimiter = ^", NULL);
	check_definition("null =", NULL);
	check_definition("null = \\N", NULL);
	check_definition("delimiter = x", "delimiter is comma");
	check_definition("delimiter = \"", "delimiter is comma");
	check_definition("delimiter = ,,", "delimiter is comma");
	check_definition("feature.m = x", "no such feature");
	check_definition("column = x", "[batch] has no key \"column\"");
}

static void test_roles(void)
{
	struct help help = { .grp = help_group("[group]\nentity = user\n[feature n]\ntype = int64\n[feature event_time]\ntype = timestamp\n"
					       "[feature m]\ntype = int64\n[batch]\nentity = uid\nevent_time = at\nfeature.n = clicks\n"
					       "feature.m = clicks\ndelimiter = pipe\nnull = -\n") };
	struct batch_mapping_override override = { .entity = "who", .event_time = "event_time", .delimiter = "comma", .null = "" };

	/* One column may feed two features; the name that a mapping left is a column like another. */
	CHECK_INT(help_read_text(&help, "a.csv", "uid|at|clicks|n|user\nu1|10|5|6|x\nu2|-|-||x\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 1970-01-01T00:00:10Z n=5 m=5\n3 u2 - n=null m=null\n");
	CHECK_TEXT(buf_slice(&help.ignored), "n, user");
	CHECK_INT(help_read_text(&help, "a.csv", "uid|clicks\nu1|1\n"), -EINVAL);
	CHECK(strstr(help.why.text, "no column is the event time: the file has"));
	CHECK_INT(help_read_text(&help, "a.csv", "user|at|clicks\nu1|1|1\n"), -EINVAL);
	CHECK(strstr(help.why.text, "expected is uid"));
	/* A column may be the event time and a feature. */
	CHECK_INT(help_read_with(&help, &override, "who,event_time\nu1,10\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 u1 1970-01-01T00:00:10Z event_time=\"1970-01-01T00:00:10Z\"\n");
	help_release(&help);
	catalog_group_unref(help.grp);
}

/* Columns that [batch] names and no row has. A feature that goes by its own name may stay away. */
static void test_missing(void)
{
	struct help help = { .grp = help_group("[group]\nentity = user\n[feature n]\ntype = int64\n[feature m]\ntype = int64\n"
					       "[feature o]\ntype = int64\n[feature p]\ntype = int64\n[batch]\nfeature.n = clicks\n"
					       "feature.m = views\nfeature.o = views\n") };

	CHECK_INT(help_read_text(&help, "a.csv", "user,p\nu1,1\n"), 0);
	CHECK_TEXT(buf_slice(&help.missing), "clicks, views");
	CHECK_INT(help_read_text(&help, "a.csv", "user,views,n\nu1,1,2\n"), 0);
	CHECK_TEXT(buf_slice(&help.missing), "clicks");
	CHECK_TEXT(buf_slice(&help.ignored), "n");
	CHECK_INT(help_read_text(&help, "a.csv", "user,views,clicks\n"), 0);
	CHECK_TEXT(buf_slice(&help.missing), "");
	/* Of JSON Lines one row that has it is enough. */
	CHECK_INT(help_read_text(&help, "a.jsonl", "{\"user\": \"u1\", \"p\": 1}\n{\"user\": \"u2\", \"clicks\": 1}\n"), 0);
	CHECK_TEXT(buf_slice(&help.missing), "views");
	/* The store's own rows have no columns. */
	CHECK_INT(help_read_text(&help, "a.jsonl", "{\"entity\": \"u1\", \"features\": {\"p\": 1}}\n"), 0);
	CHECK_TEXT(buf_slice(&help.missing), "");
	help_release(&help);
	catalog_group_unref(help.grp);
}

static void test_parts(void)
{
	struct help help = { .grp = help_group("[group]\nentity = user, day\n[feature n]\ntype = int64\n[batch]\nentity = u, d\n") };
	struct batch_mapping_override three = { .entity = "a,b,c" }, empty = { .entity = "a,,c" };

	CHECK_INT(help_read_text(&help, "a.csv", "d,n,u\nmon,1,x\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "2 x,mon - n=1\n");
	CHECK_INT(help_read_text(&help, "a.jsonl", "{\"d\": \"mon\", \"n\": 1, \"u\": 7}\n{\"d\": \"mon\", \"n\": 1}\n"), 0);
	CHECK_TEXT(buf_slice(&help.text), "1 7,mon - n=1\n!2 : the row names no entity: it lacks u; see [batch] in .schema\n");
	CHECK_INT(help_read_text(&help, "a.csv", "u,n\nx,1\n"), -EINVAL);
	CHECK_INT(help_read_with(&help, &three, "u,n\n"), -EINVAL);
	CHECK(strstr(help.why.text, "entity names 3 columns; the group's key has 2 parts"));
	CHECK_INT(help_read_with(&help, &empty, "u,n\n"), -EINVAL);
	help_release(&help);
	catalog_group_unref(help.grp);
}

/* The written form of names, against the rule that base/text keeps. */
static void test_entities(void)
{
	struct catalog_group *grp = help_group("[group]\nentity = user\n[feature n]\ntype = int64\n");
	struct batch_mapping *mapping;
	struct buf entity = { 0 };
	struct why why;
	char raw[300];

	NEED(batch_mapping_new(grp, NULL, &mapping, &why) == 0);
	for (int c = 1; c < 256; c++) {
		char bytes[] = { 'a', (char)c, 'b' };
		struct slice part = slice_of(bytes, 3);
		int rc = mapping_entity(mapping, &part, 1, false, &entity, &why);

		CHECK_INT(rc, c < 0x80 ? 0 : -EILSEQ);
		if (rc == 0)
			CHECK_INT(text_check_entity(buf_slice(&entity), 1, &why), 0);
		part = slice_of(bytes + 1, 1);
		if (mapping_entity(mapping, &part, 1, false, &entity, &why) == 0)
			CHECK_INT(text_check_entity(buf_slice(&entity), 1, &why), 0);
	}
	/* What is told of many names at once holds for each, and is told of the usual ones; in a piece of 32 bytes and behind it. */
	for (unsigned c = 0; c < 256; c++)
		for (size_t at = 0; at < 40; at += 35) {
			struct slice part = slice_of(raw, 40);
			bool is_plain;

			memset(raw, 'a', sizeof raw);
			raw[at] = (char)c;
			is_plain = mapping_is_plain(part);
			CHECK(!is_plain || (mapping_entity(mapping, &part, 1, false, &entity, &why) == 0 && slice_equal(buf_slice(&entity), part)));
			CHECK(is_plain || !(c == '_' || c == '-' || c == ':' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')));
		}
	CHECK(mapping_is_plain(slice_of(NULL, 0)));
	memset(raw, 'a', sizeof raw);
	CHECK_INT(mapping_entity(mapping, &(struct slice){ raw, 255 }, 1, false, &entity, &why), 0);
	CHECK_INT(mapping_entity(mapping, &(struct slice){ raw, 256 }, 1, false, &entity, &why), -ENAMETOOLONG);
	memset(raw, '/', sizeof raw);
	CHECK_INT(mapping_entity(mapping, &(struct slice){ raw, 85 }, 1, false, &entity, &why), 0);
	CHECK_INT(mapping_entity(mapping, &(struct slice){ raw, 86 }, 1, false, &entity, &why), -ENAMETOOLONG);
	buf_release(&entity);
	batch_mapping_free(mapping);
	catalog_group_unref(grp);
}

int main(void)
{
	test_definitions();
	test_roles();
	test_missing();
	test_parts();
	test_entities();
	return test_end("batch_mapping");
}
