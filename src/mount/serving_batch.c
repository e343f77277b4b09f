/* SPDX-License-Identifier: MIT */
/*
 * Many rows in one call: an ioctl on an open .lookup of the serving mount (featurefs.h has its argument). That mount opens files without
 * asking, so that there is no open file that could hold a question for the read behind it; an ioctl brings its question along and takes the
 * answer back. As many names are answered as have room; the caller asks again for the rest. The size of the argument is part of the
 * call's number, and the kernel copies no more than that: 16 KiB at the most each way (what goes beyond, FUSE_IOCTL_UNRESTRICTED, it
 * allows to character devices only).
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <featurefs.h>
#include <string.h>
#include <sys/ioctl.h>

/* The answer to one name more. 1: it has no room. */
static int answer_one(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice name, size_t room,
		      struct buf *out)
{
	struct why why = { "" };
	size_t was = out->len;
	int rc = lookup_answer(view, grp, form, name, out, &why);

	if (rc < 0 || out->len <= room)
		return rc;
	out->len = was;
	return 1;
}

static int answer_all(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice asked, size_t room,
		      struct buf *out, uint32_t *out_answered)
{
	const char *at = asked.data, *end = at + asked.len;
	int rc = 0;

	*out_answered = 0;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct slice name = slice_of(at, (size_t)((newline ? newline : end) - at));

		at += name.len + 1;
		/* Every line is counted, and so has to have an answer. */
		if (!name.len || ((const char *)name.data)[0] == '.')
			return -EINVAL;
		rc = answer_one(view, grp, form, name, room, out);
		if (rc)
			break;
		++*out_answered;
	}
	return rc == 1 ? *out_answered ? 0 : -ERANGE : rc;
}

static int answer(struct serving *serving, const struct fresh *fresh, struct slice asked, size_t out_size, struct buf *out)
{
	const struct catalog_group *grp;
	struct featurefs_batch head = { 0 };
	struct serve_view view;
	int rc = serve_begin(serving->lane->store, serving->lane->cur, &view);

	if (rc < 0)
		return rc;
	buf_append(out, &head, sizeof head);
	grp = catalog_find_id(view.cat, fresh->grp->id);
	rc = grp ? answer_all(&view, grp, fresh->number, asked, out_size, out, &head.names) : -ENOENT;
	serve_end(&view);
	if (rc == 0)
		rc = buf_error(out);
	if (rc < 0)
		return rc;
	head.answers = (uint32_t)(out->len - sizeof head);
	memcpy(out->data, &head, sizeof head);
	return 0;
}

void serving_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in,
		   size_t in_size, size_t out_size)
{
	struct serving *serving = serving_begin(req);
	struct buf *buf = attr_buffer();
	struct snode *node;
	struct featurefs_batch head;
	int rc = -ENOTTY;

	(void)arg;
	(void)fi;
	(void)flags;
	node = snode_of(serving, ino);
	if (node->kind == NODE_LOOKUP && cmd == FEATUREFS_IOC_LOOKUP(_IOC_SIZE(cmd)) && in_size >= sizeof head && out_size >= sizeof head) {
		memcpy(&head, in, sizeof head);
		if (head.names > in_size - sizeof head)
			rc = -EINVAL;
		else
			rc = buf ? answer(serving, (struct fresh *)node, slice_of((const char *)in + sizeof head, head.names), out_size, buf)
				 : -ENOMEM;
	}
	serving_end(serving);
	/* The kernel would take ESTALE for a reason to look the name up again. */
	if (rc < 0)
		reply_err(req, rc == -ESTALE ? EINVAL : -rc);
	else
		reply_ioctl(req, 0, buf->data, buf->len);
}
