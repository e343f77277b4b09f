# SPDX-License-Identifier: MIT
"""Builds the extension against the tree's own library, which goes into it: what is installed needs nothing of the tree afterwards.

BUILD (default: build, in the tree) is where make has put libfeaturefs.a; FEATUREFS_LIBRARY names it outright.
"""

import os
import pathlib
import subprocess

from setuptools import Extension, setup

here = pathlib.Path(__file__).resolve().parent
top = here.parents[2]
library = os.environ.get("FEATUREFS_LIBRARY") or str(top / os.environ.get("BUILD", "build") / "release" / "libfeaturefs.a")
if not pathlib.Path(library).is_file():
    raise SystemExit(f"{library} is missing: run `make` in {top} first, or say where it is in FEATUREFS_LIBRARY")
libs = subprocess.run(["pkg-config", "--libs", "lmdb", "inih", "libxxhash"], check=True, capture_output=True, text=True).stdout.split()

setup(
    ext_modules=[
        Extension(
            "featurefs._featurefs",
            [f"featurefs/{name}.c" for name in ("_featurefs", "_store", "_view", "_batch", "_arrow")],
            depends=["featurefs/_featurefs.h"],
            include_dirs=[str(top / "include")],
            extra_objects=[library],
            extra_link_args=[*libs, "-lm", "-lpthread"],
            extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-missing-field-initializers"],
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
