"""The C loops: which instruction-set level runs, and the catalogue of losses they know."""
import os

import numpy as np

cimport numpy as cnp

cnp.import_array()

cdef extern from *:
    """
    #include "../_loops/table.h"
    #if HF_HAVE_X86_LEVELS
    #define HF_N_LEVELS 3
    static const hf_loops *const hf_levels[] = {&hf_loops_base, &hf_loops_x86_v3, &hf_loops_x86_v4};
    #else
    #define HF_N_LEVELS 1
    static const hf_loops *const hf_levels[] = {&hf_loops_base};
    #endif
    #ifndef HF_TEST_OVERREAD
    #define HF_TEST_OVERREAD 0
    #endif
    #include <stdlib.h>
    /* Reads one byte behind a heap block, to prove that a sanitizer build would see a kernel do so. */
    static int hf_overread(void) {
        int seen = 0;
    #if HF_TEST_OVERREAD
        volatile char *block = malloc(64);
        seen = block[63 + 1];
        free((void *)block);
    #endif
        return seen;
    }
    """
    enum:
        HF_N_LEVELS
        HF_TEST_OVERREAD
    const hf_loops* hf_levels[3]
    int hf_overread()

# What a fault was, for `hingefast.checks.explain`.
FAULT_INDPTR, FAULT_INDEX = HF_FAULT_INDPTR, HF_FAULT_INDEX
FAULT_WEIGHT, FAULT_ROW = HF_FAULT_WEIGHT, HF_FAULT_ROW


def supported_levels():
    """Names of the compiled levels that this machine can run, slowest first."""
    return [hf_levels[i].level.decode() for i in range(HF_N_LEVELS) if hf_cpu_supports(hf_levels[i].level)]


cdef const hf_loops* choose_level() except NULL:
    """The level that HINGEFAST_LEVEL names, or the best that the machine can run."""
    cdef const hf_loops* best = hf_levels[0]
    wanted = os.environ.get("HINGEFAST_LEVEL", "")
    compiled = [hf_levels[i].level.decode() for i in range(HF_N_LEVELS)]
    if wanted and wanted not in compiled:
        raise ImportError(f"HINGEFAST_LEVEL is {wanted!r}, must be one of {', '.join(compiled)}")
    for i in range(HF_N_LEVELS):
        supported = hf_cpu_supports(hf_levels[i].level)
        if wanted == hf_levels[i].level.decode():
            if not supported:
                raise ImportError(f"HINGEFAST_LEVEL is {wanted!r}, which this machine cannot run "
                                  f"(it can: {', '.join(supported_levels())})")
            return hf_levels[i]
        if supported:
            best = hf_levels[i]
    return best


table = choose_level()


def level():
    """Name of the level in use."""
    return table.level.decode()


def compiler():
    """Name and version of the compiler that made the loops."""
    return table.compiler.decode()


def catalogue():
    """What the C catalogue knows: for each margin loss its names, parameters and smoothness.

    Returns
    -------
    list of dict
        With keys ``name``, ``class_name``, ``aliases`` (list of str), ``parameters`` (list of
        ``(name, kind, default)``) and ``smoothness``.
    """
    return [{
        "name": row.name.decode(),
        "class_name": row.class_name.decode(),
        "aliases": row.aliases.decode().split(),
        "parameters": [(parameter.name.decode(), parameter.kind.decode(), parameter.value)
                       for parameter in row.parameters[:n_parameters(&row)]],
        "smoothness": row.smoothness.decode(),
    } for row in table.catalogue[:table.n_catalogue]]


cdef Py_ssize_t n_parameters(const hf_catalogue_row* row) noexcept:
    cdef Py_ssize_t n = 0
    while n < HF_MAX_PARAMETERS and row.parameters[n].name != NULL:
        n += 1
    return n


cdef class BoundLoss:
    """A loss of the catalogue with its parameters, as the loops take it.

    Parameters
    ----------
    name : str
        Canonical name, as in `catalogue`.
    parameters : tuple of float
        In the order of the catalogue row; checked by the caller.
    """

    def __cinit__(self, str name, tuple parameters):
        cdef double values[HF_MAX_PARAMETERS]
        cdef const hf_catalogue_row* row
        cdef hf_fp_state caller
        for i in range(table.n_catalogue):
            row = &table.catalogue[i]
            if row.name.decode() == name:
                break
        else:
            raise ValueError(f"no loss is called {name!r}")
        if len(parameters) != n_parameters(row):
            raise ValueError(f"{name!r} has {n_parameters(row)} parameters, got {len(parameters)}")
        for k, parameter in enumerate(parameters):
            values[k] = parameter
        caller = hf_fp_enter()
        table.bind_loss(row, values, self.real)
        hf_fp_leave(caller)
        self.has_curvature = row.smoothness.decode() != "nonsmooth"

    @property
    def box(self):
        """(margin, steepest, compliance), if the dual is a box and a diagonal; else None.

        c*phi is then the largest a*u - compliance/(2*c)*a^2 over 0 <= a <= c*steepest, where u is what the margin is
        short of `margin`.
        """
        cdef const hf_loss* loss = &self.real[1]
        return (loss.margin, loss.steepest, loss.compliance) if loss.steepest > 0 else None

    def at_margin(self, double margin, bint is_f64=True):
        """Value, slope and second derivative at one margin, by the scalar formula in float64 or float32."""
        cdef const hf_loss* loss = &self.real[is_f64]
        cdef double out[3]
        cdef hf_fp_state caller = hf_fp_enter()
        table.real[is_f64].scalar[loss.family](loss, margin, out)
        hf_fp_leave(caller)
        return out[0], out[1], out[2]


cdef extern from "<fenv.h>":
    ctypedef struct fenv_t:
        pass
    const fenv_t* FE_DFL_ENV
    int fegetenv(fenv_t* environment)
    int fesetenv(const fenv_t* environment)


cdef class default_environment:
    """A context in which NumPy computes as the kernels do, whatever the caller's rounding mode and error state are.

    Used as ``with default_environment():``, by one thread, once. All of the environment, unlike `hf_fp_enter`: NumPy
    rounds long doubles in the x87 unit.
    """

    cdef fenv_t caller
    cdef object errstate

    def __enter__(self):
        self.errstate = np.errstate(all="ignore")
        self.errstate.__enter__()
        fegetenv(&self.caller)   # last: an interruption before has changed nothing that is not undone
        fesetenv(FE_DFL_ENV)

    def __exit__(self, *error):
        fesetenv(&self.caller)
        self.errstate.__exit__(*error)


def elementary(str name, cnp.ndarray x):
    """Our own ``exp``, ``log1p`` or ``erfc`` of a contiguous float32 or float64 array, for their tests."""
    cdef int which = ["exp", "log1p", "erfc"].index(name)
    cdef int is_f64 = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT64
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef hf_fp_state caller
    if not (is_f64 or cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32) or not cnp.PyArray_ISCARRAY_RO(x):
        raise TypeError("x must be a C-contiguous float32 or float64 array")
    cdef cnp.ndarray out = np.empty_like(x)
    cdef const void* source = cnp.PyArray_DATA(x)
    cdef void* target = cnp.PyArray_DATA(out)
    with nogil:
        caller = hf_fp_enter()
        table.real[is_f64].elementary[which](source, n, target)
        hf_fp_leave(caller)
    return out


if HF_TEST_OVERREAD:
    def overread_for_sanitizer():
        """Read behind the end of a heap block; only in a build made to test the sanitizer."""
        return hf_overread()
