/* SPDX-License-Identifier: MIT */
/* Groups while they are being built, inside the room: once published, they don't change any more. */
#ifndef CATALOG_GROUP_H
#define CATALOG_GROUP_H

#include "catalog/catalog.h"

enum {
	GROUP_VALUE_MAX = 4096,		/* bytes of one value in canonical form: its line is below CONF_LINE_MAX */
	GROUP_SECTIONS_MAX = 256,
	GROUP_SECTION_KEYS_MAX = CATALOG_FEATURES_MAX + 256,	/* one for each feature, filters, and the others */
};

/* Counted once for the caller, named "", without keys, features and tier. NULL without memory. */
struct catalog_group *group_new(void);
/* A deep copy, counted once for the caller. */
int group_copy(const struct catalog_group *grp, struct catalog_group **out);

/* Adds a feature at the end, findable at once; its slot is its place. `name` has been checked. */
int group_add_feature(struct catalog_group *grp, struct slice name, struct catalog_feature **out);
/* Puts features into the order of their slots. */
int group_sort_features(struct catalog_group *grp);
int group_add_section(struct catalog_group *grp, struct slice name, struct catalog_section **out);
int group_add_section_key(struct catalog_section *section, const char *key, const char *value);
const struct catalog_section *group_find_section(const struct catalog_group *grp, struct slice name);

/* Sets a text; an empty one is NULL. */
int group_set_text(char **field, struct slice text);
/* Can a definition hold this text, such that it reads back the same? -EINVAL, -EILSEQ. */
int group_check_text(struct slice text, struct why *why);

/* Splits at commas and trims blanks; an empty part is -EINVAL. The caller frees with group_free_list. */
int group_split_list(struct slice text, char ***out, unsigned *out_n, struct why *why);
void group_free_list(char **list, unsigned n);
void group_print_list(char *const *list, unsigned n, struct buf *out);

/* Names of key parts, "user_id, day". */
int group_set_keys(struct catalog_group *grp, struct slice list, struct why *why);
bool group_keeps_keys(const struct catalog_group *a, const struct catalog_group *b);

/* Gives a new definition what it can't say: the name, the number, the owners and the times of the group whose place it takes; and who answers
 * for it, unless it says that. */
int group_take_place(const struct catalog_group *now, int64_t now_ns, struct catalog_group *grp);

/* ---- parts of the text of groups and views ---- */

/* A key of [store] that both have. */
int group_take_identity(struct catalog_group *grp, const char *key, const char *value, struct why *why);
void group_print_identity(const struct catalog_group *grp, struct buf *out);
/* An attribute, as a key of `section`. */
int group_take_attr(struct catalog_group *grp, const char *section, const char *key, const char *value, struct why *why);
void group_print_attrs(const struct catalog_group *grp, struct buf *out);

/* ---- the keys of [feature NAME]; feature.c ---- */

struct feature_key {
	const char *name;
	bool is_for_first_pass;		/* others are judged by it */
	int (*set)(struct catalog_feature *f, const char *value, struct why *why);	/* checked text, not empty */
	bool (*has)(const struct catalog_feature *f);
	void (*print)(const struct catalog_feature *f, struct buf *out);
};

extern const struct feature_key feature_key_table[];
extern const unsigned feature_key_count;

/* ---- attributes: the keys of [group], which are user.* as well ---- */

struct attr {
	const char *name;	/* "user.owner" */
	int (*set)(struct catalog_group *grp, struct slice text, struct why *why);	/* checked text, not empty */
	void (*unset)(struct catalog_group *grp);		/* NULL: it can't be without a value */
	bool (*has)(const struct catalog_group *grp);
	void (*print)(const struct catalog_group *grp, struct buf *out);
	bool is_for_groups;	/* and not for views */
};

extern const struct attr attr_table[];
extern const unsigned attr_count;

const struct attr *attr_find(struct slice name);		/* NULL */
/* Where the key of [group] begins in the attribute's name. */
enum { ATTR_PREFIX = sizeof("user.") - 1 };

#endif
