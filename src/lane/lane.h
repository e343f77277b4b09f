/* SPDX-License-Identifier: MIT */
/* The lanes that carry changes to ingest. Today: direct. */
#ifndef LANE_LANE_H
#define LANE_LANE_H

#include "lane/direct.h"

#endif
