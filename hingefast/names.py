"""Losses by name: `get_loss`, which every argument called `loss` goes through."""

from __future__ import annotations

from typing import Any

from hingefast.checks.losses import needs_object, unknown
from hingefast.losses import MARGIN_LOSSES, MARGIN_LOSSES_BY_NAME, Loss
from hingefast.multiclass import MULTICLASS_LOSSES

__all__ = ["get_loss"]

_BY_NAME: dict[str, Loss] = {
    **MARGIN_LOSSES_BY_NAME,
    **{name: cls() for name, cls in MULTICLASS_LOSSES.items()},
    **{
        f"{name}:{base}": cls(margin_loss)
        for name, cls in MULTICLASS_LOSSES.items()
        for base, margin_loss in MARGIN_LOSSES_BY_NAME.items()
    },
}

# Losses that a name cannot give, because they need a parameter.
OBJECTS = {"top_k_hinge": "TopKHinge(k)", "cost_sensitive_hinge": "CostSensitiveHinge(cost)"}


def get_loss(loss: Any) -> Loss:
    """The loss that an argument names.

    Parameters
    ----------
    loss : str or loss object
        A name such as ``"squared_hinge"`` stands for the loss with its default parameters, and
        ``"weston_watkins:squared_hinge"`` for the multiclass loss built on it; without a margin loss behind the
        colon it is built on the hinge.

    Returns
    -------
    Loss
        `loss` itself where it is an object.

    Raises
    ------
    ValueError
        If no loss is called so; the message lists the names.
    TypeError
        If `loss` is neither.

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.get_loss("log_loss")
    LogisticLoss()
    >>> hf.get_loss("one_vs_rest:log_loss")
    OneVsRest(base=LogisticLoss())
    """
    if isinstance(loss, Loss):
        return loss
    found = _BY_NAME.get(loss) if isinstance(loss, str) else None
    if found is not None:
        return found
    if isinstance(loss, str) and loss in OBJECTS:
        raise needs_object(loss, OBJECTS[loss])
    more = f"; or, for K classes, {', '.join(MULTICLASS_LOSSES)}, also on a margin loss as in "
    raise unknown("loss", loss, MARGIN_LOSSES, f"{more}'crammer_singer:<margin loss>'")
