"""Names of `kinds` for files that take the number of classes as an argument of its own."""

import kinds
import numpy as np
import pytest
from kinds import (
    ARRANGEMENTS,
    CATALOGUE,
    ON_A_BASE,
    assert_close,
    assert_right,
    csr_scores,
    random_cost,
    right_rows,
)

__all__ = ["assert_close", "assert_right", "csr_scores", "random_cost", "right_rows"]


def _catalogue(bases):
    made = {f"{name}:{key}": (name, key) for name in ON_A_BASE for key in bases}
    return {
        key: lambda _, name=name, base=base: ON_A_BASE[name](CATALOGUE[base])
        for key, (name, base) in made.items()
    } | ARRANGEMENTS


MULTICLASS = _catalogue([key for key in CATALOGUE if not key.endswith("-wide")])
FEW = _catalogue(["hinge", "squared_hinge", "logistic"])
FLAT = _catalogue(["hinge", "squared_hinge", "smooth_hinge"])
every_multiclass_loss = pytest.mark.parametrize("make", MULTICLASS.values(), ids=MULTICLASS.keys())
few_multiclass_losses = pytest.mark.parametrize("make", FEW.values(), ids=FEW.keys())
flat_multiclass_losses = pytest.mark.parametrize("make", FLAT.values(), ids=FLAT.keys())


def has_hessian(loss):
    return type(loss) in ON_A_BASE.values() and loss.base.name in kinds.CURVED_LOSSES


def problem(n, d, n_classes, dtype=np.float64, seed=0, density=None):
    return kinds.problem(n, d, dtype, seed, density, n_classes)


def random_csr(n, d, per_row, n_classes, dtype=np.float64, seed=0, index_dtype=np.int32):
    return kinds.random_csr(n, d, per_row, dtype, seed, index_dtype, None, n_classes)


def telling_scores(n, n_classes, dtype=np.float64, seed=0, spread=3.0):
    data = kinds.telling_scores(n, dtype, seed, spread, n_classes)
    data.labels = data.y
    return data


def expected(*arguments, matrix=None, **keywords):
    return kinds.expected(*arguments, longest=matrix, **keywords)
