/* SPDX-License-Identifier: MIT */
/*
 * The thin half of the Python module: handles of libfeaturefs as objects, keys and buffers handed over without a copy, and one entity as a dict.
 * What is pleasant to use is made of it in __init__.py. It keeps to the stable ABI of Python 3.11, so one build serves all later versions, and
 * it knows nothing of NumPy: arrays come as buffers.
 *
 * The GIL is not held while the library reads or writes. What it reads from meanwhile (texts of keys, buffers) is held by the call.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "featurefs.h"

static PyObject *error_type;		/* featurefs.Error: (errno, reason) */

/* Raises what the library's last call said. */
static PyObject *raise_error(int rc)
{
	PyObject *args = Py_BuildValue("(is)", -rc, *featurefs_error() ? featurefs_error() : strerror(-rc));

	if (args) {
		PyErr_SetObject(error_type, args);
		Py_DECREF(args);
	}
	return NULL;
}

/* ---- objects ---- */

struct store {
	PyObject_HEAD
	struct featurefs *fs;
	Py_ssize_t users;		/* views that need it, and calls that run without the GIL */
};

struct view {
	PyObject_HEAD
	struct store *store;
	struct featurefs_view *view;
	PyObject *names;		/* tuple of the columns' names */
	struct one *spare;		/* room for one entity that no call uses just now */
};

static PyObject *view_type;

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

