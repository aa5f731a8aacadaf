"""Promise: the oracles are right. They are held against published numbers, against each other and against differences
of values; and the bounds that are made of them are narrow. hingefast computes nothing here.
"""

import multiclass_reference as oracle
import numpy as np
import pytest
import reference
from conftest import every_dtype
from kinds import (
    CATALOGUE,
    RELATIVE,
    WHOLE_CATALOGUE,
    problem,
    right_rows,
    whole_catalogue,
    whole_catalogue_of_classes,
)
from multiclass_reference import Definition

OF_CLASSES = {key: kind for key, kind in WHOLE_CATALOGUE.items() if not kind.binary}
CURVED = {key: kind for key, kind in OF_CLASSES.items() if kind.has_hessian}
SCORES = [[2, 0.5, 0.3, 0.1, 0], [0.5, 2, 1.8, 0.1, 0], [0.5, 0.3, 2, 0.1, 0], [0.5, 0.8, 0.3, 0.1, 0]]


@pytest.mark.parametrize(
    "kind,rows,mean",
    [("CrammerSinger", (0, 0.8, 0, 1.7), 0.625), ("WestonWatkins", (0, 0.8, 0, 5.2), 1.5)],
)
def test_published_numbers(kind, rows, mean):
    values, _ = oracle.scores_value_and_grad(Definition(kind), range(4), SCORES, reduction="none")
    np.testing.assert_allclose(values, rows, rtol=1e-15, atol=1e-16)
    assert oracle.scores_value_and_grad(Definition(kind), range(4), SCORES)[0] == pytest.approx(mean)


def test_the_maximum_is_not_floored():
    """Keras gives 2 for the row whose rivals are far behind; the definition gives 0."""
    value, slopes = oracle.row(Definition("CrammerSinger"), 0, [-1.0, -5.0, -5.0])
    assert value == 0 and slopes == [0, 0, 0]


