/* SPDX-License-Identifier: MIT */
/*
 * Definitions: a group as INI text and back. The text is read twice: first its sections with each feature's type and
 * whether it is retired, then all else. So keys may come in any order and sections too, and still each refusal names
 * the line at fault. Printing is canonical: what is read back prints the same again, byte for byte, for that text is
 * also the stored form, with a [store] section in front for what is not the owner's to say.
 */
#include <errno.h>
#include "base/conf.h"
#include "base/num.h"
#include "base/text.h"
#include "catalog/group.h"
#include "catalog/view.h"

enum { STREAM_NAME_MAX = 100 };		/* bytes: the lane "group.stream" is a file's name */
enum { SECTION_KEY_MAX = 160 };		/* bytes: a key and its first value byte must fit into one line of inih */

enum section_kind { IN_GROUP, IN_FEATURE, IN_STREAM, IN_BATCH, IN_STORE };

struct reader {
	struct catalog_group *grp;
	bool is_stored;			/* a [store] section comes with it */
	bool is_first_pass;
	bool has_group, has_store;
	enum section_kind kind;
	struct catalog_feature *feature;	/* of the section in hand */
	struct catalog_section *section;
	uint64_t n_slots;		/* slots that [store] gave */
};

/* ---- the keys of [stream NAME] and [batch] ---- */

static const char *const stream_keys[] = { "topic", "format", "entity", "event_time", "event_time_unit", "columns", "delimiter",
					   "null", "start", "group", "reset", "dead_letter_topic", NULL };
static const char *const batch_keys[] = { "entity", "event_time", "mode", "confirm", "max_rejects", "delimiter",
					  "null", "retention",
					  NULL };
static const char stream_keys_text[] = "topic, format, entity, event_time, event_time_unit, columns, delimiter, null, start, group, "
				       "reset, dead_letter_topic, filter.<path>, feature.<name>";
static const char batch_keys_text[] =
	"entity, event_time, mode, confirm, max_rejects, delimiter, null, retention, feature.<name>";

/* INI takes ';' for a comment and trims a tab, so those that are usual have names. */
int catalog_delimiter_parse(struct slice text, char *out, struct why *why)
{
	static const struct {
		const char *name;
		char c;
	} names[] = { { "comma", ',' }, { "semicolon", ';' }, { "tab", '\t' }, { "pipe", '|' } };
	const char *p = text.data;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_equal(text, slice_str(names[i].name))) {
			*out = names[i].c;
			return 0;
		}
	if (text.len != 1 || ((unsigned char)*p <= ' ' && *p != '\t') || (unsigned char)*p >= 0x7f || strchr("\"\\.+-", *p) ||
	    (*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z'))
		return why_fail(why, EINVAL, "delimiter is comma, semicolon, tab or pipe, or one sign such as ^");
	*out = *p;
	return 0;
}

static bool is_among(const char *key, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(key, *list))
			return true;
	return false;
}

static const char *behind_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) ? NULL : text + strlen(prefix);
}

static int check_mapping(const struct catalog_group *grp, const char *name, struct why *why)
{
	const struct catalog_feature *f = catalog_find_feature(grp, slice_str(name));

	if (!f)
		return why_fail(why, EINVAL, "feature.%s: the group has no such feature", name);
	if (f->retired)
		return why_fail(why, EINVAL, "feature.%s: the feature is retired", name);
	return 0;
}

