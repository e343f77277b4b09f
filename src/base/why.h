/* SPDX-License-Identifier: MIT */
/* One line of reason for a human: what is wrong, where, and what to do. Functions that judge foreign input fill one. */
#ifndef BASE_WHY_H
#define BASE_WHY_H

struct why {
	char text[320];
};

/* Writes the reason (cut at the end, control bytes shown as '?'; NULL `why` is fine) and returns -err, so that a
 * judgement is one line: return why_fail(why, EINVAL, "..."). */
int why_fail(struct why *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before a reason that is already there. */
void why_prefix(struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
