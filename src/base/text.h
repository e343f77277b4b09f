/* SPDX-License-Identifier: MIT */
/* Text of the outside world: UTF-8, base64, and the written form of entity names. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

enum { TEXT_ENTITY_MAX = 255, TEXT_NAME_MAX = 128 };	/* bytes */

/* Strict UTF-8 (no surrogates, no overlong forms). */
bool text_is_utf8(struct slice text);
/* As far as it goes: true while it may still become valid UTF-8, that is, also when it ends inside a character. */
bool text_is_utf8_prefix(struct slice text);

void text_base64_encode(struct slice bytes, struct buf *out);
/* RFC 4648 with padding, strict. -EINVAL. */
int text_base64_decode(struct slice text, struct buf *out);

/* A group or feature name: [A-Za-z_][A-Za-z0-9_-]*, 1 to 128 bytes; for a feature with an optional "@vN", N >= 2 without leading
 * zeros ("@v1" is not a name of its own). -EINVAL or -ENAMETOOLONG. */
int text_check_group_name(struct slice name, struct why *why);
int text_check_feature_name(struct slice name, struct why *why);

/* Is this the one written form of an entity name (UTF-8; '/', '%', a leading '.', control bytes and DEL as %XX upper-case, 1 to
 * 255 bytes)? A ',' is allowed only between the parts of a composite key, of which there must be `parts` (none empty).
 * 0, -EINVAL, -EILSEQ (UTF-8), -ENAMETOOLONG. %00 is refused. */
int text_check_entity(struct slice name, unsigned parts, struct why *why);
/* Appends the written form of one raw key part (its ',' escaped as well); a leading '.' is escaped only if `first`. -EINVAL for
 * NUL or an empty part, -EILSEQ. */
int text_escape_entity_part(struct slice raw, bool first, struct buf *out);

#endif
