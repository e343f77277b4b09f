/* SPDX-License-Identifier: MIT */
/*
 * Which column is what. A group's [batch] section names columns where they differ from the store's names; all else goes by name: key
 * parts by the names of the group's keys (or all of the key in a column `entity`), `event_time`, and each feature by its own name. That is
 * worked out once into a table of roles by column, which a file's header, or a JSON object's keys, are held against. A column that nothing
 * takes is ignored and named once, for it is often a slip; so is one that [batch] names for a feature and that is nowhere, for a feature that is not
 * in a file is left as it is; an entity that is not there is an error.
 */
#include "batch/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

enum { LIST_SHOWN = 100 };	/* bytes of a list of names in a reason */

/* ---- building ---- */

static int add_role(struct batch_mapping *mapping, struct slice column, enum mapping_kind kind, unsigned index)
{
	struct mapping_role *roles = realloc(mapping->roles, (mapping->n_roles + 1) * sizeof *roles);

	if (!roles)
		return -ENOMEM;
	mapping->roles = roles;
	roles[mapping->n_roles] = (struct mapping_role){ strndup(column.data, column.len), kind, index, -1 };
	if (!roles[mapping->n_roles].column)
		return -ENOMEM;
	mapping->n_roles++;
	return 0;
}

static const char *section_value(const struct catalog_section *section, const char *key)
{
	for (unsigned i = 0; section && i < section->n_keys; i++)
		if (!strcmp(section->keys[i], key))
			return section->values[i];
	return NULL;
}

static const struct catalog_section *find_section(const struct catalog_group *grp)
{
	for (unsigned i = 0; i < grp->n_sections; i++)
		if (!strcmp(grp->sections[i].name, "batch"))
			return &grp->sections[i];
	return NULL;
}

static int add_default_entity(struct batch_mapping *mapping)
{
	const struct catalog_group *grp = mapping->grp;
	bool has_it = false;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < grp->n_keys; i++) {
		has_it = has_it || !strcmp(grp->keys[i], "entity");
		rc = add_role(mapping, slice_str(grp->keys[i]), MAPPING_PART, i);
	}
	mapping->n_parts = grp->n_keys;
	if (rc == 0 && !has_it) {
		mapping->has_whole = true;
		rc = add_role(mapping, slice_str("entity"), MAPPING_WHOLE, 0);
	}
	return rc;
}

/* "col" or "col_a, col_b" in the order of the keys. */
static int add_entity(struct batch_mapping *mapping, const char *list, struct why *why)
{
	struct slice columns[CATALOG_KEYS_MAX];
	unsigned n = 0;
	int rc = 0;

	for (const char *p = list;; p++) {
		const char *end = strchrnul(p, ',');
		struct slice name;

		p += strspn(p, " \t");
		name = slice_of(p, p < end ? (size_t)(end - p) : 0);
		while (name.len && strchr(" \t", p[name.len - 1]))
			name.len--;
		if (!name.len || n == CATALOG_KEYS_MAX)
			return why_fail(why, EINVAL, "entity is a column, or the columns of its parts with ',' between them");
		columns[n++] = name;
		if (!*end)
			break;
		p = end;
	}
	if (n != 1 && n != mapping->grp->n_keys)
		return why_fail(why, EINVAL, "entity names %u columns; the group's key has %u part%s", n, mapping->grp->n_keys,
				mapping->grp->n_keys == 1 ? "" : "s");
	if (n == 1 && mapping->grp->n_keys > 1) {
		mapping->has_whole = true;
		return add_role(mapping, columns[0], MAPPING_WHOLE, 0);
	}
	mapping->n_parts = n;
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = add_role(mapping, columns[i], MAPPING_PART, i);
	return rc;
}

static int add_features(struct batch_mapping *mapping, const struct catalog_section *section)
{
	const struct catalog_group *grp = mapping->grp;
	int rc = 0;

	mapping->targets = calloc(grp->n_features ? grp->n_features : 1, sizeof *mapping->targets);
	mapping->is_said = calloc(grp->n_features ? grp->n_features : 1, sizeof *mapping->is_said);
	if (!mapping->targets || !mapping->is_said)
		return -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < grp->n_features; i++) {
		char key[sizeof "feature." + TEXT_NAME_MAX] = "feature.";
		const char *column;

		if (grp->features[i].retired)
			continue;
		strncat(key, grp->features[i].name, TEXT_NAME_MAX);
		column = section_value(section, key);
		rc = add_role(mapping, slice_str(column ? column : grp->features[i].name), MAPPING_FEATURE, mapping->n_targets);
		mapping->is_said[mapping->n_targets] = column;
		mapping->targets[mapping->n_targets++] = &grp->features[i];
	}
	return rc;
}

