/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes. A group has the catalog's own (user.owner, ...) and any others that its team likes, all of them kept by the store.
 * A value has six that tell where it comes from; setting those is accepted and ignored, here and on all else below a group, for tools
 * that copy attributes insist on it. Sizes, probes and errnos are those of ext4.
 */
#include "mount/xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/import.h"
#include "mount/ops.h"
#include "mount/private.h"

/* ---- what a value tells of itself ---- */

static int print_lane(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	(void)view;
	buf_append_str(out, serve_lane_name(value->stamp.lane));
	return 0;
}

static int print_time(int64_t ns, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];

	clock_print_time(ns, ns % 1000 != 0, text);
	buf_append_str(out, text);
	return 0;
}

static int print_event_time(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	(void)view;
	return print_time(value->stamp.event_ns, out);
}

static int print_ingest_time(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	(void)view;
	return print_time(value->stamp.ingest_ns, out);
}

static int print_source(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	return serve_source_text(view, &value->stamp, out);
}

static int print_type(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	char name[TYPE_NAME_MAX];

	(void)view;
	buf_append(out, name, type_print(&value->feature->type, name));
	return 0;
}

static int print_age(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	int64_t ms = clock_between(value->stamp.event_ns, view->now_ns) / (CLOCK_SECOND / 1000);

	buf_printf(out, "%s%lld.%03lld", ms < 0 ? "-" : "", llabs((long long)ms) / 1000, llabs((long long)ms) % 1000);
	return 0;
}

static const struct {
	const char *name;
	int (*print)(const struct serve_view *view, const struct serve_value *value, struct buf *out);
} value_attrs[] = {
	{ "user.lane", print_lane },
	{ "user.event_time", print_event_time },
	{ "user.ingest_time", print_ingest_time },
	{ "user.source", print_source },
	{ "user.type", print_type },
	{ "user.age", print_age },
};

enum { VALUE_ATTRS = sizeof value_attrs / sizeof *value_attrs };

static int find_value_attr(const char *name)
{
	for (int i = 0; i < VALUE_ATTRS; i++)
		if (!strcmp(value_attrs[i].name, name))
			return i;
	return -1;
}

static int get_of_value(const struct serve_view *view, const struct target *target, const char *name, struct buf *out)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	const struct catalog_feature *feature = grp ? catalog_feature_at(grp, (uint16_t)target->number) : NULL;
	int index = find_value_attr(name);
	struct serve_value value;
	struct record rec;
	int rc;

	if (index < 0)
		return -ENODATA;
	rc = feature ? serve_row(view, grp, target_entity(target), &rec) : -ENOENT;
	if (rc < 0)
		return rc;
	serve_value(view, grp, &rec, feature, &value);
	if (value.status != SERVE_PRESENT && value.status != SERVE_NULL)
		return -ENOENT;
	return value_attrs[index].print(view, &value, out);
}

/* ---- groups ---- */

static void make_key(uint32_t group_id, uint8_t key[4])
{
	key[0] = (uint8_t)(group_id >> 24);
	key[1] = (uint8_t)(group_id >> 16);
	key[2] = (uint8_t)(group_id >> 8);
	key[3] = (uint8_t)group_id;
}

static int get_of_group(const struct serve_view *view, const struct target *target, const char *name, struct buf *out)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	uint8_t key[4 + CATALOG_XATTR_NAME_MAX];
	size_t len = strlen(name);
	struct slice value;
	int rc;

	if (!grp)
		return -ENOENT;
	if (target->kind != NODE_ROOT && catalog_attr_is_known(slice_str(name)))
		return catalog_attr_get(grp, slice_str(name), out);
	if (len > CATALOG_XATTR_NAME_MAX)
		return -ERANGE;
	make_key(target->group_id, key);
	memcpy(key + 4, name, len);
	rc = store_get(view->snap, STORE_XATTR, slice_of(key, 4 + len), &value);
	if (rc < 0)
		return rc == -ENOENT ? -ENODATA : rc;
	buf_append_slice(out, value);
	return 0;
}

static int list_of_group(const struct serve_view *view, const struct target *target, struct buf *out)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	struct store_walk *walk;
	struct slice key, value;
	uint8_t prefix[4];
	int rc = 0;

	if (!grp)
		return -ENOENT;
	if (target->kind != NODE_ROOT)
		rc = catalog_attr_list(grp, out);
	if (rc < 0)
		return rc;
	make_key(target->group_id, prefix);
	rc = store_walk_begin(view->snap, STORE_XATTR, slice_of(prefix, sizeof prefix), &walk);
	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &key, &value)) == 0) {
		buf_append(out, (const char *)key.data + sizeof prefix, key.len - sizeof prefix);
		buf_append_char(out, '\0');
	}
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

