/* SPDX-License-Identifier: MIT */
/* What the direct lane's files share. Private to lane. */
#ifndef LANE_PRIVATE_H
#define LANE_PRIVATE_H

#include "lane/direct.h"

/* The group and feature of a place, with the count of the catalog that they live in. */
struct direct_found {
	struct catalog *cat;
	const struct catalog_group *grp;
	const struct catalog_feature *feature;
};

int direct_request(struct direct *lane, const struct direct_origin *origin, struct ingest_request **out);
/* Adds one value in file form to a request's open row; a refusal is noted for .errors. */
int direct_add_value(struct direct *lane, const struct direct_origin *origin, const struct direct_found *place, struct slice entity,
		     enum direct_form form, struct slice bytes, struct ingest_request *req);

#endif
