"""Compute the polynomial coefficients of ``hingefast/_loops/elementary.h``.

Each polynomial is the best one in the relative error of the function it serves (Remez exchange, with
mpmath at 60 digits), its coefficients then rounded one by one to float64 or float32. The script prints C
definitions, to be pasted between the two markers of the header, and for each polynomial a comment with the
error after rounding, as a power of two, when the polynomial is evaluated exactly.

Usage: ``python ci/fit_elementary.py`` prints the definitions (a few seconds);
``python ci/fit_elementary.py --check`` compares them with the header and fails when they differ;
``python ci/fit_elementary.py --measure`` compiles the header (``$CC``, else ``cc``) and prints the largest
error of every function in ulp, against mpmath (half a minute).

Notes
-----
With ``E = exp(-x*x/2)`` and ``t = (x - a) / (x + a)``, the two Gaussian polynomials are

- ``mills(t) = Q(x) * (x + b) / E``, where ``Q`` is the upper tail of the standard normal distribution,
- ``loss(t) = (pdf(x) - x*Q(x)) * (x + b)**2 / E``.

Both are smooth on the whole half-line, which ``t`` maps to [-1, 1), and stay between 0.4 and 1: rounding
errors of ``t`` hardly reach the result, and nothing cancels as it does in ``1 - Phi`` or ``pdf - x*Q``. In
``erfc`` the argument is z = x / sqrt(2), so a and b are divided by sqrt(2) instead of multiplying z.

References
----------
Cody and Waite, Software Manual for the Elementary Functions, 1980 (``exp``).
Tang, ACM TOMS 16, 1990, and Sun's fdlibm (``log1p``).
Schonfelder, Math. Comp. 32, 1978; Shepherd and Laframboise, Math. Comp. 36, 1981 (the map to ``t``).
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60

HEADER = Path(__file__).resolve().parent.parent / "hingefast" / "_loops" / "elementary.h"
BEGIN = "/* --- printed by ci/fit_elementary.py --- */"
END = "/* --- end of what ci/fit_elementary.py prints --- */"

# The centre a of the map to t: of the multiples of 1/4 that need the fewest terms, the one with the least
# error after rounding.
CENTRE = {"f64": 6.0, "f32": 3.5}
# The offset b of the factors (x + b) and (x + b)**2: a short number (x + b - b then shows what rounding x + b
# lost) that leaves both fitted functions with little slope at x = 0, where a result is most exact otherwise.
OFFSET = 1.5
# Beyond these arguments Q and pdf - x*Q round to zero: the kernels clamp there, the fits end there.
TAIL_END = {"f64": 38.625, "f32": 14.5}
# The lowest degrees whose error stays below a small part of an ulp (2^-53, 2^-24) of the final function;
# "loss" may lose a little more, since its factor exp(-x*x/2) is never better than its rounded argument.
DEGREES = {
    "f64": {"exp": 9, "log1p": 6, "log1p_unit": 9, "mills": 22, "loss": 23},
    "f32": {"exp": 4, "log1p": 2, "log1p_unit": 3, "mills": 9, "loss": 10},
}
# Significant bits of the upper part of log(2): the product with an exponent must be exact.
LN2_BITS = {"f64": 53 - 12, "f32": 24 - 9}
SIGNIFICAND_BITS = {"f64": 53, "f32": 24}


class Polynomial(NamedTuple):
    """One polynomial to fit.

    Attributes
    ----------
    name : str
        What it serves; the C function is called ``<name>_polynomial_<dtype>`` or
        ``<name>_rest_<dtype>``.
    dtype : {"f64", "f32"}
        Type of the coefficients.
    variable : str
        Name of its variable, in the C code.
    target : callable
        The function of the variable to approximate.
    weight : callable
        The error of the polynomial times ``weight`` is the relative error of the final function.
    low, high : mpf
        Interval of the variable.
    """

    name: str
    dtype: str
    variable: str
    target: Callable
    weight: Callable
    low: mp.mpf
    high: mp.mpf


def remez(values, weights, points, degree, rounds=12):
    """Return the polynomial of least maximal weighted error on a fine grid.

    Parameters
    ----------
    values, weights, points : list of mpf, length n_points
        The function, the weight and the variable; ``points`` ascend.
    degree : int
        Degree of the polynomial.
    rounds : int
        Upper bound on the number of exchanges.

    Returns
    -------
    list of mpf, length degree + 1
        Coefficients, the constant first.
    """
    n_points, n_active = len(points), degree + 2
    active = [round(i * (n_points - 1) / (n_active - 1)) for i in range(n_active)]
    for _ in range(rounds):
        rows = [
            [*(points[k] ** j for j in range(degree + 1)), (-1) ** i / weights[k]]
            for i, k in enumerate(active)
        ]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([values[k] for k in active]))
        coefficients, level = list(solution)[:-1], abs(solution[degree + 1])
        errors = weighted_errors(coefficients, values, weights, points)
        exchanged = alternating_extremes(errors, n_active)
        if len(exchanged) < n_active or max(map(abs, errors)) <= level * mp.mpf("1.001"):
            break
        active = exchanged
    return coefficients


def weighted_errors(coefficients, values, weights, points):
    """Return weight * (polynomial - value) at every point."""
    polynomial = np.zeros(len(points), dtype=object)
    for coefficient in reversed(coefficients):
        polynomial = polynomial * np.array(points, dtype=object) + coefficient
    return (polynomial - np.array(values, dtype=object)) * np.array(weights, dtype=object)


def alternating_extremes(errors, n_wanted):
    """Return the indices of the largest error of each run of equal sign, at most ``n_wanted`` runs."""
    extremes = []
    for k, error in enumerate(errors):
        if extremes and (error > 0) == (errors[extremes[-1]] > 0):
            if abs(error) > abs(errors[extremes[-1]]):
                extremes[-1] = k
        else:
            extremes.append(k)
    while len(extremes) > n_wanted:
        smaller_end = 0 if abs(errors[extremes[0]]) < abs(errors[extremes[-1]]) else -1
        del extremes[smaller_end]
    return extremes


def exp_polynomial(dtype):
    """Return q of exp(r) = 1 + r + r*r*q(r), |r| <= log(2)/2 and a little more."""

    def target(r):
        return mp.hyp1f1(1, 3, r) / 2  # (exp(r) - 1 - r) / r**2 without cancellation

    # n = round(x / log(2)) is off by a rounding, and the tail's correction is added after the reduction.
    half = mp.log(2) / 2 * (1 + mp.mpf(2) ** -9)
    return Polynomial("exp", dtype, "r", target, lambda r: r * r * mp.exp(-r), -half, half)


def log1p_polynomial(dtype):
    """Return q of log(1 + f) = f - s*(f - z*q(z)), s = f/(2 + f), z = s*s, sqrt(1/2) <= 1 + f <= sqrt(2)."""
    return Polynomial("log1p", dtype, "z", *atanh_tail(), *atanh_interval(mp.sqrt(2) - 1))


def log1p_unit_polynomial(dtype):
    """Return the same for 0 <= f <= 1."""
    return Polynomial("log1p_unit", dtype, "z", *atanh_tail(), *atanh_interval(mp.mpf(1)))


def atanh_tail():
    """Return target and weight of the polynomials of the logarithm."""

    def target(z):
        return 2 * (mp.atanh(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3

    def weight(z):
        return mp.sqrt(z) ** 3 / (2 * mp.atanh(mp.sqrt(z)))

    return target, weight


def atanh_interval(f):
    """Return the interval of z that ends at f; it begins just above 0, where target is 0/0 and weight 0."""
    return mp.mpf(10) ** -9, (f / (2 + f)) ** 2


def mills_polynomial(dtype):
    """Return Q(x) * (x + b) / exp(-x*x/2) as a function of t."""

    def target(t):
        x = argument(t, dtype)
        return scaled_tail(x) * (x + OFFSET)

    return Polynomial("mills", dtype, "t", target, lambda t: 1 / target(t), mp.mpf(-1), variable_end(dtype))


def loss_polynomial(dtype):
    """Return (pdf(x) - x*Q(x)) * (x + b)**2 / exp(-x*x/2) as a function of t."""

    def target(t):
        x = argument(t, dtype)
        return (1 / mp.sqrt(2 * mp.pi) - x * scaled_tail(x)) * (x + OFFSET) ** 2

    return Polynomial("loss", dtype, "t", target, lambda t: 1 / target(t), mp.mpf(-1), variable_end(dtype))


def argument(t, dtype):
    """Return x of t = (x - a) / (x + a)."""
    return CENTRE[dtype] * (1 + t) / (1 - t)


def variable_end(dtype):
    """Return t at the end of the tail."""
    x = mp.mpf(TAIL_END[dtype])
    return (x - CENTRE[dtype]) / (x + CENTRE[dtype])


def scaled_tail(x):
    """Return Q(x) * exp(x*x/2)."""
    return mp.erfc(x / mp.sqrt(2)) / 2 * mp.exp(x * x / 2)


POLYNOMIALS = (exp_polynomial, log1p_polynomial, log1p_unit_polynomial, mills_polynomial, loss_polynomial)


def fit(polynomial, degree, points_per_extreme=12):
    """Fit one polynomial and round its coefficients.

    Returns
    -------
    rounded : list of float, length degree + 1
        Coefficients, the constant first.
    error : mpf
        Maximal weighted error of the rounded polynomial.
    error_before : mpf
        The same before rounding.
    """
    n_points = points_per_extreme * (degree + 2)
    middle, half = (polynomial.low + polynomial.high) / 2, (polynomial.high - polynomial.low) / 2
    points = [middle - half * mp.cos(mp.pi * k / (n_points - 1)) for k in range(n_points)]
    values = [polynomial.target(t) for t in points]
    weights = [polynomial.weight(t) for t in points]
    exact = remez(values, weights, points, degree)
    rounded = round_in_turn(exact, weights, points, SIGNIFICAND_BITS[polynomial.dtype])
    error, error_before = (
        max(map(abs, weighted_errors(coefficients, values, weights, points)))
        for coefficients in (rounded, exact)
    )
    return rounded, error, error_before


def round_in_turn(exact, weights, points, bits):
    """Round the largest coefficient first and let the others, still free, absorb its rounding error.

    Rounding all of them independently costs up to 3 bits in the polynomials of the tail.

    Returns
    -------
    list of mpf
        Numbers of ``bits`` significant bits; the weighted sum of squares of the change of the polynomial
        over ``points`` is small.
    """
    n = len(exact)
    moments = [sum(w * w * t**j for w, t in zip(weights, points, strict=True)) for j in range(2 * n - 1)]
    change = [mp.mpf(0)] * n
    free = sorted(range(n), key=lambda j: abs(exact[j]))
    fixed = []
    while free:
        j = free.pop()
        change[j] = round_to(exact[j] + change[j], bits) - exact[j]
        fixed.append(j)
        if free:
            gram = mp.matrix([[moments[i + k] for k in free] for i in free])
            pull = mp.matrix([-sum(moments[i + k] * change[k] for k in fixed) for i in free])
            for i, value in zip(free, mp.lu_solve(gram, pull), strict=True):
                change[i] = value
    return [coefficient + d for coefficient, d in zip(exact, change, strict=True)]


def round_to(value, bits):
    """Return a number rounded to the nearest one of ``bits`` significant bits."""
    with mp.workprec(bits):
        return +value


def c_number(value, dtype):
    """Return a number as a hexadecimal constant of C."""
    digits, exponent = float(value).hex().split("p")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}p{exponent}" + ("f" if dtype == "f32" else "")


def c_constants(dtype):
    """Return the C lines of the constants that are not coefficients."""
    ctype = {"f64": "double", "f32": "float"}[dtype]
    bits = SIGNIFICAND_BITS[dtype]
    ln2_high, sqrt_2 = round_to(mp.log(2), LN2_BITS[dtype]), round_to(mp.sqrt(2), bits)
    erfc_offset = round_to(OFFSET / mp.sqrt(2), bits)
    constants = {
        "LOG2_E": 1 / mp.log(2),
        "LN2_HIGH": ln2_high,
        "LN2_LOW": mp.log(2) - ln2_high,
        "SQRT_2": sqrt_2,
        "SQRT_2_LOST": mp.sqrt(2) / sqrt_2 - 1,
        "CENTRE": CENTRE[dtype],
        "OFFSET": OFFSET,
        "ERFC_CENTRE": CENTRE[dtype] / mp.sqrt(2),
        "ERFC_OFFSET": erfc_offset,
        "ERFC_OFFSET_LOST": OFFSET / mp.sqrt(2) - erfc_offset,
        "TAIL_END": TAIL_END[dtype],
    }
    return [
        f"static const {ctype} {name}_{dtype} = {c_number(round_to(mp.mpf(value), bits), dtype)};"
        for name, value in constants.items()
    ]


def c_function(polynomial, degree):
    """Return the C lines of a function that evaluates a fitted polynomial.

    Even and odd powers are two Horner chains, half the latency of one. The constant, the largest coefficient,
    is added last: only then are the rounding errors of the rest small against the result. The polynomials of
    the tail leave that to their caller, who has more to add.
    """
    coefficients, error, _ = fit(polynomial, degree)
    name, dtype, variable = polynomial.name, polynomial.dtype, polynomial.variable
    ctype = {"f64": "double", "f32": "float"}[dtype]
    numbers = [c_number(coefficient, dtype) for coefficient in coefficients]
    without_constant = name in ("mills", "loss")
    started = {}
    for j in range(degree, 0, -1):
        chain = "odd" if j % 2 else "even"
        previous = f"{chain} * square + " if chain in started else ""
        started.setdefault(chain, []).append(f"    {chain} = {previous}{numbers[j]};")
    first = [f"    {ctype} {lines.pop(0).strip()}" for lines in started.values()]
    rest = [line for pair in zip_longest(*started.values(), fillvalue="") for line in pair if line]
    comment = f"/* Degree {degree}, relative error of what it serves 2^{float(mp.log(error, 2)):.1f}."
    if without_constant:
        head = [
            f"{comment} Without its constant. */",
            f"static const {ctype} {name.upper()}_CONSTANT_{dtype} = {numbers[0]};",
            f"static inline {ctype} {name}_rest_{dtype}({ctype} {variable}) {{",
        ]
    else:
        head = [f"{comment} */", f"static inline {ctype} {name}_polynomial_{dtype}({ctype} {variable}) {{"]
    return [
        *head,
        *([f"    const {ctype} square = {variable} * {variable};"] if rest else []),
        *first,
        *rest,
        f"    return {'' if without_constant else numbers[0] + ' + '}{variable} * (odd + {variable} * even);",
        "}",
    ]


def c_code():
    """Return everything that this script writes, as one string."""
    blocks = [c_constants(dtype) for dtype in DEGREES]
    for make in POLYNOMIALS:
        for dtype in DEGREES:
            polynomial = make(dtype)
            blocks.append(c_function(polynomial, DEGREES[dtype][polynomial.name]))
    return "\n\n".join("\n".join(block) for block in blocks)


def log1p(x):
    """Return log(1 + x), right for tiny x too."""
    return mp.log(1 + x) if abs(x) > mp.mpf(2) ** -100 else x - x * x / 2


def tail(x):
    """Return Q(x)."""
    return mp.erfc(x / mp.sqrt(2)) / 2


def tail_loss(x):
    """Return pdf(x) - x*Q(x)."""
    return mp.npdf(x) - x * tail(x)


def measured_arguments(dtype):
    """Return, by function of the header, its exact values and the intervals to draw arguments from."""
    exp_low, exp_high, erfc_end = {"f64": (-745, 709.7, 27.2), "f32": (-103.9, 88.7, 10.1)}[dtype]
    tail_intervals = [(0, 0.01), (0, 1), (0, 5), (0, TAIL_END[dtype])]
    return {
        "exp": ([mp.exp], [(exp_low, exp_high), (-1, 0), (exp_low, 0.95 * exp_low)]),
        "log1p": ([log1p], [(0, 1), (-1, 0), (-1e-3, 1e-3), (0, 1e6)]),
        "log1p_unit": ([log1p], [(0, 1), (0, 1e-3)]),
        "erfc": ([mp.erfc], [(-6, 6), (0, 0.01), (0, 2), (0, erfc_end)]),
        "gaussian_tail": ([tail, tail_loss], tail_intervals),
    }


def measure(n_per_interval=2000):
    """Print the largest error of every function of the header, in ulp of the exact value."""
    with tempfile.TemporaryDirectory() as folder:
        library = compiled_header(Path(folder))
        for dtype, ctype in (("f64", ctypes.c_double), ("f32", ctypes.c_float)):
            for name, (exact, intervals) in measured_arguments(dtype).items():
                function = getattr(library, f"call_{name}_{dtype}")
                function.restype = ctype
                outputs = [ctype() for _ in exact[1:]]
                function.argtypes = [ctype] + [ctypes.POINTER(ctype)] * len(outputs)
                largest = [mp.mpf(0)] * len(exact)
                for x in random_arguments(intervals, n_per_interval, dtype):
                    results = [function(x, *outputs), *(output.value for output in outputs)]
                    errors = [
                        error_in_ulp(r, f(mp.mpf(x)), dtype) for r, f in zip(results, exact, strict=True)
                    ]
                    largest = list(map(max, largest, errors))
                print(f"{name}_{dtype}", *(f"{float(error):.2f}" for error in largest))


def compiled_header(folder):
    """Return a shared library with a ``call_<name>`` for every public function of the header."""
    lines = []
    for dtype, ctype in (("f64", "double"), ("f32", "float")):
        chosen = "#define REAL_IS_F32" if dtype == "f32" else ""
        lines += [chosen, f'#include "{HEADER}"', "#undef real", "#undef FN", "#undef BITS_BUT_SIGN"]
        for name, (exact, _) in measured_arguments(dtype).items():
            more, pass_more = (f", {ctype} *psi", ", psi") if len(exact) == 2 else ("", "")
            lines.append(
                f"{ctype} call_{name}_{dtype}({ctype} x{more}) {{ return {name}_{dtype}(x{pass_more}); }}"
            )
    source, library = folder / "calls.c", folder / "calls.so"
    source.write_text("\n".join(lines) + "\n")
    flags = ["-std=c11", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def random_arguments(intervals, n_per_interval, dtype):
    """Return uniform arguments, representable in the dtype, as Python floats."""
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.uniform(low, high, n_per_interval) for low, high in intervals])
    return drawn.astype({"f64": np.float64, "f32": np.float32}[dtype]).tolist()


def error_in_ulp(result, exact, dtype):
    """Return |result - exact| in units of the last place of the exact value."""
    lowest = {"f64": -1021, "f32": -125}[dtype]
    exponent = max(mp.frexp(exact)[1], lowest)
    return abs(mp.mpf(result) - exact) / mp.mpf(2) ** (exponent - SIGNIFICAND_BITS[dtype])


def main():
    """Print the C code, compare it with the header, or measure the functions of the header."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the header instead of printing")
    parser.add_argument("--measure", action="store_true", help="print the errors of the compiled header")
    arguments = parser.parse_args()
    if arguments.measure:
        measure()
        return 0
    code = c_code()
    if not arguments.check:
        print(code)
        return 0
    in_header = HEADER.read_text().split(BEGIN)[1].split(END)[0].strip()
    if in_header == code:
        return 0
    print(f"{HEADER.name} does not hold what {Path(__file__).name} computes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