/* ---- get and list ---- */

void xattr_reply(fuse_req_t req, int rc, const struct buf *buf, size_t size)
{
	if (rc == 0)
		rc = buf_error(buf);
	if (rc == 0 && size && buf->len > size)
		rc = -ERANGE;
	if (rc < 0)
		reply_err(req, -rc);
	else if (size == 0)
		reply_xattr(req, buf->len);
	else
		reply_buf(req, buf->data, buf->len);
}

static bool is_group(enum node_kind kind)
{
	return kind == NODE_GROUP || kind == NODE_VIEW || kind == NODE_ROOT;
}

int xattr_print(const struct serve_view *view, const struct target *target, const char *name, struct buf *out)
{
	if (is_group(target->kind))
		return name ? get_of_group(view, target, name, out) : list_of_group(view, target, out);
	if (target->kind != NODE_VALUE && target->kind != NODE_BIN)
		return name ? -ENODATA : 0;
	if (name)
		return get_of_value(view, target, name, out);
	for (int i = 0; i < VALUE_ATTRS; i++)
		buf_append(out, value_attrs[i].name, strlen(value_attrs[i].name) + 1);
	return 0;
}

/* `name` NULL: lists. */
static void read_attrs(struct call *call)
{
	struct mount *mount = call->mount;
	struct buf *buf = attr_buffer();
	struct target target;
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0) {
		reply_err(call->req, -rc);
		return;
	}
	node_target(mount, node_of(mount, call->ino), &target);
	rc = is_import(target.kind) ? import_get_attr(mount, node_of(mount, call->ino), call->name, buf)
				    : xattr_print(&view, &target, call->name, buf);
	xattr_reply(call->req, rc, buf, call->size);
	serve_end(&view);
}

/* The attribute's name travels as name2, for name is one in a directory. */
static void run_read(struct call *call)
{
	call->name = call->name2;
	read_attrs(call);
}

bool xattr_is_user(const char *name)
{
	return !strncmp(name, "user.", 5);
}

void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_read, .ino = ino, .name2 = name, .size = size };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	if (xattr_is_user(name))
		call_run(&call);
	else	/* the kernel asks for the first before each truncating open */
		reply_err(req, !strcmp(name, "security.capability") ? ENODATA : ENOTSUP);
}

void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_read, .ino = ino, .size = size };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- set and remove ---- */

static int check_bounds(const char *name, size_t size)
{
	if (strlen(name) > CATALOG_XATTR_NAME_MAX || !name[5])
		return name[5] ? -ERANGE : -EINVAL;
	return size > CATALOG_XATTR_MAX ? -E2BIG : 0;
}

/* 1: a commit replies. `value` NULL removes. */
static int change(struct mount *mount, fuse_req_t req, struct node *node, const char *name, const struct slice *value, int flags)
{
	struct target target;
	struct job *job;
	int rc;

	if (mount->options.read_only)
		return -EROFS;
	if (!xattr_is_user(name))
		return -ENOTSUP;
	node_target(mount, node, &target);
	if (is_import(target.kind))
		return import_set_attr(mount, node, name, value);
	if (!is_group(target.kind))
		return find_value_attr(name) >= 0 ? 0 : -ENOTSUP;
	rc = check_bounds(name, value ? value->len : 0);
	if (rc < 0)
		return rc;
	job = job_new(mount, req, NULL, slice_of(NULL, 0));
	if (!job)
		return -ENOMEM;
	direct_attr_group(mount->lane, &job->origin, target.group_id, slice_str(name), value, flags, job_done, job);
	return 1;
}

void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct mount *mount = fuse_req_userdata(req);
	struct slice bytes = slice_of(value, size);
	int rc;

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	rc = change(mount, req, node_of(mount, ino), name, &bytes, flags & (XATTR_CREATE | XATTR_REPLACE));
	if (rc <= 0)
		reply_err(req, -rc);
}

void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *mount = fuse_req_userdata(req);
	int rc;

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	rc = change(mount, req, node_of(mount, ino), name, NULL, 0);
	if (rc <= 0)
		reply_err(req, -rc);
}