def test_slopes_by_hand():
    s = [1.0, 0.5, 0.75, -3.0]
    hinge = {"base": "hinge", "params": {}}
    assert oracle.row(Definition("CrammerSinger", **hinge), 0, s) == (0.75, [-1, 0, 1, 0])
    assert oracle.row(Definition("WestonWatkins", **hinge), 0, s) == (0.5 + 0.75, [-2, 1, 1, 0])
    # margins 1, -0.5, -0.75, 3
    assert oracle.row(Definition("OneVsRest", **hinge), 0, s) == (0 + 1.5 + 1.75, [0, 1, 1, 0])
    cost = np.array([[0, 2, 0.5, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], dtype=float)
    assert oracle.row(Definition("CostSensitiveHinge", cost=cost), 0, s) == (1.5, [-1, 1, 0, 0])
    # a = 0, 0.5, 0.75, -3
    assert oracle.row(Definition("TopKHinge", k=2), 0, s) == (0.625, [-1, 0.5, 0.5, 0])
    assert oracle.row(Definition("TopKHinge", k=2, variant="beta"), 0, s) == (0.625, [-1, 0.5, 0.5, 0])
    third = 1 / 3
    assert oracle.row(Definition("TopKHinge", k=3), 0, s) == (1.25 / 3, [third - 1, third, third, 0])
    value, slopes = oracle.row(Definition("TopKHinge", k=3, variant="beta"), 0, s)
    assert (value, slopes) == (1.25 / 3, [-2 * third, third, third, 0])
    # With a_4 among the three largest, alpha goes below 0 and beta does not.
    assert oracle.row(Definition("TopKHinge", k=3), 3, [-9, -9, -9, 1]) == (0, [0, 0, 0, 0])
    # Ties go to the lowest class.
    tied = oracle.row(Definition("CrammerSinger", **hinge), 1, [0.5, 0.0, 0.5, 0.5])
    assert tied == (1.5, [1, -1, 0, 0])
    assert oracle.row(Definition("TopKHinge", k=2), 1, [0.5, 0.0, 0.5, 0.5]) == (1.5, [0.5, -1, 0.5, 0])


@pytest.mark.parametrize("loss", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_twins_of_one_margin(loss):
    m = np.concatenate([np.linspace(-6, 8, 561), [0.5, 1.0, 1.5, 2.0, -1.0, 0.0]])
    got = oracle.phi_array(loss.name, loss.params, m)
    for which, function in enumerate((reference.phi, reference.slope, reference.curvature)):
        want = function(loss.name, loss.params, m)
        # At the ends v = u/sigma is 14 or so: exp rounds its argument v^2/2 by 100 eps.
        np.testing.assert_allclose(got[which], want, rtol=1e-12, atol=1e-300, err_msg=str(which))


@every_dtype
@whole_catalogue_of_classes
def test_twins_of_rows(kind, dtype):
    for of_K in kind.of(2, 3, 10, 17):
        what, data = oracle.definition(of_K.loss), of_K.scores(24, dtype)
        tied = np.round(data.scores * 2) / 2
        for scores in (data.scores, tied.astype(dtype)):
            values, slopes = oracle.rows(what, data.y, scores, dtype)
            plain = [oracle.row(what, c, s, dtype) for c, s in zip(data.y, scores, strict=True)]
            np.testing.assert_allclose(values, [value for value, _ in plain], rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(slopes, [each for _, each in plain], rtol=1e-12, atol=1e-15)
        assert (values > 0).any() and (slopes != 0).any(axis=0).mean() > 0.5


@every_dtype
@whole_catalogue
def test_bounds_of_rows_are_narrow(kind, dtype):
    """What is not right does not get in."""
    for of_K in kind.of(2, 3, 10, 17):
        narrow = 8 * RELATIVE[np.dtype(dtype)] + 1e3 * np.finfo(dtype).eps
        data = of_K.scores(24, dtype)
        tied = np.round(data.scores * 2) / 2
        for scores in (data.scores, tied.astype(dtype)):
            rows = right_rows(of_K.loss, data.y, scores, dtype)
            for low, middle, high in (
                (rows.value_low, rows.value, rows.value_high),
                (rows.slope_low, rows.slope, rows.slope_high),
            ):
                assert (low <= middle + 1e-14).all() and (middle <= high + 1e-14).all()
                assert (high - low <= narrow * (1 + np.abs(middle))).mean() > 0.9


@whole_catalogue_of_classes
def test_slopes_are_differences_of_values(kind):
    """Central differences, where no class is within reach of a kink or a tie."""
    h, n_classes = 2.0**-20, 5
    what, data = oracle.definition(kind.loss), kind.scores(40, seed=2)
    compared = 0
    for c, s in zip(data.y, data.scores, strict=True):
        _, slopes = oracle.row(what, c, s)
        for j in range(n_classes):
            ends = []
            for sign in (-1, 1):
                moved = s.copy()
                moved[j] += sign * h
                value, there = oracle.row(what, c, moved)
                ends.append(value)
                if max(abs(a - b) for a, b in zip(slopes, there, strict=True)) > 1e-4:
                    break
            else:
                # phi''' is at most 64 in the catalogue, and up to K terms; rounding of values over h is the rest.
                assert abs((ends[1] - ends[0]) / (2 * h) - slopes[j]) <= 64 * n_classes * h * h + 1e-8
                compared += 1
    assert compared > 190


@pytest.mark.parametrize("kind", CURVED.values(), ids=CURVED.keys())
def test_products_are_differences_of_slopes(kind):
    h, n_classes = 1e-5, 5
    what, data = oracle.definition(kind.loss), kind.scores(40, seed=3)
    directions = np.random.default_rng(4).standard_normal((40, n_classes))
    together = oracle.products(what, data.y, data.scores, directions)
    compared = 0
    for i, (c, s) in enumerate(zip(data.y, data.scores, strict=True)):
        product = np.array(oracle.row_product(what, c, s, directions[i]))
        np.testing.assert_allclose(together[i], product, rtol=1e-9, atol=1e-13)
        around = [np.array(oracle.row(what, c, s + sign * h * directions[i])[1]) for sign in (-1, 1)]
        nearby = [
            oracle.row_product(what, c, s + sign * h * directions[i], directions[i]) for sign in (-1, 1)
        ]
        if np.abs(np.array(nearby) - product).max() < 1e-2:
            np.testing.assert_allclose((around[1] - around[0]) / (2 * h), product, rtol=1e-4, atol=1e-5)
            compared += 1
    assert compared > 30
    assert (together != 0).any(axis=0).mean() > 0.5


@pytest.mark.parametrize("kind", ["CrammerSinger", "WestonWatkins", "OneVsRest"])
def test_the_linear_gradient_is_a_difference_of_values(kind):
    case = problem(12, 4, seed=5, n_classes=3)
    what = Definition(kind, "logistic", {})
    arguments = {"alpha": 0.5, "weights": case.weights}
    _, grad, grad_intercept = oracle.linear_value_and_grad(
        what, case.X, case.y, case.coef, case.intercept, **arguments
    )
    h = 1e-6

    def value(coef, intercept):
        return oracle.linear_value_and_grad(what, case.X, case.y, coef, intercept, **arguments)[0]

    for k in range(3):
        for f in range(4):
            shift = np.zeros((3, 4))
            shift[k, f] = h
            ends = [value(case.coef + sign * shift, case.intercept) for sign in (-1, 1)]
            assert (ends[1] - ends[0]) / (2 * h) == pytest.approx(grad[k, f], rel=1e-5, abs=1e-8)
        shift = np.arange(3) == k
        ends = [value(case.coef, case.intercept + sign * h * shift) for sign in (-1, 1)]
        assert (ends[1] - ends[0]) / (2 * h) == pytest.approx(grad_intercept[k], rel=1e-5, abs=1e-8)
