/* SPDX-License-Identifier: MIT */
/*
 * From what is typed at a prompt to typed JSON. The text of an argument is judged by the same parser that judges a
 * feature's file, so "5" is a number for an int64 and a text for a string, and a wrong one is told before anything is
 * sent.
 */
#include <string.h>
#include "ctl.h"

void ctl_json_string(struct slice text, struct buf *out)
{
	const unsigned char *at = text.data;

	buf_append_char(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (at[i] < ' ') {
			buf_printf(out, "\\u%04x", at[i]);
			continue;
		}
		if (at[i] == '"' || at[i] == '\\')
			buf_append_char(out, '\\');
		buf_append_char(out, (char)at[i]);
	}
	buf_append_char(out, '"');
}

int ctl_json_value(const struct catalog_feature *feature, struct slice text, struct buf *out, struct why *why)
{
	struct buf value = { 0 };
	int rc = 0;

	if (text.len == 0)
		buf_append_str(out, "null");
	else
		rc = type_text_parse(&feature->type, feature->nan, text, &value, why);
	if (rc < 0)
		why_prefix(why, "%s", feature->name);
	else if (text.len)
		rc = type_json_print(&feature->type, buf_slice(&value), out);
	buf_release(&value);
	return rc < 0 ? rc : buf_error(out);
}

bool ctl_split_assignment(const char *arg, struct slice *out_name, struct slice *out_value)
{
	const char *equals = strchr(arg, '=');

	if (!equals || equals == arg)
		return false;
	*out_name = slice_of(arg, (size_t)(equals - arg));
	*out_value = slice_str(equals + 1);
	return true;
}
