/* SPDX-License-Identifier: MIT */
/* What exists, for callers: the catalog of one moment behind plain structs, which borrow from it. */
#include "sdk/private.h"

#include <errno.h>
#include <stdlib.h>

struct feature_entry {
	struct featurefs_feature shown;
	char type_name[TYPE_NAME_MAX];
};

struct group_entry {
	struct featurefs_group shown;	/* first: what callers hold is a pointer to it */
	const struct catalog_group *grp;
	struct feature_entry *features;
};

struct featurefs_catalog {
	struct catalog *cat;
	struct group_entry *groups;
};

static const char *text_of(const char *text)
{
	return text ? text : "";
}

static int show_features(struct group_entry *entry)
{
	const struct catalog_group *grp = entry->grp;

	entry->features = calloc(grp->n_features + 1u, sizeof *entry->features);
	if (!entry->features)
		return -ENOMEM;
	for (unsigned i = 0; i < grp->n_features; i++) {
		const struct catalog_feature *feature = &grp->features[i];
		struct feature_entry *to = &entry->features[i];

		type_print(&feature->type, to->type_name);
		to->shown = (struct featurefs_feature){
			.name = feature->name, .type_name = to->type_name, .type = (enum featurefs_type)feature->type.base,
			.is_array = feature->type.is_array, .length = feature->type.length,
			.description = text_of(feature->description), .index = text_of(feature->index), .not_null = feature->not_null,
			.is_retired = feature->retired,
		};
	}
	return 0;
}

static int show_groups(struct featurefs_catalog *to)
{
	int rc = 0;

	to->groups = calloc(to->cat->n_groups + 1u, sizeof *to->groups);
	if (!to->groups)
		return -ENOMEM;
	for (unsigned i = 0; i < to->cat->n_groups && rc == 0; i++) {
		const struct catalog_group *grp = to->cat->groups[i];

		to->groups[i].grp = grp;
		to->groups[i].shown = (struct featurefs_group){
			.name = grp->name, .owner = text_of(grp->owner), .description = text_of(grp->description),
			.source = text_of(grp->source), .tags = text_of(grp->tags), .tier = grp->tier, .ttl_ns = grp->ttl_ns,
			.n_keys = grp->n_keys, .n_features = grp->n_features,
		};
		rc = show_features(&to->groups[i]);
	}
	return rc;
}

int featurefs_catalog_open(struct featurefs *fs, struct featurefs_catalog **out)
{
	struct featurefs_catalog *cat = calloc(1, sizeof *cat);
	struct why why = { "" };
	int rc = cat ? sdk_catalog(fs, &cat->cat, &why) : -ENOMEM;

	if (rc == 0)
		rc = show_groups(cat);
	if (rc < 0)
		featurefs_catalog_close(cat);
	else
		*out = cat;
	return sdk_return(rc, &why);
}

void featurefs_catalog_close(struct featurefs_catalog *cat)
{
	if (!cat)
		return;
	for (unsigned i = 0; cat->groups && i < cat->cat->n_groups; i++)
		free(cat->groups[i].features);
	free(cat->groups);
	catalog_unref(cat->cat);
	free(cat);
}

size_t featurefs_catalog_size(const struct featurefs_catalog *cat)
{
	return cat->cat->n_groups;
}

const struct featurefs_group *featurefs_catalog_group(const struct featurefs_catalog *cat, size_t i)
{
	return i < cat->cat->n_groups ? &cat->groups[i].shown : NULL;
}

const struct featurefs_group *featurefs_catalog_find(const struct featurefs_catalog *cat, const char *name)
{
	const struct catalog_group *grp = catalog_find(cat->cat, slice_str(name));

	for (unsigned i = 0; grp && i < cat->cat->n_groups; i++)
		if (cat->groups[i].grp == grp)
			return &cat->groups[i].shown;
	return NULL;
}

const char *featurefs_group_key(const struct featurefs_group *grp, size_t i)
{
	const struct group_entry *entry = (const struct group_entry *)grp;

	return i < entry->grp->n_keys ? entry->grp->keys[i] : NULL;
}

const struct featurefs_feature *featurefs_group_feature(const struct featurefs_group *grp, size_t i)
{
	const struct group_entry *entry = (const struct group_entry *)grp;

	return i < entry->grp->n_features ? &entry->features[i].shown : NULL;
}

int featurefs_schema(struct featurefs *fs, const char *group, struct featurefs_text *out)
{
	const struct catalog_group *grp;
	struct why why = { "" };
	struct catalog *cat;
	struct buf text;
	int rc = sdk_catalog(fs, &cat, &why), given;

	if (rc < 0)
		return sdk_return(rc, &why);
	sdk_text_take(out, &text);
	grp = catalog_find(cat, slice_str(group));
	rc = grp ? catalog_group_print(grp, &text) : sdk_no_group(fs, slice_str(group), &why);
	given = sdk_text_give(out, &text);
	catalog_unref(cat);
	return sdk_return(rc < 0 ? rc : given, &why);
}
