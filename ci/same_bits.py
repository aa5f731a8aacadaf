"""Shows: whether one version of hingefast gives the bits of another; fails at the first calls where it does not.

Run: python ci/same_bits.py [BASE [HEAD]]     as ci/bench_compare.py, which builds both versions; needs NumPy
     python ci/same_bits.py --record          only prints hashes, of the hingefast that Python finds: see ci/arm64.sh
Some thousand calls, drawn from a fixed seed: every layout, loss, kind of weights, rows, numbers of rows, columns and
classes; each at every instruction-set level that the machine can run, with one thread and with two. The draws are the
same on every processor.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench_compare
import numpy as np

N_CALLS = 2500
SEED = 20261129
SHOWN = 20

MARGIN_LOSSES = (
    ("Hinge", {}),
    ("Hinge", {"margin": 0.5, "kink_slope": -0.5}),
    ("PerceptronLoss", {}),
    ("SquaredHinge", {}),
    ("SmoothHinge", {"width": 0.5}),
    ("ModifiedHuber", {}),
    ("HuberizedHinge", {"half_width": 0.25}),
    ("HuberMargin", {"delta": 2.0}),
    ("GaussianHinge", {"sigma": 0.7}),
    ("AlgebraicHinge", {}),
    ("SoftplusHinge", {"beta": 3.0}),
    ("LogisticLoss", {}),
)
CLASS_LOSSES = ("CrammerSinger", "WestonWatkins", "OneVsRest")
BASES = ("hinge", "squared_hinge", "logistic", "psi_m", "perceptron")
LAYOUTS = ("C", "C", "F", "strided", "reversed", "frame-like", "csr", "csr", "csr-64", "csr-mixed")
DTYPES = ("f8", "f8", "f4", "f4", "f2", "i1", "u1", "?", "i4", ">f8", ">i2", "g")
LABEL_DTYPES = ("f8", "f4", "i1", "i8", "u1", "i4", ">i4", "f2", "g")
SHAPES = (
    (1, 1),
    (1, 7),
    (5, 3),
    (33, 2),
    (64, 16),
    (300, 8),
    (700, 41),
    (129, 260),
    (5000, 5),
    (40, 3000),
    (2500, 900),
)


def normals(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """About normal; from uniform numbers, because NumPy's own normals hang on the C library's logarithm."""
    a, b, c = rng.random((3, *shape))
    return 2 * (a + b + c) - 3


def random_matrix(rng: np.random.Generator, n: int, d: int, layout: str, dtype: str) -> Any:
    """X of one layout, of small numbers that every dtype holds."""
    X = rng.integers(-8, 9, (n, d)) if np.dtype(dtype).kind in "iu?" else normals(rng, n, d)
    X = np.abs(X) if np.dtype(dtype).kind == "u" else X
    if not layout.startswith("csr"):
        X = X.astype(dtype)
        if layout == "F":
            return np.asfortranarray(X)
        if layout == "strided":
            return np.repeat(X, 2, axis=1)[:, ::2]
        if layout == "reversed":
            return X[::-1].copy()[::-1]
        return np.asfortranarray(np.repeat(X, 2, axis=0))[::2] if layout == "frame-like" else X
    X = X * (rng.random((n, d)) < rng.choice([0.02, 0.3, 1.0]))
    rows, columns = np.nonzero(X)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    index, pointer = {"csr": ("i4", "i4"), "csr-64": ("i8", "i8"), "csr-mixed": ("i4", "i8")}[layout]
    return SimpleNamespace(
        data=X[rows, columns].astype(dtype),
        indices=columns.astype(index),
        indptr=pointers.astype(pointer),
        shape=(n, d),
    )


def draw_loss(hf: Any, rng: np.random.Generator, n_classes: int) -> Any:
    """A loss of one score (0 classes) or of K."""
    if n_classes == 0:
        name, parameters = MARGIN_LOSSES[rng.integers(len(MARGIN_LOSSES))]
        return getattr(hf, name)(**parameters)
    which = rng.integers(6)
    if which < 3:
        return getattr(hf, CLASS_LOSSES[which])(BASES[rng.integers(len(BASES))])
    if which == 3:
        return hf.CostSensitiveHinge(rng.integers(0, 5, (n_classes, n_classes)))
    return hf.TopKHinge(int(rng.integers(1, n_classes)), variant=("alpha", "beta")[which - 4])


def draw_rows(rng: np.random.Generator, n: int) -> Any:
    return (
        None,
        None,
        slice(n // 3, None),
        slice(None, None, 2),
        slice(None, None, -1),
        rng.integers(0, n, 2 * n // 3 + 1),
    )[rng.integers(6)]


def digest(result: Any) -> str:
    """A hash of numbers, dtypes and shapes; any NaN is like any other."""
    sha = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, (tuple, list)):
            for inner in part:
                add(inner)
            return
        array = np.array(part)
        if array.dtype.kind == "U":
            sha.update(part.encode())
            return
        array[array != array] = np.nan
        sha.update(f"{type(part).__name__} {array.dtype} {array.shape}".encode())
        sha.update(array.tobytes())

    add(result)
    return sha.hexdigest()[:16]


def answer(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a call returns, or the text of what it raises."""
    try:
        return function(*arguments, **keywords)
    except ValueError as error:
        return str(error)


