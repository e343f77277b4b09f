/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <endian.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "batch/parquet_wire.h"

void ring_open(struct ring *ring)
{
	struct stat st;
	void *data;

	*ring = (struct ring){ .data = NULL };
	if (fstat(WIRE_RING_FD, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < WIRE_RING_MIN)
		return;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, WIRE_RING_FD, 0);
	close(WIRE_RING_FD);
	if (data == MAP_FAILED)
		return;
	ring->data = data;
	ring->size = (size_t)st.st_size;
}

/* Waits for the other side to say how far it is. */
static int hear(struct ring *ring)
{
	uint64_t said;
	char *p = (char *)&said;

	for (size_t left = sizeof said; left;) {
		ssize_t n = read(STDIN_FILENO, p + sizeof said - left, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		left -= (size_t)n;
	}
	ring->free_to = le64toh(said);
	return 0;
}

int ring_reserve(struct ring *ring, size_t len, char **out_place)
{
	size_t offset;
	int rc = 0;

	*out_place = NULL;
	if (!ring->data || len > wire_ring_piece(ring->size))
		return 0;
	offset = (size_t)(ring->at % ring->size);
	if (len > ring->size - offset)
		ring->at += ring->size - offset;
	while (rc == 0 && ring->at + len > ring->free_to + ring->size)
		rc = hear(ring);
	*out_place = ring->data + ring->at % ring->size;
	return rc;
}

uint64_t ring_commit(struct ring *ring, size_t len)
{
	uint64_t at = ring->at;

	ring->at = wire_ring_next(at, len);
	return at;
}
