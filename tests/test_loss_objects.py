"""Promise: losses are immutable, comparable by content, hashable, printable, picklable and callable; names and objects
reach the same loss; bad parameters are refused.
"""

import contextlib
import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import reference
from conftest import bits, pickled, raises
from kinds import (
    CATALOGUE,
    ON_A_BASE,
    WHOLE_CATALOGUE,
    every_default_loss,
    every_loss,
    random_cost,
    telling_scores,
)

import hingefast as hf
from hingefast import get_loss
from hingefast.losses import MARGIN_LOSSES

pytestmark = pytest.mark.any_python

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
PUBLIC_OF_CLASSES = ("CrammerSinger", "WestonWatkins", "OneVsRest", "TopKHinge", "CostSensitiveHinge")
PARAMETERS = [(name, key) for name, params in reference.DEFAULTS.items() for key in params]
every_parameter = pytest.mark.parametrize(("name", "key"), PARAMETERS)
every_arrangement = pytest.mark.parametrize("name", ON_A_BASE)
FOUR = {key: kind.of(4)[0] for key, kind in WHOLE_CATALOGUE.items()}
every_kind = pytest.mark.parametrize("kind", FOUR.values(), ids=FOUR.keys())


def test_public_names_and_order():
    """The first ones are in this order; what comes later is public by its class's name."""
    assert list(MARGIN_LOSSES)[: len(PUBLIC)] == list(PUBLIC)
    for name, cls in MARGIN_LOSSES.items():
        assert cls.__name__ == PUBLIC.get(name, cls.__name__)
        assert getattr(hf, cls.__name__) is cls and cls.__name__ in hf.__all__
        assert cls.name == name == cls().name
    for public in PUBLIC_OF_CLASSES:
        assert public in hf.__all__ and getattr(hf, public).__name__ == public and getattr(hf, public).__doc__


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


# Names


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


@every_arrangement
def test_default_base_is_the_hinge(name):
    cls = ON_A_BASE[name]
    assert cls() == cls("hinge") == cls(hf.Hinge()) == cls(base="hinge")
    assert cls().base == hf.Hinge()
    assert hf.TopKHinge(3) == hf.TopKHinge(3, "alpha") == hf.TopKHinge(k=3, variant="alpha")
    assert hf.TopKHinge(3).k == 3 and hf.TopKHinge(3).variant == "alpha"


@every_arrangement
@every_loss
def test_base_by_object_and_by_name(name, loss):
    cls = ON_A_BASE[name]
    made = cls(loss)
    assert made.base == loss
    assert made == cls(base=loss)
    assert made.smoothness in {"nonsmooth", "c1", "smooth"}
    if loss == type(loss)():
        assert cls(loss.name) == made
        by_name = hf.get_loss(f"{name}:{loss.name}")
        assert by_name == made and type(by_name) is cls


def test_aliases_of_bases():
    for alias, canonical in (
        ("log_loss", "logistic"),
        ("gaussian_hinge", "psi_g"),
        ("algebraic_hinge", "psi_m"),
    ):
        for name, cls in ON_A_BASE.items():
            assert cls(alias) == cls(canonical) == hf.get_loss(f"{name}:{alias}")


@every_arrangement
def test_names(name):
    cls = ON_A_BASE[name]
    assert cls().name == name
    assert hf.get_loss(name) == cls()
    for base in MARGIN_LOSSES:
        if base != "hinge":
            assert cls(base).name == f"{name}:{base}"
    assert hf.get_loss(f"{name}:hinge") == cls()
    loss = cls("squared_hinge")
    assert hf.get_loss(loss) == loss


def test_names_of_the_others():
    assert hf.TopKHinge(2).name == "top_k_hinge"
    assert hf.CostSensitiveHinge(np.ones((3, 3))).name == "cost_sensitive_hinge"


@pytest.mark.parametrize(
    "wrong",
    [
        "crammer_singers",
        "CrammerSinger",
        "crammer_singer:",
        ":hinge",
        "crammer_singer:hing",
        "crammer_singer:hinge:hinge",
        "crammer_singer:weston_watkins",
        "crammer_singer:crammer_singer",
        "hinge:crammer_singer",
        "hinge:hinge",
        "crammer_singer squared_hinge",
        "one_vs_rest: hinge",
        "crammer_singer:" + "x" * 5000,
    ],
)
def test_unknown_names(wrong):
    with raises(ValueError, "loss"):
        hf.get_loss(wrong)
    with raises(ValueError, "loss"):
        hf.linear_value_and_grad(np.eye(2), [0, 1], np.eye(2), loss=wrong)


