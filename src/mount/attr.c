/* SPDX-License-Identifier: MIT */
/*
 * What stat(2) shows. A value's size is the length of its text, so the text is rendered to tell it; a thread keeps the buffer for that, so
 * that nothing is allocated once it is warm.
 *
 * Attributes are given to the kernel for the shortest time there is, one to two ticks: a LOOKUP is then followed by the kernel's
 * permission check and the stat itself without a GETATTR each. As names have no time at all, every path is looked up again in every call, and
 * so a stat by path is as fresh as that, if what the kernel shows comes from that answer: see "what the kernel was told".
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "mount/attr.h"

#include <errno.h>
#include <stdlib.h>
#include "mount/call.h"
#include "mount/edit.h"
#include "mount/import.h"
#include "mount/join.h"
#include "mount/private.h"
#include "mount/scratch.h"
#include "mount/tree.h"

enum { BLOCK = 4096, WATCHED_MS = 100 };

#define TICK 1.5e-9	/* seconds; any positive time is rounded up to a tick */

double attr_timeout(void)
{
	return TICK;
}

/* ---- a thread's buffer ---- */

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static bool has_buffer_key;
static __thread struct buf *thread_buffer;

static void free_buffer(void *arg)
{
	struct buf *buf = arg;

	thread_buffer = NULL;
	buf_release(buf);
	free(buf);
}

static void make_buffer_key(void)
{
	has_buffer_key = pthread_key_create(&buffer_key, free_buffer) == 0;
}

static struct buf *make_buffer(void)
{
	struct buf *buf;

	pthread_once(&buffer_once, make_buffer_key);
	buf = has_buffer_key ? calloc(1, sizeof *buf) : NULL;
	if (buf && pthread_setspecific(buffer_key, buf) != 0) {
		free(buf);
		buf = NULL;
	}
	thread_buffer = buf;
	return buf;
}

struct buf *attr_buffer(void)
{
	enum { KEPT = 1 << 20 };	/* a rare larger text gives its memory back */
	struct buf *buf = thread_buffer ? thread_buffer : make_buffer();

	if (buf && buf->cap > KEPT)
		buf_release(buf);
	if (buf)
		buf_reset(buf);
	return buf;
}

/* ---- numbers, owners ---- */

uint64_t attr_number(enum node_kind kind, uint32_t group_id, uint32_t number, struct slice entity)
{
	uint64_t seed = (uint64_t)kind << 56 ^ (uint64_t)number << 32 ^ group_id;
	uint64_t hash = XXH3_64bits_withSeed(entity.len ? entity.data : "", entity.len, seed);

	return hash > FUSE_ROOT_ID ? hash : hash + 2;
}

void attr_own(const struct mount_owners *owners, struct stat *st, mode_t type, mode_t mode, uid_t uid, gid_t gid)
{
	if (owners->has_umask) {
		mode_t most = type == S_IFDIR ? 0777 : mode & 0444 ? 0666 : 0222;

		mode = (mode & 07000) | ((mode & 0222 || type == S_IFDIR ? most : most & 0444) & ~owners->umask);
	}
	st->st_mode = type | mode;
	st->st_uid = owners->has_uid ? owners->uid : uid;
	st->st_gid = owners->has_gid ? owners->gid : gid;
	st->st_blksize = BLOCK;
	st->st_nlink = type == S_IFDIR ? 2 : 1;
}

static void set_times(struct stat *st, int64_t event_ns, int64_t ingest_ns)
{
	st->st_mtim = st->st_atim = clock_to_timespec(event_ns);
	st->st_ctim = clock_to_timespec(ingest_ns);
}

static void set_size(struct stat *st, uint64_t size)
{
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
}

/* ---- content ---- */

static int render_value(const struct serve_view *view, const struct catalog_group *grp, const struct target *target,
			const struct record *rec, struct buf *buf, struct content *out)
{
	const struct catalog_feature *feature = catalog_feature_at(grp, (uint16_t)target->number);
	struct serve_value value;

	if (!feature)
		return -ENOENT;
	serve_value(view, grp, rec, feature, &value);
	if (value.status != SERVE_PRESENT && value.status != SERVE_NULL)
		return -ENOENT;
	out->event_ns = value.stamp.event_ns;
	out->ingest_ns = value.stamp.ingest_ns;
	return target->kind == NODE_BIN ? serve_value_bin(&value, buf) : serve_value_text(&value, buf);
}

