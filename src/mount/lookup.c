/* SPDX-License-Identifier: MIT */
/*
 * .lookup of a group and of a view's forms: a conversation on one open file. What is written is names of entities (keys of the view), one a line;
 * the first read ends the list and answers it, row by row in the same order, all from one snapshot:
 *
 *	write(fd, "u1\nu2\n", 6);  read(fd, buf, size) gives {"entity": "u1", ...}\n{"entity": "u2", ...}\n, then 0
 *
 * Two lines of a group's are no names (no name begins with a dot), but say how to answer what follows: ".details" for rows with the times,
 * lane and source of each value, and ".group NAME" for entities of another group, which whoever reads must have the right to read: so what
 * belongs together in several groups is of one snapshot too.
 *
 * An entity that is not there answers "features": null (in f32/, a row of NaN), so that answers and questions stay side by side. The next write
 * begins a new list. Offsets mean nothing: the file can't be sought.
 */
#include "mount/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/handle.h"
#include "mount/join.h"
#include "mount/private.h"

enum {
	ASKED_MAX = 4 << 20,		/* bytes of names: some hundred thousand */
	ANSWER_MAX = 64 << 20,
};

struct lookup {
	struct handle handle;
	atomic_uint refs;		/* the open file, and who replies to a read of it */
	pthread_mutex_t lock;		/* for what follows */
	struct buf asked, answer;
	size_t at;			/* of the answer, what was read */
	bool is_answered, is_over;	/* the list ends with the read that answers it, or fails to */
};

int lookup_open(struct mount *mount, struct node *node, struct handle **out)
{
	struct lookup *look = calloc(1, sizeof *look);

	if (!look)
		return -ENOMEM;
	look->handle = (struct handle){ .kind = HANDLE_LOOKUP, .node = node };
	atomic_init(&look->refs, 1);
	pthread_mutex_init(&look->lock, NULL);
	handle_begin(mount, &look->handle);
	*out = &look->handle;
	return 0;
}

static void drop(struct mount *mount, struct lookup *look)
{
	if (atomic_fetch_sub(&look->refs, 1) > 1)
		return;
	buf_release(&look->asked);
	buf_release(&look->answer);
	pthread_mutex_destroy(&look->lock);
	handle_end(mount, &look->handle);
	free(look);
}

void lookup_close(struct mount *mount, struct handle *handle)
{
	drop(mount, (struct lookup *)handle);
}

int lookup_write(struct handle *handle, struct slice bytes)
{
	struct lookup *look = (struct lookup *)handle;
	int rc = 0;

	pthread_mutex_lock(&look->lock);
	if (look->is_over) {
		buf_reset(&look->asked);
		look->is_answered = look->is_over = false;
	}
	if (look->asked.len + bytes.len > ASKED_MAX)
		rc = -EFBIG;
	else
		buf_append_slice(&look->asked, bytes);
	if (rc == 0)
		rc = buf_error(&look->asked);
	pthread_mutex_unlock(&look->lock);
	return rc;
}

/* ---- answering ---- */

static int answer_nothing(struct slice name, struct buf *out)
{
	static const struct type string = { .base = TYPE_STRING };		/* what is no name may need any escape of JSON */
	int rc;

	if (!text_is_utf8(name))
		return -EILSEQ;
	buf_append_str(out, "{\"entity\": ");
	rc = type_json_print(&string, name, out);
	buf_append_str(out, ", \"features\": null}\n");
	return rc;
}

/* How a group's names are answered, as its own lines say. */
struct manner {
	const struct catalog_group *grp;
	bool has_details;
};

static int answer_row(const struct serve_view *view, const struct manner *manner, struct slice name, struct buf *out)
{
	const struct catalog_group *grp = manner->grp;
	struct record rec;
	int rc = text_check_entity(name, grp->n_keys, NULL) < 0 ? -ENOENT : serve_row(view, grp, name, &rec);

	if (rc == -ENOENT)
		return answer_nothing(name, out);
	if (rc < 0)
		return rc;
	return manner->has_details ? serve_row_details(view, grp, name, &rec, out) : serve_row_json(view, grp, name, &rec, out);
}