static uint32_t hash_name(struct slice name)
{
	const uint8_t *p = name.data;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ (h >> 15);
}

static int index_roles(struct batch_mapping *mapping)
{
	uint32_t size = 16;

	while (size < 2 * mapping->n_roles)
		size *= 2;
	mapping->table = calloc(size, sizeof *mapping->table);
	if (!mapping->table)
		return -ENOMEM;
	mapping->mask = size - 1;
	for (unsigned i = 0; i < mapping->n_roles; i++) {
		struct slice name = slice_str(mapping->roles[i].column);
		uint32_t h = hash_name(name) & mapping->mask;
		int *end;

		while (mapping->table[h] && strcmp(mapping->roles[mapping->table[h] - 1].column, mapping->roles[i].column))
			h = (h + 1) & mapping->mask;
		if (!mapping->table[h]) {
			mapping->table[h] = i + 1;
			continue;
		}
		end = &mapping->roles[mapping->table[h] - 1].next;
		while (*end >= 0)
			end = &mapping->roles[*end].next;
		*end = (int)i;
	}
	return 0;
}

void batch_mapping_free(struct batch_mapping *mapping)
{
	if (!mapping)
		return;
	for (unsigned i = 0; i < mapping->n_roles; i++)
		free(mapping->roles[i].column);
	free(mapping->roles);
	free(mapping->table);
	free(mapping->targets);
	free(mapping->is_said);
	free(mapping->null);
	catalog_group_unref(mapping->grp);
	free(mapping);
}

static const char *choose(const char *override, const struct catalog_section *section, const char *key)
{
	return override ? override : section_value(section, key);
}

int batch_mapping_new(const struct catalog_group *grp, const struct batch_mapping_override *override, struct batch_mapping **out,
		      struct why *why)
{
	static const struct batch_mapping_override none;
	const struct catalog_section *section = find_section(grp);
	const struct batch_mapping_override *say = override ? override : &none;
	const char *entity = choose(say->entity, section, "entity"), *event = choose(say->event_time, section, "event_time");
	const char *delimiter = choose(say->delimiter, section, "delimiter"), *null = choose(say->null, section, "null");
	struct batch_mapping *mapping = calloc(1, sizeof *mapping);
	int rc = 0;

	if (!mapping)
		return -ENOMEM;
	mapping->grp = catalog_group_ref(grp);
	mapping->needs_event = event;
	mapping->null = strdup(null ? null : "");
	if (!mapping->null)
		rc = -ENOMEM;
	if (rc == 0 && delimiter)
		rc = catalog_delimiter_parse(slice_str(delimiter), &mapping->delimiter, why);
	if (rc == 0)
		rc = entity ? add_entity(mapping, entity, why) : add_default_entity(mapping);
	if (rc == 0)
		rc = add_role(mapping, slice_str(event ? event : "event_time"), MAPPING_EVENT, 0);
	if (rc == 0)
		rc = add_features(mapping, section);
	if (rc == 0)
		rc = index_roles(mapping);
	if (rc < 0)
		batch_mapping_free(mapping);
	else
		*out = mapping;
	return rc;
}

/* ---- asking ---- */

const struct mapping_role *mapping_find(const struct batch_mapping *mapping, struct slice column)
{
	uint32_t h = hash_name(column) & mapping->mask;

	for (; mapping->table[h]; h = (h + 1) & mapping->mask) {
		const struct mapping_role *role = &mapping->roles[mapping->table[h] - 1];

		if (slice_equal(slice_str(role->column), column))
			return role;
	}
	return NULL;
}

const struct mapping_role *mapping_next(const struct batch_mapping *mapping, const struct mapping_role *role)
{
	return role->next < 0 ? NULL : &mapping->roles[role->next];
}

void mapping_list_name(struct slice name, struct buf *out)
{
	buf_append_str(out, out->len ? ", " : "");
	buf_append_slice(out, name);
}

unsigned batch_mapping_targets(const struct batch_mapping *mapping)
{
	return mapping->n_targets;
}

static bool is_missing(const struct batch_mapping *mapping, const struct mapping_role *role, const bool *met)
{
	return role->kind == MAPPING_FEATURE && mapping->is_said[role->index] && !met[role->index];
}

