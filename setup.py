"""Compile the extension modules. Everything else about the package is in pyproject.toml.

`hingefast/_loops/loops.c` holds the innermost loops. It is compiled once per instruction-set level, and the objects are
linked into one module, `hingefast._kernels.table`, which chooses among them when it is imported.
"""

import os
import sys
import sysconfig
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = [
    "table",
    "job",
    "labels",
    "worker",
    "slopes",
    "layout",
    "dense",
    "fortran",
    "csr",
    "total",
    "questions",
    "run",
    "given",
    "problem",
    "dual",
    "rows",
    "entry",
]
LOOPS_C = "hingefast/_loops/loops.c"
C_FILES = sorted(str(path) for path in Path("hingefast/_loops").glob("*.[ch]"))

# What differs between compilers, and nothing else. "all" goes to every C file; a level's flags only to loops.c.
FLAGS = {
    "unix": {
        "all": [
            "-std=c11",
            "-O3",  # gcc 12 vectorises little at -O2
            "-ffp-contract=off",  # a fused multiply-add would give other bits at the levels that have one
            "-fno-trapping-math",  # without it gcc does not vectorise a loop that selects
            "-fno-math-errno",  # nobody reads errno, and with it sqrt is a call
            "-fvisibility=hidden",  # a module exports its PyInit function, and no level's loops
        ],
        "base": [],  # what the compiler targets by default
        "x86_v3": ["-march=x86-64-v3"],  # AVX2; also allows FMA, which is why contraction is off above
        "x86_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],  # AVX-512, not its 256-bit half
    },
    "msvc": {
        "all": ["/std:c11", "/O2", "/fp:precise"],  # precise does not contract since Visual Studio 2022
        "base": [],
        "x86_v3": ["/arch:AVX2"],
        "x86_v4": ["/arch:AVX512"],
    },
}

# The platform built for, also where it is not the platform built on (macOS). A universal2 build gets base alone.
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64")) and sys.maxsize > 2**32
LEVELS = ["base", "x86_v3", "x86_v4"] if X86_64 else ["base"]

# One wheel for Python 3.11 and later; a free-threaded interpreter has no limited API, and setuptools refuses it there.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")

MACROS = [
    ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),  # runs with NumPy 2.0, whichever version it is built with
    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
]
if LIMITED_API:
    MACROS.append(("Py_LIMITED_API", "0x030B0000"))

LOOPS_MACROS = []
if X86_64:
    LOOPS_MACROS.append(("HF_HAVE_X86_LEVELS", "1"))

# Two switches of ci/sanitize.sh: a build with gcc's sanitizers, and in it a function that reads too far on purpose.
SANITIZE = []
if os.environ.get("HINGEFAST_BUILD_SANITIZE") == "1":
    SANITIZE += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    SANITIZE += ["-fno-sanitize=object-size"]  # AddressSanitizer sees the same and says more
    SANITIZE += ["-fno-omit-frame-pointer", "-g1", "-O1"]  # reports that name functions and lines
if os.environ.get("HINGEFAST_BUILD_TEST_OVERREAD") == "1":
    LOOPS_MACROS.append(("HF_TEST_OVERREAD", "1"))

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,  # kernels clamp every index that they use
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "binding": True,  # functions with a signature that inspect and stubtest can read
}


class BuildLevels(build_ext):
    """Turn Cython into C, then compile each module; loops.c once per level."""

    def build_extensions(self):
        flags = FLAGS["msvc" if self.compiler.compiler_type == "msvc" else "unix"]
        # Only here, so that an sdist needs no C; in build_temp, so that none lies among the sources.
        in_c = cythonize(self.extensions, build_dir=self.build_temp, compiler_directives=DIRECTIVES)
        for extension, generated in zip(self.extensions, in_c, strict=True):
            extension.sources = generated.sources
            extension.extra_compile_args = flags["all"] + SANITIZE
            extension.extra_link_args = SANITIZE
            if extension.name == "hingefast._kernels.table":
                for level in LEVELS:
                    extension.extra_objects += self.compile_loops(level, flags["all"] + flags[level])
        super().build_extensions()

    def compile_loops(self, level, flags):
        folder = os.path.join(self.build_temp, level)  # one each: the object has the same name at every level
        macros = [("HF_LEVEL", level), *LOOPS_MACROS]
        return self.compiler.compile([LOOPS_C], folder, macros, extra_postargs=flags + SANITIZE)


def kernel(name):
    return Extension(
        f"hingefast._kernels.{name}",
        [f"hingefast/_kernels/{name}.pyx"] + (["hingefast/_loops/cpu.c"] if name == "table" else []),
        include_dirs=["hingefast/_loops", numpy.get_include()],
        libraries=[] if os.name == "nt" else ["m"],  # fegetenv and fesetenv
        define_macros=MACROS + (LOOPS_MACROS if name == "table" else []),
        depends=C_FILES,
        py_limited_api=LIMITED_API,
    )


setup(
    ext_modules=[kernel(name) for name in KERNELS],
    cmdclass={"build_ext": BuildLevels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
