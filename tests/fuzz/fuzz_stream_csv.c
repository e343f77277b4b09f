/* SPDX-License-Identifier: MIT */
/* CSV messages, with named columns and with numbered ones. */
#include <stdint.h>
#include "stream_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream_help by_name, by_number;

static void end(void)
{
	stream_help_close(&by_name);
	stream_help_close(&by_number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);

	if (!by_name.map)
		atexit(end);
	stream_help_open(&by_name, "user", "format = csv\ncolumns = user, ts, clicks, name, tags, vec\nevent_time = ts\n", NULL);
	stream_help_open(&by_number, "user, day",
			 "format = csv\ndelimiter = tab\nnull = NA\nentity = key, $3\nfilter.$1 = c\nfeature.clicks = $2\nfeature.blob = $4\n"
			 "feature.at = $2\n", NULL);
	stream_help_decode(&by_name, slice_str(""), bytes, true);
	stream_help_decode(&by_number, bytes, bytes, true);
	return 0;
}
