/* SPDX-License-Identifier: MIT */
/* What a load's files share. Private to ingest. */
#ifndef INGEST_LOADING_H
#define INGEST_LOADING_H

#include <stdatomic.h>
#include "ingest/judge.h"
#include "ingest/private.h"

/* Tables of loads are numbered from here on, so that they lie behind those of all groups, and rows that are loaded in order are appended. */
#define LOADING_FIRST_ROWS UINT32_C(0x80000000)

/* Sums over judged rows. */
struct tally {
	struct ingest_load_figures figures;
	struct row_weight gain;		/* what the group's counters become, less what they are */
	uint64_t applied;
	/* Rows of the shadow; those of them that have one below; those that are empty. */
	uint64_t rows, covered, hides;
	int64_t newest_event_ns;
};

/* A row of the load as it was given: a SET in its chunk's bytes, at once what the log gets if it is written as it is. */
struct item {
	size_t at, end;			/* the SET */
	size_t entity_at, record_at;	/* the record ends where the SET does */
	uint32_t entity_len;
};

struct chunk;
struct screen;

/* What one commit does: the judged rows of a range of entities, from behind the part before to `last`. */
struct part {
	struct work work;
	struct ingest_load *load;
	struct chunk *chunk;
	size_t from, to;		/* items of the chunk */
	struct slice sets;
	uint64_t seq;			/* of the snapshot that they were judged by */
	struct slice last;
	bool to_end;			/* of the group */
	struct tally tally, final;	/* as judged; with what the commit judged anew */
	int64_t begun_ns, took_ns;
	bool is_busy;			/* under the load's lock, as the next two */
	int rc;
	struct why why;
};

struct chunk {
	struct buf given;		/* SETs */
	struct buf items;		/* array of struct item */
	struct buf sets;		/* those to write, where not all are written as given */
	struct buf lates;		/* SETs too: records that lost */
	struct buf last;
	struct part part;
};

/* A row as it was before another lane changed it. */
struct touch {
	struct touch *next;		/* of those ahead of the cursor */
	uint64_t seq;			/* of the commit that changed it */
	size_t entity_len, row_len;
	char bytes[];
};

static inline struct slice touch_entity(const struct touch *touch)
{
	return slice_of(touch->bytes, touch->entity_len);
}

static inline struct slice touch_row(const struct touch *touch)
{
	return slice_of(touch->bytes + touch->entity_len, touch->row_len);
}

static inline size_t touch_bytes(const struct touch *touch)
{
	return sizeof *touch + touch->entity_len + touch->row_len;
}

enum load_state { LOAD_OPEN, LOAD_FAILED, LOAD_PUBLISHED };

struct ingest_load {
	/* Under the lock of load.c. */
	struct ingest *ingest;		/* NULL: it was stopped */
	struct ingest_load *next;
	unsigned n_calls;

	/* Fixed once it has begun. */
	struct ingest_load_options options;	/* its slices point into texts */
	struct buf texts;
	const struct catalog_group *grp;	/* as it was then, counted */
	uint32_t shadow;
	struct record_stamp stamp;

	/* The load's thread. */
	_Atomic enum load_state state;	/* threads that screen its rows look at it, too */
	struct judge judge;
	struct chunk chunks[2];
	unsigned filling;
	size_t chunk_bytes;		/* a chunk is full: as much as keeps the others waiting for a few ms */
	struct buf last;		/* entity that was given last */
	struct buf judged;		/* entity up to which the rows are judged */
	bool is_judged_to_end;
	bool meets_overlay;		/* all that the overlay below has is in the shadow, or was folded */
	bool has_started;
	struct buf row, late;		/* scratch */
	struct screen *screen;		/* the leader asks it, too, once it is closed */
	struct tally screened;		/* rows that are kept out */
	_Atomic uint64_t rows, bad_names;

	/* The leader. */
	struct ingest_load *next_active;
	bool is_active;
	struct judge again;		/* for rows that are judged anew */
	struct buf cursor;		/* entity up to which the shadow is filled */
	bool is_at_end;
	struct touch *ahead, **ahead_tail;
	_Atomic unsigned judging;	/* parts that are judged and not committed; set before their snapshot is taken */
	struct tally total;
	struct buf old_row, new_row, scratch_late, base, found;

	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t ended;
	enum { SCREEN_NONE, SCREEN_OPEN, SCREEN_CLOSED } screening;
	struct touch *noted, **noted_tail;	/* while it is open: changes, in their order */
	void *owned;			/* tree of struct touch: the load's own rows that are kept out, as far as they were touched */
	void *touched;			/* tree of struct touch: behind the cursor, to be judged anew */
	size_t n_touched, touched_bytes;
	int trouble;			/* what the leader met outside of a work of the load: it fails with that */
	struct ingest_load_figures figures;
};

/* A row of the load that is judged anew; `in` NULL: the load has none. */
struct again {
	struct slice entity;
	const struct slice *in;
};

/* A work that judges touched rows anew. */
struct rejudge {
	struct work work;
	struct ingest_load *load;
	const struct again *list;
	size_t n;
	struct tally tally;
};

/* load.c */
int loading_fail_stopped(struct why *why);
/* The load's own row once more, stamped as it was. Appends. -ENOENT. */
int loading_find(struct ingest_load *load, struct slice entity, struct buf *out);
/* Begins a call that may wait. NULL: ingest was stopped. */
struct ingest *loading_enter(struct ingest_load *load);
void loading_leave(struct ingest_load *load);

