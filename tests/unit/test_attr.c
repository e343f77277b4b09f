/* SPDX-License-Identifier: MIT */
/* Attributes: what setfattr may say about a group, and what getfattr then answers. */
#include <errno.h>
#include "catalog/catalog.h"
#include "test.h"

static struct catalog_group *grp;

/* Sets (NULL: removes) and checks the outcome; the new group takes the old one's place. */
static void set(const char *name, const char *value, bool has_rows, int want)
{
	struct slice text = { value, value ? strlen(value) : 0 };
	struct catalog_group *next = NULL;
	struct why why = { "" };

	CHECK_INT(catalog_attr_set(grp, slice_str(name), value ? &text : NULL, has_rows, 9000, &next, &why), want);
	CHECK(!why.text[0] == (want == 0));
	CHECK(!next == (want < 0));
	if (!next)
		return;
	CHECK_INT(next->changed_ns, 9000);
	catalog_group_unref(grp);
	grp = next;
}

static void check_value(const char *name, const char *want)
{
	struct buf out = { 0 };

	CHECK_INT(catalog_attr_get(grp, slice_str(name), &out), want ? 0 : -ENODATA);
	CHECK_TEXT(buf_slice(&out), want ? want : "");
	buf_release(&out);
}

static void check_list(const char *bytes, size_t len)
{
	struct buf out = { 0 };

	CHECK_INT(catalog_attr_list(grp, &out), 0);
	CHECK(slice_equal(buf_slice(&out), slice_of(bytes, len)));
	buf_release(&out);
}

static void test_texts(void)
{
	set("user.owner", "growth\n", true, 0);
	check_value("user.owner", "growth");
	set("user.description", "what it is; for whom", true, 0);
	set("user.description", "a ;b", true, -EINVAL);
	set("user.description", ";b", true, -EINVAL);
	set("user.description", " b", true, -EINVAL);
	set("user.description", "b ", true, -EINVAL);
	set("user.description", "a\nb", true, -EINVAL);
	set("user.description", "b\n\n", true, -EINVAL);
	set("user.description", "\xff", true, -EILSEQ);
	set("user.description", "", true, -EINVAL);
	set("user.description", "\n", true, -EINVAL);
	check_value("user.description", "what it is; for whom");
	set("user.source", "s3", true, 0);
	set("user.tags", "a, b", true, 0);
	check_value("user.tags", "a, b");
	set("user.tags", NULL, true, 0);
	set("user.tags", NULL, true, -ENODATA);
	check_value("user.tags", NULL);
}

static void test_kinds(void)
{
	check_value("user.tier", NULL);
	set("user.tier", "5", true, -EINVAL);
	set("user.tier", "-1", true, -EINVAL);
	set("user.tier", "0", true, 0);
	check_value("user.tier", "0");
	set("user.tier", NULL, true, 0);
	check_value("user.tier", NULL);
	set("user.ttl", "1d12h", true, 0);
	check_value("user.ttl", "1d12h");
	set("user.ttl", "forever", true, -EINVAL);
	set("user.ttl", "0", true, 0);
	check_value("user.ttl", NULL);
	set("user.ttl", "7200", true, 0);
	check_value("user.ttl", "2h");
	set("user.entity", "user_id", true, 0);		/* the name of a key that stands alone is a label */
	set("user.entity", NULL, true, 0);
	check_value("user.entity", "entity");
	set("user.entity", "user_id,day", false, 0);
	check_value("user.entity", "user_id, day");
	set("user.entity", "day, user_id", true, -EBUSY);
	set("user.entity", NULL, true, -EBUSY);
	CHECK_INT(grp->n_keys, 2);
	set("user.entity", "a,a", false, -EINVAL);
	set("user.entity", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", false, -EINVAL);
	set("user.colour", "red", false, -EINVAL);
}

int main(void)
{
	static const char all[] = "user.entity\0user.owner\0user.description\0user.ttl\0user.source";
	struct why why;

	NEED(catalog_group_make(1, 1, slice_str("g"), 0, 0, 0755, NULL, 1, &grp, &why) == 0);
	CHECK(catalog_attr_is_known(slice_str("user.owner")));
	CHECK(!catalog_attr_is_known(slice_str("user.own")));
	CHECK(!catalog_attr_is_known(slice_str("owner")));
	check_list("user.entity", 12);
	test_texts();
	test_kinds();
	check_list(all, sizeof(all));
	check_value("user.colour", NULL);
	catalog_group_unref(grp);
	return test_end("attr");
}
