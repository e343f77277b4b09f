/* SPDX-License-Identifier: MIT */
/*
 * The thin half of the Python module: handles of libfeaturefs as objects, keys and buffers handed over without a copy, and one entity as a dict.
 * What is pleasant to use is made of it in __init__.py. It keeps to the stable ABI of Python 3.11, so one build serves all later versions, and
 * it knows nothing of NumPy: arrays come as buffers.
 *
 * The GIL is not held while the library reads or writes. What it reads from meanwhile (texts of keys, buffers) is held by the call.
 *
 * Here is the module itself; a store is in _store.c, a view of it in _view.c, and reads of many entities in _batch.c and _arrow.c.
 */
#include "_featurefs.h"

#include <string.h>

static PyObject *error_type;		/* featurefs.Error: (errno, reason) */

PyObject *raise_error(int rc)
{
	PyObject *args = Py_BuildValue("(is)", -rc, *featurefs_error() ? featurefs_error() : strerror(-rc));

	if (args) {
		PyErr_SetObject(error_type, args);
		Py_DECREF(args);
	}
	return NULL;
}

void free_object(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

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
