"""What a measurement depends on besides the code: threads, machine, versions."""

# NumPy is only imported inside functions: `pin` has to come first.

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

# Every BLAS reads one of these when it is loaded. hingefast gets n_threads= in each call.
THREAD_VARIABLES = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
]


def pin(n_threads: int) -> None:
    """Give every BLAS this number of threads. Has to be called before NumPy is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(n_threads)
    # OpenBLAS's threads spin for some 2^26 cycles after a product, on the processor of whoever is timed next:
    # 2^4, its least, lets them sleep at once.
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"


def at_level(level: str) -> dict[str, str]:
    """Variables for a process in which hingefast runs at a level of x86 below the best that the machine has, and NumPy
    and OpenBLAS as on a processor that has no better one.
    """
    import numpy as np

    extensions: Any = np.show_config(mode="dicts")
    found = extensions["SIMD Extensions"].get("found", [])
    too_new = {
        "base": found,
        "x86_v3": [name for name in found if name == "X86_V4" or name.startswith("AVX512")],
    }.get(level, [])
    variables = {"HINGEFAST_LEVEL": level}
    if too_new:
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(too_new)
        variables["OPENBLAS_CORETYPE"] = {"base": "Nehalem", "x86_v3": "Haswell"}[level]
    return variables


def check_pinned(n_threads: int) -> None:
    """Raise RuntimeError if a loaded BLAS or OpenMP uses another number of threads (needs threadpoolctl)."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return
    import numpy as np

    np.dot(np.ones(2), np.ones(2))  # some libraries are only loaded when they are first used
    for pool in threadpool_info():
        if pool["num_threads"] != n_threads:
            raise RuntimeError(
                f"{pool['internal_api']} uses {pool['num_threads']} threads, must be {n_threads}: "
                f"NumPy was imported before the benchmarks could set {', '.join(THREAD_VARIABLES)}"
            )


def describe() -> dict[str, Any]:
    """Machine, versions and what hingefast says about itself, ready for JSON."""
    import hingefast as hf

    packages = (
        "hingefast",
        "numpy",
        "scipy",
        "scikit-learn",
        "torch",
        "numba",
        "liblinear-official",
        "rehline",
    )
    return {
        "cpu": _cpu_model(),
        "cpus": _usable_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "blas": _blas(),
        "hingefast": hf.show_config(mode="dicts"),
    }


def _cpu_model() -> str:
    """The processor's name, and what tells its kind where the name of a cloud's does not."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, fact = line.partition(":")
            facts.setdefault(name.strip(), fact.strip())
    except OSError:
        pass
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    if "cpu family" not in facts:
        return facts["model name"]
    return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"


def _usable_cpus() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    found = {
        " ".join(str(pool.get(key)) for key in ("internal_api", "version", "architecture") if pool.get(key))
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "none found"
