"""Loss objects: immutable, comparable, hashable, printable, picklable, callable; their names and
parameters.
"""

import contextlib
import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import reference
from conftest import bits, raises
from kinds import CATALOGUE, every_default_loss, every_loss

import hingefast as hf
from hingefast import get_loss
from hingefast.losses import MARGIN_LOSSES

PUBLIC = {
    "hinge": "Hinge",
    "perceptron": "PerceptronLoss",
    "squared_hinge": "SquaredHinge",
    "smooth_hinge": "SmoothHinge",
    "modified_huber": "ModifiedHuber",
    "huberized_hinge": "HuberizedHinge",
    "huber_margin": "HuberMargin",
    "psi_g": "GaussianHinge",
    "psi_m": "AlgebraicHinge",
    "softplus_hinge": "SoftplusHinge",
    "logistic": "LogisticLoss",
}
PARAMETERS = [(name, key) for name, params in reference.DEFAULTS.items() for key in params]
every_parameter = pytest.mark.parametrize(("name", "key"), PARAMETERS)


def test_public_names_and_order():
    assert list(MARGIN_LOSSES) == list(PUBLIC)
    for name, public in PUBLIC.items():
        assert getattr(hf, public) is MARGIN_LOSSES[name]
        assert MARGIN_LOSSES[name].__name__ == public
        assert MARGIN_LOSSES[name].name == name == MARGIN_LOSSES[name]().name
        assert public in hf.__all__


@every_default_loss
def test_defaults_smoothness_and_documentation(loss):
    assert loss.params == reference.DEFAULTS[loss.name]
    assert all(type(value) is float for value in loss.params.values())
    assert loss.smoothness in {"nonsmooth", "c1", "smooth"}
    steps = [
        reference.slope(loss.name, None, m + 1e-9) - reference.slope(loss.name, None, m - 1e-9)
        for m in (0, 1)
    ]
    if loss.smoothness == "nonsmooth":
        assert max(steps) > 0.5
    else:
        assert max(steps) < 1e-6
    # C1 only: phi'' jumps somewhere on a fine grid. Smooth: it never does.
    bends = np.diff(reference.curvature(loss.name, None, np.linspace(-4.001, 4, 8001)))
    if loss.smoothness == "c1":
        assert np.abs(bends).max() > 0.4
    if loss.smoothness == "smooth":
        assert np.abs(bends).max() < 1e-2
    assert type(loss).__doc__ != hf.losses.MarginLoss.__doc__
    assert type(loss).__doc__


def test_the_two_zeros_are_one_parameter():
    one, other = hf.Hinge(0.0, 0.0), hf.Hinge(-0.0, -0.0)
    assert one == other and hash(one) == hash(other) and repr(one) == repr(other)


@pytest.mark.parametrize("alias", reference.ALIASES)
def test_aliases(alias):
    canonical = reference.ALIASES[alias]
    assert get_loss(alias) == get_loss(canonical) == MARGIN_LOSSES[canonical]()
    assert alias not in MARGIN_LOSSES


@every_loss
def test_get_loss_takes_objects_and_names(loss):
    assert get_loss(loss) == loss
    assert get_loss(loss.name) == type(loss)()
    results = [
        hf.linear_value_and_grad(np.ones((2, 1)), [1, -1], [1.0], loss=each)
        for each in (loss.name, type(loss)())
    ]
    assert bits(results[0]) == bits(results[1])


def test_get_loss_errors():
    with raises(ValueError, "squared_hing", "hinge", "logistic"):
        get_loss("squared_hing")
    for wrong in ("", "Hinge", "hinge "):
        with raises(ValueError):
            get_loss(wrong)
    for wrong in (None, 3, b"hinge", ["hinge"], np.zeros(2)):
        with raises(TypeError):
            get_loss(wrong)


