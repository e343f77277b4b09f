/* SPDX-License-Identifier: MIT */
/*
 * The list of what is open. When the last user of a mount goes, the kernel drops the requests that nobody has read yet, and a RELEASE may be among
 * them: so the end of the mount closes what is left. A file that its opener had closed gets what its RELEASE would have brought; one that was never
 * closed is let go without a trace.
 */
#include "mount/handle.h"

#include "mount/call.h"
#include "mount/dir.h"
#include "mount/edit.h"
#include "mount/import.h"
#include "mount/private.h"

void handle_list_locked(struct mount *mount, struct handle *handle)
{
	handle->next = mount->open;
	handle->prev = &mount->open;
	if (handle->next)
		handle->next->prev = &handle->next;
	mount->open = handle;
}

void handle_unlist_locked(struct handle *handle)
{
	*handle->prev = handle->next;
	if (handle->next)
		handle->next->prev = handle->prev;
}

void handle_begin(struct mount *mount, struct handle *handle)
{
	pthread_mutex_lock(&mount->lock);
	node_hold_locked(handle->node);
	handle_list_locked(mount, handle);
	pthread_mutex_unlock(&mount->lock);
	atomic_fetch_add(&mount->handles, 1);
}

void handle_end(struct mount *mount, struct handle *handle)
{
	pthread_mutex_lock(&mount->lock);
	handle_unlist_locked(handle);
	node_drop_locked(mount, handle->node);
	pthread_mutex_unlock(&mount->lock);
	atomic_fetch_sub(&mount->handles, 1);
}

static struct handle *first(struct mount *mount)
{
	struct handle *handle;

	pthread_mutex_lock(&mount->lock);
	handle = mount->open;
	pthread_mutex_unlock(&mount->lock);
	return handle;
}

void handle_end_all(struct mount *mount)
{
	struct handle *handle;

	edit_end_all(mount);
	while ((handle = first(mount)) != NULL) {
		if (handle->kind == HANDLE_DIR)
			dir_close(mount, handle);
		else if (handle->kind == HANDLE_IMPORT)
			import_end(mount, handle);
		else
			file_close_handle(mount, handle, NULL);
	}
	call_wait(mount);
}
