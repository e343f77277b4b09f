/* SPDX-License-Identifier: MIT */
/* A view: what its columns and keys are, and one entity as a dict. Many entities at once are read in _batch.c and _arrow.c. */
#include "_featurefs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

PyObject *view_type;

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

PyObject *wrap_view(struct store *store, struct featurefs_view *view)
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

/* ---- one entity ---- */

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

size_t width_of(enum featurefs_type type)
{
	return type == FEATUREFS_BOOL ? 1 : type == FEATUREFS_INT32 || type == FEATUREFS_FLOAT32 ? 4 : 8;
}

PyObject *scalar_object(enum featurefs_type type, const void *data, size_t len)
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

/* ---- the type ---- */

static PyMethodDef view_methods[] = {
	{ "one", view_one, METH_O, NULL },
	{ "read", view_read, METH_VARARGS, NULL },
	{ "arrow", view_arrow, METH_VARARGS, NULL },
	{ "arrow_schema", view_arrow_schema, METH_VARARGS, NULL },
	{ "fields", view_fields, METH_NOARGS, NULL },
	{ "keys", view_keys, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot view_slots[] = {
	{ Py_tp_dealloc, view_dealloc }, { Py_tp_methods, view_methods }, { 0, NULL },
};

PyType_Spec view_spec = {
	"featurefs._featurefs.View", sizeof(struct view), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, view_slots,
};
