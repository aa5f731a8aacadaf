"""Inputs are never modified, neither by calls that succeed nor by calls that fail; read-only inputs are
accepted.
"""

import numpy as np
import pytest
from conftest import bits, every_dtype, strided
from kinds import every_default_loss, telling_scores

import hingefast as hf


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@every_dtype
@every_default_loss
def test_read_only_inputs_are_accepted(loss, dtype):
    data = telling_scores(300, dtype)
    signs, scores, weights = frozen(data.y), frozen(data.scores), frozen(data.weights)
    pair, classes = frozen(np.array([0.5, 2.0])), frozen(np.array([-1, 1]))
    before = [a.tobytes() for a in (signs, scores, weights, pair, classes)]
    for keywords in (
        {},
        {"sample_weight": weights},
        {"class_weight": pair, "classes": classes},
        {"sample_weight": weights, "class_weight": pair, "n_threads": 2},
    ):
        for reduction in ("mean", "sum", "none"):
            loss.value_and_grad(signs, scores, reduction=reduction, **keywords)
            loss.value(signs, scores, reduction=reduction, **keywords)
            loss.grad(signs, scores, reduction=reduction, **keywords)
    assert [a.tobytes() for a in (signs, scores, weights, pair, classes)] == before


@every_dtype
@pytest.mark.parametrize("n", [1, 17, 300_007])
def test_bytes_beside_inputs_and_outputs_are_untouched(n, dtype):
    """Neither the arrays nor what lies before and after them."""
    loss = hf.LogisticLoss()
    data = telling_scores(max(n, 16), dtype)
    guard = 64

    def walled(array):
        room = np.full(n + 2 * guard, 99, dtype=array.dtype)
        room[guard : guard + n] = array[:n]
        return room, room[guard : guard + n]

    rooms = [walled(a) for a in (data.y, data.scores, data.weights)]
    outs = [walled(np.zeros_like(data.scores)) for _ in range(2)]
    before = [room.tobytes() for room, _ in rooms]
    y, z, w = (view for _, view in rooms)
    loss.value_and_grad(y, z, sample_weight=w, reduction="none", out=(outs[0][1], outs[1][1]), n_threads=3)
    assert [room.tobytes() for room, _ in rooms] == before
    for room, _ in outs:
        assert (room[:guard] == 99).all()
        assert (room[guard + n :] == 99).all()


@every_dtype
def test_failing_calls(dtype):
    data = telling_scores(400, dtype)
    bad_labels, bad_weights = data.y.copy(), data.weights.copy()
    bad_labels[333], bad_weights[321] = 0, -1
    y, z, w = data.y, data.scores, data.weights
    loss = hf.Hinge()
    attempts = [
        lambda: loss.value_and_grad(bad_labels, z),
        lambda: loss.value_and_grad(bad_labels, z, sample_weight=bad_weights, out=np.empty(400, dtype=dtype)),
        lambda: loss.value_and_grad(y, z, sample_weight=bad_weights),
        lambda: loss.value_and_grad(y, z, sample_weight=bad_weights, class_weight=(1, 2), n_threads=2),
        lambda: loss.value_and_grad(y, z, out=z),
        lambda: loss.grad(y, z, sample_weight=w, out=w if dtype is np.float64 else z[::-1]),
        lambda: loss.value_and_grad(y[:-1], z),
        lambda: loss.value_and_grad(y, z, sample_weight=w[1:]),
        lambda: loss.value_and_grad(y, z, reduction="nothing"),
        lambda: loss.value_and_grad(y, z, n_threads="2"),
        lambda: loss.value_and_grad(z, y),
        lambda: loss.value_and_grad(y, z, class_weight=(1, -1)),
        lambda: loss.value_and_grad(strided(bad_labels), strided(z)),
        lambda: loss.value_and_grad(y, z, sample_weight=np.zeros(400)),
        lambda: loss.value(y, z, out=np.empty(400, dtype=dtype)),
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