static void free_object(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
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

static PyObject *name_tuple(const struct featurefs_view *view)
{
	size_t n = featurefs_view_columns(view);
	PyObject *names = PyTuple_New((Py_ssize_t)n);

	for (size_t i = 0; names && i < n; i++) {
		PyObject *name = PyUnicode_InternFromString(featurefs_view_field(view, i)->name);

		if (!name || PyTuple_SetItem(names, (Py_ssize_t)i, name) < 0)
			Py_CLEAR(names);
	}
	return names;
}

static PyObject *wrap_view(struct store *store, struct featurefs_view *view)
{
	PyTypeObject *type = (PyTypeObject *)view_type;
	struct view *self = (struct view *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);

	if (!self) {
		featurefs_view_free(view);
		return NULL;
	}
	self->view = view;
	self->store = store;
	Py_INCREF((PyObject *)store);
	store->users++;
	self->names = name_tuple(view);
	if (!self->names)
		Py_CLEAR(self);
	return (PyObject *)self;
}

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

/* Room for the columns of one entity. */
struct one {
	size_t n;
	struct featurefs_column *columns;
	uint8_t *status;
	int64_t (*offsets)[2];
	uint8_t *fixed;			/* all fixed-width values, each at a multiple of eight */
};

static void one_free(struct one *one, const struct featurefs_view *view)
{
	if (!one)
		return;
	for (size_t i = 0; one->columns && i < one->n; i++)
		if (!featurefs_view_field(view, i)->width)
			free(one->columns[i].values);
	free(one->columns);
	free(one->status);
	free(one->offsets);
	free(one->fixed);
	free(one);
}

static struct one *one_new(const struct featurefs_view *view)
{
	enum { ROOM = 256 };
	struct one *one = calloc(1, sizeof *one);
	size_t bytes = 0;

	if (!one)
		return NULL;
	one->n = featurefs_view_columns(view);
	for (size_t i = 0; i < one->n; i++)
		bytes += (featurefs_view_field(view, i)->width + 7) & ~(size_t)7;
	one->columns = calloc(one->n + 1, sizeof *one->columns);
	one->status = calloc(one->n + 1, 1);
	one->offsets = calloc(one->n + 1, sizeof *one->offsets);
	one->fixed = calloc(bytes + 8, 1);
	if (!one->columns || !one->status || !one->offsets || !one->fixed)
		goto fail;
	bytes = 0;
	for (size_t i = 0; i < one->n; i++) {
		size_t width = featurefs_view_field(view, i)->width;

		one->columns[i].status = &one->status[i];
		if (width) {
			one->columns[i].values = one->fixed + bytes;
			bytes += (width + 7) & ~(size_t)7;
			continue;
		}
		one->columns[i].offsets = one->offsets[i];
		one->columns[i].values = malloc(ROOM);
		one->columns[i].values_room = ROOM;
		if (!one->columns[i].values)
			goto fail;
	}
	return one;
fail:
	one_free(one, view);
	return NULL;
}

static int one_grow(struct one *one, const struct featurefs_view *view)
{
	for (size_t i = 0; i < one->n; i++) {
		struct featurefs_column *column = &one->columns[i];
		void *bigger;

		if (featurefs_view_field(view, i)->width || column->values_len <= column->values_room)
			continue;
		bigger = realloc(column->values, column->values_len);
		if (!bigger)
			return -ENOMEM;
		column->values = bigger;
		column->values_room = column->values_len;
	}
	return 0;
}

static size_t width_of(enum featurefs_type type)
{
	return type == FEATUREFS_BOOL ? 1 : type == FEATUREFS_INT32 || type == FEATUREFS_FLOAT32 ? 4 : 8;
}

static PyObject *scalar_object(enum featurefs_type type, const void *data, size_t len)
{
	int32_t i32;
	int64_t i64;
	float f32;
	double f64;

	switch (type) {
	case FEATUREFS_BOOL:
		return PyBool_FromLong(*(const uint8_t *)data);
	case FEATUREFS_INT32:
		memcpy(&i32, data, sizeof i32);
		return PyLong_FromLong(i32);
	case FEATUREFS_INT64:
	case FEATUREFS_TIMESTAMP:
		memcpy(&i64, data, sizeof i64);
		return PyLong_FromLongLong(i64);
	case FEATUREFS_FLOAT32:
		memcpy(&f32, data, sizeof f32);
		return PyFloat_FromDouble(f32);
	case FEATUREFS_FLOAT64:
		memcpy(&f64, data, sizeof f64);
		return PyFloat_FromDouble(f64);
	case FEATUREFS_BYTES:
		return PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
	default:
		return PyUnicode_DecodeUTF8(data, (Py_ssize_t)len, NULL);
	}
}

static int is_text(enum featurefs_type type)
{
	return type == FEATUREFS_STRING || type == FEATUREFS_BYTES || type == FEATUREFS_JSON;
}

static PyObject *array_object(const struct featurefs_field *field, const char *data, size_t n)
{
	size_t width = width_of(field->type);
	PyObject *list = PyList_New((Py_ssize_t)n);

	for (size_t i = 0; list && i < n; i++) {
		PyObject *item = scalar_object(field->type, data + i * width, width);

		if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) < 0)
			Py_CLEAR(list);
	}
	return list;
}

/* Arrays of texts come as the text of a JSON array, and so do json values; __init__.py reads them. */
static PyObject *value_object(const struct featurefs_field *field, const struct featurefs_column *column)
{
	const char *data = column->values;
	int64_t from = field->width ? 0 : column->offsets[0], to = field->width ? 0 : column->offsets[1];

	if (is_text(field->type))
		return scalar_object(field->is_array ? FEATUREFS_JSON : field->type, data + from, (size_t)(to - from));
	if (field->width)
		return field->is_array ? array_object(field, data, field->length) : scalar_object(field->type, data, field->width);
	return array_object(field, data + (size_t)from * width_of(field->type), (size_t)(to - from));
}