static int check_section_key(const struct reader *reader, const char *key, const char *value, struct why *why)
{
	bool is_stream = reader->kind == IN_STREAM;
	const char *feature = behind_prefix(key, "feature."), *path = is_stream ? behind_prefix(key, "filter.") : NULL;
	int rc;

	if (feature) {
		rc = check_mapping(reader->grp, feature, why);
		if (rc < 0)
			return rc;
	} else if (!is_among(key, is_stream ? stream_keys : batch_keys) && !(path && *path)) {
		return why_fail(why, EINVAL, "[%s] has no key \"%s\"; it has %s", is_stream ? "stream NAME" : "batch",
				key, is_stream ? stream_keys_text : batch_keys_text);
	}
	if (strlen(key) > SECTION_KEY_MAX)
		return why_fail(why, EINVAL, "the key is longer than %d bytes", SECTION_KEY_MAX);
	if (path)
		rc = group_check_text(slice_str(key), why);
	else
		rc = 0;
	if (rc < 0)
		return rc;
	/* An empty text can be what stands for null in a file of rows; anywhere else it is a slip. */
	if (!*value && !strcmp(key, "delimiter"))
		return why_fail(why, EINVAL, "delimiter is empty; ';' begins a comment here, so write semicolon (also comma, tab, pipe)");
	if (!*value && strcmp(key, "null"))
		return why_fail(why, EINVAL, "%s is empty", key);
	if (!is_stream && !strcmp(key, "delimiter")) {
		char c;

		return catalog_delimiter_parse(slice_str(value), &c, why);
	}
	if (is_stream && !strcmp(key, "format") && strcmp(value, "json") && strcmp(value, "avro") &&
	    strcmp(value, "csv"))
		return why_fail(why, EINVAL, "format is json, avro or csv");
	return 0;
}

static int take_section_key(struct reader *reader, const char *key, const char *value, struct why *why)
{
	int rc = check_section_key(reader, key, value, why);

	if (rc < 0)
		return rc;
	if (reader->section->n_keys >= GROUP_SECTION_KEYS_MAX)
		return why_fail(why, EINVAL, "a section has at most %d keys", GROUP_SECTION_KEYS_MAX);
	return group_add_section_key(reader->section, key, value);
}

/* ---- the keys of [store] ---- */

static int take_slot(struct reader *reader, const char *name, uint64_t slot, struct why *why)
{
	struct catalog_group *grp = reader->grp;

	/* Slots stand in the order of the features, which is their own. */
	if (reader->n_slots >= grp->n_features || strcmp(grp->features[reader->n_slots].name, name))
		return why_fail(why, EINVAL, "slot.%s is not in the order of the features", name);
	if (slot > UINT16_MAX || (reader->n_slots && slot <= grp->features[reader->n_slots - 1].slot))
		return why_fail(why, EINVAL, "slot.%s does not ascend", name);
	grp->features[reader->n_slots++].slot = (uint16_t)slot;
	return 0;
}

static int parse_mode(const char *value, mode_t *out, struct why *why)
{
	mode_t mode = 0;

	if (strlen(value) != 4)
		return why_fail(why, EINVAL, "mode is four octal digits");
	for (; *value; value++) {
		if (*value < '0' || *value > '7')
			return why_fail(why, EINVAL, "mode is four octal digits");
		mode = mode << 3 | (mode_t)(*value - '0');
	}
	*out = mode;
	return 0;
}

static int take_identity_number(struct catalog_group *grp, const char *key, const char *value, struct why *why)
{
	uint64_t n;

	if (num_parse_u64(slice_str(value), &n) < 0 || n > UINT32_MAX)
		return why_fail(why, EINVAL, "%s is no number of 32 bits", key);
	if (!strcmp(key, "id"))
		grp->id = (uint32_t)n;
	else if (!strcmp(key, "rows"))
		grp->rows = (uint32_t)n;
	else if (!strcmp(key, "uid"))
		grp->uid = (uid_t)n;
	else if (!strcmp(key, "gid"))
		grp->gid = (gid_t)n;
	else if (!strcmp(key, "overlay"))
		grp->overlay = (uint32_t)n;
	else if (!strcmp(key, "next_slot"))
		grp->next_slot = (uint32_t)n;
	else
		return why_fail(why, EINVAL, "[store] has no key \"%s\"", key);
	return 0;
}

int group_take_identity(struct catalog_group *grp, const char *key, const char *value, struct why *why)
{
	int64_t *time = !strcmp(key, "created") ? &grp->created_ns : !strcmp(key, "changed") ? &grp->changed_ns :
			!strcmp(key, "overlay_since") ? &grp->overlay_ns : NULL;

	if (time)
		return num_parse_i64(slice_str(value), time) < 0 ? why_fail(why, EINVAL, "%s is no time", key) : 0;
	if (!strcmp(key, "mode"))
		return parse_mode(value, &grp->mode, why);
	if (strcmp(key, "name"))
		return take_identity_number(grp, key, value, why);
	return *value ? group_set_text(&grp->name, slice_str(value)) : 0;
}