@pytest.mark.parametrize("name", ["top_k_hinge", "cost_sensitive_hinge"])
def test_losses_that_need_a_parameter_have_no_name_to_reach_them(name):
    with raises(ValueError, "loss", "needs a parameter", "Hinge("):
        hf.get_loss(name)


@every_arrangement
def test_bad_bases(name):
    cls = ON_A_BASE[name]
    for wrong in ("hing", "", "crammer_singer", "weston_watkins:hinge", "Hinge"):
        with raises(ValueError):
            cls(wrong)
    for wrong in (None, 3, b"hinge", hf.Hinge, ["hinge"], hf.CrammerSinger(), hf.TopKHinge(1)):
        with raises((TypeError, ValueError)):
            cls(wrong)
    with pytest.raises(TypeError):
        cls("hinge", "hinge")
    with pytest.raises(TypeError):
        cls(margin=1.0)


def test_the_name_tells_a_base_of_other_parameters():
    assert hf.CrammerSinger(hf.Hinge(margin=2)).name == "crammer_singer:hinge"
    assert hf.CrammerSinger(hf.Hinge()).name == "crammer_singer"


# All of them


def everything():
    made = {key: kind.make(4) for key, kind in FOUR.items()}
    # At K = 4 nothing else coincides: top_2, top_1 and top_all (3) differ.
    made["another cost"] = hf.CostSensitiveHinge(random_cost(4).T)
    made["smaller cost"] = hf.CostSensitiveHinge(random_cost(3))
    return made


def test_comparison_and_hash():
    losses, twins = everything(), everything()
    twins |= {key: type(loss)(**loss.params) for key, loss in CATALOGUE.items()}
    keys = list(losses)
    for i, key in enumerate(keys):
        one, twin = losses[key], twins[key]
        assert [one == twin, one != twin] == [True, False] and hash(one) == hash(twin)
        for other in keys[i + 1 :]:
            assert [one == losses[other], one != losses[other]] == [False, True], (key, other)
        for stranger in (one.name, None, 1.0, one.params, type(one), getattr(one, "base", 0)):
            assert [one == stranger, one != stranger] == [False, True]
    assert len({*losses.values(), *twins.values()}) == len(losses)


@every_kind
def test_immutable(kind):
    loss, twin = kind.loss, kind.make(kind.n_classes)
    before = dict(loss.params)
    names = {
        *before,
        "name",
        "params",
        "smoothness",
        "new_attribute",
        "base",
        "k",
        "variant",
        "cost",
        "_bound",
    }
    for attribute in sorted(names):
        with pytest.raises((AttributeError, TypeError)):
            setattr(loss, attribute, 2.0)
        with pytest.raises((AttributeError, TypeError)):
            delattr(loss, attribute)
    given = loss.params
    with contextlib.suppress(TypeError):  # a read-only mapping is as good as a copy
        given["margin"] = 77.0
    assert loss == twin and loss.params.keys() == before.keys()
    assert loss == type(loss)(**before)


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


@every_kind
def test_printable(kind):
    loss = kind.make(3 if kind.n_classes else None)
    text = repr(loss)
    assert "\n" not in text and type(loss).__name__ in text and str(loss)
    assert eval(text, {**vars(hf), "array": np.array}) == loss
    if kind.binary:
        assert all(f"{key}={value!r}" in text for key, value in loss.params.items())
    if hasattr(loss, "base"):
        assert repr(loss.base) in text or repr(loss.base.name) in text