int batch_mapping_missing(const struct batch_mapping *mapping, const bool *met, struct buf *out)
{
	for (unsigned i = 0; i < mapping->n_roles; i++) {
		const struct mapping_role *role = &mapping->roles[i], *first = mapping_find(mapping, slice_str(role->column));

		/* A column may be that of several. */
		while (first && !is_missing(mapping, first, met))
			first = mapping_next(mapping, first);
		if (first == role)
			mapping_list_name(slice_str(role->column), out);
	}
	return buf_error(out);
}

static void list_columns(const struct slice *columns, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n && out->len <= LIST_SHOWN; i++)
		mapping_list_name(columns[i], out);
}

static int shown(const struct buf *list)
{
	return list->len < LIST_SHOWN ? (int)list->len : LIST_SHOWN;
}

static bool is_wanted(const struct mapping_role *role, enum mapping_kind kind)
{
	return kind == MAPPING_PART ? role->kind == MAPPING_PART || role->kind == MAPPING_WHOLE : role->kind == kind;
}

/* Nothing maps to what `kind` stands for: the entity (MAPPING_PART), any feature, the event time. */
static int refuse_columns(const struct batch_mapping *mapping, const struct slice *columns, size_t n, enum mapping_kind kind, struct why *why)
{
	static const char *const names[] = {
		[MAPPING_PART] = "the entity", [MAPPING_EVENT] = "the event time", [MAPPING_FEATURE] = "a feature",
	};
	struct buf there = { 0 }, wanted = { 0 };
	int rc;

	if (kind == MAPPING_FEATURE && !mapping->n_targets)
		return why_fail(why, EINVAL, "the group has no features yet; its .schema declares them");
	list_columns(columns, n, &there);
	for (unsigned i = 0; i < mapping->n_roles && wanted.len <= LIST_SHOWN; i++)
		if (is_wanted(&mapping->roles[i], kind))
			mapping_list_name(slice_str(mapping->roles[i].column), &wanted);
	rc = buf_error(&there) < 0 || buf_error(&wanted) < 0 ? -ENOMEM : 0;
	if (rc == 0)
		rc = why_fail(why, EINVAL, "no column is %s: the file has %.*s%s; %s %.*s%s; see [batch] in .schema", names[kind],
			      shown(&there), there.len ? there.data : "", there.len > LIST_SHOWN ? "..." : "",
			      kind == MAPPING_FEATURE ? "the group takes" : "expected is", shown(&wanted),
			      wanted.len ? wanted.data : "", wanted.len > LIST_SHOWN ? "..." : "");
	buf_release(&there);
	buf_release(&wanted);
	return rc;
}

/* ---- the columns of a file ---- */

static int take_column(const struct batch_mapping *mapping, const struct slice *columns, int column, int *targets, int *out_whole,
		       struct mapping_columns *out, struct why *why)
{
	const struct mapping_role *role = mapping_find(mapping, columns[column]);

	if (!role)
		mapping_list_name(columns[column], &out->ignored);
	for (; role; role = mapping_next(mapping, role)) {
		int *place = role->kind == MAPPING_PART ? &out->parts[role->index] : role->kind == MAPPING_WHOLE ? out_whole :
			role->kind == MAPPING_EVENT ? &out->event : &targets[role->index];

		if (*place >= 0)
			return why_fail(why, EINVAL, "the column %s stands twice in the file", role->column);
		*place = column;
	}
	return 0;
}

static int settle_entity(const struct batch_mapping *mapping, const struct slice *columns, size_t n, int whole,
			 struct mapping_columns *out, struct why *why)
{
	unsigned found = 0;

	while (found < mapping->n_parts && out->parts[found] >= 0)
		found++;
	if (mapping->n_parts && found == mapping->n_parts) {
		out->n_parts = found;
		return 0;
	}
	if (whole < 0)
		return refuse_columns(mapping, columns, n, MAPPING_PART, why);
	out->parts[0] = whole;
	out->n_parts = 1;
	out->is_written = mapping->grp->n_keys > 1;
	return 0;
}

static int settle_columns(const struct batch_mapping *mapping, const struct slice *columns, size_t n, const int *targets, int whole,
			  struct mapping_columns *out, struct why *why)
{
	int rc = settle_entity(mapping, columns, n, whole, out, why);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < mapping->n_targets; i++)
		if (targets[i] >= 0)
			out->features[out->n_features++] = (struct mapping_bound){ i, (unsigned)targets[i] };
	if (!out->n_features)
		return refuse_columns(mapping, columns, n, MAPPING_FEATURE, why);
	if (out->event < 0 && mapping->needs_event)
		return refuse_columns(mapping, columns, n, MAPPING_EVENT, why);
	return buf_error(&out->ignored);
}

