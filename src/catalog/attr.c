/* SPDX-License-Identifier: MIT */
/*
 * The attributes that the catalog keeps itself, one table behind three doors: the user.* attributes of a group's
 * directory, the keys of [group] in a definition, and their canonical text. The order of the table is the order of the
 * text.
 */
#include <errno.h>
#include "base/clock.h"
#include "base/num.h"
#include "catalog/group.h"

enum { TIER_MAX = 4 };

/* Texts: has, print, set, unset of one field. */
#define TEXT_ATTR(field) \
	static bool has_##field(const struct catalog_group *grp) \
	{ \
		return grp->field; \
	} \
	static void print_##field(const struct catalog_group *grp, struct buf *out) \
	{ \
		buf_append_str(out, grp->field); \
	} \
	static int set_##field(struct catalog_group *grp, struct slice text, struct why *why) \
	{ \
		(void)why; \
		return group_set_text(&grp->field, text); \
	} \
	static void unset_##field(struct catalog_group *grp) \
	{ \
		group_set_text(&grp->field, slice_of(NULL, 0));	/* an empty text needs no memory */ \
	}

TEXT_ATTR(owner)
TEXT_ATTR(description)
TEXT_ATTR(tags)
TEXT_ATTR(source)

static bool has_entity(const struct catalog_group *grp)
{
	return grp->n_keys;
}

static void print_entity(const struct catalog_group *grp, struct buf *out)
{
	group_print_list(grp->keys, grp->n_keys, out);
}

static bool has_tier(const struct catalog_group *grp)
{
	return grp->tier >= 0;
}

static void print_tier(const struct catalog_group *grp, struct buf *out)
{
	buf_printf(out, "%d", grp->tier);
}

static int set_tier(struct catalog_group *grp, struct slice text, struct why *why)
{
	int64_t tier;

	if (num_parse_i64(text, &tier) < 0 || tier < 0 || tier > TIER_MAX)
		return why_fail(why, EINVAL, "a tier is 0 (most urgent) to %d", TIER_MAX);
	grp->tier = (int)tier;
	return 0;
}

static void unset_tier(struct catalog_group *grp)
{
	grp->tier = -1;
}

static bool has_ttl(const struct catalog_group *grp)
{
	return grp->ttl_ns;
}

static void print_ttl(const struct catalog_group *grp, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];

	buf_append(out, text, clock_print_span(grp->ttl_ns, text));
}

static int set_ttl(struct catalog_group *grp, struct slice text, struct why *why)
{
	int64_t ttl;

	if (clock_parse_span(text, &ttl) < 0)
		return why_fail(why, EINVAL,
				"a ttl is a span such as 30d, 1d12h, 90s or 250ms (units w d h m s ms); 0 is none");
	grp->ttl_ns = ttl;
	return 0;
}

static void unset_ttl(struct catalog_group *grp)
{
	grp->ttl_ns = 0;
}

const struct attr attr_table[] = {
	{ "user.entity", group_set_keys, NULL, has_entity, print_entity, false },
	{ "user.owner", set_owner, unset_owner, has_owner, print_owner, false },
	{ "user.description", set_description, unset_description, has_description, print_description, false },
	{ "user.tier", set_tier, unset_tier, has_tier, print_tier, false },
	{ "user.ttl", set_ttl, unset_ttl, has_ttl, print_ttl, true },
	{ "user.tags", set_tags, unset_tags, has_tags, print_tags, false },
	{ "user.source", set_source, unset_source, has_source, print_source, false },
};

const unsigned attr_count = sizeof(attr_table) / sizeof(attr_table[0]);

const struct attr *attr_find(struct slice name)
{
	for (unsigned i = 0; i < attr_count; i++)
		if (slice_equal(name, slice_str(attr_table[i].name)))
			return &attr_table[i];
	return NULL;
}

bool catalog_attr_is_known(struct slice name)
{
	return attr_find(name);
}

int catalog_attr_get(const struct catalog_group *grp, struct slice name, struct buf *out)
{
	const struct attr *attr = attr_find(name);

	if (!attr || !attr->has(grp))
		return -ENODATA;
	attr->print(grp, out);
	return buf_error(out);
}

int catalog_attr_list(const struct catalog_group *grp, struct buf *out)
{
	for (unsigned i = 0; i < attr_count; i++)
		if (attr_table[i].has(grp))
			buf_append(out, attr_table[i].name, strlen(attr_table[i].name) + 1);
	return buf_error(out);
}

/* Text as setfattr or a program gives it: one newline at its end is not part of it. */
static int set_value(const struct attr *attr, struct catalog_group *grp, struct slice text, struct why *why)
{
	int rc;

	if (text.len && ((const char *)text.data)[text.len - 1] == '\n')
		text.len--;
	if (!text.len)
		return why_fail(why, EINVAL, "the value is empty; remove the attribute instead (setfattr -x)");
	rc = group_check_text(text, why);
	return rc < 0 ? rc : attr->set(grp, text, why);
}

static int unset_value(const struct attr *attr, struct catalog_group *grp, struct why *why)
{
	/* The one that a group can't be without, the names of its keys, goes back to what a new group has. */
	if (!attr->unset)
		return group_set_keys(grp, slice_str("entity"), why);
	if (!attr->has(grp))
		return why_fail(why, ENODATA, "it has no value");
	attr->unset(grp);
	return 0;
}

int catalog_attr_set(const struct catalog_group *grp, struct slice name, const struct slice *value, bool has_rows,
		     int64_t now_ns, struct catalog_group **out, struct why *why)
{
	const struct attr *attr = attr_find(name);
	struct catalog_group *copy;
	int rc;

	if (!attr)
		return why_fail(why, EINVAL, "the catalog has no such attribute");
	if (grp->view && attr->is_for_groups)
		return why_fail(why, EINVAL, "%s is a group's; a view has none", attr->name);
	/* The parts of a view's key and its columns say each other; only its .schema changes both. */
	if (grp->view && attr->set == group_set_keys)
		return why_fail(why, EINVAL, "%s: write the view's .schema instead", attr->name);
	rc = group_copy(grp, &copy);
	if (rc < 0)
		return rc;
	rc = value ? set_value(attr, copy, *value, why) : unset_value(attr, copy, why);
	if (rc == 0 && has_rows && !group_keeps_keys(grp, copy))
		rc = why_fail(why, EBUSY, "the parts of an entity's name can't change while the group has entities");
	if (rc < 0) {
		if (rc != -ENOMEM)
			why_prefix(why, "%s", attr->name);
		catalog_group_unref(copy);
		return rc;
	}
	copy->changed_ns = now_ns;
	*out = copy;
	return 0;
}
