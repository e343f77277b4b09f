/* SPDX-License-Identifier: MIT */
/* JSON messages, as value, as key, and both, through mappings by name and by path. */
#include <stdint.h>
#include "stream_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream_help by_name, by_path, by_key;

static void end(void)
{
	stream_help_close(&by_name);
	stream_help_close(&by_path);
	stream_help_close(&by_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);

	if (!by_name.map)
		atexit(end);
	stream_help_open(&by_name, "user", "event_time = ts\n", NULL);
	stream_help_open(&by_path, "user, day",
			 "entity = $.user.id, $.days[1]\nevent_time = $.user.ts\nevent_time_unit = ms\nfilter.type = click\n"
			 "feature.clicks = $.stats.clicks\nfeature.raw = $\nfeature.vec = $.days\nfeature.name = $['']['a.b']\n", NULL);
	stream_help_open(&by_key, "user", "entity = key.$.id\nevent_time = key.$.ts\n", NULL);
	stream_help_decode(&by_name, slice_str(""), bytes, true);
	stream_help_decode(&by_path, slice_str(""), bytes, true);
	stream_help_decode(&by_key, bytes, bytes, true);
	stream_help_decode(&by_key, bytes, slice_str(""), false);
	return 0;
}