void group_print_identity(const struct catalog_group *grp, struct buf *out)
{
	buf_printf(out,
		   "id = %u\nrows = %u\nname =%s%s\nuid = %u\ngid = %u\nmode = %04o\n"
		   "created = %lld\nchanged = %lld\nnext_slot = %u\n",
		   grp->id, grp->rows, *grp->name ? " " : "", grp->name, grp->uid, grp->gid,
		   (unsigned)grp->mode, (long long)grp->created_ns, (long long)grp->changed_ns, grp->next_slot);
}

static int take_store_key(struct reader *reader, const char *key, const char *value, struct why *why)
{
	const char *feature = behind_prefix(key, "slot.");
	uint64_t slot;

	if (!feature)
		return group_take_identity(reader->grp, key, value, why);
	if (num_parse_u64(slice_str(value), &slot) < 0)
		return why_fail(why, EINVAL, "%s is no number", key);
	return take_slot(reader, feature, slot, why);
}

/* ---- sections ---- */

static int enter_feature(struct reader *reader, struct slice name, struct why *why)
{
	struct catalog_group *grp = reader->grp;
	const struct catalog_feature *known = catalog_find_feature(grp, name);
	int rc;

	if (!reader->is_first_pass) {
		/* Both passes see the same sections. */
		reader->feature = &grp->features[known - grp->features];
		if (!known->type.base)
			return why_fail(why, EINVAL, "feature %s has no type; add \"type = ...\"", known->name);
		return 0;
	}
	rc = text_check_feature_name(name, why);
	if (rc < 0)
		return -EINVAL;
	if (known)
		return why_fail(why, EINVAL, "feature %s stands twice", known->name);
	if (grp->n_features >= CATALOG_FEATURES_MAX)
		return why_fail(why, EINVAL, "a group has at most %d features", CATALOG_FEATURES_MAX);
	return group_add_feature(grp, name, &reader->feature);
}

static int enter_kept(struct reader *reader, struct slice name, struct why *why)
{
	struct catalog_group *grp = reader->grp;
	const struct catalog_section *known = group_find_section(grp, name);

	if (!reader->is_first_pass) {
		reader->section = &grp->sections[known - grp->sections];
		return 0;
	}
	if (known)
		return why_fail(why, EINVAL, "[%s] stands twice", known->name);
	if (grp->n_sections >= GROUP_SECTIONS_MAX)
		return why_fail(why, EINVAL, "a group has at most %d streams", GROUP_SECTIONS_MAX);
	return group_add_section(grp, name, &reader->section);
}

static int enter_stream(struct reader *reader, struct slice name, struct why *why)
{
	struct buf full = { 0 };
	int rc;

	if (text_check_group_name(name, NULL) < 0 || name.len > STREAM_NAME_MAX)
		return why_fail(why, EINVAL,
				"[stream %.*s]: a stream's name has letters, digits, '_', '-'; a letter or '_' first; at "
				"most %d bytes", (int)name.len, (const char *)name.data, STREAM_NAME_MAX);
	buf_append_str(&full, "stream ");
	buf_append_slice(&full, name);
	rc = buf_error(&full);
	if (rc == 0)
		rc = enter_kept(reader, buf_slice(&full), why);
	buf_release(&full);
	return rc;
}

static int enter_once(const struct reader *reader, bool *has, const char *name, struct why *why)
{
	if (reader->is_first_pass && *has)
		return why_fail(why, EINVAL, "[%s] stands twice", name);
	*has = true;
	return 0;
}

static int enter_section(struct reader *reader, const char *section, struct why *why)
{
	size_t word = strcspn(section, " \t");
	struct slice kind = slice_of(section, word), name;

	section += word + strspn(section + word, " \t");
	name = slice_str(section);
	if (slice_equal(kind, slice_str("feature")) && name.len) {
		reader->kind = IN_FEATURE;
		return enter_feature(reader, name, why);
	}
	if (slice_equal(kind, slice_str("stream")) && name.len) {
		reader->kind = IN_STREAM;
		return enter_stream(reader, name, why);
	}
	if (slice_equal(kind, slice_str("batch")) && !name.len) {
		reader->kind = IN_BATCH;
		return enter_kept(reader, kind, why);
	}
	if (slice_equal(kind, slice_str("group")) && !name.len) {
		reader->kind = IN_GROUP;
		return enter_once(reader, &reader->has_group, "group", why);
	}
	if (slice_equal(kind, slice_str("store")) && !name.len && reader->is_stored) {
		reader->kind = IN_STORE;
		return enter_once(reader, &reader->has_store, "store", why);
	}
	return why_fail(why, EINVAL,
			"no such section; sections are [group], [feature NAME], [stream NAME] and [batch]");
}

