"""The file of a trained classifier: an .npz of plain arrays, written at once and read with suspicion.

Its arrays are those of `_MEMBERS`, not compressed; no pickle is written or read. Of a file that is not to be
trusted no more memory is taken than it has bytes, and everything in it is checked.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast.checks.arrays import quote, shorten
from hingefast.io.arrays import DataFileError, read_npy
from hingefast.io.compressed import show_path
from hingefast.losses import MARGIN_LOSSES, Loss, MarginLoss
from hingefast.multiclass import MULTICLASS_LOSSES, MulticlassLoss
from hingefast.names import get_loss

__all__ = ["Model", "read_model", "write_model"]

Array: TypeAlias = npt.NDArray[Any]

# Of the format: it grows when a program of today would misread the file.
VERSION = 1

# The arrays, and the kinds of their dtypes.
_MEMBERS = {
    "version": "iu",
    "loss": "U",
    "loss_parameters": "f",  # in the order of the constructor; of several classes those of the base
    "classes": "iuf",
    "coef": "f",
    "intercept": "f",
    "dtype": "U",
}

# Bytes that zipfile may ask for at a time. It reads the whole list of an archive at once, which a model has of some
# hundred bytes: what asks for more is no model, but may be made to take memory.
_MAX_REQUEST = 2**21


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier.

    Attributes
    ----------
    loss : Loss
        What it was trained with: a loss of one margin, or of K classes.
    classes : tuple of float
        The labels (negative, positive), or those of the rows of `coef`.
    coef : ndarray of shape (d,), or (K, d) for a loss of K classes
        Of float32 or float64, in which scores are computed.
    intercept : float, or ndarray of shape (K,)
    """

    loss: Loss
    classes: tuple[float, ...]
    coef: Array
    intercept: float | Array

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return self.coef.dtype.name

    @property
    def n_features(self) -> int:
        return int(self.coef.shape[-1])


# ---- writing


def write_model(path: str, model: Model) -> None:
    """Write a model: all of the file, or nothing of it; the same model is the same bytes.

    It is written beside `path` and renamed. What is no regular file, such as /dev/null, is written to.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target = os.path.realpath(path)
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:
            _write_archive(file, model)
        return
    beside = os.path.join(os.path.dirname(target), f".hingefast-{os.urandom(8).hex()}.tmp")
    try:
        with open(beside, "xb") as file:
            _write_archive(file, model)
            file.flush()
            os.fsync(
                file.fileno()
            )  # renamed before it lies on the disk, a power cut would leave an empty file
        if mode is not None:
            os.chmod(beside, stat.S_IMODE(mode))
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _write_archive(file: BinaryIO, model: Model) -> None:
    base = _base_of(model.loss)
    classes = np.array(model.classes)
    is_integral = bool(np.all(np.abs(classes) <= 2**53) and np.all(classes == np.round(classes)))
    arrays = {
        "version": np.array(VERSION),
        "loss": np.array(model.loss.name),
        "loss_parameters": np.array(list(base.params.values()), np.float64),
        "classes": classes.astype(np.int64) if is_integral else classes,
        "coef": model.coef,
        "intercept": np.asarray(model.intercept, model.coef.dtype),
        "dtype": np.array(model.dtype),
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # A ZipInfo has no time of its own: np.savez writes that of now.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _base_of(loss: Loss) -> MarginLoss:
    """The margin loss that a loss is or is built on."""
    base: MarginLoss = loss if isinstance(loss, MarginLoss) else loss.params["base"]
    return base


# ---- reading


def read_model(path: str) -> Model:
    """Read a model.

    Raises
    ------
    DataFileError
        For a file that is no model, or a damaged one.
    OSError
        If the file cannot be opened.
    """
    name = show_path(path)
    with _open_archive(path, name) as archive:
        arrays = {"version": _read_member(archive, "version", name)}
        _check_version(arrays["version"], name)
        # A newer file may have other arrays: only its version is looked at.
        arrays |= {member: _read_member(archive, member, name) for member in _MEMBERS}
    loss = _as_loss(arrays["loss"], arrays["loss_parameters"], name)
    coef, intercept = _as_coef(arrays, isinstance(loss, MulticlassLoss), name)
    classes = _as_classes(arrays["classes"], None if coef.ndim == 1 else coef.shape[0], name)
    return Model(loss, classes, coef, intercept)


class _CarefulFile(io.FileIO):
    """A file that does not give much at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        rest = os.fstat(self.fileno()).st_size - self.tell()
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted > _MAX_REQUEST:
            raise zipfile.BadZipFile(f"{wanted:,} bytes at once are too many for the list of its arrays")
        pieces = []
        while wanted > 0:
            piece = super().read(wanted)
            if not piece:
                break
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)


