/* SPDX-License-Identifier: MIT */
/* Many entities at once: their keys, and buffers that the library fills in place. Arrays are made of those in __init__.py. */
#include "_featurefs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

void release_keys(struct key_set *set)
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

int take_keys(struct key_set *set, PyObject *list, Py_ssize_t n, int raw)
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

/* ---- columns ---- */

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
PyObject *view_read(PyObject *obj, PyObject *args)
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
PyObject *fill_texts(PyObject *module, PyObject *args)
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
