"""Makes one call and judges it: what it returned or raised, and what it did to everything around it.

A call must leave its inputs, bytes beside its outputs, the caller's floating-point state and warning filters as they
were; refuse with TypeError or ValueError, in at most 500 characters that name an argument; and give the same bits on
other numbers of threads, under other rounding modes, and later again.
"""

from __future__ import annotations

import ctypes
import re
import warnings

import calls
import numpy as np
import oracle
import wild

import hingefast as hf

MESSAGE_LENGTH = 500
ANSWERS = (TypeError, ValueError, hf.InvalidCSRError)
WAYS = ("ignore", "raise", "warn", "ignore")
ROUNDING = (0, 0x400, 0x800, 0xC00)  # to nearest, down, up, towards zero: fenv.h of x86

_libm = ctypes.CDLL("libm.so.6")


class Fault(Exception):
    """What a call did wrong."""


class Result:
    """What a call gave, as bits that can be compared later."""

    def __init__(self, value):
        self.parts = [bits_of(part) for part in (value if isinstance(value, tuple) else (value,))]

    def differs(self, value):
        return self.parts != Result(value).parts


def bits_of(part):
    if isinstance(part, np.ndarray):
        if part.dtype.kind == "f" and np.isnan(part).any():  # any NaN equals any NaN
            part = np.where(np.isnan(part), part.dtype.type(np.nan), part)
        return part.dtype.str, part.shape, part.tobytes()
    if isinstance(part, float):
        return "nan" if part != part else part.hex()
    return repr(part)


def judge(call):
    """Make the call; (what it returned, or None; whether it raised). Raises `Fault`."""
    draw, memory = call.draw, call.draw.memory
    inputs = draw.inputs
    for piece in inputs:
        piece.remember()
    sealed = []
    if draw.chance() < 0.5:
        writable = {id(piece) for _, piece in call.outs}
        slots = {piece.slot for _, piece in call.outs if piece is not None}
        if all(piece is not None for _, piece in call.outs):
            sealed = [piece for piece in inputs if id(piece) not in writable and piece.slot not in slots]
    outs = [(out, piece, out.tobytes()) for out, piece in call.outs]
    how = {name: draw.choice(WAYS) for name in ("divide", "over", "under", "invalid")}
    if draw.chance() < 0.3:
        how = dict.fromkeys(how, "raise")
    for piece in sealed:
        memory.seal(piece)
    result, error = None, None
    state = _libm.fegetround()
    old = np.seterr(**how)
    try:
        result = call.run()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as raised:
        error = raised
    kept = np.seterr(**old)
    for piece in sealed:
        memory.unseal(piece)
    if kept != how:
        raise Fault(f"np.errstate was changed to {kept}")
    if _libm.fegetround() != state:
        raise Fault("the rounding mode was changed")
    if error is None and call.must_refuse:
        raise Fault(f"accepted, but {named(call)} is wrong: returned {wild.text_of(result)}")
    for piece in inputs:
        if piece.changed():
            raise Fault("an input was changed")
    for _, piece, _ in outs:
        if piece is not None and memory.disturbed(piece):
            raise Fault("bytes beside an output were changed")
    if error is not None:
        judge_error(call, error, outs)
        error.__traceback__ = None
        return None, True
    with np.errstate(all="ignore"):
        try:
            call.check(result)
        except oracle.Wrong as wrong:
            raise Fault(f"wrong answer: {wrong}") from None
    return result, False


def named(call):
    return " and ".join("/".join(fault.names) for fault in call.faults)


def judge_error(call, error, outs):
    text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else repr(error)
    if isinstance(error, wild.Foreign):
        return
    if call.must_succeed:
        raise Fault(f"a valid call raised {text[:700]}")
    allowed = tuple(errors for fault in call.faults for errors in fault.errors)
    if not isinstance(error, allowed) or type(error) not in ANSWERS:
        names = sorted({kind.__name__ for kind in allowed})
        raise Fault(f"raised {text[:700]} for a wrong {named(call)}, must be {' or '.join(names)}")
    message = str(error)
    if len(message) > MESSAGE_LENGTH:
        raise Fault(f"a message of {len(message)} characters for a wrong {named(call)}: {message[:120]}")
    words = set(re.findall(r"\w+", message))
    wanted = {word for fault in call.faults for word in fault.names}
    if not words & wanted:
        raise Fault(f"the message for a wrong {named(call)} does not name it: {text[:300]}")
    sure = [fault for fault in call.faults if fault.is_sure]
    is_open = any(words & set(fault.names) for fault in call.faults if not fault.is_sure)
    if len(sure) == 1 and sure[0].text not in message and not is_open:
        raise Fault(f"the message must hold {sure[0].text!r}: {text[:300]}")
    if call.keeps_out or (not any(fault.is_content for fault in call.faults) and call.must_refuse):
        for out, _, before in outs:
            if out.tobytes() != before:
                raise Fault(f"out was changed by a call that raised {text[:200]}")


def again(call, result, draw):
    """Make a call that succeeded again, in another way: the same bits."""
    try:
        compare(call, Result(result), draw)
    except (KeyboardInterrupt, SystemExit, Fault):
        raise
    except BaseException as error:
        raise Fault(f"when called again it raised {type(error).__name__}: {error}") from None


def compare(call, bits, draw):
    if call.takes_threads:
        more = {"n_threads": draw.choice((1, 2, 3, 4))}
        if bits.differs(call.run(**more)):
            raise Fault(f"other bits with {more}")
    if hasattr(hf, "threads"):
        n = draw.choice((1, 2, 3, -1))
        with hf.threads(n):
            if bits.differs(call.run(**({"n_threads": None} if call.takes_threads else {}))):
                raise Fault(f"other bits with hf.threads({n})")
    rounding = draw.choice(ROUNDING)
    _libm.fesetround(rounding)
    try:
        other = call.run()
        kept = _libm.fegetround()
    finally:
        _libm.fesetround(0)
    if kept != rounding:
        raise Fault("the rounding mode was changed")
    if bits.differs(other):
        raise Fault(f"other bits under rounding mode {rounding:#x}")


def run_program(seed, memory, on_call=None):
    """All calls of a seed; yields (call, result, raised). Raises `Fault` with the call as `fault.call`."""
    warnings.simplefilter("error")
    steps = calls.program(seed, memory)
    result = None
    try:
        call = next(steps)
        while True:
            if on_call is not None:
                on_call(call)
            try:
                result, raised = judge(call)
                if not raised and call.draw.chance() < 0.12 and is_repeatable(call):
                    again(call, result, call.draw)
            except Fault as fault:
                fault.call = call
                raise
            yield call, result, raised
            call = steps.send(result)
    except StopIteration:
        return


def is_repeatable(call):
    return (
        call.must_succeed
        and not call.entry.startswith(("Objective.step", "pickle", "loss", "show", "Objective.C"))
        and call.entry != "Objective"
    )