@contextmanager
def _open_archive(path: str, name: str) -> Iterator[zipfile.ZipFile]:
    try:
        file = _CarefulFile(path, "rb")
    except ValueError as error:  # a name that no file can have
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    with file:
        if not file.seekable():
            raise DataFileError(f"{name} is a pipe: a model must be a file")
        if file.read(2) != b"PK":
            raise DataFileError(f"{name} is not a model, as hingefast fit writes it: no .npz file")
        with _damage_told(name):
            archive = zipfile.ZipFile(file)
        with archive:
            yield archive


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> Array:
    """Read one of the arrays.

    As none of them is compressed, none is longer than the file: no bomb can be in it.
    """
    whole_name = f"{name}: {member}"
    try:
        info = archive.getinfo(f"{member}.npy")
    except KeyError as error:
        raise DataFileError(
            f"{name} is not a model, as hingefast fit writes it: it has no {member}"
        ) from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise DataFileError(f"{whole_name} is compressed: in a model nothing is")
    with _damage_told(whole_name):
        file: Any = archive.open(info)
        with io.BufferedReader(file) as buffered:
            return read_npy(buffered, whole_name, _MEMBERS[member])


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Turn what a damaged archive raises, which is nearly anything, into a DataFileError."""
    try:
        yield
    except (DataFileError, MemoryError):
        raise
    except Exception as error:
        raise DataFileError(f"{name}: damaged: {shorten(str(error))}") from error


def _check_version(version: Array, name: str) -> None:
    if version.shape != () or int(version) < 1:
        raise DataFileError(f"{name}: version must be a number >= 1, got {shorten(version)}")
    if int(version) > VERSION:
        raise DataFileError(
            f"{name} is a model of version {int(version)}, this hingefast reads versions up to {VERSION}: "
            "a newer one is needed"
        )


def _as_text(array: Array, member: str, name: str) -> str:
    if array.shape != () or array.dtype.itemsize > 4 * 100:
        raise DataFileError(f"{name}: {member} must be one name, got shape {shorten(array.shape)}")
    try:
        return str(array[()])
    except ValueError as error:  # numbers that are no characters
        raise DataFileError(f"{name}: damaged: {member} is no text") from error


def _as_loss(loss_name: Array, parameters: Array, name: str) -> Loss:
    text = _as_text(loss_name, "loss", name)
    kind, _, base_name = text.partition(":")
    if kind in MULTICLASS_LOSSES:
        base_name = base_name or "hinge"
    else:
        base_name = text
    if base_name not in MARGIN_LOSSES:
        raise DataFileError(f"{name}: no loss is called {quote(text)}")
    kind_of_base: Any = type(get_loss(base_name))
    n_parameters = len(get_loss(base_name).params)
    if parameters.shape != (n_parameters,):
        raise DataFileError(
            f"{name}: loss_parameters must have shape ({n_parameters},) for {base_name}, "
            f"got {shorten(parameters.shape)}"
        )
    try:
        base: MarginLoss = kind_of_base(*map(float, parameters))
        return MULTICLASS_LOSSES[kind](base) if kind in MULTICLASS_LOSSES else base
    except ValueError as error:
        raise DataFileError(f"{name}: {error}") from error


def _as_coef(arrays: dict[str, Array], multiclass: bool, name: str) -> tuple[Array, float | Array]:
    dtype = _as_text(arrays["dtype"], "dtype", name)
    if dtype not in ("float32", "float64"):
        raise DataFileError(f"{name}: dtype is {quote(dtype)}, must be 'float32' or 'float64'")
    coef, intercept = arrays["coef"], arrays["intercept"]
    for member, array in (("coef", coef), ("intercept", intercept)):
        if array.dtype.name != dtype:
            raise DataFileError(f"{name}: {member} must be of dtype {dtype}, got {shorten(array.dtype)}")
    if coef.ndim != 1 + multiclass or (multiclass and coef.shape[0] < 2):
        wanted = "(K, d) with K >= 2" if multiclass else "(d,)"
        raise DataFileError(f"{name}: coef must have shape {wanted}, got {shorten(coef.shape)}")
    if intercept.shape != coef.shape[:-1]:
        raise DataFileError(
            f"{name}: intercept must have shape {coef.shape[:-1]}, got {shorten(intercept.shape)}"
        )
    for member, array in (("coef", coef), ("intercept", intercept)):
        wrong = ~np.isfinite(array)
        if wrong.any():
            position = np.unravel_index(int(np.argmax(wrong)), array.shape)
            place = f"[{', '.join(map(str, position))}]" if array.ndim else ""
            raise DataFileError(f"{name}: {member}{place} is {array[position]}, must be finite")
    coef = np.ascontiguousarray(coef, dtype)
    return coef, np.ascontiguousarray(intercept, dtype) if multiclass else float(intercept)


def _as_classes(classes: Array, n_classes: int | None, name: str) -> tuple[float, ...]:
    wanted = 2 if n_classes is None else n_classes
    if classes.shape != (wanted,):
        raise DataFileError(
            f"{name}: classes must have shape ({wanted},), a label for each class, got {shorten(classes.shape)}"
        )
    labels = classes.astype(np.float64)
    if not np.isfinite(labels).all() or np.unique(labels).size < wanted:
        raise DataFileError(f"{name}: classes must be different finite numbers")
    if wanted > 2 and not np.array_equal(labels, np.round(labels)):
        raise DataFileError(f"{name}: more than two classes must be integers")
    return tuple(labels.tolist())