/* Who asks. Without a request nobody does who could change to another group. */
struct asker {
	const struct mount_owners *owners;
	fuse_req_t req;
};

/* Is the line one of those that say how to answer? 1 if so. */
static int take_manner(const struct serve_view *view, struct slice line, const struct asker *asker, struct manner *manner)
{
	static const char group[] = ".group ";
	const struct catalog_group *grp;

	if (slice_equal(line, slice_str(".details"))) {
		manner->has_details = true;
		return 1;
	}
	if (!asker || line.len <= sizeof group - 1 || memcmp(line.data, group, sizeof group - 1))
		return 0;
	grp = catalog_find(view->cat, slice_of((const char *)line.data + sizeof group - 1, line.len - (sizeof group - 1)));
	if (!grp)
		return -ENOENT;
	if (!join_may_read(asker->owners, grp, asker->req))
		return -EACCES;
	manner->grp = grp;
	return 1;
}

static int answer_join(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice key, struct buf *out,
		       struct why *why)
{
	int rc = join_render(view, grp, form, key, out, why);

	if (rc != -ENOENT && rc != -EINVAL && rc != -EILSEQ && rc != -ENAMETOOLONG)
		return rc;
	return form == JOIN_F32 ? serve_join_nothing(view, grp, out, why) : answer_nothing(key, out);
}

static int answer_lines(const struct serve_view *view, const struct catalog_group *grp, unsigned form, const struct asker *asker,
			struct slice asked, struct buf *out, struct why *why)
{
	const char *at = asked.data, *end = at + asked.len;
	struct manner manner = { .grp = grp };
	int rc = 0;

	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct slice name = slice_of(at, (size_t)((newline ? newline : end) - at));

		at += name.len + 1;
		if (!name.len)
			continue;
		if (grp->view)
			rc = answer_join(view, grp, form, name, out, why);
		else if ((rc = take_manner(view, name, asker, &manner)) == 0)
			rc = answer_row(view, &manner, name, out);
		if (rc >= 0)
			rc = out->len > ANSWER_MAX ? -EFBIG : buf_error(out);
	}
	return rc;
}

int lookup_answer(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice asked, struct buf *out,
		  struct why *why)
{
	return answer_lines(view, grp, form, NULL, asked, out, why);
}

static int answer(struct mount *mount, struct lookup *look, const struct target *target, fuse_req_t req)
{
	const struct asker asker = { &mount->options.owners, req };
	const struct catalog_group *grp;
	struct serve_view view;
	struct why why = { "" };
	int rc = serve_begin(mount->lane->store, mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, target->group_id);
	buf_reset(&look->answer);
	rc = grp ? answer_lines(&view, grp, target->number, &asker, buf_slice(&look->asked), &look->answer, &why) : -ENOENT;
	serve_end(&view);
	look->is_answered = rc == 0;
	look->is_over = true;
	look->at = 0;
	return rc;
}

void lookup_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size)
{
	struct lookup *look = (struct lookup *)handle;
	struct target target;
	size_t left;
	int rc = 0;

	/* As soon as the reply is out the file may be closed. */
	atomic_fetch_add(&look->refs, 1);
	node_target(mount, handle->node, &target);
	pthread_mutex_lock(&look->lock);
	if (!look->is_answered)
		rc = answer(mount, look, &target, req);
	left = rc == 0 ? look->answer.len - look->at : 0;
	if (rc < 0) {
		reply_err(req, rc == -ESTALE ? EINVAL : -rc);
	} else {
		if (left > size)
			left = size;
		reply_buf(req, look->answer.data + look->at, left);
		look->at += left;
	}
	pthread_mutex_unlock(&look->lock);
	drop(mount, look);
}
