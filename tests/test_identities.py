"""Promise: the same loss reached two ways is the same: two classes are a binary problem, and the arrangements agree
where their definitions do.
"""

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, every_dtype
from kinds import CATALOGUE, LAYOUTS, ON_A_BASE, every_layout, every_loss, problem, telling_scores

import hingefast as hf


@every_dtype
@every_loss
@pytest.mark.parametrize("name", ["crammer_singer", "weston_watkins"])
def test_two_classes_are_the_binary_loss_of_the_difference(name, loss, dtype):
    """Bit for bit: s_c - s_j is y (s_1 - s_0), and the gradient is -g, g."""
    several = ON_A_BASE[name](loss)
    for n in (6, 7, 33, 1001):
        data = telling_scores(n, dtype, seed=1, n_classes=2)
        signs = np.where(data.y == 1, 1, -1)
        z = data.scores[:, 1] - data.scores[:, 0]
        edges = signs[:5] * np.array([0, 1, -1, 0.5, 2], dtype=dtype)
        data.scores[:5, 0], data.scores[:5, 1] = 0, edges
        z[:5] = edges
        for keywords in ({}, {"sample_weight": data.weights}, {"class_weight": (0.5, 3.0)}):
            values, grad = several.value_and_grad(data.y, data.scores, reduction="none", **keywords)
            want, g = loss.value_and_grad(signs, z, reduction="none", **keywords)
            assert bits(values) == bits(want)
            assert bits(grad) == bits(np.stack([-g + 0, g], axis=1))
            for reduction in ("mean", "sum"):
                value, grad = several.value_and_grad(data.y, data.scores, reduction=reduction, **keywords)
                total, g = loss.value_and_grad(signs, z, reduction=reduction, **keywords)
                # Of the same numbers; the two passes may add them in another order.
                assert abs(value - total) <= n * np.finfo(float).eps * total
                if reduction == "sum":
                    assert bits(grad) == bits(np.stack([-g + 0, g], axis=1))
                np.testing.assert_allclose(grad[:, 1], g, rtol=2 * np.finfo(dtype).eps, atol=0)


@every_dtype
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_two_classes_with_special_scores(special, dtype):
    for name, base in CATALOGUE.items():
        for c in (0, 1):
            for position in (0, 1):
                scores = np.array([[0.5, -0.25]], dtype=dtype)
                scores[0, position] = special
                z = scores[:, 1] - scores[:, 0]
                for cls in (hf.CrammerSinger, hf.WestonWatkins):
                    values, grad = cls(base).value_and_grad([c], scores, reduction="none")
                    want, g = base.value_and_grad([2 * c - 1], z, reduction="none")
                    assert bits(values) == bits(want), name
                    if not np.isnan(special):
                        assert bits(grad) == bits(np.stack([-g + 0, g], axis=1)), name
                    else:
                        assert np.isnan(grad[0, c]) and np.isnan(grad[0, position])


def two_class_theta(case, dtype):
    """Two rows of coefficients, and their difference without rounding."""
    coef = np.stack([np.zeros_like(case.coef[0]), case.coef[1]])
    return coef.astype(dtype), np.array([0.0, 0.25], dtype=dtype)


