"""Hostile calls of all else: losses by name and by parameter, `show_config`, `threads`."""

from __future__ import annotations

import pickle

import loss_arguments
import numpy as np
import oracle
import small_arguments
import wild
from call import Call
from faults import Fault

import hingefast as hf


def small_calls(draw):
    kind = draw.integer(8 if hasattr(hf, "threads") else 7)
    if kind == 0:
        loss = wild.no_name(draw)
        yield Call("get_loss", lambda: hf.get_loss(loss), {"loss": loss}, [Fault(("loss",))], draw=draw)
    elif kind == 1:
        yield from loss_parameters(draw)
    elif kind == 2:
        base = draw.choice((wild.no_name(draw), hf.CrammerSinger(), "crammer_singer", hf.Hinge))
        maker = draw.choice((hf.CrammerSinger, hf.WestonWatkins, hf.OneVsRest))
        yield Call("loss of K classes", lambda: maker(base), {"base": base}, [Fault(("base",))], draw=draw)
    elif kind == 3:
        shapes = (np.zeros((2, 3)), np.zeros(3), np.zeros((1, 1)), np.full((2, 2), np.nan))
        cost = draw.choice((*shapes, np.array([[0, np.inf], [1, 0]]), wild.no_numbers(draw, (2, 2))))
        yield Call(
            "CostSensitiveHinge",
            lambda: hf.CostSensitiveHinge(cost),
            {"cost": cost},
            [Fault(("cost",))],
            draw=draw,
        )
    elif kind == 4:
        if draw.chance() < 0.5:
            told = {
                "k": draw.choice((0, -1, -(10**400), 10**5000, 2**64))
                if draw.chance() < 0.5
                else wild.no_integer(draw)
            }
            name = "k"
        else:
            told, name = {"k": 1, "variant": wild.no_name(draw)}, "variant"
        yield Call("TopKHinge", lambda: hf.TopKHinge(**told), told, [Fault((name,))], draw=draw)
    elif kind == 5:
        mode = draw.choice(("dicts", wild.no_name(draw)))
        faults = [] if isinstance(mode, str) and mode == "dicts" else [Fault(("mode",))]
        yield Call(
            "show_config",
            lambda: hf.show_config(mode),
            {"mode": mode},
            faults,
            lambda result: None,
            draw=draw,
        )
    elif kind == 6:
        yield from loss_objects(draw)
    else:
        n, fault = small_arguments.spoil_threads(draw)
        fault.names = ("n", "n_threads")
        yield Call("threads", lambda: hf.threads(n), {"n": n}, [fault], draw=draw)


def loss_parameters(draw):
    base = draw.choice([name for name in loss_arguments.CLASSES if loss_arguments.PARAMETERS[name][1]])
    names = loss_arguments.PARAMETERS[base][1]
    told = {name: loss_arguments.DEFAULTS.get(name, 1.0) for name in names}
    name = draw.choice(names)
    bad = [np.nan, np.inf, -np.inf, 10**400, -(10**5000), -1.5]
    bad += [0, 0.0, 5e-324, 1e-310] if name not in ("margin", "kink_slope") else []
    bad += [0.5, 1e-9] if name == "kink_slope" else []
    told[name] = draw.choice(bad) if draw.chance() < 0.6 else wild.no_number(draw)
    yield Call(
        f"loss {base}", lambda: loss_arguments.CLASSES[base](**told), told, [Fault((name,))], draw=draw
    )


def loss_objects(draw):
    """Equal losses are equal, hash alike, and come back from a pickle and from repr."""
    n_classes = draw.integer(2, 5)
    passed, _, _ = (
        loss_arguments.margin_loss(draw)
        if draw.chance() < 0.5
        else loss_arguments.class_loss(draw, n_classes)
    )
    loss = loss_arguments.as_object(passed)

    def run():
        return (
            pickle.loads(pickle.dumps(loss)),
            eval(repr(loss), vars(hf)),
            loss == draw.choice((0, "hinge", None, 1.5, loss)),
        )

    def check(result):
        for other in result[:2]:
            if other != loss or hash(other) != hash(loss):
                raise oracle.Wrong(f"{other!r} is not {loss!r}")

    yield Call(
        "loss object",
        run,
        {"loss": loss},
        [] if len(repr(loss)) < 3000 and "<" not in repr(loss) else [Fault((), is_sure=False)],
        check,
        draw=draw,
    )
