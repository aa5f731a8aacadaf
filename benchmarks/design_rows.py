"""The rows of the table of speeds in the design: what each wants, said once; cases refer to them by key."""

from collections.abc import Iterator
from dataclasses import dataclass

# Targets are for the highest level; the same cases are also measured at these.
LOWER_LEVELS = ("x86_v3", "base")

# Ceilings, in words.
MULTIPLY, EXP, COPY = "np.multiply(y, z, out=g)", "np.exp(z, out=g)", "np.copyto(G, Z)"
EXPRESSION = "the idiomatic expression"
X_W, X_WT = "X @ w", "X @ W.T"
SCIPY_X_W, SCIPY_X_WT = "SciPy's X @ w", "SciPy's X @ W.T"
C_ORDER = "hingefast, C order"
FLOAT32_X, FLOAT64_X = "hingefast, float32 X", "hingefast, float64 X"
ADD, BUS = "np.add(y, z, out=g), the smallest call", "reading the same bytes"
TORCH = "torch.nn.MultiMarginLoss"

# Ends the key of a row whose targets are for 2 threads.
TWO_THREADS = "-2-threads"

# These have one thread whatever is asked for.
ONE_THREAD = {MULTIPLY, EXP, COPY, SCIPY_X_W, SCIPY_X_WT}


# How many times as fast as the strongest SciPy pass real sets have to be.
REAL_SPEEDUPS = {
    "a9a": 1.7,
    "agaricus": 1.7,
    "rcv1": 1.7,
    "farm-ads": 1.7,
    "cod-rna": 2.5,
    "splice": 2.5,
    "letter": 2.5,
    "mq2008": 2.5,
    "skin": 2.0,
    "imdb": 1.5,
    "news20": 1.5,
}


# Of these also with other shares of active rows.
REAL_BY_ACTIVITY = ("a9a", "rcv1", "cod-rna", "news20")


@dataclass(frozen=True)
class DesignRow:
    """One size of one row of the table.

    Attributes
    ----------
    title, ceiling : str
        What is measured and what it is compared with, in words.
    target_f64, target_f32 : float or None
        The largest ratio to the ceiling.
    least_speedup : float or None
        How many times as fast as the strongest NumPy pass it has to be.
    n_threads : int
        For which the targets hold.
    """

    title: str
    ceiling: str
    target_f64: float | None = None
    target_f32: float | None = None
    least_speedup: float | None = None
    n_threads: int = 1

    def target(self, dtype: str) -> float | None:
        """The largest ratio for "f64" or "f32"."""
        return self.target_f64 if dtype == "f64" else self.target_f32


def ceiling_at(ceiling: str, n_threads: int) -> str:
    """The same words, telling of a ceiling that has one thread only when hingefast has more."""
    return f"{ceiling}, one thread" if n_threads > 1 and ceiling in ONE_THREAD else ceiling


