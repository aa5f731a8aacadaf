"""Promise: multiclass losses are immutable, comparable by content, hashable, printable, picklable and callable; names
and objects reach the same loss; bad parameters are refused.
"""

import copy
import pickle

import numpy as np
import pytest
from conftest import bits, pickled, raises
from kinds import CATALOGUE, every_loss
from multiclass_cases import MULTICLASS, ON_A_BASE, every_multiclass_loss, random_cost, telling_scores

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES

PUBLIC = ("CrammerSinger", "WestonWatkins", "OneVsRest", "TopKHinge", "CostSensitiveHinge")
every_arrangement = pytest.mark.parametrize("name", ON_A_BASE)


def test_public_names():
    for name in PUBLIC:
        assert name in hf.__all__
        assert getattr(hf, name).__name__ == name
        assert getattr(hf, name).__doc__


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
    data = telling_scores(9, 3)
    with raises(ValueError, "k", str(k)):
        hf.TopKHinge(k).value_and_grad(data.labels, data.scores)
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


# All of them


def everything():
    made = {key: make(4) for key, make in MULTICLASS.items()}
    # At K = 4 nothing else coincides: top_2, top_1 and top_all (3) differ.
    made["another cost"] = hf.CostSensitiveHinge(random_cost(4).T)
    made["smaller cost"] = hf.CostSensitiveHinge(random_cost(3))
    return made


def test_comparison_and_hash():
    losses, twins = everything(), everything()
    keys = list(losses)
    for i, key in enumerate(keys):
        one, twin = losses[key], twins[key]
        assert one == twin and hash(one) == hash(twin)
        for other in keys[i + 1 :]:
            assert one != losses[other], (key, other)
        for stranger in (one.name, None, 1.0, type(one), getattr(one, "base", 0)):
            assert one != stranger
    assert len({*losses.values(), *twins.values()}) == len(losses)
    assert len({*losses.values(), *CATALOGUE.values()}) == len(losses) + len(CATALOGUE)


@every_multiclass_loss
def test_immutable(make):
    loss = make(4)
    twin = make(4)
    names = ["name", "smoothness", "_bound", "something_new"]
    for attribute in [*names, *(n for n in ("base", "k", "variant", "cost") if hasattr(loss, n))]:
        with pytest.raises((AttributeError, TypeError)):
            setattr(loss, attribute, 2)
        with pytest.raises((AttributeError, TypeError)):
            delattr(loss, attribute)
    assert loss == twin


@every_multiclass_loss
def test_printable(make):
    loss = make(3)
    text = repr(loss)
    assert "\n" not in text and type(loss).__name__ in text and str(loss)
    assert eval(text, {**vars(hf), "array": np.array}) == loss
    if hasattr(loss, "base"):
        assert repr(loss.base) in text or repr(loss.base.name) in text


def test_a_large_cost_prints_short():
    for shown in (repr, str):
        text = shown(hf.CostSensitiveHinge(random_cost(1000)))
        assert "CostSensitiveHinge" in text and "1000" in text and "\n" not in text
        assert len(text) <= 200


@every_multiclass_loss
def test_pickle_and_copy(make):
    loss = make(4)
    data = telling_scores(12, 4)
    want = bits(loss.value_and_grad(data.labels, data.scores))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(loss, protocol))
        assert again == loss and type(again) is type(loss) and hash(again) == hash(loss)
        assert bits(again.value_and_grad(data.labels, data.scores)) == want
    for again in (copy.copy(loss), copy.deepcopy(loss), copy.deepcopy([loss])[0]):
        assert again == loss
        assert bits(again.value_and_grad(data.labels, data.scores)) == want


def test_an_unpickled_cost_is_read_only_too():
    loss = pickled(hf.CostSensitiveHinge(random_cost(3)))
    with pytest.raises(ValueError):
        loss.cost[0, 1] = 5.0


@every_multiclass_loss
def test_smoothness_and_hessians(make):
    """What an arrangement takes a maximum of is nonsmooth whatever its base; no more is promised here."""
    loss = make(4)
    assert loss.smoothness in {"nonsmooth", "c1", "smooth"}
    if type(loss) in (hf.WestonWatkins, hf.OneVsRest):
        assert loss.smoothness == loss.base.smoothness
    elif type(loss) is not hf.CrammerSinger:
        assert loss.smoothness == "nonsmooth"


@every_multiclass_loss
def test_calling_is_value(make):
    loss = make(4)
    data = telling_scores(12, 4)
    assert callable(loss)
    assert loss(data.labels, data.scores) == loss.value(data.labels, data.scores)
    keywords = {"sample_weight": data.weights, "reduction": "sum"}
    assert loss(data.labels, data.scores, **keywords) == loss.value(data.labels, data.scores, **keywords)


def test_numbers_beyond_int64_are_no_k():
    with raises(ValueError, "k"):
        hf.TopKHinge(2**70)


def test_zeros_of_either_sign_are_one_cost():
    one, other = (
        hf.CostSensitiveHinge([[0.0, 1.0], [1.0, 0.0]]),
        hf.CostSensitiveHinge([[-0.0, 1.0], [1.0, -0.0]]),
    )
    assert one == other and hash(one) == hash(other)


def test_the_name_tells_a_base_of_other_parameters():
    assert hf.CrammerSinger(hf.Hinge(margin=2)).name == "crammer_singer:hinge"
    assert hf.CrammerSinger(hf.Hinge()).name == "crammer_singer"


@pytest.mark.skipif(
    np.finfo(np.longdouble).max <= np.finfo(np.float64).max, reason="no longdouble beyond float64"
)
def test_costs_beyond_float64_are_refused_whatever_the_callers_errstate():
    cost = np.array([[0, np.longdouble(10) ** 400], [1, 0]], np.longdouble)
    with np.errstate(all="raise"), raises(ValueError, "cost"):
        hf.CostSensitiveHinge(cost)