static int render_row(const struct serve_view *view, const struct catalog_group *grp, const struct target *target,
		      const struct record *rec, struct buf *buf, struct content *out)
{
	if (target->kind != NODE_ROW)
		return render_value(view, grp, target, rec, buf, out);
	serve_row_times(view, grp, rec, &out->event_ns, &out->ingest_ns);
	return serve_row_json(view, grp, target_entity(target), rec, buf);
}

static int render(const struct serve_view *view, const struct catalog_group *grp, const struct target *target, struct buf *buf,
		  struct content *out)
{
	struct record rec;
	int rc;

	if (target->kind == NODE_SCHEMA) {
		out->event_ns = out->ingest_ns = grp->changed_ns;
		return grp->view ? catalog_view_print(view->cat, grp, buf) : catalog_group_print(grp, buf);
	}
	rc = serve_row(view, grp, target_entity(target), &rec);
	return rc < 0 ? rc : render_row(view, grp, target, &rec, buf, out);
}

int attr_render_row(const struct serve_view *view, const struct catalog_group *grp, const struct target *target,
		    const struct record *rec, struct buf *buf, struct content *out)
{
	int rc;

	*out = (struct content){ .version = store_snap_version(view->snap) };
	rc = render_row(view, grp, target, rec, buf, out);
	if (rc == 0)
		rc = buf_error(buf);
	out->text = buf_slice(buf);
	return rc;
}

int attr_render(const struct serve_view *view, const struct target *target, struct buf *buf, struct content *out)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	int rc;

	if (!grp || target->group_id == CATALOG_ROOT_ID)
		return -ENOENT;
	*out = (struct content){ .version = store_snap_version(view->snap) };
	rc = render(view, grp, target, buf, out);
	if (rc == 0)
		rc = buf_error(buf);
	out->text = buf_slice(buf);
	return rc;
}

int attr_render_now(struct mount *mount, const struct target *target, struct content *out)
{
	struct buf *buf = attr_buffer();
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	rc = attr_render(&view, target, buf, out);
	serve_end(&view);
	return rc;
}

int attr_fill_content(struct mount *mount, const struct target *target, uint64_t size, int64_t event_ns, int64_t ingest_ns,
		      struct stat *out)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, target->group_id);

	*out = (struct stat){ 0 };
	if (grp) {
		attr_own(&mount->options.owners, out, S_IFREG, grp->mode & 0666, grp->uid, grp->gid);
		out->st_ino = attr_number(target->kind, target->group_id, target->number, target_entity(target));
		set_size(out, size);
		set_times(out, event_ns, ingest_ns);
	}
	catalog_unref(cat);
	return grp ? 0 : -ENOENT;
}

/* ---- the rest ---- */

static int64_t newest_of(int64_t ns, const struct catalog *cat, struct catalog_group *const *list, unsigned n)
{
	if (cat->root->changed_ns > ns)
		ns = cat->root->changed_ns;
	for (unsigned i = 0; i < n; i++)
		if (list[i]->changed_ns > ns)
			ns = list[i]->changed_ns;
	return ns;
}

/* When a group, or a view, last came, went or changed. */
static int64_t root_time(int64_t ns, const struct catalog *cat)
{
	return newest_of(ns, cat, cat->groups, cat->n_groups);
}

static int64_t views_time(int64_t ns, const struct catalog *cat)
{
	return newest_of(ns, cat, cat->views, cat->n_views);
}

/* A row of a view says its size, for programs that ask before they read; each open makes it anew. */
static int fill_join(const struct attr_frame *frame, const struct serve_view *view, const struct catalog_group *grp,
		     const struct target *target, struct stat *out)
{
	struct buf text = { 0 };
	int rc = join_render_at(frame->lane, view, target, NULL, &text);

	if (rc == 0) {
		attr_own(frame->owners, out, S_IFREG, grp->mode & 0444, grp->uid, grp->gid);
		set_size(out, text.len);
		set_times(out, view->now_ns, view->now_ns);
	}
	buf_release(&text);
	return rc;
}