/* one(entity): a dict of what is present (or None for null); what is missing or expired is not in it. */
static PyObject *view_one(PyObject *obj, PyObject *key)
{
	struct view *self = (struct view *)obj;
	struct one *one = self->spare;
	PyObject *dict = NULL;
	const char *entity = PyUnicode_AsUTF8AndSize(key, NULL);
	int rc;

	if (!entity)
		return NULL;
	self->spare = NULL;
	if (!one)
		one = one_new(self->view);
	if (!one)
		return PyErr_NoMemory();
	do {
		Py_BEGIN_ALLOW_THREADS
		rc = featurefs_read_one(self->view, entity, one->columns);
		Py_END_ALLOW_THREADS
	} while (rc == -ENOBUFS && (rc = one_grow(one, self->view)) == 0);
	if (rc < 0)
		raise_error(rc);
	else
		dict = PyDict_New();
	for (size_t i = 0; dict && i < one->n; i++) {
		PyObject *value;

		if (one->status[i] != FEATUREFS_PRESENT && one->status[i] != FEATUREFS_NULL)
			continue;
		if (one->status[i] == FEATUREFS_NULL) {
			value = Py_None;
			Py_INCREF(value);
		} else {
			value = value_object(featurefs_view_field(self->view, i), &one->columns[i]);
		}
		if (!value || PyDict_SetItem(dict, PyTuple_GetItem(self->names, (Py_ssize_t)i), value) < 0)
			Py_CLEAR(dict);
		Py_XDECREF(value);
	}
	if (self->spare)
		one_free(one, self->view);
	else
		self->spare = one;
	return dict;
}

/* ---- many ---- */

/* The keys of one call, and all that they borrow from. */
struct key_set {
	struct featurefs_keys keys[16];
	PyObject *held[16];
	void *memory[16];
	Py_buffer buffers[16];
	char has_buffer[16];
	size_t n;
};

static void release_keys(struct key_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->has_buffer[i])
			PyBuffer_Release(&set->buffers[i]);
		Py_XDECREF(set->held[i]);
		free(set->memory[i]);
	}
}

static int take_ints(struct featurefs_keys *keys, void **memory, PyObject *tuple, Py_ssize_t n)
{
	int64_t *ints = malloc((size_t)n * sizeof *ints + 1);

	if (!ints) {
		PyErr_NoMemory();
		return -1;
	}
	*memory = ints;
	for (Py_ssize_t i = 0; i < n; i++) {
		ints[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
		if (ints[i] == -1 && PyErr_Occurred())
			return -1;
	}
	keys->ints = ints;
	return 0;
}

static int take_texts(struct featurefs_keys *keys, void **memory, PyObject *tuple, Py_ssize_t n)
{
	struct featurefs_bytes *texts = malloc((size_t)n * sizeof *texts + 1);

	if (!texts) {
		PyErr_NoMemory();
		return -1;
	}
	*memory = texts;
	for (Py_ssize_t i = 0; i < n; i++) {
		Py_ssize_t len;

		texts[i].data = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(tuple, i), &len);
		if (!texts[i].data)
			return -1;
		texts[i].len = (size_t)len;
	}
	keys->texts = texts;
	return 0;
}

