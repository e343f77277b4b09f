/* SPDX-License-Identifier: MIT */
/*
 * One line on a terminal: a bar, per cent, a rate, and how long it will still take. It is drawn a few times a second
 * whatever the caller does, so callers step as often as they like; where stderr is no terminal nothing is drawn at
 * all, for logs want lines, not bars.
 */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"

enum { BAR_WIDTH = 24, WIDTH_DEFAULT = 80 };

static const int64_t draw_ns = CLOCK_SECOND / 5;

static unsigned measure_terminal(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return WIDTH_DEFAULT;
	return size.ws_col;
}

void ctl_progress_begin(struct ctl_progress *progress, const char *what, bool is_bytes, bool quiet)
{
	*progress = (struct ctl_progress){ .what = what, .is_bytes = is_bytes };
	progress->is_shown = !quiet && isatty(STDERR_FILENO);
	progress->begun_ns = progress->shown_ns = clock_monotonic();
}

static void print_amount(uint64_t amount, bool is_bytes, struct buf *out)
{
	char text[32];

	if (is_bytes) {
		ctl_print_bytes(amount, text);
		buf_append_str(out, text);
	} else {
		buf_printf(out, "%llu rows", (unsigned long long)amount);
	}
}

void ctl_progress_print(const struct ctl_progress *progress, int64_t now_ns, unsigned width, struct buf *out)
{
	uint64_t done = progress->done < progress->total ? progress->done : progress->total;
	double seconds = (double)(now_ns - progress->begun_ns) / 1e9;
	double share = progress->total ? (double)done / (double)progress->total : 0;
	double rate = seconds > 0 ? (double)progress->done / seconds : 0;
	size_t begin = out->len;

	buf_printf(out, "%s [", progress->what);
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		buf_append_char(out, i < (unsigned)(share * BAR_WIDTH) ? '#' : ' ');
	buf_printf(out, "] %3u%%  ", (unsigned)(share * 100));
	print_amount(progress->done, progress->is_bytes, out);
	buf_append_str(out, "  ");
	print_amount((uint64_t)rate, progress->is_bytes, out);
	buf_append_str(out, "/s");
	if (rate > 0 && progress->total)
		buf_printf(out, "  %.0f s left", (double)(progress->total - done) / rate);
	if (out->len - begin > width)
		out->len = begin + width;
}

static void draw(const struct ctl_progress *progress, int64_t now_ns)
{
	struct buf line = { 0 };

	ctl_progress_print(progress, now_ns, measure_terminal() - 1, &line);
	if (buf_error(&line) == 0)
		fprintf(stderr, "\r%.*s\033[K", (int)line.len, line.data);
	buf_release(&line);
}

void ctl_progress_step(struct ctl_progress *progress, uint64_t done, uint64_t total)
{
	int64_t now_ns;

	progress->done = done;
	progress->total = total;
	if (!progress->is_shown)
		return;
	now_ns = clock_monotonic();
	if (now_ns - progress->shown_ns < draw_ns)
		return;
	progress->shown_ns = now_ns;
	draw(progress, now_ns);
}

void ctl_progress_clear(const struct ctl_progress *progress)
{
	if (progress->is_shown && progress->shown_ns != progress->begun_ns)
		fputs("\r\033[K", stderr);
}

void ctl_progress_end(struct ctl_progress *progress)
{
	ctl_progress_clear(progress);
	progress->is_shown = false;
}