static int fill_in_group(const struct attr_frame *frame, const struct serve_view *view, const struct catalog_group *grp,
			 const struct target *target, const struct content *content, struct stat *out)
{
	int64_t event_ns = grp->changed_ns, ingest_ns = grp->changed_ns;
	struct record rec;
	mode_t mask = 0666;
	int rc;

	switch (target->kind) {
	case NODE_ENTITY:
		rc = serve_row(view, grp, target_entity(target), &rec);
		if (rc < 0)
			return rc;
		serve_row_times(view, grp, &rec, &event_ns, &ingest_ns);
		/* fallthrough */
	case NODE_GROUP:
	case NODE_VIEW:
		attr_own(frame->owners, out, S_IFDIR, grp->mode & 03777, grp->uid, grp->gid);
		set_size(out, BLOCK);
		set_times(out, event_ns, ingest_ns);
		return 0;
	case NODE_STATS:
	case NODE_ERRORS:
		mask = 0444;
		event_ns = ingest_ns = view->now_ns;
		break;
	case NODE_UPSERT:
		mask = 0222;
		break;
	case NODE_FORM:
		attr_own(frame->owners, out, S_IFDIR, grp->mode & 0555, grp->uid, grp->gid);
		set_times(out, grp->changed_ns, grp->changed_ns);
		return 0;
	case NODE_LOOKUP:
		/* Names are written into it to be read back: whoever may read may write them. */
		attr_own(frame->owners, out, S_IFREG, (grp->mode & 0444) | (grp->mode & 0444) >> 1, grp->uid, grp->gid);
		set_times(out, event_ns, ingest_ns);
		return 0;
	case NODE_JOIN:
		if (!content->text.data)
			return fill_join(frame, view, grp, target, out);
		mask = 0444;
		event_ns = content->event_ns;
		ingest_ns = content->ingest_ns;
		set_size(out, content->text.len);
		break;
	default:
		event_ns = content->event_ns;
		ingest_ns = content->ingest_ns;
		set_size(out, content->text.len);
		break;
	}
	attr_own(frame->owners, out, S_IFREG, grp->mode & mask, grp->uid, grp->gid);
	set_times(out, event_ns, ingest_ns);
	return 0;
}

int attr_fill_plain(const struct attr_frame *frame, const struct serve_view *view, const struct target *target,
		    const struct content *content, struct stat *out)
{
	const struct catalog_group *root = view->cat->root, *grp;
	int64_t ns;

	*out = (struct stat){ .st_ino = attr_number(target->kind, target->group_id, target->number, target_entity(target)) };
	switch (target->kind) {
	case NODE_ROOT:
		out->st_ino = FUSE_ROOT_ID;
		attr_own(frame->owners, out, S_IFDIR, root->mode & 03777, root->uid, root->gid);
		set_size(out, BLOCK);
		ns = root_time(frame->root_ns, view->cat);
		set_times(out, ns, ns);
		return 0;
	case NODE_VIEWS:
		attr_own(frame->owners, out, S_IFDIR, root->mode & 03777, root->uid, root->gid);
		set_size(out, BLOCK);
		ns = views_time(frame->root_ns, view->cat);
		set_times(out, ns, ns);
		return 0;
	case NODE_CONTROL_DIR:
	case NODE_CONTROL:
		attr_own(frame->owners, out, target->kind == NODE_CONTROL ? S_IFREG : S_IFDIR,
			 target->kind == NODE_CONTROL ? 0444 : 0555, root->uid, root->gid);
		set_times(out, view->now_ns, view->now_ns);
		return 0;
	default:
		grp = catalog_find_id(view->cat, target->group_id);
		return grp && target->group_id != CATALOG_ROOT_ID ? fill_in_group(frame, view, grp, target, content, out) : -ENOENT;
	}
}