@every_loss
def test_immutable(loss):
    before = dict(loss.params)
    for attribute in (*before, "name", "params", "smoothness", "new_attribute"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(loss, attribute, 2.0)
        with pytest.raises((AttributeError, TypeError)):
            delattr(loss, attribute)
    given = loss.params
    with contextlib.suppress(TypeError):  # a read-only mapping is as good as a copy
        given["margin"] = 77.0
    assert loss.params == before
    assert loss == type(loss)(**before)


def test_comparison_and_hash():
    everything = list(CATALOGUE.values())
    for i, one in enumerate(everything):
        twin = type(one)(**one.params)
        assert one == twin
        assert hash(one) == hash(twin)
        assert one == twin
        for other in everything[i + 1 :]:
            assert one != other
            assert one != other
        for stranger in (one.name, None, 1.0, one.params, type(one)):
            assert one != stranger
            assert one != stranger
    assert len({*everything, *(type(one)(**one.params) for one in everything)}) == len(everything)


@pytest.mark.parametrize(
    "make",
    [hf.Hinge, hf.SmoothHinge, hf.LogisticLoss, hf.CrammerSinger, hf.OneVsRest],
    ids=lambda c: c.__name__,
)
def test_a_subclass_is_its_parent_under_another_name(make):
    for name in ("Mine", "SquaredHinge"):  # whatever it is called
        cls = type(name, (make,), {"__module__": __name__})
        globals()[name] = cls
        loss, parent = cls(), make()
        assert (loss.name, loss.smoothness, loss.params) == (parent.name, parent.smoothness, parent.params)
        assert repr(loss) == repr(parent).replace(make.__name__, name, 1)
        assert loss == cls() and hash(loss) == hash(cls()) and loss != parent
        for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
            assert type(again) is cls and again == loss
        with pytest.raises(AttributeError):
            loss.margin = 2.0
        assert get_loss(loss) is loss
        y, scores = [0, 1, 1], np.array([[0.5, -0.25], [2.0, 0.0], [0.0, 3.0]])
        scores = scores if isinstance(parent, hf.CrammerSinger | hf.OneVsRest) else scores[:, 0].copy()
        got = loss.value_and_grad(y, scores, classes=(0, 1))
        assert bits(got) == bits(parent.value_and_grad(y, scores, classes=(0, 1)))
        if isinstance(parent, hf.Hinge):
            assert cls(margin=0.5).params == {"margin": 0.5, "kink_slope": 0.0}
            assert type(hf.CrammerSinger(loss).base) is cls


def test_a_formula_of_ones_own_is_refused():
    with raises(TypeError, "Mine", "formula", "Hinge"):
        type("Mine", (hf.losses.MarginLoss,), {})


@every_loss
def test_printable(loss):
    text = repr(loss)
    assert "\n" not in text
    assert type(loss).__name__ in text
    assert str(loss)
    for key, value in loss.params.items():
        assert f"{key}={value!r}" in text
    assert eval(text, vars(hf)) == loss


@every_loss
def test_pickle_and_copy(loss):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(loss, protocol))
        assert again == loss
        assert type(again) is type(loss)
        assert hash(again) == hash(loss)
        assert again([1, -1], [0.5, 0.25]) == loss([1, -1], [0.5, 0.25])
    for again in (copy.copy(loss), copy.deepcopy(loss), copy.deepcopy([loss])[0]):
        assert again == loss
        assert again([1, -1], [0.5, 0.25]) == loss([1, -1], [0.5, 0.25])


@every_loss
def test_calling_is_value(loss):
    y, z, w = [1, -1, 1], [0.5, 0.25, -2.0], [1.0, 2.0, 0.5]
    assert callable(loss)
    assert loss(y, z) == loss.value(y, z)
    assert loss(y, z, sample_weight=w, reduction="sum") == loss.value(y, z, sample_weight=w, reduction="sum")


@every_parameter
def test_accepted_numbers(name, key):
    cls = MARGIN_LOSSES[name]
    one = -1 if key == "kink_slope" else 1
    want = cls(**{key: float(one)})
    for number in (
        one,
        float(one),
        np.float64(one),
        np.float32(one),
        np.int64(one),
        np.int8(one),
        np.float16(one),
    ):
        made = cls(**{key: number})
        assert made == want
        assert hash(made) == hash(want)
        assert repr(made) == repr(want)
        assert type(made.params[key]) is float


@every_parameter
def test_rejected_numbers(name, key):
    cls = MARGIN_LOSSES[name]
    bad = [np.nan, np.inf, -np.inf, np.float32("nan")]
    if key == "kink_slope":
        bad += [-1.0000001, 1e-9, 1.0, -2]
    elif key == "margin":
        bad += [-1e-9, -1, -5e-324]
    else:
        bad += [0, 0.0, -0.0, -1, -1e-9, 5e-324, 1e-310]  # a reciprocal that is not finite
    for value in bad:
        with raises(ValueError, key, str(float(value)).removesuffix(".0")):
            cls(**{key: value})
    for value in (10**400, -(10**400)):  # no float at all
        with raises(ValueError, key):
            cls(**{key: value})


@every_parameter
def test_rejected_kinds(name, key):
    for value in ("1", "one", b"1", None, 1j, [1.0, 2.0], {}, object(), np.ones(2), np.array("1")):
        with pytest.raises((TypeError, ValueError)) as caught:
            MARGIN_LOSSES[name](**{key: value})
        assert key in str(caught.value)


@every_parameter
def test_exact_numbers_of_other_types_are_one_thing_or_an_error(name, key):
    """Whatever is decided about bool, Fraction and Decimal: the parameter is a float or the call fails
    clearly.
    """
    for value in (Fraction(1, 2), Decimal("0.5"), True):
        if key == "kink_slope":
            value = -value
        try:
            made = MARGIN_LOSSES[name](**{key: value})
        except (TypeError, ValueError) as error:
            message = str(error)
        else:
            assert type(made.params[key]) is float
            assert made.params[key] == float(value)
            continue
        assert key in message


@pytest.mark.parametrize("cls", MARGIN_LOSSES.values(), ids=MARGIN_LOSSES.keys())
def test_unknown_parameters(cls):
    with pytest.raises(TypeError):
        cls(no_such_parameter=1.0)
    with pytest.raises(TypeError):
        cls(*[1.0] * (len(cls().params) + 1))


@every_parameter
def test_extreme_but_valid_parameters(name, key):
    """The ends of what is allowed make a loss that works."""
    ends = {"margin": (0.0, 5e-324, 1e300), "kink_slope": (-1.0, 0.0)}.get(key, (1e-300, 1e300))
    for value in ends:
        loss = MARGIN_LOSSES[name](**{key: value})
        assert loss.params[key] == value
        assert loss([1.0, -1.0], [0.5, -0.5], reduction="sum") >= 0