/* load_screen.c. Rows are given from now on: changes of what is kept out are judged anew like others. */
void screen_close(struct ingest_load *load);
/* Only once it is closed. */
bool screen_kept_out(struct screen *screen, struct slice entity);
void screen_free(struct screen *screen);

/* The rows that stand, in step with those of the load. */
struct standing {
	struct store_snap *snap;
	const struct catalog *cat;
	struct store_walk *walk;	/* NULL: the group is empty */
	uint64_t rows;			/* of the group */
	bool has, at_end;
	struct slice key, row;
};

/* load_judge.c. A snapshot without a walk, and the group in it, which is as the load knows it. Closed whatever it returns. */
int loading_open_view(struct ingest *ingest, struct ingest_load *load, struct standing *out, const struct catalog_group **out_grp, struct why *why);
/* From behind `after` on. Closed whatever it returns. */
int loading_open_standing(struct ingest *ingest, struct ingest_load *load, struct slice after, struct standing *out, struct why *why);
/* What a step of the walk came to: a row is at hand, or it is at its end. */
int loading_take_standing(struct standing *st, int rc);
void loading_close_standing(struct standing *st);
/* Judges and hands over what the chunk in hand has, and goes on with the other one; `is_tail`: no more rows come. */
int loading_flush(struct ingest *ingest, struct ingest_load *load, bool is_tail, struct why *why);
/* Waits for a part's commit; passes on its failure. */
int loading_settle(struct ingest_load *load, struct part *part, struct why *why);
void loading_wait(struct ingest_load *load, struct part *part);
/* 0, or what the caller says about it. */
int loading_tell_refused(struct ingest_load *load, struct slice entity, struct slice record, int rc, const struct why *why);
/* Judges touched rows anew until no more than `few` are left. */
int loading_judge_touched(struct ingest *ingest, struct ingest_load *load, size_t few, struct why *why);

/* load_fill.c: what the shadow has to hold beside the load's own rows, before it is published. */
int loading_fill(struct ingest *ingest, struct ingest_load *load, struct why *why);

/* load_commit.c: what the leader does for a load. */
int loading_apply_part(struct ingest *ingest, struct work *work, struct why *why);
void loading_part_done(struct work *work, int rc, uint64_t seq, const struct why *why);
int loading_apply_again(struct ingest *ingest, struct work *work, struct why *why);
void loading_again_done(struct work *work, int rc, uint64_t seq, const struct why *why);
void loading_add(struct tally *sum, const struct tally *part);
/* Counts a verdict in. */
void loading_count(struct tally *tally, const struct verdict *verdict, struct slice entity, struct slice base, struct slice row);
/* Is the group still there, and such that what was judged stays right? -ESTALE. */
int loading_check_group(struct ingest_load *load, const struct catalog *cat, struct why *why);
/* Judges all touched rows, if there are no more than `limit`. -EAGAIN. */
int loading_judge_last(struct ingest *ingest, struct ingest_load *load, size_t limit, struct tally *out);

/* A work that copies rows that stand into the shadow. */
struct filling {
	struct work work;
	struct ingest_load *load;
	struct slice sets;
	struct tally tally;
};
int loading_apply_fill(struct ingest *ingest, struct work *work, struct why *why);
void loading_fill_done(struct work *work, int rc, uint64_t seq, const struct why *why);

/* load_touch.c: what other lanes change meanwhile. The leader's, but for what is _locked, under the load's lock. */
bool touch_is_behind_cursor(const struct ingest_load *load, struct slice entity);
/* The load fails with that. */
void touch_note_trouble(struct ingest_load *load, int rc);
/* A row that is kept out was changed: it was that before. The screen is closed. */
void touch_kept_out_locked(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq);
/* A row to be judged anew; NULL. */
struct touch *touch_find(struct ingest_load *load, struct slice entity);
/* It was. */
void touch_done_locked(struct ingest_load *load, struct slice entity);
/* The load's own row, if it is kept out: appends. -ENOENT. For any thread. */
int touch_find_own(struct ingest_load *load, struct slice entity, struct buf *out);
/* A part whose snapshot was that of `seq` is committed. */
void touch_forget_ahead(struct ingest_load *load, uint64_t seq);
void touch_free_all(struct ingest_load *load);

struct publishing {
	struct work work;
	struct ingest_load *load;
	size_t limit;			/* rows that may be judged anew in this commit; more: -EAGAIN */
	bool lacks_overlay;		/* -EAGAIN was because the shadow does not hold what the overlay does */
	struct tally tally;
};

/* load_publish.c */
int loading_begin(struct ingest *ingest, struct ingest_load *load, struct why *why);
/* Before the first row is taken, or all is published without any: closes the screen, and takes the time. */
int loading_start(struct ingest *ingest, struct ingest_load *load, struct why *why);
/* -EAGAIN: more is to be done first; loading_fill, if it says so. */
int loading_publish(struct ingest *ingest, struct ingest_load *load, size_t limit, bool *out_lacks_overlay, struct why *why);
/* Ends what was begun and not published. */
void loading_end(struct ingest *ingest, struct ingest_load *load);

#endif