@every_dtype
@every_layout
def test_two_classes_of_a_linear_model(layout, dtype):
    """The first class's scores are 0, so that the difference is the second one's: a binary model."""
    case = problem(130, 19, dtype, seed=2, n_classes=2)
    X = LAYOUTS[layout](case.X)
    coef, intercept = two_class_theta(case, dtype)
    signs = np.where(case.y == 1, 1, -1)
    for loss in ("hinge", "squared_hinge", "logistic"):
        for name in ("crammer_singer", "weston_watkins"):
            value, grad, grad_intercept = hf.linear_value_and_grad(
                X, case.y, coef, intercept, loss=ON_A_BASE[name](loss), sample_weight=case.weights
            )
            want = hf.linear_value_and_grad(
                X, signs, coef[1], float(intercept[1]), loss=loss, sample_weight=case.weights
            )
            tolerance = 1e-5 if dtype is np.float32 else 1e-12
            assert value == pytest.approx(want[0], rel=tolerance)
            np.testing.assert_allclose(grad[1], want[1], rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(grad[0], -grad[1], rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(grad_intercept, [-want[2], want[2]], rtol=tolerance, atol=tolerance)


def assert_no_rivals_round_together(labels, scores, dtype):
    """Two different scores that give the same u would tie in one definition and not in the other."""
    u = oracle.top_values(oracle.Definition("TopKHinge"), labels, scores, dtype)
    u[np.arange(len(labels)), labels] = -np.inf
    best = u.max(axis=1)
    assert ((u == best[:, None]).sum(axis=1) == 1).all()


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 3, 10, 16, 17, 100, 1000])
def test_three_ways_to_the_crammer_singer_hinge(n_classes, dtype):
    data = telling_scores(64, dtype, seed=3, n_classes=n_classes)
    assert_no_rivals_round_together(data.y, data.scores, dtype)
    losses = [hf.CrammerSinger("hinge"), hf.CostSensitiveHinge(1 - np.eye(n_classes))]
    losses += [hf.TopKHinge(1), hf.TopKHinge(1, "beta")]
    for reduction in ("mean", "sum", "none"):
        for keywords in ({}, {"sample_weight": data.weights}):
            results = [
                bits(loss.value_and_grad(data.y, data.scores, reduction=reduction, **keywords))
                for loss in losses
            ]
            assert len(set(results)) == 1
    # With ties of scores, the lowest class in each of them; the diagonal of the cost counts for nothing.
    tied = np.round(data.scores / 4).astype(dtype)
    if n_classes > 2:
        others = np.where(np.arange(n_classes) == data.y[:, None], -np.inf, tied)
        assert ((others == others.max(axis=1)[:, None]).sum(axis=1) > 1).any()
    losses[1] = hf.CostSensitiveHinge(np.ones((n_classes, n_classes)))
    results = [bits(loss.value_and_grad(data.y, tied, reduction="none")) for loss in losses]
    assert len(set(results)) == 1


@every_dtype
@every_layout
def test_three_ways_of_a_linear_model(layout, dtype):
    case = problem(150, 23, dtype, seed=4, n_classes=7)
    scores = hf.decision_function(LAYOUTS[layout](case.X), case.coef, case.intercept)
    assert_no_rivals_round_together(case.y, scores, dtype)
    results = set()
    for loss in (
        "crammer_singer",
        hf.CostSensitiveHinge(1 - np.eye(7)),
        hf.TopKHinge(1),
        hf.TopKHinge(1, "beta"),
    ):
        results.add(
            bits(
                hf.linear_value_and_grad(
                    LAYOUTS[layout](case.X), case.y, case.coef, case.intercept, loss=loss, alpha=0.1
                )
            )
        )
    assert len(results) == 1


@every_dtype
@every_loss
@pytest.mark.parametrize("n_classes", [2, 3, 17])
def test_one_versus_rest_is_a_sum_of_binary_problems(n_classes, loss, dtype):
    data = telling_scores(40, dtype, seed=5, n_classes=n_classes)
    values, grad = hf.OneVsRest(loss).value_and_grad(data.y, data.scores, reduction="none")
    total = np.zeros(40)
    for j in range(n_classes):
        signs = np.where(data.y == j, 1, -1)
        value, g = loss.value_and_grad(signs, data.scores[:, j], reduction="none")
        assert bits(grad[:, j]) == bits(g)
        total += value
    tolerance = n_classes * np.finfo(float).eps + np.finfo(dtype).eps
    np.testing.assert_allclose(values, total, rtol=tolerance)


@every_dtype
@every_layout
def test_one_versus_rest_of_a_linear_model(layout, dtype):
    """K binary models side by side, alpha included."""
    case = problem(130, 19, dtype, seed=6, n_classes=6)
    X = LAYOUTS[layout](case.X)
    for base in ("hinge", "logistic"):
        value, grad, grad_intercept = hf.linear_value_and_grad(
            X, case.y, case.coef, case.intercept, loss=hf.OneVsRest(base), alpha=0.2
        )
        total = 0.0
        for j in range(6):
            signs = np.where(case.y == j, 1, -1)
            one = hf.linear_value_and_grad(
                X, signs, case.coef[j], float(case.intercept[j]), loss=base, alpha=0.2
            )
            total += one[0]
            tolerance = 1e-5 if dtype is np.float32 else 1e-12
            np.testing.assert_allclose(grad[j], one[1], rtol=tolerance, atol=tolerance)
            assert grad_intercept[j] == pytest.approx(one[2], rel=tolerance, abs=tolerance)
        assert value == pytest.approx(total, rel=1e-5 if dtype is np.float32 else 1e-12)