int group_take_attr(struct catalog_group *grp, const char *section, const char *key, const char *value, struct why *why)
{
	struct buf known = { 0 };
	bool is_view = grp->view;
	int rc = 0;

	for (unsigned i = 0; i < attr_count; i++) {
		if (strcmp(key, attr_table[i].name + ATTR_PREFIX) || (is_view && attr_table[i].is_for_groups))
			continue;
		rc = *value ? attr_table[i].set(grp, slice_str(value), why) : 0;
		if (rc < 0 && rc != -ENOMEM)
			why_prefix(why, "%s", key);
		return rc;
	}
	for (unsigned i = 0; i < attr_count; i++)
		if (!is_view || !attr_table[i].is_for_groups)
			buf_printf(&known, "%s%s", known.len ? ", " : "", attr_table[i].name + ATTR_PREFIX);
	rc = buf_error(&known);
	if (rc == 0)
		rc = why_fail(why, EINVAL, "[%s] has no key \"%s\"; it has %.*s", section, key, (int)known.len, known.data);
	buf_release(&known);
	return rc;
}

static int take_feature_key(struct reader *reader, const char *key, const char *value, struct why *why)
{
	struct buf known = { 0 };
	int rc = 0;

	for (unsigned i = 0; i < feature_key_count; i++) {
		const struct feature_key *entry = &feature_key_table[i];

		if (strcmp(key, entry->name))
			continue;
		if (entry->is_for_first_pass == reader->is_first_pass && *value)
			rc = entry->set(reader->feature, value, why);
		if (rc < 0 && rc != -ENOMEM)
			why_prefix(why, "feature %s, %s", reader->feature->name, key);
		return rc;
	}
	for (unsigned i = 0; i < feature_key_count; i++)
		buf_printf(&known, "%s%s", i ? ", " : "", feature_key_table[i].name);
	rc = buf_error(&known);
	if (rc == 0)
		rc = why_fail(why, EINVAL, "a feature has no key \"%s\"; it has %.*s", key, (int)known.len, known.data);
	buf_release(&known);
	return rc;
}

static int take(void *arg, const char *section, const char *key, const char *value, unsigned line, struct why *why)
{
	struct reader *reader = arg;
	int rc;

	(void)line;		/* conf puts it before the reason */
	if (!key)
		return enter_section(reader, section, why);
	if (reader->kind == IN_FEATURE) {
		rc = reader->is_first_pass ? 0 : group_check_text(slice_str(value), why);
		rc = rc < 0 ? rc : take_feature_key(reader, key, value, why);
	} else if (reader->is_first_pass) {
		return 0;
	} else {
		rc = group_check_text(slice_str(value), why);
		if (rc == 0 && reader->kind == IN_GROUP)
			rc = group_take_attr(reader->grp, "group", key, value, why);
		else if (rc == 0 && reader->kind == IN_STORE)
			rc = take_store_key(reader, key, value, why);
		else if (rc == 0)
			rc = take_section_key(reader, key, value, why);
	}
	/* -ERANGE and the like are about values; whatever is wrong with a definition is -EINVAL. */
	return rc < 0 && rc != -ENOMEM ? -EINVAL : rc;
}

static int read_definition(const char *name, struct slice text, struct reader *reader, struct why *why)
{
	int rc;

	reader->grp = group_new();
	if (!reader->grp)
		return -ENOMEM;
	rc = group_set_keys(reader->grp, slice_str("entity"), why);
	reader->is_first_pass = true;
	if (rc == 0)
		rc = conf_parse(name, text, take, reader, why);
	reader->is_first_pass = false;
	if (rc == 0)
		rc = conf_parse(name, text, take, reader, why);
	if (rc == 0)
		rc = group_sort_features(reader->grp);
	if (rc < 0) {
		catalog_group_unref(reader->grp);
		reader->grp = NULL;
	}
	return rc;
}

