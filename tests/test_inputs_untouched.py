"""Promise: inputs are never modified, neither by calls that succeed nor by calls that fail; read-only inputs are
accepted; and nothing beside an input or an output is written.
"""

import numpy as np
import pytest
from conftest import bits, every_dtype, strided
from kinds import KINDS, as_csr, both_kinds, every_way, telling_scores

import hingefast as hf


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@every_dtype
@every_way
def test_read_only_inputs_are_accepted(kind, dtype):
    loss, data = kind.loss, kind.scores(300, dtype)
    y, scores, weights = frozen(data.y), frozen(data.scores), frozen(data.weights)
    by_class, classes = frozen(kind.class_weight), frozen(kind.labels)
    before = [a.tobytes() for a in (y, scores, weights, by_class, classes)]
    for keywords in (
        {},
        {"sample_weight": weights},
        {"class_weight": by_class, "classes": classes},
        {"sample_weight": weights, "class_weight": by_class, "n_threads": 2},
    ):
        for reduction in ("mean", "sum", "none"):
            loss.value_and_grad(y, scores, reduction=reduction, **keywords)
            loss.value(y, scores, reduction=reduction, **keywords)
            loss.grad(y[::2], scores[::2], reduction=reduction)
            loss.grad(y, scores, reduction=reduction, **keywords)
    assert [a.tobytes() for a in (y, scores, weights, by_class, classes)] == before


@every_way
@pytest.mark.parametrize("convert", [np.asarray, as_csr], ids=["dense", "csr"])
def test_read_only_inputs_of_linear_models(kind, convert):
    case = kind.problem(24, 5, seed=2)
    A = convert(case.X)
    held = [case.X, case.y, case.coef, case.weights, np.asarray(case.intercept)]
    held += [] if A is case.X else [A.indptr, A.indices, A.data]
    for array in held:
        array.flags.writeable = False
    before = bits(*held)
    kind.call(A, case, sample_weight=case.weights, alpha=0.5)
    objective = kind.objective(A, case.y, sample_weight=case.weights)
    objective.value_and_grad(objective.pack(case.coef, case.intercept))
    hf.decision_function(A, case.coef)
    y = case.y.copy()
    y[-1] = 7
    with pytest.raises(ValueError):
        kind.call(A, case, y=y)
    assert bits(*held) == before


SIZES = [(n, KINDS["logistic"]) for n in (1, 17, 300_007)]
SIZES += [(n, kind) for kind in KINDS.values() if not kind.binary for n in (1, 17, 3_001)]


@every_dtype
@pytest.mark.parametrize("n,kind", SIZES, ids=str)
def test_bytes_beside_inputs_and_outputs_are_untouched(n, kind, dtype):
    """Neither the arrays nor what lies before and after them."""
    guard, rng = 64, np.random.default_rng(0)

    def walled(array):
        room = np.full(array.size + 2 * guard, 99, dtype=array.dtype)
        room[guard : guard + array.size] = array.ravel()
        return room, room[guard : guard + array.size].reshape(array.shape)

    y, scores = rng.choice(kind.labels, n), rng.standard_normal((n, *kind.shape)).astype(dtype)
    rooms = [walled(a) for a in (y, scores, rng.uniform(0.25, 2, n))]
    outs = [walled(np.zeros(n, dtype)), walled(np.zeros_like(scores))]
    before = [room.tobytes() for room, _ in rooms]
    y, z, w = (view for _, view in rooms)
    out = tuple(view for _, view in outs)
    kind.loss.value_and_grad(y, z, sample_weight=w, reduction="none", out=out, n_threads=3)
    assert [room.tobytes() for room, _ in rooms] == before
    for room, view in outs:
        assert (room[:guard] == 99).all() and (room[guard + view.size :] == 99).all()
        assert (np.abs(view) < 99 * (kind.n_classes or 1)).all()


@every_dtype
@both_kinds
def test_failing_calls(kind, dtype):
    loss, data = kind.loss, kind.scores(400, dtype)
    bad_labels, bad_weights = data.y.copy(), data.weights.copy()
    bad_labels[333], bad_weights[321] = kind.wrong_label, -1
    y, z, w = data.y, data.scores, data.weights
    out, by_class = np.empty_like(z), kind.class_weight
    attempts = [
        lambda: loss.value_and_grad(bad_labels, z),
        lambda: loss.value_and_grad(bad_labels, z, sample_weight=bad_weights, out=out),
        lambda: loss.value_and_grad(y, z, sample_weight=bad_weights),
        lambda: loss.value_and_grad(y, z, sample_weight=bad_weights, class_weight=by_class, n_threads=2),
        lambda: loss.value_and_grad(y, z, out=z),
        lambda: loss.grad(y, z, sample_weight=w, out=w if dtype is np.float64 and kind.binary else z[::-1]),
        lambda: loss.value_and_grad(y[:-1], z),
        lambda: loss.value_and_grad(y, z, sample_weight=w[1:]),
        lambda: loss.value_and_grad(y, z, reduction="nothing"),
        lambda: loss.value_and_grad(y, z, n_threads="2"),
        lambda: loss.value_and_grad(z, y),
        lambda: loss.value_and_grad(y, z, class_weight=-by_class),
        lambda: loss.value_and_grad(strided(bad_labels), np.repeat(z, 3, axis=0)[::3]),
        lambda: loss.value_and_grad(y, z, sample_weight=np.zeros(400)),
        lambda: loss.value(y, z, out=out),
    ]
    before = bits(y, z, w, bad_labels, bad_weights)
    for number, attempt in enumerate(attempts):
        with pytest.raises((TypeError, ValueError)):
            attempt()
        assert bits(y, z, w, bad_labels, bad_weights) == before, number


def test_lists_and_keywords_are_untouched():
    y, z, w, pair, classes = [1, 0, 1], [0.5, 2.0, -1.0], [1, 2, 3], [0.5, 2.0], [0, 1]
    hf.Hinge().value_and_grad(y, z, sample_weight=w, class_weight=pair, classes=classes)
    assert (y, z, w, pair, classes) == ([1, 0, 1], [0.5, 2.0, -1.0], [1, 2, 3], [0.5, 2.0], [0, 1])


@every_dtype
def test_flags_of_inputs_are_untouched(dtype):
    data = telling_scores(64, dtype)
    backwards = data.scores[::-1]
    kept = [(a.flags.writeable, a.strides, a.shape, a.dtype) for a in (data.y, data.scores, backwards)]
    hf.Hinge().value_and_grad(data.y, backwards)
    hf.Hinge().value_and_grad(data.y, data.scores)
    assert [
        (a.flags.writeable, a.strides, a.shape, a.dtype) for a in (data.y, data.scores, backwards)
    ] == kept
