/* SPDX-License-Identifier: MIT */
/* Many entities at once, as Arrow's C data interface hands them on: capsules that pandas, polars, DuckDB and pyarrow take. */
#include "_featurefs.h"

#include <stdatomic.h>
#include <stdlib.h>

static void free_schema(PyObject *capsule)
{
	struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");

	if (schema && schema->release)
		schema->release(schema);
	free(schema);
}

static void free_array(PyObject *capsule)
{
	struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");

	if (array && array->release)
		array->release(array);
	free(array);
}

static PyObject *capsule_of(void *takes, const char *name, void (*release)(PyObject *))
{
	PyObject *capsule = PyCapsule_New(takes, name, release);

	if (!capsule)
		free(takes);
	return capsule;
}

/*
 * What was read, for any number of those who take it: DuckDB asks an object more than once. Each export is a tree of its own whose nodes point at
 * the same buffers and hold the batch: a consumer may keep a child and let go of the rest, in any thread, with or without the GIL.
 */
struct shared {
	atomic_uint refs;
	struct ArrowArray array;
};

static void shared_drop(struct shared *shared)
{
	if (atomic_fetch_sub(&shared->refs, 1) > 1)
		return;
	if (shared->array.release)
		shared->array.release(&shared->array);
	free(shared);
}

static void free_shared(PyObject *capsule)
{
	shared_drop(PyCapsule_GetPointer(capsule, "featurefs.batch"));
}

static void release_node(struct ArrowArray *node)
{
	struct shared *shared = node->private_data;

	for (int64_t i = 0; i < node->n_children; i++) {
		if (node->children[i]->release)
			node->children[i]->release(node->children[i]);
		free(node->children[i]);
	}
	free(node->children);
	node->release = NULL;
	shared_drop(shared);
}

static int export_node(struct shared *shared, const struct ArrowArray *from, struct ArrowArray *to)
{
	*to = *from;
	to->n_children = 0;
	to->children = from->n_children ? calloc((size_t)from->n_children, sizeof *to->children) : NULL;
	to->release = release_node;
	to->private_data = shared;
	atomic_fetch_add(&shared->refs, 1);
	if (from->n_children && !to->children)
		return -1;
	for (; to->n_children < from->n_children; to->n_children++) {
		struct ArrowArray *child = calloc(1, sizeof *child);

		if (!child)
			return -1;
		to->children[to->n_children] = child;
		if (export_node(shared, from->children[to->n_children], child) < 0) {
			to->n_children++;
			return -1;
		}
	}
	return 0;
}

/* arrow_array(batch) -> array capsule */
PyObject *export_array(PyObject *module, PyObject *batch)
{
	struct shared *shared = PyCapsule_GetPointer(batch, "featurefs.batch");
	struct ArrowArray *array = shared ? calloc(1, sizeof *array) : NULL;

	(void)module;
	if (!shared)
		return NULL;
	if (!array || export_node(shared, &shared->array, array) < 0) {
		if (array && array->release)
			array->release(array);
		free(array);
		return PyErr_NoMemory();
	}
	return capsule_of(array, "arrow_array", free_array);
}

/* schema(flags) -> schema capsule */
PyObject *view_arrow_schema(PyObject *obj, PyObject *args)
{
	struct view *self = (struct view *)obj;
	struct ArrowSchema *schema;
	unsigned flags;
	int rc;

	if (!PyArg_ParseTuple(args, "I", &flags))
		return NULL;
	schema = calloc(1, sizeof *schema);
	if (!schema)
		return PyErr_NoMemory();
	rc = featurefs_view_schema(self->view, flags, schema);
	if (rc < 0) {
		free(schema);
		return raise_error(rc);
	}
	return capsule_of(schema, "arrow_schema", free_schema);
}

/* arrow(keys, n, raw, flags) -> batch, for arrow_array */
PyObject *view_arrow(PyObject *obj, PyObject *args)
{
	struct view *self = (struct view *)obj;
	struct key_set *set = calloc(1, sizeof *set);
	struct shared *shared = calloc(1, sizeof *shared);
	struct ArrowSchema schema = { 0 };
	PyObject *keys;
	unsigned flags;
	Py_ssize_t n;
	int raw, rc = 0, is_ready = 0;

	if (!set || !shared)
		PyErr_NoMemory();
	else if (PyArg_ParseTuple(args, "OnpI", &keys, &n, &raw, &flags) && take_keys(set, keys, n, raw) == 0)
		is_ready = 1;
	if (is_ready) {
		Py_BEGIN_ALLOW_THREADS
		rc = featurefs_read_arrow(self->view, set->keys, set->n, (size_t)n, flags, &schema, &shared->array);
		Py_END_ALLOW_THREADS
		if (rc < 0)
			raise_error(rc);
	}
	if (set)
		release_keys(set);
	free(set);
	if (!is_ready || rc < 0) {
		free(shared);
		return NULL;
	}
	schema.release(&schema);
	atomic_init(&shared->refs, 1);
	return capsule_of(shared, "featurefs.batch", free_shared);
}