/* A buffer of int64 as NumPy has it; 1 if it is none. */
static int take_buffer(struct key_set *set, PyObject *obj, Py_ssize_t n)
{
	Py_buffer *buffer = &set->buffers[set->n];

	if (!PyObject_CheckBuffer(obj))
		return 1;
	if (PyObject_GetBuffer(obj, buffer, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
		return -1;
	set->has_buffer[set->n] = 1;
	if (buffer->itemsize != 8 || !buffer->format || !strchr("lq", buffer->format[strlen(buffer->format) - 1]) || buffer->len != n * 8) {
		PyErr_SetString(PyExc_TypeError, "keys in an array have to be int64");
		return -1;
	}
	set->keys[set->n].ints = buffer->buf;
	return 0;
}

static int take_keys(struct key_set *set, PyObject *list, Py_ssize_t n, int raw)
{
	for (Py_ssize_t k = 0; k < PySequence_Size(list); k++, set->n++) {
		PyObject *obj = PySequence_GetItem(list, k);
		size_t i = set->n;
		int rc;

		if (!obj || i == 16) {
			Py_XDECREF(obj);
			return -1;
		}
		memset(&set->keys[i], 0, sizeof set->keys[i]);
		set->keys[i].flags = raw ? FEATUREFS_KEYS_RAW : 0;
		rc = take_buffer(set, obj, n);
		if (rc > 0) {
			set->held[i] = PySequence_Tuple(obj);	/* a list could change while the GIL is not held */
			rc = set->held[i] ? 0 : -1;
			if (rc == 0 && PyTuple_Size(set->held[i]) != n) {
				PyErr_SetString(PyExc_ValueError, "all keys must have as many values");
				rc = -1;
			}
			if (rc == 0 && n > 0 && PyLong_Check(PyTuple_GetItem(set->held[i], 0)))
				rc = take_ints(&set->keys[i], &set->memory[i], set->held[i], n);
			else if (rc == 0)
				rc = take_texts(&set->keys[i], &set->memory[i], set->held[i], n);
			Py_DECREF(obj);
		} else {
			set->held[i] = obj;
		}
		if (rc < 0) {
			set->n++;
			return -1;
		}
	}
	return 0;
}

/* The five buffers of a column. */
enum { PLACES = 5 };

static int take_place(PyObject *obj, Py_buffer *buffer, char *has, size_t need, void **out)
{
	if (obj == Py_None)
		return 0;
	if (PyObject_GetBuffer(obj, buffer, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0)
		return -1;
	*has = 1;
	if ((size_t)buffer->len < need) {
		PyErr_SetString(PyExc_ValueError, "a buffer is too small");
		return -1;
	}
	*out = buffer->buf;
	return 0;
}

static int take_column(PyObject *tuple, const struct featurefs_field *field, size_t n, Py_buffer buffers[PLACES], char has[PLACES],
		       struct featurefs_column *out)
{
	size_t width = field->width;
	void *places[PLACES] = { NULL };
	int as = 0;
	PyObject *parts[PLACES];

	if (!PyArg_ParseTuple(tuple, "OOOOO|i", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &as))
		return -1;
	if (as && width)
		width = width_of((enum featurefs_type)as) * (field->is_array ? field->length : 1);
	size_t needs[PLACES] = { width * n, (n + 1) * 8, (n + 7) / 8, n, n * 8 };

	for (int i = 0; i < PLACES; i++)
		if (take_place(parts[i], &buffers[i], &has[i], needs[i], &places[i]) < 0)
			return -1;
	*out = (struct featurefs_column){
		.values = places[0], .values_room = has[0] && !field->width ? (size_t)buffers[0].len : 0, .as = (enum featurefs_type)as,
		.offsets = places[1], .validity = places[2], .status = places[3], .event_ns = places[4],
	};
	return 0;
}

/* read(keys, n, columns, raw) -> list of bytes that the values of each column take; where one is more than its buffer holds nothing
 * is promised of the others: make it larger and call again. */
static PyObject *view_read(PyObject *obj, PyObject *args)
{
	struct view *self = (struct view *)obj;
	size_t n_columns = featurefs_view_columns(self->view);
	struct featurefs_column *columns = calloc(n_columns + 1, sizeof *columns);
	Py_buffer *buffers = calloc(n_columns + 1, PLACES * sizeof *buffers);
	char *has = calloc(n_columns + 1, PLACES);
	struct key_set *set = calloc(1, sizeof *set);
	PyObject *keys, *list, *out = NULL;
	Py_ssize_t n;
	int raw, rc = 0;

	if (!columns || !buffers || !has || !set) {
		PyErr_NoMemory();
		goto out;
	}
	if (!PyArg_ParseTuple(args, "OnOp", &keys, &n, &list, &raw) || take_keys(set, keys, n, raw) < 0)
		goto out;
	if (PySequence_Size(list) != (Py_ssize_t)n_columns) {
		PyErr_SetString(PyExc_ValueError, "as many columns as the view has");
		goto out;
	}
	for (size_t i = 0; i < n_columns; i++) {
		PyObject *column = PySequence_GetItem(list, (Py_ssize_t)i);
		int failed = !column || take_column(column, featurefs_view_field(self->view, i), (size_t)n, &buffers[i * PLACES],
						    &has[i * PLACES], &columns[i]) < 0;

		Py_XDECREF(column);
		if (failed)
			goto out;
	}
	Py_BEGIN_ALLOW_THREADS
	rc = featurefs_read(self->view, set->keys, set->n, (size_t)n, columns);
	Py_END_ALLOW_THREADS
	if (rc < 0 && rc != -ENOBUFS) {
		raise_error(rc);
		goto out;
	}
	out = PyList_New((Py_ssize_t)n_columns);
	for (size_t i = 0; out && i < n_columns; i++)
		if (PyList_SetItem(out, (Py_ssize_t)i, PyLong_FromSize_t(columns[i].values_len)) < 0)
			Py_CLEAR(out);
out:
	for (size_t i = 0; has && buffers && i < n_columns * PLACES; i++)
		if (has[i])
			PyBuffer_Release(&buffers[i]);
	if (set)
		release_keys(set);
	free(set);
	free(columns);
	free(buffers);
	free(has);
	return out;
}

static PyObject *text_at(const Py_buffer *data, const int64_t *offsets, Py_ssize_t i, int is_bytes)
{
	if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || offsets[i + 1] > data->len) {
		PyErr_SetString(PyExc_ValueError, "offsets point outside of the data");
		return NULL;
	}
	return scalar_object(is_bytes ? FEATUREFS_BYTES : FEATUREFS_STRING, (const char *)data->buf + offsets[i],
			     (size_t)(offsets[i + 1] - offsets[i]));
}

/* texts(out, data, offsets, status, n, is_bytes): fills an object array with str or bytes, and leaves alone where there is no value. */
static PyObject *fill_texts(PyObject *module, PyObject *args)
{
	Py_buffer to = { 0 }, data, offsets, status;
	PyObject *array, **items, *done = NULL;
	Py_ssize_t n, i;
	int is_bytes;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oy*y*y*np", &array, &data, &offsets, &status, &n, &is_bytes))
		return NULL;
	if (PyObject_GetBuffer(array, &to, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
		goto out;
	if (!to.format || strcmp(to.format, "O") || to.len < n * (Py_ssize_t)sizeof *items || offsets.len < (n + 1) * 8 || status.len < n) {
		PyErr_SetString(PyExc_ValueError, "a buffer is too small, or of another type");
		goto release;
	}
	items = to.buf;
	for (i = 0; i < n; i++) {
		PyObject *item, *was = items[i];

		if (((const uint8_t *)status.buf)[i] != FEATUREFS_PRESENT)
			continue;
		item = text_at(&data, offsets.buf, i, is_bytes);
		if (!item)
			goto release;
		items[i] = item;
		Py_XDECREF(was);
	}
	done = Py_None;
	Py_INCREF(done);
release:
	PyBuffer_Release(&to);
out:
	PyBuffer_Release(&data);
	PyBuffer_Release(&offsets);
	PyBuffer_Release(&status);
	return done;
}

/* ---- Arrow ---- */

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
static PyObject *export_array(PyObject *module, PyObject *batch)
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
static PyObject *view_arrow_schema(PyObject *obj, PyObject *args)
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
static PyObject *view_arrow(PyObject *obj, PyObject *args)
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

/* ---- fields of a view ---- */

static PyObject *view_fields(PyObject *obj, PyObject *unused)
{
	struct view *self = (struct view *)obj;
	size_t n = featurefs_view_columns(self->view);
	PyObject *list = PyList_New((Py_ssize_t)n);

	(void)unused;
	for (size_t i = 0; list && i < n; i++) {
		const struct featurefs_field *f = featurefs_view_field(self->view, i);
		PyObject *item = Py_BuildValue("(ssssiNIn)", f->name, f->group, f->feature, f->type_name, (int)f->type,
					       PyBool_FromLong(f->is_array), (unsigned)f->length, (Py_ssize_t)f->width);

		if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) < 0)
			Py_CLEAR(list);
	}
	return list;
}

static PyObject *view_keys(PyObject *obj, PyObject *unused)
{
	struct view *self = (struct view *)obj;
	size_t n = featurefs_view_keys(self->view);
	PyObject *tuple = PyTuple_New((Py_ssize_t)n);

	(void)unused;
	for (size_t i = 0; tuple && i < n; i++)
		if (PyTuple_SetItem(tuple, (Py_ssize_t)i, PyUnicode_FromString(featurefs_view_key(self->view, i))) < 0)
			Py_CLEAR(tuple);
	return tuple;
}

static void view_dealloc(PyObject *obj)
{
	struct view *self = (struct view *)obj;

	one_free(self->spare, self->view);
	featurefs_view_free(self->view);
	Py_XDECREF(self->names);
	if (self->store)
		self->store->users--;
	Py_XDECREF((PyObject *)self->store);
	free_object(obj);
}

/* ---- the module ---- */

static PyObject *escape(PyObject *module, PyObject *args)
{
	char out[256];
	const char *raw;
	Py_ssize_t len;
	int rc;

	(void)module;
	if (!PyArg_ParseTuple(args, "s#", &raw, &len))
		return NULL;
	rc = featurefs_escape(raw, (size_t)len, out);
	return rc < 0 ? raise_error(rc) : PyUnicode_FromStringAndSize(out, rc);
}

static PyObject *library_version(PyObject *module, PyObject *unused)
{
	(void)module;
	(void)unused;
	return PyUnicode_FromString(featurefs_library_version());
}

static PyObject *set_error(PyObject *module, PyObject *type)
{
	PyObject *old = error_type;

	(void)module;
	Py_INCREF(type);
	error_type = type;
	Py_XDECREF(old);
	Py_RETURN_NONE;
}

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

static PyMethodDef view_methods[] = {
	{ "one", view_one, METH_O, NULL },
	{ "read", view_read, METH_VARARGS, NULL },
	{ "arrow", view_arrow, METH_VARARGS, NULL },
	{ "arrow_schema", view_arrow_schema, METH_VARARGS, NULL },
	{ "fields", view_fields, METH_NOARGS, NULL },
	{ "keys", view_keys, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot store_slots[] = {
	{ Py_tp_new, store_new }, { Py_tp_dealloc, store_dealloc }, { Py_tp_methods, store_methods }, { 0, NULL },
};

static PyType_Slot view_slots[] = {
	{ Py_tp_dealloc, view_dealloc }, { Py_tp_methods, view_methods }, { 0, NULL },
};

static PyType_Spec store_spec = { "featurefs._featurefs.Store", sizeof(struct store), 0, Py_TPFLAGS_DEFAULT, store_slots };
static PyType_Spec view_spec = {
	"featurefs._featurefs.View", sizeof(struct view), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, view_slots,
};

static PyMethodDef module_methods[] = {
	{ "escape", escape, METH_VARARGS, NULL },
	{ "texts", fill_texts, METH_VARARGS, NULL },
	{ "arrow_array", export_array, METH_O, NULL },
	{ "library_version", library_version, METH_NOARGS, NULL },
	{ "set_error", set_error, METH_O, NULL },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef module_def = { PyModuleDef_HEAD_INIT, "_featurefs", NULL, -1, module_methods, NULL, NULL, NULL, NULL };

PyMODINIT_FUNC PyInit__featurefs(void)
{
	PyObject *module = PyModule_Create(&module_def), *type = PyType_FromSpec(&store_spec);

	view_type = PyType_FromSpec(&view_spec);
	error_type = PyExc_OSError;
	Py_INCREF(error_type);
	if (!module || !type || !view_type || PyModule_AddObjectRef(module, "Store", type) < 0 ||
	    PyModule_AddObjectRef(module, "View", view_type) < 0)
		return NULL;
	Py_DECREF(type);
	return module;
}