def calls(hf: Any, number: int) -> dict[str, Any]:
    """The results of one drawn problem, by what was asked."""
    rng = np.random.default_rng((SEED, number))
    n, d = SHAPES[rng.integers(len(SHAPES))]
    n_classes = int(rng.choice([0, 0, 2, 3, 9, 16, 21, 100]))
    if n_classes * d > 100_000:
        n_classes = 3
    layout, dtype = LAYOUTS[rng.integers(len(LAYOUTS))], DTYPES[rng.integers(len(DTYPES))]
    loss = draw_loss(hf, rng, n_classes)
    X = random_matrix(rng, n, d, layout, dtype)
    y = rng.integers(0, n_classes, n) if n_classes else 2 * rng.integers(0, 2, n) - 1
    label_dtype = LABEL_DTYPES[rng.integers(len(LABEL_DTYPES))]
    classes = None
    if rng.random() < 0.3 and n_classes:
        lowest = -n_classes if label_dtype == "i1" else 0
        classes = rng.permutation(np.arange(lowest, lowest + 2 * n_classes, 2))
        y = classes[y]
    elif n_classes == 0 and (label_dtype == "u1" or rng.random() < 0.3):
        classes, y = (3, 7), 5 + 2 * y
    y = y.astype(label_dtype)
    keywords: dict[str, Any] = {"classes": classes}
    if rng.random() < 0.4:
        weight = rng.random(n) * (rng.random(n) < 0.9) * rng.choice([1e-300, 1e-30, 1, 1, 1e30])
        keywords["sample_weight"] = weight.astype(("f8", "f4", ">f8")[rng.integers(3)])
        keywords["sample_weight"][0] = 1
    if rng.random() < 0.3:
        keywords["class_weight"] = rng.random(n_classes or 2) + 0.1
    reduction = ("mean", "sum")[rng.integers(2)]
    coef = normals(rng, *((n_classes, d) if n_classes else (d,))).astype(
        ("f8", "f4")[rng.integers(2)]
    ) / math.sqrt(d)
    intercept = normals(rng, n_classes) if n_classes else float(normals(rng))
    alpha, rows, n_threads = float(rng.choice([0.0, 0.25])), draw_rows(rng, n), int(rng.integers(1, 3))
    of_rows = f"{sorted(keywords)} {reduction} {type(rows).__name__}"
    where = f"{number} {n}x{d} {layout} {dtype} {loss!r:.60} y:{label_dtype} {of_rows}"
    results: dict[str, Any] = {}
    common = keywords | {"reduction": reduction, "n_threads": n_threads}
    results["linear"] = answer(
        hf.linear_value_and_grad, X, y, coef, intercept, loss=loss, alpha=alpha, rows=rows, **common
    )
    results["scores"] = hf.decision_function(X, coef, intercept, rows=rows, n_threads=n_threads)
    if n_classes and classes is None:
        common["classes"] = n_classes
    objective = hf.Objective(
        X,
        y,
        loss=loss,
        alpha=alpha,
        fit_intercept=bool(rng.integers(2)),
        penalize_intercept=bool(rng.integers(2)),
        dtype=(None, np.float64)[rng.integers(2)],
        **common,
    )
    theta = normals(rng, objective.size).astype(("f8", "f4")[rng.integers(2)]) / math.sqrt(d)
    results["objective"] = (
        answer(objective.value_and_grad, theta, rows=rows),
        objective.decision_function(theta),
    )
    results["alone"] = answer(objective.value, theta), answer(objective.grad, theta)
    if loss._bound.has_curvature:
        results["hessp"] = answer(objective.hessp, theta, normals(rng, objective.size))
    moved = theta.copy()
    results["step"] = answer(objective.step, moved, 0.1, rows=rows), moved
    on_scores = common | {"classes": classes, "reduction": ("mean", "sum", "none")[rng.integers(3)]}
    all_scores = hf.decision_function(X, coef, intercept)
    all_scores = (
        all_scores,
        all_scores.astype("f4"),
        all_scores.astype("f2"),
        np.repeat(all_scores, 2, axis=0)[::2],
        all_scores.astype(">f8"),
    )[rng.integers(5)]
    results["loss"] = answer(loss.value_and_grad, y, all_scores, **on_scores)
    results["loss alone"] = (
        answer(loss.value, y, all_scores, **on_scores),
        answer(loss.grad, y, all_scores, **on_scores),
    )
    results["plain"] = loss.value_and_grad(y, np.ascontiguousarray(all_scores, "f8"), classes=classes)
    return {f"{where} {what}": result for what, result in results.items()}


