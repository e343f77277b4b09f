/* SPDX-License-Identifier: MIT */
/*
 * Times and spans to and from text. Days are counted in the proleptic Gregorian calendar by arithmetic on whole years
 * that begin in March, so that the leap day is the last of its year; the C library's calendar is not used, for it asks
 * time zones and locales. Leap seconds don't exist, as in the time of the system.
 */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "base/num.h"

static const int64_t day_seconds = 86400;

static int64_t read_clock(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);		/* can't fail for the clocks used here */
	return (int64_t)ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

int64_t clock_now(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

struct timespec clock_after(int64_t ns)
{
	return clock_to_timespec(clock_monotonic() + ns);
}

int64_t clock_from_timespec(const struct timespec *time)
{
	__int128 ns = (__int128)time->tv_sec * CLOCK_SECOND + time->tv_nsec;

	return ns <= INT64_MIN ? INT64_MIN + 1 : ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

struct timespec clock_to_timespec(int64_t ns)
{
	int64_t seconds = ns / CLOCK_SECOND, rest = ns % CLOCK_SECOND;

	if (rest < 0) {
		rest += CLOCK_SECOND;
		seconds--;
	}
	return (struct timespec){ .tv_sec = seconds, .tv_nsec = rest };
}

int64_t clock_between(int64_t from_ns, int64_t to_ns)
{
	int64_t span_ns;

	if (__builtin_sub_overflow(to_ns, from_ns, &span_ns))
		return to_ns < from_ns ? INT64_MIN : INT64_MAX;
	return span_ns;
}

/* ---- the calendar ---- */

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days since 1970-01-01; years from 0 on. */
static int64_t days_of_date(int64_t year, int month, int day)
{
	int64_t y = year + 400 - (month <= 2);		/* 400 years more keep it positive: they are 146097 days */
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468 - 146097;
}

static void date_of_days(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;					/* day of the era of 400 years */
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;				/* months since March */

	*out_day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*out_month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*out_year = yoe + era * 400 + (*out_month <= 2);
}

/* ---- times ---- */

struct cursor {
	const char *at, *end;
};

static bool is_digit(const struct cursor *c)
{
	return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static inline bool take_char(struct cursor *c, const char *any_of)
{
	if (c->at == c->end)
		return false;
	for (; *any_of; any_of++)
		if (*c->at == *any_of) {
			c->at++;
			return true;
		}
	return false;
}

static bool take_digits(struct cursor *c, int count, int *out)
{
	*out = 0;
	for (; count; count--) {
		if (!is_digit(c))
			return false;
		*out = *out * 10 + (*c->at++ - '0');
	}
	return true;
}

/* One digit at the least; those past the ninth are cut off. Returns how many there were; 0 for none. */
static int take_fraction(struct cursor *c, int64_t *out_ns)
{
	int64_t unit = CLOCK_SECOND;
	int count = 0;

	*out_ns = 0;
	for (; is_digit(c); c->at++, count += count < 10) {
		unit /= 10;
		*out_ns += unit * (*c->at - '0');
	}
	return count;
}

static int join(__int128 seconds, int64_t ns, int64_t *out_ns)
{
	__int128 total = seconds * CLOCK_SECOND + ns;

	if (total <= INT64_MIN || total > INT64_MAX)
		return -ERANGE;
	*out_ns = (int64_t)total;
	return 0;
}

static bool take_offset(struct cursor *c, int64_t *out_seconds)
{
	bool is_west;
	int hours, minutes;

	*out_seconds = 0;
	if (take_char(c, "Zz"))
		return true;
	is_west = c->at < c->end && *c->at == '-';
	if (!take_char(c, "+-") || !take_digits(c, 2, &hours) || !take_char(c, ":") || !take_digits(c, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;
	*out_seconds = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

/* Two digits; *bad gets bits where they are none. */
static int two_digits(const char *p, unsigned *bad)
{
	unsigned tens = (unsigned char)p[0] - '0', ones = (unsigned char)p[1] - '0';

	*bad |= (tens > 9) | (ones > 9);
	return (int)(tens * 10 + ones);
}

static int parse_date(struct cursor c, int64_t *out_ns)
{
	enum { HEAD = sizeof("2026-11-23T04:00:00") - 1 };
	int year, month, day, hour, minute, second;
	int64_t ns = 0, offset, seconds;
	const char *p = c.at;
	unsigned bad = 0;

	if (c.end - c.at < HEAD)
		return -EINVAL;
	year = two_digits(p, &bad) * 100 + two_digits(p + 2, &bad);
	month = two_digits(p + 5, &bad);
	day = two_digits(p + 8, &bad);
	hour = two_digits(p + 11, &bad);
	minute = two_digits(p + 14, &bad);
	second = two_digits(p + 17, &bad);
	bad |= p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') || p[13] != ':' || p[16] != ':';
	if (bad)
		return -EINVAL;
	c.at += HEAD;
	if (take_char(&c, ".") && !take_fraction(&c, &ns))
		return -EINVAL;
	if (!take_offset(&c, &offset) || c.at != c.end)
		return -EINVAL;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return -EINVAL;
	seconds = days_of_date(year, month, day) * day_seconds + hour * 3600 + minute * 60 + second - offset;
	return join(seconds, ns, out_ns);
}

static int parse_seconds(struct cursor c, int64_t *out_ns)
{
	bool is_negative = c.at < c.end && *c.at == '-';
	const char *start;
	uint64_t whole;
	int64_t ns = 0;
	int rc, decimals;

	take_char(&c, "+-");
	start = c.at;
	while (is_digit(&c))
		c.at++;
	rc = num_parse_u64(slice_of(start, (size_t)(c.at - start)), &whole);
	if (rc == -EINVAL)
		return rc;
	if (take_char(&c, ".")) {
		decimals = take_fraction(&c, &ns);
		if (decimals < 1 || decimals > 9)
			return -EINVAL;
	}
	if (c.at != c.end)
		return -EINVAL;
	if (rc < 0)
		return rc;
	return is_negative ? join(-(__int128)whole, -ns, out_ns) : join(whole, ns, out_ns);
}

int clock_parse_time(struct slice text, int64_t *out_ns)
{
	struct cursor c = { text.data, text.len ? (const char *)text.data + text.len : text.data };

	if (text.len > CLOCK_TEXT_MAX)
		return -EINVAL;
	if (text.len > 4 && c.at[4] == '-')
		return parse_date(c, out_ns);
	return parse_seconds(c, out_ns);
}

size_t clock_print_time(int64_t ns, bool nanos, char out[CLOCK_TEXT_MAX])
{
	int64_t seconds = ns / CLOCK_SECOND, fraction = ns % CLOCK_SECOND, days, year;
	int month, day, rest, len;

	if (fraction < 0) {
		fraction += CLOCK_SECOND;
		seconds--;
	}
	days = seconds / day_seconds;
	rest = (int)(seconds % day_seconds);
	if (rest < 0) {
		rest += (int)day_seconds;
		days--;
	}
	date_of_days(days, &year, &month, &day);
	len = snprintf(out, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month, day, rest / 3600,
		       rest / 60 % 60, rest % 60);
	if (nanos && fraction)
		len += snprintf(out + len, (size_t)(CLOCK_TEXT_MAX - len), ".%09d", (int)fraction);
	else if (fraction >= 1000)
		len += snprintf(out + len, (size_t)(CLOCK_TEXT_MAX - len), ".%06d", (int)(fraction / 1000));
	out[len++] = 'Z';
	out[len] = '\0';
	return (size_t)len;
}

/* ---- spans ---- */

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	{ "w", 7 * INT64_C(86400) * CLOCK_SECOND },
	{ "d", INT64_C(86400) * CLOCK_SECOND },
	{ "h", 3600 * CLOCK_SECOND },
	{ "m", 60 * CLOCK_SECOND },
	{ "s", CLOCK_SECOND },
	{ "ms", CLOCK_SECOND / 1000 },
};

enum { UNITS = sizeof(units) / sizeof(units[0]), UNIT_DAYS = 1, UNIT_SECONDS = 4 };

static const struct unit *find_unit(struct slice name)
{
	for (unsigned i = 0; i < UNITS; i++)
		if (slice_equal(name, slice_str(units[i].name)))
			return &units[i];
	return NULL;
}

int clock_parse_span(struct slice text, int64_t *out_ns)
{
	const char *p = text.data;
	size_t i = 0;
	int64_t total = 0, part;
	bool over = false;

	if (!text.len)
		return -EINVAL;
	while (i < text.len) {
		const struct unit *unit;
		size_t start = i, name;
		int rc;

		while (i < text.len && p[i] >= '0' && p[i] <= '9')
			i++;
		name = i;
		while (i < text.len && p[i] >= 'a' && p[i] <= 'z')
			i++;
		if (name == start)
			return -EINVAL;
		unit = start == 0 && name == text.len ? &units[UNIT_SECONDS] : find_unit(slice_of(p + name, i - name));
		if (!unit)
			return -EINVAL;
		rc = num_parse_i64(slice_of(p + start, name - start), &part);
		over = over || rc < 0 || __builtin_mul_overflow(part, unit->ns, &part) ||
			__builtin_add_overflow(total, part, &total);
	}
	if (over)
		return -ERANGE;
	*out_ns = total;
	return 0;
}

size_t clock_print_span(int64_t ns, char out[CLOCK_TEXT_MAX])
{
	uint64_t rest = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	size_t len = 0;

	if (ns < 0 && rest >= (uint64_t)units[UNITS - 1].ns)
		out[len++] = '-';
	for (unsigned i = UNIT_DAYS; i < UNITS; i++) {
		uint64_t count = rest / (uint64_t)units[i].ns;

		rest %= (uint64_t)units[i].ns;
		if (count)
			len += (size_t)snprintf(out + len, CLOCK_TEXT_MAX - len, "%llu%s", (unsigned long long)count,
						units[i].name);
	}
	if (!len)
		out[len++] = '0';
	out[len] = '\0';
	return len;
}