int attr_fill(struct mount *mount, const struct serve_view *view, const struct target *target, const struct content *content,
	      struct stat *out)
{
	struct attr_frame frame = { .owners = &mount->options.owners, .lane = mount->lane };

	if (target->kind == NODE_TREE_DIR || target->kind == NODE_TREE_FILE)
		return tree_attr(mount, target, out);
	if (target->kind == NODE_IMPORT)
		return import_attr_root(mount, target->group_id, out);
	pthread_mutex_lock(&mount->lock);
	frame.root_ns = mount->changed_ns;
	pthread_mutex_unlock(&mount->lock);
	return attr_fill_plain(&frame, view, target, content, out);
}

/* ---- what the kernel was told ---- */

/*
 * The kernel takes an answer over when the thread that asked has a processor again, which on a busy machine may be
 * long after newer answers to others; and of answers that were under way together it drops all but the first. So
 * attributes that differ must never be under way for one inode. Where a node's become something else (a turn), the kernel
 * is made to forget them before anybody is answered: it then drops every answer to what was asked before, this one too,
 * and asks for the attributes alone.
 *
 * The kernel also says that attributes may be kept an instant before it has stored them, and no lock keeps another thread from taking what
 * was there before. So of a node that has had a turn no attributes are kept any more: who asks is answered, and shown that answer.
 *
 * That is not needed where one thread alone was told of the older: it has that answer behind it when it asks again. And
 * what GETATTR answers is shown to who asked as it is; it may tell anything, with no time to keep it.
 */
static bool is_same_told(const struct node *node, const struct content *content)
{
	return node->told_size == content->text.len && node->told_event_ns == content->event_ns &&
	       node->told_ingest_ns == content->ingest_ns;
}

static void set_told(struct node *node, const struct content *content, pid_t tid)
{
	if (!tid || node->told_to != tid)
		node->others_at_ns = node->told_at_ns;
	node->told_to = tid;
	node->told_at_ns = clock_monotonic();
	node->told_size = content->text.len;
	node->told_event_ns = content->event_ns;
	node->told_ingest_ns = content->ingest_ns;
}

/* Would that be no turn? */
static bool can_tell(const struct node *node, const struct content *content, pid_t tid)
{
	return !node->told_at_ns || is_same_told(node, content) ||
	       (tid && node->told_to == tid && !node->is_told_to_many);
}

bool attr_tell_locked(struct node *node, const struct content *content, pid_t tid)
{
	bool is_turn = !can_tell(node, content, tid);

	node->told_turn += is_turn;
	node->is_told_to_many = !is_turn && node->told_at_ns && (node->is_told_to_many || node->told_to != tid);
	set_told(node, content, tid);
	return node->told_turn != node->void_turn;
}

bool attr_show_locked(struct node *node, const struct content *content)
{
	if (node->told_at_ns && !is_same_told(node, content)) {
		node->told_turn++;
		node->is_told_to_many = true;
		set_told(node, content, node->told_to);
	}
	return node->told_turn != node->void_turn;
}

/* A stat copies the size from the inode right after the lookup; a thread that waits just there makes that a while. */
bool attr_is_watched_locked(const struct node *node, pid_t tid)
{
	int64_t at_ns = tid && node->told_to == tid ? node->others_at_ns : node->told_at_ns;

	return at_ns && clock_monotonic() - at_ns < WATCHED_MS * (CLOCK_SECOND / 1000);
}

int attr_void(struct mount *mount, struct node *node)
{
	uint32_t turn;
	int rc;

	pthread_mutex_lock(&mount->lock);
	turn = node->told_turn;
	pthread_mutex_unlock(&mount->lock);
	/* Without a range of pages it waits for nothing. */
	rc = fuse_lowlevel_notify_inval_inode(mount->channel.session, node_ino(mount, node), -1, 0);
	pthread_mutex_lock(&mount->lock);
	if (rc == 0 && (int32_t)(turn - node->void_turn) > 0)
		node->void_turn = turn;
	pthread_mutex_unlock(&mount->lock);
	return rc;
}

