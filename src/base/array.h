/* SPDX-License-Identifier: MIT */
/* Arrays that grow by one element at a time, in memory of the C library. */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

/* Room for one element behind the first `n`; `*cap` says for how many there is. Gives the array, which may have moved, or NULL without
 * memory: then it stands as it was. Capacities double, so that a long array is seldom copied. */
static inline void *array_grow(void *array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 16;

	if (n < *cap)
		return array;
	array = reallocarray(array, more, size);
	if (array)
		*cap = more;
	return array;
}

#endif
