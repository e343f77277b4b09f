/* SPDX-License-Identifier: MIT */
/*
 * The callers' keys into names of entities. Where a group has one key and the caller has it in written form, its name is the caller's own
 * bytes; numbers are printed, raw texts escaped and parts joined in a small room of the reader. No key is an error: what can't be the
 * name of an entity finds nothing, as a path does.
 */
#include "sdk/private.h"

#include <errno.h>
#include <string.h>
#include "base/num.h"
#include "base/text.h"

enum { PARTS_MAX = 64 };

static struct slice key_text(const struct featurefs_keys *keys, size_t i)
{
	if (keys->texts)
		return slice_of(keys->texts[i].data, keys->texts[i].len);
	if (keys->strings)
		return slice_str(keys->strings[i]);
	return slice_of(keys->data + keys->offsets[i], (size_t)(keys->offsets[i + 1] - keys->offsets[i]));
}

/* Most raw keys are their own written form. */
static bool is_plain(struct slice raw)
{
	const unsigned char *p = raw.data;

	if (raw.len && p[0] == '.')
		return false;
	for (size_t i = 0; i < raw.len; i++)
		if (p[i] < ' ' || p[i] == '%' || p[i] == '/' || p[i] == ',' || p[i] == 0x7f)
			return false;
	return true;
}

static const char digits[] = "0123456789ABCDEF";

/* As text_escape_entity_part, into a room that is not allocated. SIZE_MAX if it can't be a name. */
static size_t escape(struct slice raw, bool first, char *out, size_t room)
{
	const unsigned char *p = raw.data;
	size_t len = 0;

	if (!raw.len || !text_is_utf8(raw))
		return SIZE_MAX;
	for (size_t i = 0; i < raw.len; i++) {
		bool is_special = p[i] < ' ' || p[i] == '%' || p[i] == '/' || p[i] == ',' || p[i] == 0x7f ||
				  (p[i] == '.' && first && i == 0);

		if (p[i] == 0 || len + (is_special ? 3 : 1) > room)
			return SIZE_MAX;
		if (is_special) {
			out[len++] = '%';
			out[len++] = digits[p[i] >> 4];
			out[len++] = digits[p[i] & 15];
		} else {
			out[len++] = (char)p[i];
		}
	}
	return len;
}

/* Appends one part to the room. False if the whole can be no name. */
static bool add_part(const struct featurefs_keys *keys, size_t i, char room[KEYS_ROOM], size_t *len)
{
	struct slice text;
	size_t added;

	if (keys->ints) {
		if (*len + NUM_MAX > KEYS_ROOM)
			return false;
		*len += num_print_i64(keys->ints[i], room + *len);
		return true;
	}
	text = key_text(keys, i);
	if ((keys->flags & FEATUREFS_KEYS_RAW) && !is_plain(text)) {
		added = escape(text, *len == 0, room + *len, KEYS_ROOM - *len);
	} else {
		added = text.len && text.len <= KEYS_ROOM - *len ? text.len : SIZE_MAX;
		if (added != SIZE_MAX)
			memcpy(room + *len, text.data, text.len);
	}
	if (added == SIZE_MAX)
		return false;
	*len += added;
	return true;
}

/* Part `wanted` of a whole name: what stands between its commas. */
static bool pick_part(struct slice whole, unsigned wanted, unsigned parts, struct slice *out)
{
	const char *at = whole.data, *end = at + whole.len;
	unsigned n = 0;

	for (;; n++) {
		const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
		const char *stop = comma ? comma : end;

		if (n == wanted)
			*out = slice_of(at, (size_t)(stop - at));
		if (!comma)
			break;
		at = comma + 1;
	}
	return n + 1 == parts;
}

static struct slice from_whole(const struct view_part *part, unsigned view_keys, struct slice whole, char room[KEYS_ROOM])
{
	size_t len = 0;

	for (unsigned k = 0; k < part->n_keys; k++) {
		struct slice text = { 0 };

		if (!pick_part(whole, part->keys[k], view_keys, &text) || len + text.len + 1 > KEYS_ROOM)
			return slice_of(NULL, 0);
		if (k)
			room[len++] = ',';
		memcpy(room + len, text.data, text.len);
		len += text.len;
	}
	return slice_of(room, len);
}

/* Is the group's name the view's whole name, as it stands? */
static bool is_whole(const struct view_part *part, unsigned view_keys)
{
	if (part->n_keys != view_keys)
		return false;
	for (unsigned k = 0; k < part->n_keys; k++)
		if (part->keys[k] != k)
			return false;
	return true;
}

struct slice keys_entity(const struct view_part *part, unsigned view_keys, const struct featurefs_keys *keys, size_t n_keys, size_t i,
			 char room[KEYS_ROOM])
{
	size_t len = 0;

	if (n_keys == 1 && !keys->ints) {
		struct slice text = key_text(keys, i);

		if ((keys->flags & FEATUREFS_KEYS_RAW) && view_keys == 1 && !is_plain(text))
			return add_part(keys, i, room, &len) ? slice_of(room, len) : slice_of(NULL, 0);
		return is_whole(part, view_keys) ? text : from_whole(part, view_keys, text, room);
	}
	for (unsigned k = 0; k < part->n_keys; k++) {
		if (k && len == KEYS_ROOM)
			return slice_of(NULL, 0);
		if (k)
			room[len++] = ',';
		if (!add_part(&keys[part->keys[k]], i, room, &len))
			return slice_of(NULL, 0);
	}
	return slice_of(room, len);
}

int keys_check(const struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct why *why)
{
	if (n_keys != view->n_keys && n_keys != 1)
		return why_fail(why, EINVAL, "the view has %u keys, %zu were given", view->n_keys, n_keys);
	for (size_t k = 0; n && k < n_keys; k++) {
		int forms = !!keys[k].strings + !!keys[k].texts + !!keys[k].ints + !!keys[k].offsets;

		if (forms != 1 || (keys[k].flags & ~(unsigned)FEATUREFS_KEYS_RAW))
			return why_fail(why, EINVAL, "key %s: one of strings, texts, ints, or data with offsets is wanted",
					k < view->n_keys ? view->keys[k] : "");
		if (keys[k].ints && n_keys != view->n_keys)
			return why_fail(why, EINVAL, "the view has %u keys: a number is not the name of an entity", view->n_keys);
		if ((keys[k].flags & FEATUREFS_KEYS_RAW) && n_keys != view->n_keys)
			return why_fail(why, EINVAL, "the view has %u keys: whole names of entities can't be raw", view->n_keys);
	}
	return 0;
}

int featurefs_escape(const char *raw, size_t len, char out[256])
{
	struct why why = { "" };
	size_t written;

	if (!len || (raw && memchr(raw, '\0', len)))
		return sdk_return(why_fail(&why, EINVAL, "the name of an entity is not empty and has no NUL"), &why);
	if (!text_is_utf8(slice_of(raw, len)))
		return sdk_return(why_fail(&why, EILSEQ, "the name of an entity is UTF-8"), &why);
	written = escape(slice_of(raw, len), true, out, TEXT_ENTITY_MAX);
	if (written == SIZE_MAX)
		return sdk_return(why_fail(&why, ENAMETOOLONG, "the name of an entity has 255 bytes at the most"), &why);
	out[written] = '\0';
	return (int)written;
}