int mapping_bind(const struct batch_mapping *mapping, const struct slice *columns, size_t n, struct mapping_columns *out,
		 struct why *why)
{
	struct mapping_columns bound = { .event = -1 };
	int *targets = malloc((mapping->n_targets + 1) * sizeof *targets), whole = -1, rc = 0;

	bound.features = calloc(mapping->n_targets + 1, sizeof *bound.features);
	if (!targets || !bound.features)
		rc = -ENOMEM;
	for (unsigned i = 0; i < CATALOG_KEYS_MAX; i++)
		bound.parts[i] = -1;
	for (unsigned i = 0; rc == 0 && i < mapping->n_targets; i++)
		targets[i] = -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = take_column(mapping, columns, (int)i, targets, &whole, &bound, why);
	if (rc == 0)
		rc = settle_columns(mapping, columns, n, targets, whole, &bound, why);
	free(targets);
	if (rc < 0)
		mapping_columns_release(&bound);
	else
		*out = bound;
	return rc;
}

void mapping_columns_release(struct mapping_columns *columns)
{
	free(columns->features);
	buf_release(&columns->ignored);
	*columns = (struct mapping_columns){ 0 };
}

/* ---- entities ---- */

/* Bytes that stand for themselves wherever they are in a name: visible ASCII but '%', ',', '.', '/'. */
static bool is_plain(uint8_t c)
{
	static const uint64_t plain[4] = { UINT64_C(0xffff2fde00000000), UINT64_C(0x7fffffffffffffff), 0, 0 };

	return plain[c >> 6] >> (c & 63) & 1;
}

bool mapping_is_plain(struct slice bytes)
{
	const uint8_t *p = bytes.data;
	unsigned bad = 0;
	size_t i = 0;

	/* What is_plain says, in a form that the compiler makes of one instruction for many bytes. */
	for (; i + 32 <= bytes.len; i += 32)
		for (size_t k = 0; k < 32; k++) {
			uint8_t c = p[i + k];

			bad |= (uint8_t)(c - 0x21) > 0x7e - 0x21 || c == '%' || c == ',' || c == '.' || c == '/';
		}
	for (; i < bytes.len; i++)
		bad |= !is_plain(p[i]);
	return !bad;
}

static int refuse_part(int rc, struct slice raw, struct why *why)
{
	if (rc == -EILSEQ)
		return why_fail(why, EILSEQ, "the entity is not UTF-8");
	if (rc == -EINVAL)
		return why_fail(why, EINVAL, raw.len ? "the entity has a NUL byte" : "the entity is empty");
	return rc;
}

static int append_part(struct slice raw, bool is_first, struct buf *out, struct why *why)
{
	const uint8_t *p = raw.data;
	size_t i = 0;

	while (i < raw.len && is_plain(p[i]))
		i++;
	if (!raw.len || i < raw.len)
		return refuse_part(text_escape_entity_part(raw, is_first, out), raw, why);
	buf_append_slice(out, raw);
	return 0;
}

int mapping_entity(const struct batch_mapping *mapping, const struct slice *parts, unsigned n, bool is_written, struct buf *out,
		   struct why *why)
{
	int rc = 0;

	buf_reset(out);
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		if (parts[i].len > TEXT_ENTITY_MAX)
			rc = why_fail(why, ENAMETOOLONG, "the entity has %zu bytes; an entity's name has at most %d", parts[i].len,
				      TEXT_ENTITY_MAX);
		else if (is_written)
			buf_append_slice(out, parts[i]);
		else if (i)
			buf_append_char(out, ',');
		if (rc == 0 && !is_written)
			rc = append_part(parts[i], i == 0, out, why);
	}
	if (rc == 0)
		rc = buf_error(out);
	if (rc == 0 && is_written)
		return text_check_entity(buf_slice(out), mapping->grp->n_keys, why);
	if (rc == 0 && out->len > TEXT_ENTITY_MAX)
		rc = why_fail(why, ENAMETOOLONG, "the entity has %zu bytes in its written form; at most %d are allowed", out->len,
			      TEXT_ENTITY_MAX);
	return rc;
}
