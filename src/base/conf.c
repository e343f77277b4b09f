/* SPDX-License-Identifier: MIT */
/*
 * INI text to callbacks. inih splits "key = value", strips blanks and joins nothing: it cuts lines at 200 bytes and
 * names at 50 without an error, keeps line numbers to itself and says nothing of a section without keys. So the reader
 * here, which inih calls for each line, looks at the line first: it drops comments and blank lines, keeps the section's
 * and the key's whole name, and hands a long line over in pieces, all but the first with a leading blank, which makes
 * them continuation lines. Between two pieces lies the glue: bytes that inih would strip there or take for a comment,
 * and for a continuation line of the text itself one blank.
 */
#include "base/conf.h"

#include <errno.h>
#include <ini.h>
#include <stdint.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/text.h"

enum {
	CONF_PIECE_MIN = 64,		/* inih's line buffer has 200 bytes; a smaller one can't be worked with */
	CONF_SEEN_FIRST = 64,		/* slots in the first table of keys */
};

/* The keys of the section so far: offsets into `names` by hash, open addressing. */
struct seen {
	struct buf names;		/* each with its NUL */
	uint32_t *slots;		/* offset + 1; 0: free */
	size_t n_slots, n_keys;
};

struct conf {
	const char *name;
	conf_handler handler;
	void *arg;
	struct why *why;
	struct slice text;		/* what is left of it */
	unsigned line;			/* of the line taken last */
	struct slice rest;		/* of that line, not yet handed to inih */
	struct slice glue, next_glue;	/* before the piece in hand, and before the next */
	bool is_piece_out;		/* inih has a piece and must call back for it */
	bool is_first_piece;		/* that piece holds the key */
	bool has_section, has_key;
	struct buf section, key, value;	/* C strings; key and value wait for what continues them */
	unsigned key_line;
	struct seen seen;
	int rc;
};

static const struct slice one_blank = { " ", 1 };

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes that must not begin or end a piece. */
static bool is_glue(char c)
{
	return is_blank(c) || c == ';' || c == '#';
}

static struct slice trim(struct slice text)
{
	const char *p = text.data;

	while (text.len && is_blank(p[text.len - 1]))
		text.len--;
	for (; text.len && is_blank(*p); p++)
		text.len--;
	return slice_of(p, text.len);
}

static int fail(struct conf *c, unsigned line, const char *reason)
{
	c->rc = why_fail(c->why, EINVAL, "%s:%u: %s", c->name, line, reason);
	return c->rc;
}

/* ---- keys of a section ---- */

static uint32_t hash(const char *key)
{
	uint32_t h = 2166136261u;	/* FNV-1a */

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 16777619u;
	return h;
}

static uint32_t *find_slot(const struct seen *seen, const char *key)
{
	size_t i = hash(key) & (seen->n_slots - 1);

	while (seen->slots[i] && strcmp(seen->names.data + seen->slots[i] - 1, key))
		i = (i + 1) & (seen->n_slots - 1);
	return &seen->slots[i];
}

static int grow_seen(struct seen *seen)
{
	struct seen bigger = *seen;

	bigger.n_slots = seen->n_slots ? seen->n_slots * 2 : CONF_SEEN_FIRST;
	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < seen->n_slots; i++)
		if (seen->slots[i])
			*find_slot(&bigger, seen->names.data + seen->slots[i] - 1) = seen->slots[i];
	free(seen->slots);
	*seen = bigger;
	return 0;
}

/* -EEXIST if the key is there. */
static int add_seen(struct seen *seen, const char *key)
{
	uint32_t *slot;

	if (seen->n_keys * 2 >= seen->n_slots && grow_seen(seen) < 0)
		return -ENOMEM;
	slot = find_slot(seen, key);
	if (*slot)
		return -EEXIST;
	*slot = (uint32_t)seen->names.len + 1;
	buf_append(&seen->names, key, strlen(key) + 1);
	seen->n_keys++;
	return buf_error(&seen->names);
}

static void forget_seen(struct seen *seen)
{
	buf_reset(&seen->names);
	if (seen->n_keys)
		memset(seen->slots, 0, seen->n_slots * sizeof(*seen->slots));
	seen->n_keys = 0;
}

/* ---- callbacks to the owner ---- */

static int set_text(struct buf *buf, struct slice text)
{
	buf_reset(buf);
	buf_append_slice(buf, text);
	buf_append_char(buf, '\0');
	return buf_error(buf);
}

static int call(struct conf *c, const char *key, const char *value, unsigned line)
{
	if (c->why)
		c->why->text[0] = '\0';
	c->rc = c->handler(c->arg, c->section.data, key, value, line, c->why);
	if (c->rc < 0)
		why_prefix(c->why, "%s:%u", c->name, line);
	return c->rc;
}

/* Hands over the key in hand, its value now being whole. */
static int flush(struct conf *c)
{
	struct slice value;
	size_t skipped;

	if (!c->has_key || c->rc < 0)
		return c->rc;
	c->has_key = false;
	value = trim(buf_slice(&c->value));
	if (value.len > CONF_LINE_MAX)
		return fail(c, c->key_line, "the value is too long");
	skipped = value.len ? (size_t)((const char *)value.data - c->value.data) : 0;
	c->value.len = skipped + value.len;
	buf_append_char(&c->value, '\0');
	c->rc = buf_error(&c->value);
	if (c->rc < 0)
		return c->rc;
	c->rc = add_seen(&c->seen, c->key.data);
	if (c->rc == -EEXIST)
		return fail(c, c->key_line, "the key stands twice in its section");
	if (c->rc < 0)
		return c->rc;
	return call(c, c->key.data, c->value.data + skipped, c->key_line);
}

