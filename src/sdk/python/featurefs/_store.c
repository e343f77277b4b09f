/* SPDX-License-Identifier: MIT */
/* A store: what exists in it, rows and versions, writes. Views are made here and are objects of their own (_view.c). */
#include "_featurefs.h"

#include <stdlib.h>

static struct featurefs *handle_of(struct store *self)
{
	if (!self->fs)
		PyErr_SetString(PyExc_ValueError, "the store is closed");
	return self->fs;
}

static PyObject *store_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "path", "flags", NULL };
	unsigned flags = 0;
	struct featurefs *fs = NULL;
	PyObject *path = NULL;
	struct store *self;
	int rc;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|I", names, PyUnicode_FSConverter, &path, &flags))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	rc = featurefs_open(PyBytes_AsString(path), flags, &fs);
	Py_END_ALLOW_THREADS
	Py_DECREF(path);
	if (rc < 0)
		return raise_error(rc);
	self = (struct store *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
	if (!self) {
		featurefs_close(fs);
		return NULL;
	}
	self->fs = fs;
	return (PyObject *)self;
}

static void store_dealloc(PyObject *obj)
{
	struct store *self = (struct store *)obj;

	featurefs_close(self->fs);
	free_object(obj);
}

static PyObject *store_close(PyObject *obj, PyObject *unused)
{
	struct store *self = (struct store *)obj;

	(void)unused;
	if (self->users) {
		PyErr_SetString(PyExc_RuntimeError, "views or calls of this store are still in use");
		return NULL;
	}
	featurefs_close(self->fs);
	self->fs = NULL;
	Py_RETURN_NONE;
}

static PyObject *store_where(PyObject *obj, PyObject *unused)
{
	struct featurefs *fs = handle_of((struct store *)obj);
	struct featurefs_place place;
	int rc;

	(void)unused;
	if (!fs)
		return NULL;
	rc = featurefs_where(fs, &place);
	return rc < 0 ? raise_error(rc) : Py_BuildValue("(zzNs)", place.store, place.mount, PyBool_FromLong(place.is_mapped), place.reason);
}

/* ---- what exists ---- */

static PyObject *feature_tuple(const struct featurefs_feature *f)
{
	return Py_BuildValue("(ssisNIssNN)", f->name, f->type_name, (int)f->type, f->description, PyBool_FromLong(f->is_array),
			     (unsigned)f->length, f->index, "", PyBool_FromLong(f->not_null), PyBool_FromLong(f->is_retired));
}

static PyObject *group_tuple(const struct featurefs_group *grp)
{
	PyObject *keys = PyTuple_New((Py_ssize_t)grp->n_keys), *features = PyTuple_New((Py_ssize_t)grp->n_features);

	for (size_t i = 0; keys && i < grp->n_keys; i++)
		if (PyTuple_SetItem(keys, (Py_ssize_t)i, PyUnicode_FromString(featurefs_group_key(grp, i))) < 0)
			Py_CLEAR(keys);
	for (size_t i = 0; features && i < grp->n_features; i++) {
		PyObject *item = feature_tuple(featurefs_group_feature(grp, i));

		if (!item || PyTuple_SetItem(features, (Py_ssize_t)i, item) < 0)
			Py_CLEAR(features);
	}
	if (!keys || !features) {
		Py_XDECREF(keys);
		Py_XDECREF(features);
		return NULL;
	}
	return Py_BuildValue("(sssssiLNN)", grp->name, grp->owner, grp->description, grp->source, grp->tags, grp->tier,
			     (long long)grp->ttl_ns, keys, features);
}

static PyObject *store_catalog(PyObject *obj, PyObject *unused)
{
	struct featurefs *fs = handle_of((struct store *)obj);
	struct featurefs_catalog *cat;
	PyObject *list = NULL;
	int rc;

	(void)unused;
	if (!fs)
		return NULL;
	rc = featurefs_catalog_open(fs, &cat);
	if (rc < 0)
		return raise_error(rc);
	list = PyList_New(0);
	for (size_t i = 0; list && i < featurefs_catalog_size(cat); i++) {
		PyObject *item = group_tuple(featurefs_catalog_group(cat, i));

		if (!item || PyList_Append(list, item) < 0)
			Py_CLEAR(list);
		Py_XDECREF(item);
	}
	featurefs_catalog_close(cat);
	return list;
}