def _rows() -> Iterator[tuple[str, DesignRow]]:
    """In the order of the table."""
    yield "scores-1e7", DesignRow("scores, hinge, n = 10^7", MULTIPLY, 0.85, 0.85)
    yield "scores-1e7-int8", DesignRow("scores, hinge, n = 10^7, int8 labels", MULTIPLY, 0.7, 0.7)
    yield "scores-1e6", DesignRow("scores, hinge, n = 10^6", MULTIPLY, 1.05, 1.05)
    yield "scores-1e5", DesignRow("scores, hinge, n = 10^5", MULTIPLY, 1.3, 2.0)
    yield "scores-32", DesignRow("scores, hinge, n = 32", EXPRESSION, 0.2, 0.2)
    for n_features, target in ((2, 2.0), (4, 2.0), (8, 1.3), (16, 1.3)):
        yield f"dense-{n_features}", DesignRow(f"dense X, d = {n_features}", X_W, target, target)
    for n_features, f64, f32 in [(32, 1.3, 1.6), (200, 1.1, 1.3), (1000, 1.1, 1.15), (10000, 1.1, 1.15)]:
        yield f"dense-{n_features}", DesignRow(f"dense X, d = {n_features}", X_W, f64, f32)
    row = DesignRow("dense X, d = 1000, 2 threads", X_W, 1.1, 1.15, n_threads=2)
    yield f"dense-1000{TWO_THREADS}", row
    yield "fortran", DesignRow("Fortran-ordered X, d = 1000", C_ORDER, 1.5, 1.5)
    for x_dtype in ("uint8", "int8", "bool"):
        yield f"tile-{x_dtype}", DesignRow(f"{x_dtype} X, d = 1000", FLOAT32_X, target_f32=2.0)
    # imdb is measured in float64 alone.
    for source, name, is_f32 in (("", "text-like", True), ("-imdb", "imdb", False)):
        for key, title, target, n_threads in (
            ("csr-25", "25 % of the rows active", 1.35, 1),
            (f"csr-25{TWO_THREADS}", "25 % of the rows active, 2 threads", 0.75, 2),
            ("csr-100", "all rows active", 1.8, 1),
        ):
            target_f32 = target if is_f32 else None
            row = DesignRow(f"CSR, {name}, {title}", SCIPY_X_W, target, target_f32, n_threads=n_threads)
            yield key.replace("csr", f"csr{source}"), row
    for name, least in REAL_SPEEDUPS.items():
        row = DesignRow(f"CSR, {name}, at the class means", SCIPY_X_W, least_speedup=least)
        yield f"real-{name}", row
    for name in REAL_BY_ACTIVITY:
        title = f"CSR, {name}, 0, 25 and 100 % of the rows active; coef = 0"
        yield f"real-{name}-active", DesignRow(title, SCIPY_X_W, least_speedup=1.3)
    for initials, loss in (("CS", "Crammer-Singer"), ("WW", "Weston-Watkins")):
        for n_classes, target in ((2, 2.5), (10, 2.0), (100, 1.5), (1000, 1.5)):
            row = DesignRow(f"scores, {loss}, K = {n_classes}", COPY, target, target)
            yield f"class-scores-{initials}-{n_classes}", row
    crammer_singer = "dense X, Crammer-Singer, d = 784"
    yield "class-dense-CS-10", DesignRow(f"{crammer_singer}, K = 10", X_WT, 0.7, 0.7, least_speedup=3.0)
    yield "class-dense-CS-100", DesignRow(f"{crammer_singer}, K = 100", X_WT, least_speedup=1.5)
    yield "class-dense-CS-1000", DesignRow(f"{crammer_singer}, K = 1000", X_WT, least_speedup=1.5)
    yield "class-dense-WW-10", DesignRow("dense X, Weston-Watkins, d = 784, K = 10", X_WT, 0.9, 0.9)
    for initials, loss in (("CS", "Crammer-Singer"), ("WW", "Weston-Watkins")):
        for name, title in (("news20", "20 Newsgroups"), ("letter", "26 letters")):
            row = DesignRow(f"CSR, {title}, {loss}", SCIPY_X_WT, least_speedup=1.6)
            yield f"class-csr-{initials}-{name}", row
            row = DesignRow(f"CSR, {title}, {loss}, all rows active", SCIPY_X_WT, least_speedup=1.3)
            yield f"class-csr-{initials}-{name}-first", row
    for n_classes in (10, 100):
        row = DesignRow(f"scores, Weston-Watkins, K = {n_classes}, next to torch", TORCH, 0.2, 0.2)
        yield f"class-torch-{n_classes}", row
    yield "softplus", DesignRow("scores, softplus hinge, n = 10^6", EXP, 4.0, 4.0)
    yield "logistic", DesignRow("scores, logistic, n = 10^6", EXP, 4.0, 4.0)
    yield "psi_g", DesignRow("scores, psi_G, n = 10^6", EXP, 8.0, 8.0)


DESIGN_ROWS: dict[str, DesignRow] = dict(_rows())