static int begin_section(struct conf *c, struct slice line)
{
	const char *p = line.data;
	const char *end = memchr(p, ']', line.len);
	struct slice name;

	if (!end || end != p + line.len - 1)
		return fail(c, c->line, "a section is one name in brackets: [name]");
	name = trim(slice_of(p + 1, line.len - 2));
	if (!name.len)
		return fail(c, c->line, "the name of the section is empty");
	if (flush(c) < 0)
		return c->rc;
	c->rc = set_text(&c->section, name);
	if (c->rc < 0)
		return c->rc;
	c->has_section = true;
	forget_seen(&c->seen);
	return call(c, NULL, NULL, c->line);
}

/* ---- from inih and to it ---- */

static int take_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct conf *c = arg;

	(void)section;
	c->is_piece_out = false;
	if (c->is_first_piece) {
		if (!*key) {
			fail(c, c->line, "the key is empty");
			return 0;
		}
		c->rc = set_text(&c->key, slice_str(key));
		buf_reset(&c->value);
		c->has_key = true;
		c->key_line = c->line;
	} else {
		buf_append_slice(&c->value, c->glue);
	}
	buf_append_str(&c->value, value);
	return 1;
}

/* Takes the next line that says something: without comment and blanks around it. False at the end. */
static bool take_line(struct conf *c, struct slice *out, bool *out_is_indented)
{
	while (c->text.len && c->rc == 0) {
		const char *p = c->text.data;
		const char *end = memchr(p, '\n', c->text.len);
		struct slice line = slice_of(p, end ? (size_t)(end - p) : c->text.len);

		c->text = slice_of(p + line.len + (end != NULL), c->text.len - line.len - (end != NULL));
		c->line++;
		if (line.len > CONF_LINE_MAX) {
			fail(c, c->line,
			     "the line is too long; lines that begin with a blank continue the value before them");
			return false;
		}
		*out_is_indented = line.len && is_blank(*p);
		line = trim(line);
		p = line.data;
		if (!line.len || *p == ';' || *p == '#')
			continue;
		for (size_t i = 1; i < line.len; i++)
			if (p[i] == ';' && is_blank(p[i - 1]))
				line.len = i;
		*out = trim(line);
		return true;
	}
	return false;
}

/* Takes as much of the line in hand as fits, and what glues it to the next piece. */
static struct slice take_piece(struct conf *c, size_t max)
{
	const char *p = c->rest.data;
	size_t end = c->rest.len, next;

	if (end > max)
		for (end = max; end > 1 && is_glue(p[end - 1]); end--)
			;
	for (next = end; next < c->rest.len && is_glue(p[next]); next++)
		;
	c->glue = c->next_glue;
	c->next_glue = slice_of(p + end, next - end);
	c->rest = slice_of(p + next, c->rest.len - next);
	return slice_of(p, end);
}

/* Reads on to the next line, and settles what the one before it left behind. False at the end or after an error. */
static bool start_line(struct conf *c, bool *out_is_section)
{
	struct slice line;
	bool is_indented;

	buf_append_slice(&c->value, c->next_glue);
	c->next_glue = slice_of(NULL, 0);
	*out_is_section = false;
	if (!take_line(c, &line, &is_indented)) {
		flush(c);
		return false;
	}
	c->is_first_piece = !(is_indented && c->has_key);
	if (!c->is_first_piece) {
		c->next_glue = one_blank;
	} else if (*(const char *)line.data == '[') {
		*out_is_section = true;
		return begin_section(c, line) == 0;
	} else if (!c->has_section) {
		fail(c, c->line, "a key stands before the first section");
	} else {
		flush(c);
	}
	c->rest = line;
	return c->rc == 0;
}

/* Gives inih its next line of at most `size` bytes, as fgets does. */
static char *read_piece(char *line, int size, void *arg)
{
	struct conf *c = arg;
	bool is_section = false;
	struct slice piece;
	size_t len = 0;

	if (c->rc < 0)
		return NULL;
	if (c->is_piece_out || size < CONF_PIECE_MIN) {
		fail(c, c->line, "neither [section] nor key = value");
		return NULL;
	}
	if (c->rest.len)
		c->is_first_piece = false;
	else if (!start_line(c, &is_section))
		return NULL;
	if (is_section) {
		memcpy(line, "[s]\n", 5);	/* the name stays here: inih would cut it */
		return line;
	}
	piece = take_piece(c, (size_t)size - 4);
	if (!c->is_first_piece)
		line[len++] = ' ';
	memcpy(line + len, piece.data, piece.len);
	len += piece.len;
	memcpy(line + len, "\n", 2);
	c->is_piece_out = true;
	return line;
}

int conf_parse(const char *name, struct slice text, conf_handler handler, void *arg, struct why *why)
{
	struct conf c = { .name = name, .handler = handler, .arg = arg, .why = why, .text = text };
	int rc;

	if (text.len && memchr(text.data, 0, text.len))
		return why_fail(why, EINVAL, "%s: holds a NUL byte, so it is not text", name);
	if (!text_is_utf8(text))
		return why_fail(why, EINVAL, "%s: is not UTF-8", name);
	if (text.len >= 3 && !memcmp(text.data, "\xef\xbb\xbf", 3))
		c.text = slice_of((const char *)text.data + 3, text.len - 3);
	rc = ini_parse_stream(read_piece, &c, take_pair, &c);
	if (c.rc == 0 && rc == -2)
		c.rc = -ENOMEM;
	if (c.rc == 0)
		c.rc = buf_error(&c.value);
	if (c.rc == -ENOMEM)
		why_fail(why, ENOMEM, "%s: out of memory", name);
	buf_release(&c.section);
	buf_release(&c.key);
	buf_release(&c.value);
	buf_release(&c.seen.names);
	free(c.seen.slots);
	return c.rc;
}
