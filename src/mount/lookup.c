/* SPDX-License-Identifier: MIT */
/*
 * .lookup of a group and of a view's forms: a conversation on one open file. What is written is names of entities (keys of the view), one a line;
 * the first read ends the list and answers it, row by row in the same order, all from one snapshot:
 *
 *	write(fd, "u1\nu2\n", 6);  read(fd, buf, size) gives {"entity": "u1", ...}\n{"entity": "u2", ...}\n, then 0
 *
 * An entity that is not there answers "features": null (in f32/, a row of NaN), so that answers and questions stay side by side. The next write
 * begins a new list. Offsets mean nothing: the file can't be sought.
 */
#include "mount/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	bool is_answered;
};

int lookup_open(struct mount *mount, struct node *node, struct handle **out)
{
	struct lookup *look = calloc(1, sizeof *look);

	if (!look)
		return -ENOMEM;
	look->handle = (struct handle){ .kind = HANDLE_LOOKUP, .node = node };
	atomic_init(&look->refs, 1);
	pthread_mutex_init(&look->lock, NULL);
	node_hold(mount, node);
	atomic_fetch_add(&mount->handles, 1);
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
	node_drop(mount, look->handle.node);
	free(look);
	atomic_fetch_sub(&mount->handles, 1);
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
	if (look->is_answered) {
		buf_reset(&look->asked);
		look->is_answered = false;
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
	if (!text_is_utf8(name))
		return -EILSEQ;
	buf_append_str(out, "{\"entity\": ");
	serve_print_name(name, out);
	buf_append_str(out, ", \"features\": null}\n");
	return 0;
}

static int answer_row(const struct serve_view *view, const struct catalog_group *grp, struct slice name, struct buf *out)
{
	struct record rec;
	int rc = text_check_entity(name, grp->n_keys, NULL) < 0 ? -ENOENT : serve_row(view, grp, name, &rec);

	return rc == -ENOENT ? answer_nothing(name, out) : rc < 0 ? rc : serve_row_json(view, grp, name, &rec, out);
}

static int answer_join(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice key, struct buf *out,
		       struct why *why)
{
	int rc = join_render(view, grp, form, key, out, why);

	if (rc != -ENOENT && rc != -EINVAL && rc != -EILSEQ && rc != -ENAMETOOLONG)
		return rc;
	return form == JOIN_F32 ? serve_join_nothing(view, grp, out, why) : answer_nothing(key, out);
}

int lookup_answer(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice asked, struct buf *out,
		  struct why *why)
{
	const char *at = asked.data, *end = at + asked.len;
	int rc = 0;

	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct slice name = slice_of(at, (size_t)((newline ? newline : end) - at));

		at += name.len + 1;
		if (!name.len)
			continue;
		rc = grp->view ? answer_join(view, grp, form, name, out, why) : answer_row(view, grp, name, out);
		if (rc == 0)
			rc = out->len > ANSWER_MAX ? -EFBIG : buf_error(out);
	}
	return rc;
}

static int answer(struct mount *mount, struct lookup *look, const struct target *target)
{
	const struct catalog_group *grp;
	struct serve_view view;
	struct why why = { "" };
	int rc = serve_begin(mount->lane->store, mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, target->group_id);
	buf_reset(&look->answer);
	rc = grp ? lookup_answer(&view, grp, target->number, buf_slice(&look->asked), &look->answer, &why) : -ENOENT;
	serve_end(&view);
	look->is_answered = rc == 0;
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
		rc = answer(mount, look, &target);
	left = rc == 0 ? look->answer.len - look->at : 0;
	if (rc < 0) {
		fuse_reply_err(req, rc == -ESTALE ? EINVAL : -rc);
	} else {
		if (left > size)
			left = size;
		fuse_reply_buf(req, look->answer.data + look->at, left);
		look->at += left;
	}
	pthread_mutex_unlock(&look->lock);
	drop(mount, look);
}
