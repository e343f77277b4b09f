/* SPDX-License-Identifier: MIT */
/*
 * Event times out of messages. Numbers are computed in decimal, never in floating point: a double can't tell two microseconds of today
 * apart from nanoseconds, and a time that moved a little would decide otherwise which value is the newest.
 */
#include "stream/moment.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/clock.h"

enum {
	DIGITS_MAX = 36,		/* significant ones that are kept: they fit into 128 bits */
	EXPONENT_MAX = 400,
};

static const struct {
	const char *name;
	int digits;			/* decimal places of a second */
} units[] = {
	[MOMENT_BY_SIZE] = { "auto", 0 }, [MOMENT_S] = { "s", 0 }, [MOMENT_MS] = { "ms", 3 },
	[MOMENT_US] = { "us", 6 }, [MOMENT_NS] = { "ns", 9 },
};

int moment_unit_parse(struct slice text, enum moment_unit *out, struct why *why)
{
	for (enum moment_unit unit = MOMENT_BY_SIZE; unit <= MOMENT_NS; unit++)
		if (slice_equal(text, slice_str(units[unit].name))) {
			*out = unit;
			return 0;
		}
	return why_fail(why, EINVAL, "it is s, ms, us, ns, or auto (by the size of the number)");
}

static int refuse_range(struct why *why)
{
	return why_fail(why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11");
}

/* mantissa * 10^exponent */
struct decimal {
	bool is_negative;
	unsigned __int128 mantissa;
	int exponent;
};

/* How many digits stand before the point. */
static int whole_digits(const struct decimal *d)
{
	int digits = d->exponent;

	for (unsigned __int128 rest = d->mantissa; rest; rest /= 10)
		digits++;
	return digits;
}

static enum moment_unit unit_by_size(const struct decimal *d)
{
	int digits = whole_digits(d);

	return digits <= 11 ? MOMENT_S : digits <= 14 ? MOMENT_MS : digits <= 17 ? MOMENT_US : MOMENT_NS;
}

static int to_ns(struct decimal d, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	const unsigned __int128 most = (unsigned __int128)INT64_MAX + 1;
	int shift;

	if (unit == MOMENT_BY_SIZE)
		unit = unit_by_size(&d);
	shift = d.exponent + 9 - units[unit].digits;
	for (; shift < 0 && d.mantissa; shift++)
		d.mantissa /= 10;
	for (; shift > 0 && d.mantissa && d.mantissa <= most; shift--)
		d.mantissa *= 10;
	if (d.mantissa >= most)		/* INT64_MIN would be no time */
		return refuse_range(why);
	*out_ns = d.is_negative ? (int64_t)(0 - (uint64_t)d.mantissa) : (int64_t)d.mantissa;
	return 0;
}

struct cursor {
	const char *at, *end;
};

static bool is_digit(const struct cursor *c)
{
	return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

/* Digits into the mantissa; what is past its room only counts. Returns how many there were. */
static size_t take_digits(struct cursor *c, bool is_fraction, struct decimal *d, int *kept)
{
	size_t count = 0;

	for (; is_digit(c); c->at++, count++) {
		if (*kept == DIGITS_MAX) {
			d->exponent += !is_fraction && d->exponent < EXPONENT_MAX;
			continue;
		}
		d->mantissa = d->mantissa * 10 + (unsigned)(*c->at - '0');
		*kept += d->mantissa != 0;
		d->exponent -= is_fraction && d->exponent > -EXPONENT_MAX;
	}
	return count;
}

static bool take_exponent(struct cursor *c, struct decimal *d)
{
	bool is_negative = false;
	int exponent = 0;

	if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
		is_negative = *c->at++ == '-';
	if (!is_digit(c))
		return false;
	for (; is_digit(c); c->at++)
		if (exponent < EXPONENT_MAX)
			exponent = exponent * 10 + (*c->at - '0');
	d->exponent += is_negative ? -exponent : exponent;
	return true;
}

static bool parse_decimal(struct slice text, struct decimal *out)
{
	struct cursor c = { text.data, (const char *)text.data + text.len };
	struct decimal d = { 0 };
	size_t count;
	int kept = 0;

	if (c.at < c.end && (*c.at == '-' || *c.at == '+'))
		d.is_negative = *c.at++ == '-';
	count = take_digits(&c, false, &d, &kept);
	if (c.at < c.end && *c.at == '.') {
		c.at++;
		count += take_digits(&c, true, &d, &kept);
	}
	if (!count)
		return false;
	if (c.at < c.end && (*c.at == 'e' || *c.at == 'E')) {
		c.at++;
		if (!take_exponent(&c, &d))
			return false;
	}
	*out = d;
	return c.at == c.end;
}

/* Whole numbers of up to 18 digits, as nearly all times are, without the wide arithmetic. */
static bool parse_whole(struct slice text, int64_t *out)
{
	const char *p = text.data;
	int64_t number = 0;

	if (!text.len || text.len > 18)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		number = number * 10 + (p[i] - '0');
	}
	*out = number;
	return true;
}

int moment_parse(struct slice text, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	struct decimal d;
	int64_t number;
	int rc;

	if (parse_whole(text, &number))
		return moment_of_int(number, unit, out_ns, why);
	if (parse_decimal(text, &d))
		return to_ns(d, unit, out_ns, why);
	rc = text.len <= CLOCK_TEXT_MAX ? clock_parse_time(text, out_ns) : -EINVAL;
	if (rc == -ERANGE)
		return refuse_range(why);
	if (rc < 0)
		return why_fail(why, EINVAL, "\"%.*s\" is no time: 2026-11-23T04:00:00Z, or a number",
				(int)(text.len < 64 ? text.len : 64), text.len ? (const char *)text.data : "");
	return 0;
}

int moment_of_int(int64_t number, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	static const int64_t scales[] = { [MOMENT_S] = CLOCK_SECOND, [MOMENT_MS] = 1000000, [MOMENT_US] = 1000, [MOMENT_NS] = 1 };
	uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	if (unit == MOMENT_BY_SIZE)
		unit = size < UINT64_C(100000000000) ? MOMENT_S : size < UINT64_C(100000000000000) ? MOMENT_MS :
			size < UINT64_C(100000000000000000) ? MOMENT_US : MOMENT_NS;
	return __builtin_mul_overflow(number, scales[unit], out_ns) || *out_ns == INT64_MIN ? refuse_range(why) : 0;
}

int moment_of_double(double number, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	char text[64];
	int len;

	if (!isfinite(number))
		return why_fail(why, EINVAL, "nan and infinities are no time");
	/* 17 digits are all that a double has. */
	len = snprintf(text, sizeof text, "%.16e", number);
	for (int i = 0; i < len; i++)
		if (text[i] == ',')
			text[i] = '.';		/* the point of some locales */
	return moment_parse(slice_of(text, (size_t)len), unit, out_ns, why);
}