static PyObject *take_text(int rc, struct featurefs_text *text)
{
	PyObject *out = rc < 0 ? raise_error(rc) : PyUnicode_DecodeUTF8(text->data ? text->data : "", (Py_ssize_t)text->len, NULL);

	featurefs_text_release(text);
	return out;
}

static PyObject *store_schema(PyObject *obj, PyObject *args)
{
	struct featurefs *fs = handle_of((struct store *)obj);
	struct featurefs_text text = { 0 };
	const char *group;

	if (!fs || !PyArg_ParseTuple(args, "s", &group))
		return NULL;
	return take_text(featurefs_schema(fs, group, &text), &text);
}

static PyObject *store_stats(PyObject *obj, PyObject *args)
{
	struct featurefs *fs = handle_of((struct store *)obj);
	struct featurefs_stats stats;
	const char *group;
	int rc;

	if (!fs || !PyArg_ParseTuple(args, "s", &group))
		return NULL;
	rc = featurefs_stats(fs, group, &stats);
	if (rc < 0)
		return raise_error(rc);
	return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsKsL}", "entities", (unsigned long long)stats.entities, "rows", (unsigned long long)stats.rows,
			     "row_bytes", (unsigned long long)stats.row_bytes, "direct_applied", (unsigned long long)stats.applied[0],
			     "stream_applied", (unsigned long long)stats.applied[1], "batch_applied", (unsigned long long)stats.applied[2],
			     "direct_late", (unsigned long long)stats.late[0], "stream_late", (unsigned long long)stats.late[1],
			     "batch_late", (unsigned long long)stats.late[2], "swept", (unsigned long long)stats.swept,
			     "newest_event_ns", (long long)stats.newest_event_ns);
}

static PyObject *store_entities(PyObject *obj, PyObject *args)
{
	struct store *self = (struct store *)obj;
	struct featurefs *fs = handle_of(self);
	struct featurefs_text text = { 0 };
	const char *group, *prefix, *after;
	Py_ssize_t limit;
	size_t n;
	int rc;

	if (!fs || !PyArg_ParseTuple(args, "szzn", &group, &prefix, &after, &limit))
		return NULL;
	self->users++;
	Py_BEGIN_ALLOW_THREADS
	rc = featurefs_entities(fs, group, prefix, after, (size_t)limit, &text, &n);
	Py_END_ALLOW_THREADS
	self->users--;
	return take_text(rc, &text);
}

static PyObject *store_row(PyObject *obj, PyObject *args)
{
	struct store *self = (struct store *)obj;
	struct featurefs *fs = handle_of(self);
	struct featurefs_text text = { 0 };
	const char *group, *entity;
	int rc;

	if (!fs || !PyArg_ParseTuple(args, "ss", &group, &entity))
		return NULL;
	self->users++;
	Py_BEGIN_ALLOW_THREADS
	rc = featurefs_row(fs, group, entity, &text);
	Py_END_ALLOW_THREADS
	self->users--;
	return take_text(rc, &text);
}

/* ---- writing, and versions ---- */

/* upsert(group, [json row as bytes, ...]): one atomic change. */
static PyObject *store_upsert(PyObject *obj, PyObject *args)
{
	struct store *self = (struct store *)obj;
	struct featurefs *fs = handle_of(self);
	struct featurefs_changes *chg = NULL;
	PyObject *rows;
	const char *group;
	uint64_t version = 0;
	int rc;

	if (!fs || !PyArg_ParseTuple(args, "sO!", &group, &PyList_Type, &rows))
		return NULL;
	rc = featurefs_changes_new(fs, group, &chg);
	for (Py_ssize_t i = 0; rc == 0 && i < PyList_Size(rows); i++) {
		Py_ssize_t len;
		char *row;

		if (PyBytes_AsStringAndSize(PyList_GetItem(rows, i), &row, &len) < 0) {
			featurefs_changes_free(chg);
			return NULL;
		}
		rc = featurefs_changes_json(chg, row, (size_t)len);
	}
	if (rc == 0) {
		self->users++;
		Py_BEGIN_ALLOW_THREADS
		rc = featurefs_changes_commit(chg, &version);
		Py_END_ALLOW_THREADS
		self->users--;
	}
	if (rc < 0)
		raise_error(rc);	/* before anything else is called, for the reason is the last call's */
	featurefs_changes_free(chg);
	return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(version);
}

