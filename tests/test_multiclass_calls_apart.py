"""Promise: no call knows anything of those before it: what a thread keeps from call to call changes no answer, whatever
the order of shapes, losses, dtypes, steps, empty batches and failures; of K classes and of two.
"""

import threading

import linear_cases
import numpy as np
import pytest
from conftest import bits
from linear_cases import as_csr
from multiclass_cases import problem

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


def calls_on(X, case, n_classes, signs):
    """Calls of all kinds on one problem, by name; n_classes is None for two classes and one margin."""
    n = len(case.X)
    if n_classes is None:
        y, coef, intercept, loss, wrong = signs, case.coef, case.intercept, "squared_hinge", 7
        more = {}
    else:
        y, coef, intercept = case.y, case.coef, case.intercept
        loss, wrong, more = "crammer_singer:squared_hinge", n_classes, {"classes": n_classes}
    bad = y.copy()
    bad[-1] = wrong
    keywords = {"loss": loss, **more}
    plain = hf.Objective(X, y, **keywords)
    penalized = hf.Objective(X, y, alpha=0.1, **keywords)
    theta = plain.pack(coef, intercept)
    empty = np.zeros(0, dtype=int)
    return {
        "gradient": lambda: bits(hf.linear_value_and_grad(X, y, coef, intercept, **keywords)),
        "no rows": lambda: bits(
            hf.linear_value_and_grad(X, y, coef, intercept, rows=empty, reduction="sum", **keywords)
        ),
        "few rows": lambda: bits(plain.value_and_grad(theta, rows=slice(0, 3))),
        "step": lambda: bits(stepped(plain, theta)),
        "step of few rows": lambda: bits(stepped(plain, theta, rows=[1, 2])),
        "penalized step": lambda: bits(stepped(penalized, theta)),
        "hessp": lambda: bits(penalized.hessp(theta, theta)),
        "value": lambda: bits(plain.value(theta)),
        "scores": lambda: bits(hf.decision_function(X, coef, intercept)),
        "bad label": failing(lambda: hf.linear_value_and_grad(X, bad, coef, intercept, **keywords)),
        "bad rows": failing(lambda: plain.value_and_grad(theta, rows=[0, n])),
    }


def everything():
    """(name, call) of all calls on problems of many shapes."""
    made = {}
    for n, d, n_classes in ((40, 3, 3), (40, 60, 3), (9, 200, 7), (70, 17, 40), (35, 5, 2)):
        for dtype in (np.float32, np.float64):
            case = problem(n, d, n_classes, dtype, seed=1)
            two = linear_cases.problem(n, d, dtype, seed=1)
            for layout, convert in (("dense", np.asarray), ("csr", as_csr), ("fortran", np.asfortranarray)):
                shape = f"{n}x{d}x{n_classes} {np.dtype(dtype)} {layout}"
                for name, call in calls_on(convert(case.X), case, n_classes, None).items():
                    made[f"{name} {shape}"] = call
                for name, call in calls_on(convert(two.X), two, None, two.y).items():
                    made[f"{name} {shape} binary"] = call
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
@pytest.mark.parametrize("n_classes", [None, 4])
def test_every_pair(n_classes, layout):
    """Each kind of call right after each other kind, on a smaller and on a larger problem."""
    convert = {"dense": np.asarray, "csr": as_csr}[layout]
    calls = {}
    for d in (5, 90):
        case = problem(30, d, n_classes or 3, seed=2)
        if n_classes is None:
            case = linear_cases.problem(30, d, seed=2)
        for name, call in calls_on(convert(case.X), case, n_classes, case.y).items():
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