/* ---- GETATTR ---- */

static int get_pending(struct mount *mount, struct node *node, const struct target *target, pid_t caller, bool any_caller,
		       struct stat *out)
{
	struct edit *edit = edit_find(mount, node, caller, any_caller);
	uint64_t size;
	int64_t event_ns;
	int rc;

	if (!edit)
		return -ENOENT;
	edit_size(edit, &size, &event_ns);
	edit_drop(mount, edit);
	rc = attr_fill_content(mount, target, size, event_ns, clock_now(), out);
	return rc;
}

/* May the kernel keep an answer to GETATTR? */
static bool can_keep_locked(struct node *node, const struct content *content, pid_t caller)
{
	if (node->n_edits || node->told_turn || !can_tell(node, content, caller))
		return false;
	attr_tell_locked(node, content, caller);
	return true;
}

/* Of a node that read handles are open on. */
static bool get_shown(struct mount *mount, struct node *node, const struct target *target, pid_t caller,
		      struct stat *out, bool *out_kept)
{
	struct content content = { 0 };
	bool is_shown;

	pthread_mutex_lock(&mount->lock);
	is_shown = node->shown;
	if (is_shown) {
		content = node->shown->content;
		*out_kept = can_keep_locked(node, &content, caller);
	}
	pthread_mutex_unlock(&mount->lock);
	return is_shown && attr_fill_content(mount, target, content.text.len, content.event_ns, content.ingest_ns, out) == 0;
}

static int get_current(struct mount *mount, struct node *node, const struct target *target, pid_t caller,
		       struct stat *out, bool *out_kept)
{
	struct buf *buf = attr_buffer();
	struct content content = { 0 };
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	if (has_content(target->kind))
		rc = attr_render(&view, target, buf, &content);
	if (rc == 0)
		rc = attr_fill(mount, &view, target, &content, out);
	serve_end(&view);
	if (rc < 0 || !has_content(target->kind))
		return rc;
	pthread_mutex_lock(&mount->lock);
	*out_kept = can_keep_locked(node, &content, caller);
	pthread_mutex_unlock(&mount->lock);
	return 0;
}

int attr_get(struct mount *mount, struct node *node, pid_t caller, struct stat *out, double *out_timeout)
{
	struct target target;
	bool is_edited, is_kept;
	int rc;

	pthread_mutex_lock(&mount->lock);
	node_target_locked(node, &target);
	is_edited = node->n_edits > 0;
	pthread_mutex_unlock(&mount->lock);
	is_kept = !is_edited;
	if (target.kind == NODE_SCRATCH) {
		scratch_stat(mount, node->scratch, out);
		rc = 0;
	} else if (is_import(target.kind)) {
		rc = import_attr(mount, node, out);
	} else if (is_edited && get_pending(mount, node, &target, caller, false, out) == 0) {
		rc = 0;
	} else if (has_content(target.kind) && get_shown(mount, node, &target, caller, out, &is_kept)) {
		rc = 0;
	} else {
		rc = get_current(mount, node, &target, caller, out, &is_kept);
		if (rc == -ENOENT && is_edited)
			rc = get_pending(mount, node, &target, caller, true, out);
	}
	*out_timeout = is_kept ? TICK : 0;
	return rc;
}

/*
 * The end of a change of attributes: the kernel wants to know what they are now. A value that was given a time past its TTL is gone by that
 * very change, which has succeeded all the same; its last attributes are the answer.
 */
void attr_end_change(struct job *job, int rc)
{
	bool is_value = job->target.kind == NODE_VALUE || job->target.kind == NODE_BIN;
	double timeout = 0;
	struct stat st;

	if (rc == 0) {
		rc = attr_get(job->mount, job->node, job->caller, &st, &timeout);
		if (rc == -ENOENT && is_value && job->origin.event_ns != INGEST_NOW)
			rc = attr_fill_content(job->mount, &job->target, 0, job->origin.event_ns, clock_now(), &st);
	}
	if (rc < 0)
		reply_err(job->req, -rc);
	else
		reply_attr(job->req, &st, timeout);
}
