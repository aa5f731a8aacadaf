"""Promise: no call knows anything of those before it: what a thread keeps from call to call changes no answer, whatever
the order of shapes, losses, dtypes, steps, empty batches and failures; of K classes and of two.
"""

import threading
from itertools import product

import numpy as np
import pytest
from conftest import DTYPES, bits
from kinds import KINDS, LAYOUTS

import hingefast as hf


def on_a_fresh_thread(call):
    """What `call` returns on a thread that never called before."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def stepped(objective, start, rows=None):
    theta = start.copy()
    return objective.step(theta, 0.25, rows=rows), theta


def failing(call):
    def attempt():
        try:
            call()
        except ValueError as error:
            return str(error)
        raise AssertionError("the call must fail")

    return attempt


SQUARED = KINDS["squared_hinge"]
OF_CLASSES = KINDS["crammer_singer:squared_hinge"]


def calls_on(kind, X, case):
    """Calls of all kinds on one problem, by name."""
    n, y, coef, intercept = len(case.X), case.y, case.coef, case.intercept
    bad = y.copy()
    bad[-1] = 7 if kind.binary else kind.n_classes
    plain, penalized = kind.objective(X, y), kind.objective(X, y, alpha=0.1)
    theta = plain.pack(coef, intercept)
    empty = np.zeros(0, dtype=int)
    return {
        "gradient": lambda: bits(kind.call(X, case)),
        "no rows": lambda: bits(kind.call(X, case, rows=empty, reduction="sum")),
        "few rows": lambda: bits(plain.value_and_grad(theta, rows=slice(0, 3))),
        "step": lambda: bits(stepped(plain, theta)),
        "step of few rows": lambda: bits(stepped(plain, theta, rows=[1, 2])),
        "penalized step": lambda: bits(stepped(penalized, theta)),
        "hessp": lambda: bits(penalized.hessp(theta, theta)),
        "value": lambda: bits(plain.value(theta)),
        "scores": lambda: bits(hf.decision_function(X, coef, intercept)),
        "bad label": failing(lambda: kind.call(X, case, y=bad)),
        "bad rows": failing(lambda: plain.value_and_grad(theta, rows=[0, n])),
    }


def everything():
    """(name, call) of all calls on problems of many shapes."""
    made = {}
    for n, d, n_classes in ((40, 3, 3), (40, 60, 3), (9, 200, 7), (70, 17, 40), (35, 5, 2)):
        for dtype, kind in product(DTYPES, (SQUARED, *OF_CLASSES.of(n_classes))):
            case = kind.problem(n, d, dtype, seed=1)
            for layout, convert in LAYOUTS.items():
                for name, call in calls_on(kind, convert(case.X), case).items():
                    made[f"{name} {n}x{d}x{n_classes} {np.dtype(dtype)} {layout} {kind}"] = call
    return made


def test_any_order():
    calls = everything()
    want = {name: on_a_fresh_thread(call) for name, call in calls.items()}
    assert len(set(want.values())) > 200
    rng = np.random.default_rng(0)
    names = list(calls)
    for _ in range(8):
        previous = None
        for name in rng.permutation(names):
            assert calls[name]() == want[name], (previous, name)
            previous = name


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("kind", [SQUARED, *OF_CLASSES.of(4)], ids=str)
def test_every_pair(kind, layout):
    """Each kind of call right after each other kind, on a smaller and on a larger problem."""
    calls = {}
    for d in (5, 90):
        case = kind.problem(30, d, seed=2)
        for name, call in calls_on(kind, LAYOUTS[layout](case.X), case).items():
            calls[f"{name} of {d} columns"] = call
    want = {name: on_a_fresh_thread(call) for name, call in calls.items()}
    wrong = []
    for first in calls:
        for second in calls:
            calls["gradient of 90 columns"]()  # leaves its numbers behind
            calls[first]()
            if calls[second]() != want[second]:
                wrong.append((first, second))
    assert wrong == []