@every_kind
def test_pickle_and_copy(kind):
    loss, data = kind.loss, kind.scores(16)
    want = bits(loss.value_and_grad(data.y, data.scores))
    copies = [pickle.loads(pickle.dumps(loss, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for again in (*copies, copy.copy(loss), copy.deepcopy(loss), copy.deepcopy([loss])[0]):
        assert again == loss and type(again) is type(loss) and hash(again) == hash(loss)
        assert bits(again.value_and_grad(data.y, data.scores)) == want


@every_kind
def test_calling_is_value(kind):
    loss, data = kind.loss, kind.scores(16)
    assert callable(loss)
    assert loss(data.y, data.scores) == loss.value(data.y, data.scores)
    keywords = {"sample_weight": data.weights, "reduction": "sum"}
    assert loss(data.y, data.scores, **keywords) == loss.value(data.y, data.scores, **keywords)


@every_kind
def test_smoothness_of_arrangements(kind):
    """What an arrangement takes a maximum of is nonsmooth whatever its base; no more is promised here."""
    loss = kind.loss
    assert loss.smoothness in {"nonsmooth", "c1", "smooth"}
    if type(loss) in (hf.WestonWatkins, hf.OneVsRest):
        assert loss.smoothness == loss.base.smoothness
    elif not kind.binary and type(loss) is not hf.CrammerSinger:
        assert loss.smoothness == "nonsmooth"


# Parameters of margin losses


def test_the_two_zeros_are_one_parameter():
    one, other = hf.Hinge(0.0, 0.0), hf.Hinge(-0.0, -0.0)
    assert one == other and hash(one) == hash(other) and repr(one) == repr(other)


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


# TopKHinge


def test_kinds_of_k():
    for k in (1, np.int64(1), np.int8(1), np.uint8(1)):
        assert hf.TopKHinge(k) == hf.TopKHinge(1)
        assert type(hf.TopKHinge(k).k) is int
    for wrong in (0, -1, -(10**30), np.int64(0)):
        with raises(ValueError, "k"):
            hf.TopKHinge(wrong)
    for wrong in (1.0, "1", None, True, np.float64(2), 1j, [1], np.array([1, 2])):
        with raises(TypeError, "k"):
            hf.TopKHinge(wrong)
    with pytest.raises(TypeError):
        hf.TopKHinge()


def test_variants():
    for wrong in ("gamma", "", "Alpha", "alpha "):
        with raises(ValueError, "variant", "alpha", "beta"):
            hf.TopKHinge(1, wrong)
    for wrong in (None, 1, b"alpha", True):
        with raises((TypeError, ValueError), "variant"):
            hf.TopKHinge(1, wrong)


@pytest.mark.parametrize("k", [3, 4, 1000, 2**31, 2**40, 2**63 - 1])
def test_k_must_be_below_the_number_of_classes(k):
    """Refused when it is used at the latest; a k beyond any number of classes when the loss is made."""
    data = telling_scores(9, n_classes=3)
    with raises(ValueError, "k", str(k)):
        hf.TopKHinge(k).value_and_grad(data.y, data.scores)
    with raises(ValueError, "k", str(k)):
        hf.linear_value_and_grad(np.eye(3), [0, 1, 2], np.eye(3), loss=hf.TopKHinge(k))
    with raises(ValueError, "k", str(k)):
        hf.Objective(np.eye(3), [0, 1, 2], loss=hf.TopKHinge(k), classes=3)


# CostSensitiveHinge


def test_cost_is_a_read_only_copy():
    given = np.array([[0.0, 1, 2], [3, 0, 1], [1, 1, 0]])
    loss = hf.CostSensitiveHinge(given)
    want = loss.value([0, 1, 2], np.zeros((3, 3)))
    given[:] = 100.0
    assert loss.value([0, 1, 2], np.zeros((3, 3))) == want
    assert loss.cost.tolist() == [[0, 1, 2], [3, 0, 1], [1, 1, 0]]
    assert loss.cost.dtype == np.float64 and not loss.cost.flags.writeable
    with pytest.raises(ValueError):
        loss.cost[0, 0] = 5.0
    with pytest.raises(ValueError):
        loss.cost.flags.writeable = True
    # Not even through a view of it.
    with pytest.raises(ValueError):
        np.asarray(loss.cost)[1, 0] = 7.0
    assert loss.value([0, 1, 2], np.zeros((3, 3))) == want


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
def test_the_cost_given_out_is_the_callers_own():
    """Its shape and dtype may be set; its memory nobody can make writable."""
    loss = hf.CostSensitiveHinge([[0, 2, 5], [1, 0, 1], [5, 1, 0]])
    want = loss.value_and_grad([0, 1], [[2.0, 0.5, -1.0], [0.0, 0.5, 1.0]])
    for given in (loss.cost, loss.params["cost"]):
        given.shape = (9,)
        given.dtype = np.int64
        while given.base is not None and isinstance(given.base, np.ndarray):
            given = given.base
        with pytest.raises(ValueError):
            given.flags.writeable = True
    assert loss.cost.tolist() == [[0, 2, 5], [1, 0, 1], [5, 1, 0]]
    assert pickle.loads(pickle.dumps(loss)) == loss and repr(loss).count("5.0") == 2
    assert bits(loss.value_and_grad([0, 1], [[2.0, 0.5, -1.0], [0.0, 0.5, 1.0]])) == bits(want)


def test_kinds_of_cost():
    want = hf.CostSensitiveHinge([[0.0, 1.0], [2.0, 0.0]])
    plain = np.array([[0, 1], [2, 0]])
    for given in (
        plain.tolist(),
        ((0, 1), (2, 0)),
        plain,
        plain.astype(np.int8),
        plain.astype(np.float32),
        plain.astype(">f8"),
        np.asfortranarray(plain),
        np.repeat(plain, 2, axis=1)[:, ::2],
        plain.astype(np.float16),
    ):
        made = hf.CostSensitiveHinge(given)
        assert made == want and hash(made) == hash(want) and repr(made) == repr(want)
        assert made([0, 1], [[0.5, 0.25], [0.1, 0.2]]) == want([0, 1], [[0.5, 0.25], [0.1, 0.2]])


@pytest.mark.parametrize(
    "wrong",
    [
        [[0.0, 1.0]],
        [[0.0], [1.0]],
        [[0.0]],
        [],
        [[]],
        0.0,
        [0.0, 1.0],
        np.zeros((2, 3)),
        np.zeros((2, 2, 2)),
        np.zeros((0, 0)),
        [[0, np.nan], [1, 0]],
        [[0, np.inf], [1, 0]],
        [[0, 1], [-np.inf, 0]],
        [[np.nan, 1], [1, 0]],
    ],
    ids=str,
)
def test_costs_that_are_none(wrong):
    with raises(ValueError, "cost"):
        hf.CostSensitiveHinge(wrong)


def test_the_first_bad_cost_is_named():
    cost = np.ones((5, 5))
    cost[3, 1] = cost[2, 4] = np.nan
    with raises(ValueError, "cost[2, 4]", "nan"):
        hf.CostSensitiveHinge(cost)


def test_costs_of_the_wrong_kind():
    for wrong in (
        [["a", "b"], ["c", "d"]],
        None,
        "cost",
        np.ones((2, 2), dtype=complex),
        np.ones((2, 2), dtype=object),
        np.ma.masked_array(np.ones((2, 2))),
        {},
    ):
        with raises(TypeError, "cost"):
            hf.CostSensitiveHinge(wrong)
    with raises((TypeError, ValueError), "cost"):
        hf.CostSensitiveHinge([[1.0, 2.0], [1.0]])


def test_cost_of_another_number_of_classes():
    loss = hf.CostSensitiveHinge(np.ones((4, 4)))
    with raises(ValueError, "cost", "4", "3"):
        loss.value_and_grad([0, 1, 2], np.eye(3))
    with raises(ValueError, "cost", "4", "3"):
        hf.linear_value_and_grad(np.eye(3), [0, 1, 2], np.eye(3), loss=loss)
    with raises(ValueError, "cost", "4", "3"):
        hf.Objective(np.eye(3), [0, 1, 2], loss=loss, classes=3)


def test_negative_costs_count():
    """Any finite cost is one: u_j below 0 is no loss."""
    loss = hf.CostSensitiveHinge([[0, -1, -1], [1, 0, 1], [1, 1, 0]])
    assert loss([0], [[0.0, 0.5, 0.75]]) == 0.0
    assert loss([0], [[0.0, 1.5, 0.75]]) == 0.5


def test_cost_in_float32_is_rounded():
    third = 1 / 3
    loss = hf.CostSensitiveHinge([[0, third], [third, 0]])
    value = loss([0], np.zeros((1, 2), dtype=np.float32), reduction="none")
    assert value[0] == np.float32(third)
    assert loss([0], np.zeros((1, 2))) == third


def test_a_large_cost_prints_short():
    for shown in (repr, str):
        text = shown(hf.CostSensitiveHinge(random_cost(1000)))
        assert "CostSensitiveHinge" in text and "1000" in text and "\n" not in text
        assert len(text) <= 200


def test_an_unpickled_cost_is_read_only_too():
    loss = pickled(hf.CostSensitiveHinge(random_cost(3)))
    with pytest.raises(ValueError):
        loss.cost[0, 1] = 5.0


def test_numbers_beyond_int64_are_no_k():
    with raises(ValueError, "k"):
        hf.TopKHinge(2**70)


def test_zeros_of_either_sign_are_one_cost():
    one, other = (
        hf.CostSensitiveHinge([[0.0, 1.0], [1.0, 0.0]]),
        hf.CostSensitiveHinge([[-0.0, 1.0], [1.0, -0.0]]),
    )
    assert one == other and hash(one) == hash(other)


@pytest.mark.skipif(
    np.finfo(np.longdouble).max <= np.finfo(np.float64).max, reason="no longdouble beyond float64"
)
def test_costs_beyond_float64_are_refused_whatever_the_callers_errstate():
    cost = np.array([[0, np.longdouble(10) ** 400], [1, 0]], np.longdouble)
    with np.errstate(all="raise"), raises(ValueError, "cost"):
        hf.CostSensitiveHinge(cost)
