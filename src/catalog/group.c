/* SPDX-License-Identifier: MIT */
/*
 * Groups: how they are built, copied, counted and looked into. A published group never changes, so a change copies it
 * whole (group_change.c): groups are small, changes are rare, and readers need no lock. Features lie in order of their
 * slots, which makes the look-up by slot an index where no slot is missing; names have a hash table beside them.
 */
#include "catalog/group.h"

#include <errno.h>
#include <stdlib.h>
#include "base/text.h"
#include "catalog/view.h"

enum { ARRAY_FIRST = 4, INDEX_FIRST = 16 };

/* Places in `features` by hash of their names, plus one; 0: free. Open addressing, at most half full. */
struct group_index {
	unsigned n_slots;
	uint16_t at[];
};

/* ---- memory ---- */

static char *copy_text(const void *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static int clone(char **to, const char *from)
{
	*to = from ? copy_text(from, strlen(from)) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int clone_list(char ***to, unsigned *out_n, char *const *from, unsigned n)
{
	*to = n ? calloc(n, sizeof(**to)) : NULL;
	if (n && !*to)
		return -ENOMEM;
	for (*out_n = 0; *out_n < n; ++*out_n)
		if (clone(&(*to)[*out_n], from[*out_n]) < 0)
			return -ENOMEM;
	return 0;
}

/* Makes room for one element more in an array that has grown by this function alone: it is full at powers of two. */
static int reserve_one(void *array, unsigned n, size_t size)
{
	void *old, *bigger;

	if (n && (n < ARRAY_FIRST || (n & (n - 1))))
		return 0;
	memcpy(&old, array, sizeof(old));
	bigger = reallocarray(old, n ? (size_t)n * 2 : ARRAY_FIRST, size);
	if (!bigger)
		return -ENOMEM;
	memcpy(array, &bigger, sizeof(bigger));
	return 0;
}

void group_free_list(char **list, unsigned n)
{
	while (n)
		free(list[--n]);
	free(list);
}

static void release_feature(struct catalog_feature *f)
{
	free(f->name);
	free(f->description);
	free(f->index);
	group_free_list(f->enums, f->n_enums);
}

static void release_section(struct catalog_section *section)
{
	free(section->name);
	group_free_list(section->keys, section->n_keys);
	group_free_list(section->values, section->n_keys);
}

static void group_free(struct catalog_group *grp)
{
	for (unsigned i = 0; i < grp->n_features; i++)
		release_feature(&grp->features[i]);
	for (unsigned i = 0; i < grp->n_sections; i++)
		release_section(&grp->sections[i]);
	group_free_list(grp->keys, grp->n_keys);
	free(grp->features);
	free(grp->sections);
	free(grp->name);
	free(grp->owner);
	free(grp->description);
	free(grp->source);
	free(grp->tags);
	free(grp->index);
	view_free(grp->view);
	free(grp);
}

struct catalog_group *group_new(void)
{
	struct catalog_group *grp = calloc(1, sizeof(*grp));

	if (!grp)
		return NULL;
	grp->refs = 1;
	grp->tier = -1;
	grp->name = copy_text(NULL, 0);
	if (grp->name)
		return grp;
	free(grp);
	return NULL;
}

/* Callers hold what they read as const; the count is the one part of a published group that changes, and it is
 * atomic. */
struct catalog_group *catalog_group_ref(const struct catalog_group *grp)
{
	struct catalog_group *counted = (struct catalog_group *)grp;

	__atomic_fetch_add(&counted->refs, 1, __ATOMIC_RELAXED);
	return counted;
}

void catalog_group_unref(const struct catalog_group *grp)
{
	struct catalog_group *counted = (struct catalog_group *)grp;	/* see catalog_group_ref */

	if (counted && __atomic_sub_fetch(&counted->refs, 1, __ATOMIC_ACQ_REL) == 0)
		group_free(counted);
}

/* ---- features by name and by slot ---- */

static unsigned hash(struct slice name)
{
	const uint8_t *p = name.data;
	unsigned h = 2166136261u;	/* FNV-1a */

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static uint16_t *find_place(const struct catalog_group *grp, struct group_index *index, struct slice name)
{
	unsigned i = hash(name) & (index->n_slots - 1);

	while (index->at[i] && !slice_equal(slice_str(grp->features[index->at[i] - 1].name), name))
		i = (i + 1) & (index->n_slots - 1);
	return &index->at[i];
}

/* Indexes the first n features anew, with room for as many again. */
static int build_index(struct catalog_group *grp)
{
	struct group_index *index;
	unsigned n_slots = INDEX_FIRST;

	while (n_slots < grp->n_features * 4)
		n_slots *= 2;
	index = calloc(1, sizeof(*index) + n_slots * sizeof(index->at[0]));
	if (!index)
		return -ENOMEM;
	index->n_slots = n_slots;
	for (unsigned i = 0; i < grp->n_features; i++)
		*find_place(grp, index, slice_str(grp->features[i].name)) = (uint16_t)(i + 1);
	free(grp->index);
	grp->index = index;
	return 0;
}

const struct catalog_feature *catalog_find_feature(const struct catalog_group *grp, struct slice name)
{
	unsigned at = grp->index ? *find_place(grp, grp->index, name) : 0;

	return at ? &grp->features[at - 1] : NULL;
}

const struct catalog_feature *catalog_feature_at(const struct catalog_group *grp, uint16_t slot)
{
	unsigned low = 0, high = grp->n_features;

	/* Slots ascend without a repeat, so the slot of features[i] is i at the least. */
	if (slot < high && grp->features[slot].slot == slot)
		return &grp->features[slot];
	if (slot < high)
		high = slot;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (grp->features[middle].slot == slot)
			return &grp->features[middle];
		if (grp->features[middle].slot < slot)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- building ---- */

int group_add_feature(struct catalog_group *grp, struct slice name, struct catalog_feature **out)
{
	struct catalog_feature *f;
	int rc = reserve_one(&grp->features, grp->n_features, sizeof(*grp->features));

	if (rc < 0)
		return rc;
	f = &grp->features[grp->n_features];
	*f = (struct catalog_feature){ .name = copy_text(name.data, name.len), .slot = (uint16_t)grp->n_features };
	if (!f->name)
		return -ENOMEM;
	grp->n_features++;
	if (!grp->index || grp->n_features * 2 > grp->index->n_slots)
		rc = build_index(grp);
	else
		*find_place(grp, grp->index, name) = (uint16_t)grp->n_features;
	if (rc == 0)
		*out = f;
	return rc;
}

static int compare_slots(const void *a, const void *b)
{
	const struct catalog_feature *left = a, *right = b;

	return (left->slot > right->slot) - (left->slot < right->slot);
}

int group_sort_features(struct catalog_group *grp)
{
	if (grp->n_features)
		qsort(grp->features, grp->n_features, sizeof(*grp->features), compare_slots);
	return build_index(grp);
}

int group_add_section(struct catalog_group *grp, struct slice name, struct catalog_section **out)
{
	struct catalog_section *section;

	if (reserve_one(&grp->sections, grp->n_sections, sizeof(*grp->sections)) < 0)
		return -ENOMEM;
	section = &grp->sections[grp->n_sections];
	*section = (struct catalog_section){ .name = copy_text(name.data, name.len) };
	if (!section->name)
		return -ENOMEM;
	grp->n_sections++;
	*out = section;
	return 0;
}

int group_add_section_key(struct catalog_section *section, const char *key, const char *value)
{
	unsigned n = section->n_keys;
	char *key_copy, *value_copy;

	if (reserve_one(&section->keys, n, sizeof(*section->keys)) < 0 ||
	    reserve_one(&section->values, n, sizeof(*section->values)) < 0)
		return -ENOMEM;
	key_copy = copy_text(key, strlen(key));
	value_copy = copy_text(value, strlen(value));
	if (!key_copy || !value_copy) {
		free(key_copy);
		free(value_copy);
		return -ENOMEM;
	}
	section->keys[n] = key_copy;
	section->values[n] = value_copy;
	section->n_keys++;
	return 0;
}

const struct catalog_section *group_find_section(const struct catalog_group *grp, struct slice name)
{
	for (unsigned i = 0; i < grp->n_sections; i++)
		if (slice_equal(slice_str(grp->sections[i].name), name))
			return &grp->sections[i];
	return NULL;
}

int group_set_text(char **field, struct slice text)
{
	char *copy = text.len ? copy_text(text.data, text.len) : NULL;

	if (text.len && !copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int group_check_text(struct slice text, struct why *why)
{
	const unsigned char *p = text.data;

	if (text.len > GROUP_VALUE_MAX)
		return why_fail(why, EINVAL, "the text has %zu bytes; %d are allowed", text.len, GROUP_VALUE_MAX);
	if (!text_is_utf8(text))
		return why_fail(why, EILSEQ, "the text is not UTF-8");
	for (size_t i = 0; i < text.len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return why_fail(why, EINVAL,
					"the text holds the control byte 0x%02x; it is one line without tabs", p[i]);
		if (p[i] == ';' && (i == 0 || p[i - 1] == ' '))
			return why_fail(why, EINVAL,
					"a ';' at the beginning or after a blank begins a comment in a definition");
	}
	if (text.len && (p[0] == ' ' || p[text.len - 1] == ' '))
		return why_fail(why, EINVAL, "the text begins or ends with a blank");
	return 0;
}

static struct slice trim(struct slice text)
{
	const char *p = text.data;

	while (text.len && p[text.len - 1] == ' ')
		text.len--;
	for (; text.len && *p == ' '; p++)
		text.len--;
	return slice_of(p, text.len);
}

int group_split_list(struct slice text, char ***out, unsigned *out_n, struct why *why)
{
	char **list = NULL;
	unsigned n = 0;
	int rc;

	for (;;) {
		const char *comma = text.len ? memchr(text.data, ',', text.len) : NULL;
		size_t len = comma ? (size_t)(comma - (const char *)text.data) : text.len;
		struct slice part = trim(slice_of(text.data, len));

		rc = part.len ? 0 : why_fail(why, EINVAL, "a part of the list is empty");
		if (rc == 0)
			rc = reserve_one(&list, n, sizeof(*list));
		if (rc < 0)
			goto fail;
		list[n] = copy_text(part.data, part.len);
		if (!list[n]) {
			rc = -ENOMEM;
			goto fail;
		}
		n++;
		if (!comma)
			break;
		text = slice_of(comma + 1, text.len - len - 1);
	}
	*out = list;
	*out_n = n;
	return 0;
fail:
	group_free_list(list, n);
	return rc;
}

void group_print_list(char *const *list, unsigned n, struct buf *out)
{
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_append_str(out, ", ");
		buf_append_str(out, list[i]);
	}
}

static int check_keys(char *const *keys, unsigned n, struct why *why)
{
	if (n > CATALOG_KEYS_MAX)
		return why_fail(why, EINVAL, "an entity's name has at most %d parts", CATALOG_KEYS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (text_check_group_name(slice_str(keys[i]), NULL) < 0)
			return why_fail(why, EINVAL,
					"\"%s\" can't name a part of an entity's name: letters, digits, '_' and '-', "
					"a letter or '_' first, at most %d bytes", keys[i], TEXT_NAME_MAX);
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(keys[i], keys[j]))
				return why_fail(why, EINVAL, "\"%s\" stands twice among the parts of an entity's name",
						keys[i]);
	}
	return 0;
}

int group_set_keys(struct catalog_group *grp, struct slice list, struct why *why)
{
	char **keys;
	unsigned n;
	int rc = group_split_list(list, &keys, &n, why);

	if (rc < 0)
		return rc;
	rc = check_keys(keys, n, why);
	if (rc < 0) {
		group_free_list(keys, n);
		return rc;
	}
	group_free_list(grp->keys, grp->n_keys);
	grp->keys = keys;
	grp->n_keys = n;
	return 0;
}

bool group_keeps_keys(const struct catalog_group *a, const struct catalog_group *b)
{
	if (a->n_keys != b->n_keys)
		return false;
	if (a->n_keys == 1)
		return true;	/* a key that stands alone can't be mixed up: its name is a label */
	for (unsigned i = 0; i < a->n_keys; i++)
		if (strcmp(a->keys[i], b->keys[i]))
			return false;
	return true;
}

/* ---- copies ---- */

static int copy_feature(const struct catalog_feature *from, struct catalog_feature *to)
{
	*to = *from;
	to->name = to->description = to->index = NULL;
	to->enums = NULL;
	to->n_enums = 0;
	if (clone(&to->name, from->name) < 0 || clone(&to->description, from->description) < 0 ||
	    clone(&to->index, from->index) < 0)
		return -ENOMEM;
	return clone_list(&to->enums, &to->n_enums, from->enums, from->n_enums);
}

static int copy_section(const struct catalog_section *from, struct catalog_section *to)
{
	*to = (struct catalog_section){ 0 };
	if (clone(&to->name, from->name) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < from->n_keys; i++)
		if (group_add_section_key(to, from->keys[i], from->values[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int copy_contents(const struct catalog_group *from, struct catalog_group *to)
{
	if (from->n_features)
		to->features = calloc(from->n_features, sizeof(*to->features));
	if (from->n_sections)
		to->sections = calloc(from->n_sections, sizeof(*to->sections));
	if ((from->n_features && !to->features) || (from->n_sections && !to->sections))
		return -ENOMEM;
	for (unsigned i = 0; i < from->n_features; i++) {
		to->n_features++;
		if (copy_feature(&from->features[i], &to->features[i]) < 0)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < from->n_sections; i++) {
		to->n_sections++;
		if (copy_section(&from->sections[i], &to->sections[i]) < 0)
			return -ENOMEM;
	}
	return build_index(to);
}

int group_copy(const struct catalog_group *grp, struct catalog_group **out)
{
	struct catalog_group *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = (struct catalog_group){
		.id = grp->id, .rows = grp->rows, .overlay = grp->overlay, .overlay_ns = grp->overlay_ns, .uid = grp->uid,
		.gid = grp->gid, .mode = grp->mode,
		.created_ns = grp->created_ns, .changed_ns = grp->changed_ns, .tier = grp->tier, .ttl_ns = grp->ttl_ns,
		.next_slot = grp->next_slot, .refs = 1,
	};
	if (clone(&copy->name, grp->name) < 0 || clone(&copy->owner, grp->owner) < 0 ||
	    clone(&copy->description, grp->description) < 0 || clone(&copy->source, grp->source) < 0 ||
	    clone(&copy->tags, grp->tags) < 0 || clone_list(&copy->keys, &copy->n_keys, grp->keys, grp->n_keys) < 0 ||
	    copy_contents(grp, copy) < 0 || (grp->view && view_copy(grp->view, &copy->view) < 0)) {
		group_free(copy);
		return -ENOMEM;
	}
	*out = copy;
	return 0;
}