/* ---- the door ---- */

int catalog_group_parse(const char *name, struct slice text, struct catalog_group **out, struct why *why)
{
	struct reader reader = { 0 };
	int rc = read_definition(name, text, &reader, why);

	if (rc < 0)
		return rc;
	reader.grp->next_slot = reader.grp->n_features;
	*out = reader.grp;
	return 0;
}

static int check_stored(const struct reader *reader, struct why *why)
{
	const struct catalog_group *grp = reader->grp;

	if (!reader->has_store)
		return why_fail(why, EBADMSG, "[store] is missing");
	if (reader->n_slots != grp->n_features)
		return why_fail(why, EBADMSG, "%u features have %llu slots", grp->n_features,
				(unsigned long long)reader->n_slots);
	if (grp->n_features && grp->features[grp->n_features - 1].slot >= grp->next_slot)
		return why_fail(why, EBADMSG, "a slot is not below next_slot");
	if (grp->next_slot > UINT16_MAX)
		return why_fail(why, EBADMSG, "next_slot is past every slot");
	if (grp->id != CATALOG_ROOT_ID && text_check_group_name(slice_str(grp->name), why) < 0)
		return -EBADMSG;
	return 0;
}

int catalog_group_decode(struct slice bytes, struct catalog_group **out, struct why *why)
{
	struct reader reader = { .is_stored = true };
	int rc;

	if (view_is_stored(bytes))
		return view_decode(bytes, out, why);
	rc = read_definition("stored group", bytes, &reader, why);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EBADMSG;
	rc = check_stored(&reader, why);
	if (rc < 0)
		catalog_group_unref(reader.grp);
	else
		*out = reader.grp;
	return rc;
}

static void print_pair_begin(const char *key, struct buf *out)
{
	buf_append_str(out, key);
	buf_append_str(out, " = ");
}

static void print_feature(const struct catalog_feature *f, struct buf *out)
{
	buf_printf(out, "\n[feature %s]\n", f->name);
	for (unsigned i = 0; i < feature_key_count; i++) {
		if (!feature_key_table[i].has(f))
			continue;
		print_pair_begin(feature_key_table[i].name, out);
		feature_key_table[i].print(f, out);
		buf_append_char(out, '\n');
	}
}

static void print_section(const struct catalog_section *section, struct buf *out)
{
	buf_printf(out, "\n[%s]\n", section->name);
	for (unsigned i = 0; i < section->n_keys; i++)
		buf_printf(out, "%s =%s%s\n", section->keys[i], *section->values[i] ? " " : "", section->values[i]);
}

void group_print_attrs(const struct catalog_group *grp, struct buf *out)
{
	for (unsigned i = 0; i < attr_count; i++) {
		if (!attr_table[i].has(grp))
			continue;
		print_pair_begin(attr_table[i].name + ATTR_PREFIX, out);
		attr_table[i].print(grp, out);
		buf_append_char(out, '\n');
	}
}

int catalog_group_print(const struct catalog_group *grp, struct buf *out)
{
	buf_append_str(out, "[group]\n");
	group_print_attrs(grp, out);
	for (unsigned i = 0; i < grp->n_features; i++)
		print_feature(&grp->features[i], out);
	for (unsigned i = 0; i < grp->n_sections; i++)
		print_section(&grp->sections[i], out);
	return buf_error(out);
}

int catalog_group_encode(const struct catalog_group *grp, struct buf *out)
{
	if (grp->view)
		return view_encode(grp, out);
	buf_append_str(out, "[store]\n");
	group_print_identity(grp, out);
	if (grp->overlay)
		buf_printf(out, "overlay = %u\noverlay_since = %lld\n", grp->overlay, (long long)grp->overlay_ns);
	for (unsigned i = 0; i < grp->n_features; i++)
		buf_printf(out, "slot.%s = %u\n", grp->features[i].name, grp->features[i].slot);
	buf_append_char(out, '\n');
	return catalog_group_print(grp, out);
}
