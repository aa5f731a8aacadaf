"""A sparse matrix as files hold it, row by row, without SciPy."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

AnyArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class CSR:
    """Compressed sparse rows: the attributes of `scipy.sparse.csr_array` that hingefast reads, without SciPy.

    Attributes
    ----------
    indptr : ndarray of int32 or int64, shape (n_rows + 1,)
        Row ``i`` is stored at ``indptr[i]:indptr[i + 1]``.
    indices : ndarray of the same dtype, shape (n_nonzeros,)
        Column of each stored number, from 0.
    data : ndarray of float32 or float64, shape (n_nonzeros,)
        The stored numbers.
    shape : tuple of int
        ``(n_rows, n_features)``.
    format : str
        Always ``"csr"``.
    largest_id, largest_id_line : int
        The largest id as the file writes it, and the line where it is first: what decided the number of columns.
        0 without ids.
    """

    indptr: AnyArray
    indices: AnyArray
    data: AnyArray
    shape: tuple[int, int]
    format: str = "csr"
    largest_id: int = 0
    largest_id_line: int = 0
