/* SPDX-License-Identifier: MIT */
/* What the files of the module share: its two types of objects, and what more than one of them needs. */
#ifndef FEATUREFS_PYTHON_H
#define FEATUREFS_PYTHON_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "featurefs.h"

/* Raises what the library's last call said. */
PyObject *raise_error(int rc);
void free_object(PyObject *self);

/* ---- _store.c ---- */

struct store {
	PyObject_HEAD
	struct featurefs *fs;
	Py_ssize_t users;		/* views that need it, and calls that run without the GIL */
};

extern PyType_Spec store_spec;

/* ---- _view.c ---- */

struct view {
	PyObject_HEAD
	struct store *store;
	struct featurefs_view *view;
	PyObject *names;		/* tuple of the columns' names */
	struct one *spare;		/* room for one entity that no call uses just now */
};

extern PyType_Spec view_spec;
extern PyObject *view_type;

/* Takes the view, which holds the store. */
PyObject *wrap_view(struct store *store, struct featurefs_view *view);
/* Bytes of an element of fixed width. */
size_t width_of(enum featurefs_type type);
PyObject *scalar_object(enum featurefs_type type, const void *data, size_t len);

/* ---- _batch.c ---- */

/* The keys of one call, and all that they borrow from. */
struct key_set {
	struct featurefs_keys keys[16];
	PyObject *held[16];
	void *memory[16];
	Py_buffer buffers[16];
	char has_buffer[16];
	size_t n;
};

/* Keys of n entities, each key a sequence or a buffer; raw ones are escaped by the library. -1 with an exception. Release them in either case. */
int take_keys(struct key_set *set, PyObject *list, Py_ssize_t n, int raw);
void release_keys(struct key_set *set);
PyObject *view_read(PyObject *obj, PyObject *args);
PyObject *fill_texts(PyObject *module, PyObject *args);

/* ---- _arrow.c ---- */

PyObject *view_arrow_schema(PyObject *obj, PyObject *args);
PyObject *view_arrow(PyObject *obj, PyObject *args);
PyObject *export_array(PyObject *module, PyObject *batch);

#endif