@every_dtype
@every_loss
def test_weston_watkins_is_a_sum_over_pairs(loss, dtype):
    data = telling_scores(30, dtype, seed=7, n_classes=6)
    values, grad = hf.WestonWatkins(loss).value_and_grad(data.y, data.scores, reduction="none")
    here = np.arange(30)
    own = data.scores[here, data.y]
    total = np.zeros(30)
    for j in range(6):
        other = data.y != j
        value, g = loss.value_and_grad(np.ones(30), own - data.scores[:, j], reduction="none")
        total += np.where(other, value, 0)
        assert bits(grad[other, j]) == bits(-g[other] + 0)
    np.testing.assert_allclose(values, total, rtol=6 * np.finfo(float).eps + np.finfo(dtype).eps)
    # The slopes of a row add up to nothing: only differences of scores count.
    allowed = 8 * np.finfo(dtype).eps * np.abs(grad).sum(axis=1)
    assert (np.abs(grad.astype(float).sum(axis=1)) <= allowed).all()


@every_dtype
def test_top_k_of_all_beta_is_weston_watkins_over_its_number(dtype):
    data = telling_scores(30, dtype, seed=8, n_classes=6)
    value, grad = hf.TopKHinge(5, "beta").value_and_grad(data.y, data.scores, reduction="sum")
    other = hf.WestonWatkins().value_and_grad(data.y, data.scores, reduction="sum")
    # a_c = 0 may be one of the five largest, where the smallest of the others is below 0 and adds nothing either.
    tolerance = 8 * np.finfo(dtype).eps
    assert value == pytest.approx(other[0] / 5, rel=2e-6 if dtype is np.float32 else 1e-12)
    np.testing.assert_allclose(grad, other[1] / 5, rtol=tolerance, atol=tolerance)


@every_dtype
@pytest.mark.parametrize("name", ON_A_BASE)
def test_classes_may_be_permuted(name, dtype):
    """Columns and labels in another order: the same losses, and the gradient in that order."""
    data = telling_scores(50, dtype, seed=9, n_classes=9)
    order = np.random.default_rng(1).permutation(9)
    inverse = np.argsort(order)
    for base in ("hinge", "logistic"):
        loss = ON_A_BASE[name](base)
        values, grad = loss.value_and_grad(data.y, data.scores, reduction="none")
        moved, moved_grad = loss.value_and_grad(
            inverse[data.y], np.ascontiguousarray(data.scores[:, order]), reduction="none"
        )
        tolerance = 12 * np.finfo(dtype).eps
        np.testing.assert_allclose(moved, values, rtol=tolerance)
        np.testing.assert_allclose(moved_grad, grad[:, order], rtol=tolerance, atol=tolerance)
        # The same through `classes`, to the bit: labels name columns.
        named = loss.value_and_grad(
            data.y, np.ascontiguousarray(data.scores[:, order]), classes=order, reduction="none"
        )
        assert bits(named) == bits(moved, moved_grad)


@every_dtype
@pytest.mark.parametrize("shift", [1.0, -8.0])
def test_a_shift_of_all_scores_changes_nothing(shift, dtype):
    """Of all but one-versus-rest, which sees scores and not their differences."""
    scores = np.round(telling_scores(50, dtype, seed=10, n_classes=5).scores * 64) / 64
    labels = np.arange(50) % 5
    moved = (scores + dtype(shift)).astype(dtype)
    for loss in (hf.CrammerSinger("logistic"), hf.WestonWatkins("psi_g"), hf.TopKHinge(2)):
        assert bits(loss.value_and_grad(labels, moved)) == bits(loss.value_and_grad(labels, scores))
    assert hf.OneVsRest()(labels, moved) != hf.OneVsRest()(labels, scores)