def large_calls(hf: Any) -> dict[str, Any]:
    """Several tasks, gradients too large for one a task, outputs written past the caches."""
    rng = np.random.default_rng(SEED)
    results: dict[str, Any] = {}
    for n_threads in (1, 2):
        for dtype in ("f8", "f4"):
            y = 2 * rng.integers(0, 2, 3_500_000) - 1
            scores = normals(rng, y.size).astype(dtype)
            for loss in (hf.Hinge(), hf.AlgebraicHinge()):
                results[f"many scores {dtype} {loss}"] = loss.value_and_grad(
                    y.astype(dtype), scores, n_threads=n_threads
                )
            X = normals(rng, 30_000, 100).astype(dtype)
            for X_of_order in (X, np.asfortranarray(X)):
                results[f"many rows {dtype} {X_of_order.flags.f_contiguous}"] = hf.linear_value_and_grad(
                    X_of_order, y[: len(X)], np.ones(100), loss="psi_g", n_threads=n_threads
                )
            wide = random_matrix(rng, 3000, 4000, "csr", dtype)
            classes = rng.integers(0, 20, 3000)
            for loss in ("crammer_singer", "weston_watkins"):
                results[f"wide {dtype} {loss}"] = hf.linear_value_and_grad(
                    wide, classes, normals(rng, 20, 4000) / 60, loss=loss, n_threads=n_threads
                )
                results[f"class scores {dtype} {loss}"] = hf.get_loss(loss).value_and_grad(
                    np.tile(classes, 100), normals(rng, 300_000, 20).astype(dtype), n_threads=n_threads
                )
            results[f"class rows {dtype}"] = hf.linear_value_and_grad(
                X,
                np.tile(classes, 10),
                normals(rng, 20, 100),
                loss="one_vs_rest:logistic",
                n_threads=n_threads,
            )
    return results


def record(n_calls: int) -> dict[str, str]:
    import hingefast as hf

    results = dict(large_calls(hf))
    for number in range(n_calls):
        results |= {name: digest(result) for name, result in calls(hf, number).items()}
    return {name: result if isinstance(result, str) else digest(result) for name, result in results.items()}


def recorded(python: str, folder: Path, level: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "HINGEFAST_LEVEL": level}
    done = subprocess.run(
        [python, __file__, "--record"], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def compare(python: str, folders: dict[str, Path]) -> int:
    """Print what differs; how many calls did."""
    code = "import hingefast; print(*hingefast.show_config(mode='dicts')['levels'])"
    environment = {**os.environ, "PYTHONPATH": str(folders["base"])}
    levels = subprocess.run(
        [python, "-P", "-c", code], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    different = 0
    first: dict[str, str] = {}
    for level in levels.stdout.split():
        base = recorded(python, folders["base"], level)
        head = recorded(python, folders["head"], level)
        first = first or base
        wrong = [name for name in base if not base[name] == head.get(name) == first[name]]
        different += len(wrong)
        print(f"{level}: {len(base)} results, {len(wrong)} differ", flush=True)
        print("".join(f"  {name}\n" for name in wrong[:SHOWN]), end="")
    return different


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", nargs="?", help="a revision; by default as in ci/bench_compare.py")
    parser.add_argument("head", nargs="?", help="a revision; by default this checkout")
    parser.add_argument("--record", action="store_true", help="print the hashes of every result as JSON")
    parser.add_argument(
        "--problems", type=int, default=N_CALLS, help=f"how many to record (default {N_CALLS})"
    )
    arguments = parser.parse_args()
    if arguments.record:
        np.seterr(all="ignore")
        json.dump(record(arguments.problems), sys.stdout)
        return 0
    try:
        pair = bench_compare.versions(arguments.base, arguments.head)
        with tempfile.TemporaryDirectory() as folder:
            return 1 if compare(*bench_compare.build(pair, Path(folder))) else 0
    except bench_compare.Failure as error:
        print(f"same_bits.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