static PyObject *store_version(PyObject *obj, PyObject *unused)
{
	struct featurefs *fs = handle_of((struct store *)obj);
	uint64_t version;
	int rc;

	(void)unused;
	if (!fs)
		return NULL;
	rc = featurefs_version(fs, &version);
	return rc < 0 ? raise_error(rc) : PyLong_FromUnsignedLongLong(version);
}

static PyObject *store_wait(PyObject *obj, PyObject *args)
{
	struct store *self = (struct store *)obj;
	struct featurefs *fs = handle_of(self);
	unsigned long long version;
	int timeout_ms, rc;

	if (!fs || !PyArg_ParseTuple(args, "Ki", &version, &timeout_ms))
		return NULL;
	self->users++;
	Py_BEGIN_ALLOW_THREADS
	rc = featurefs_wait(fs, version, timeout_ms);
	Py_END_ALLOW_THREADS
	self->users--;
	if (rc < 0)
		return raise_error(rc);
	Py_RETURN_NONE;
}

/* ---- views ---- */

/* view(name of a view) or view([feature, ...]). */
static PyObject *store_view(PyObject *obj, PyObject *what)
{
	struct store *self = (struct store *)obj;
	struct featurefs *fs = handle_of(self);
	struct featurefs_view *view;
	const char **specs;
	Py_ssize_t n;
	int rc;

	if (!fs)
		return NULL;
	if (PyUnicode_Check(what)) {
		const char *name = PyUnicode_AsUTF8AndSize(what, NULL);

		if (!name)
			return NULL;
		rc = featurefs_view_open(fs, name, &view);
		return rc < 0 ? raise_error(rc) : wrap_view(self, view);
	}
	what = PySequence_Tuple(what);
	if (!what)
		return NULL;
	n = PyTuple_Size(what);
	specs = calloc((size_t)n + 1, sizeof *specs);
	for (Py_ssize_t i = 0; specs && i < n; i++) {
		specs[i] = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(what, i), NULL);
		if (!specs[i])
			goto fail;
	}
	if (!specs) {
		PyErr_NoMemory();
		goto fail;
	}
	rc = featurefs_view_new(fs, specs, (size_t)n, &view);
	free(specs);
	Py_DECREF(what);
	return rc < 0 ? raise_error(rc) : wrap_view(self, view);
fail:
	free(specs);
	Py_DECREF(what);
	return NULL;
}

/* ---- the type ---- */

static PyMethodDef store_methods[] = {
	{ "close", store_close, METH_NOARGS, NULL },
	{ "where", store_where, METH_NOARGS, NULL },
	{ "catalog", store_catalog, METH_NOARGS, NULL },
	{ "schema", store_schema, METH_VARARGS, NULL },
	{ "stats", store_stats, METH_VARARGS, NULL },
	{ "entities", store_entities, METH_VARARGS, NULL },
	{ "row", store_row, METH_VARARGS, NULL },
	{ "upsert", store_upsert, METH_VARARGS, NULL },
	{ "version", store_version, METH_NOARGS, NULL },
	{ "wait", store_wait, METH_VARARGS, NULL },
	{ "view", store_view, METH_O, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot store_slots[] = {
	{ Py_tp_new, store_new }, { Py_tp_dealloc, store_dealloc }, { Py_tp_methods, store_methods }, { 0, NULL },
};

PyType_Spec store_spec = { "featurefs._featurefs.Store", sizeof(struct store), 0, Py_TPFLAGS_DEFAULT, store_slots };
