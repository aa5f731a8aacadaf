"""The command ``hingefast``: losses of a linear classifier on a data file, and training one.

This file knows the options. What ``hingefast eval`` finds out is in `cli/evaluate.py`, what ``hingefast fit``
does in `cli/fit.py`, how both are shown in `cli/text.py`. An error of the user is a `UserError`; `main` prints it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO, TypeVar

import hingefast as hf
from hingefast.checks.arrays import quote, shorten
from hingefast.cli.evaluate import DEFAULT_LOSSES, DEFAULT_MULTICLASS_LOSSES, evaluate
from hingefast.cli.fit import DEFAULT_LOSS, INTERCEPTS, fit
from hingefast.cli.inputs import UserError, n_threads
from hingefast.cli.progress import is_terminal
from hingefast.cli.text import as_json, as_text, fit_as_json, fit_as_text
from hingefast.io.compressed import printable, show_path
from hingefast.losses import MARGIN_LOSSES
from hingefast.multiclass import MULTICLASS_LOSSES
from hingefast.solvers.methods import METHODS

__all__ = ["main"]

Number = TypeVar("Number", int, float)

# Of what an error prints, its beginning included.
MAX_ERROR = 500

INTRODUCTION = """\
hingefast computes losses of the hinge family, value and gradient together in one pass over the data.

  hingefast eval DATA             losses of a linear classifier on the data file DATA
  hingefast fit DATA -o MODEL     train a classifier, which "hingefast eval DATA --model MODEL" takes
  hingefast info                  versions, instruction-set level, compiler, threads

DATA is svmlight text, one row a line, "label id:value id:value ...", and may be compressed (.gz, .bz2, .xz).
To try it:

  printf '+1 1:0.5 3:1\\n-1 2:1\\n+1 1:1\\n-1 2:0.5 3:1\\n' > tiny.svm
  hingefast eval tiny.svm --all --compare

A file of three or more labels gets multiclass losses. An array in an IDX file (the format of MNIST) or an .npy
file is DATA too; its labels are in a second one:

  hingefast eval train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz

"hingefast eval --help" and "hingefast fit --help" list the options.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 after an error of the user (told on stderr) or output that cannot be written, 130 after
        Ctrl-C, 141 when the reader of the output went away.
    """
    try:
        arguments = _parser().parse_args(_join_classes(sys.argv[1:] if argv is None else argv))
        arguments.run(arguments)
    except UserError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("not enough memory")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:  # those of reading are UserErrors
        return _fail(f"cannot write: {error.strerror or error}")
    return 0


def _fail(reason: str) -> int:
    """Tell an error; return the exit code."""
    _tell(f"error: {reason}")
    return 2


def _tell(message: str) -> None:
    """Tell something in one line beside the output, if there is a place to tell it."""
    with contextlib.suppress(OSError):
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        text = f"hingefast: {printable(message)}".encode(encoding, "backslashreplace").decode(encoding)
        _write(sys.stderr, (text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 3] + "...") + "\n")


def _write(stream: TextIO | None, text: str) -> None:
    """Write and flush; what the encoding does not know is escaped.

    Raises
    ------
    OSError
        If it cannot be written. Nothing is then left that Python would try to write when it exits.
    """
    if stream is None or stream.closed:  # as in `hingefast info >&-`
        raise OSError(errno.EBADF, "the output is closed")
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        raise


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith("required: DATA"):
            message += " (name it before --loss, which takes every name that follows)"
        if len(message) > MAX_ERROR - 100:
            message = message[: MAX_ERROR - 100] + "..."
        raise UserError(f'{message} (see "{self.prog} --help")')

    def print_help(self, file: Any = None) -> None:
        _write(sys.stdout if file is None else file, self.format_help())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hingefast", description="Losses of the hinge family on large data.", allow_abbrev=False
    )
    parser.set_defaults(run=lambda arguments: _write(sys.stdout, INTRODUCTION))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    info = commands.add_parser("info", help="print versions, instruction-set level, compiler, threads")
    info.set_defaults(run=_run_info)

    evaluation = commands.add_parser(
        "eval",
        help="losses of a linear classifier on a data file",
        description="Print value, gradient, active rows, errors and time of losses of a linear classifier.",
        epilog=_losses_text(),
        allow_abbrev=False,
    )
    evaluation.set_defaults(run=_run_eval)
    option = evaluation.add_argument
    _add_data(evaluation)
    losses = evaluation.add_mutually_exclusive_group()
    losses.add_argument(
        "--loss",
        metavar="NAME",
        nargs="+",
        action="extend",
        help=(
            f"losses to evaluate (default: that of the model, else {' '.join(DEFAULT_LOSSES)}, "
            f"or {' '.join(DEFAULT_MULTICLASS_LOSSES)} for three or more classes)"
        ),
    )
    losses.add_argument(
        "--all",
        action="store_true",
        help=(
            "evaluate every loss; for three or more classes, every arrangement of "
            f"{', '.join(DEFAULT_LOSSES)}"
        ),
    )
    classifier = evaluation.add_mutually_exclusive_group()
    classifier.add_argument("--model", metavar="MODEL", help="a classifier that hingefast fit has trained")
    classifier.add_argument(
        "--coef",
        metavar="FILE",
        help=(
            ".npy of d numbers, or d+1, intercept last, also as one row; for K classes (K, d) or (K, d+1) "
            "(default: made from the class means)"
        ),
    )
    option("--alpha", metavar="A", type=_alpha, default=0.0, help="add A/2 |coef|^2 (default: 0)")
    option(
        "--dtype",
        choices=("float32", "float64"),
        help="of the data (default: that of the model, else float64)",
    )
    option(
        "--threads",
        metavar="N",
        type=_threads,
        help="threads to use, -1 for all (default: all; 1 with --compare)",
    )
    _add_reading(option)
    option(
        "--compare", action="store_true", help="time and check the same pass in SciPy, or NumPy without SciPy"
    )
    option("--json", action="store_true", help="print one JSON object; NaN and infinities become null")
    _add_fit(commands)
    return parser


def _add_data(command: argparse.ArgumentParser) -> None:
    """The data file, and that of its labels."""
    command.add_argument(
        "data",
        metavar="DATA",
        help="svmlight text, or an array in an IDX (MNIST) or .npy file, rows first; plain or .gz, .bz2, .xz",
    )
    command.add_argument(
        "--labels", metavar="FILE", help="IDX or .npy file of the labels; svmlight text holds them already"
    )


def _add_reading(option: Callable[..., Any]) -> None:
    """How the data file is to be understood."""
    option(
        "--classes",
        metavar="LABELS",
        type=_classes,
        help=(
            "NEG,POS: the two labels; {-1,1}, {0,1} and {1,2} are understood without. Or three and more "
            "integers in the order of the rows of coef (default: the labels of DATA, sorted)"
        ),
    )
    option(
        "--n-features",
        metavar="D",
        type=_positive,
        help="columns of svmlight text (default: the largest id in DATA)",
    )
    option(
        "--zero-based",
        action=argparse.BooleanOptionalAction,
        help="whether ids of svmlight text count from 0 (default: as a comment at its beginning says, else from 1)",
    )


def _add_fit(commands: Any) -> None:
    training = commands.add_parser(
        "fit",
        help="train a linear classifier on a data file",
        description=(
            "Train a linear classifier: minimise the mean loss + 1/(2 C n) |coef|^2, n the rows to train on. Print "
            "method, time, relative duality gap (a proof of how close the minimum is), accuracy and margins; write "
            "the model."
        ),
        epilog=_losses_text()
        + " Three or more classes are trained one against the rest, unless one of these is named.",
        allow_abbrev=False,
    )
    training.set_defaults(run=_run_fit)
    option = training.add_argument
    _add_data(training)
    option(
        "-o",
        "--output",
        metavar="MODEL",
        required=True,
        help=(
            "file to write, an .npz that eval takes as --model and np.load without pickle; "
            "one that exists is replaced"
        ),
    )
    option("--loss", metavar="NAME", default=DEFAULT_LOSS, help=f"loss to minimise (default: {DEFAULT_LOSS})")
    option(
        "--C",
        metavar="C",
        type=_above_0,
        default=1.0,
        help="weight of the losses against the penalty, as in LIBLINEAR (default: 1)",
    )
    option(
        "--intercept",
        choices=tuple(INTERCEPTS),
        default="penalized",
        help="whether there is one, and whether the penalty takes it in (default: penalized, as in LIBLINEAR)",
    )
    option("--method", choices=("auto", *METHODS), default="auto", help="of hf.minimize (default: auto)")
    option(
        "--tol",
        metavar="T",
        type=_alpha,
        default=1e-4,
        help="relative duality gap to end at (default: 1e-4)",
    )
    option(
        "--max-iter",
        metavar="N",
        type=_positive,
        help="iterations, at most (default: as in hf.minimize)",
    )
    option(
        "--test",
        metavar="FRACTION|FILE",
        type=_share_or_file,
        help=(
            "share of the rows of DATA, chosen at random, to hold out, or another file: the model is tried on them. "
            "A file may end before the last features of DATA, but may not have others"
        ),
    )
    option("--test-labels", metavar="FILE", help="IDX or .npy file of the labels of --test FILE")
    option(
        "--seed",
        metavar="S",
        type=_seed,
        default=0,
        help="of the choice of rows, and of methods that visit rows in random order (default: 0)",
    )
    option(
        "--dtype", choices=("float32", "float64"), default="float64", help="of the data (default: float64)"
    )
    option("--threads", metavar="N", type=_threads, help="threads to use, -1 for all (default: all)")
    _add_reading(option)
    option("--json", action="store_true", help="print one JSON object; NaN and infinities become null")


def _losses_text() -> str:
    names = ", ".join(MULTICLASS_LOSSES)
    return (
        f"Losses of two classes: {', '.join(MARGIN_LOSSES)}. Of K classes: {names}, each built on the hinge or, "
        f"as in {next(iter(MULTICLASS_LOSSES))}:logistic, on any loss of two classes."
    )


def _join_classes(argv: Sequence[str]) -> list[str]:
    """Turn ``--classes -1,1`` into ``--classes=-1,1``: argparse takes what starts with - for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--classes":
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def _number(kind: Callable[[str], Number], text: str) -> Number | None:
    """Read a number as other programs do: without the underscores and the digits of other scripts that Python takes."""
    try:
        return kind(text) if text.isascii() and "_" not in text else None
    except ValueError:  # also for integers of thousands of digits
        return None


def _alpha(text: str) -> float:
    alpha = _number(float, text)
    if alpha is None or not 0 <= alpha < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and >= 0, got {quote(text)}")
    return alpha


def _above_0(text: str) -> float:
    number = _number(float, text)
    if number is None or not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and > 0, got {quote(text)}")
    return number


def _seed(text: str) -> int:
    number = _number(int, text)
    if number is None or not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer in [0, 2^32), got {quote(text)}")
    return number


def _share_or_file(text: str) -> float | str:
    """A share where it is a number; a file that is called like a number is reached as ./0.5."""
    number = _number(float, text)
    if number is None:
        return text
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"must be a share between 0 and 1, or a file (./{shorten(text)} is one), got {quote(text)}"
        )
    return number


def _threads(text: str) -> int:
    threads = _number(int, text)
    if threads is None or (threads < 1 and threads != -1):
        raise argparse.ArgumentTypeError(f"must be a positive integer or -1, got {quote(text)}")
    return threads


def _positive(text: str) -> int:
    number = _number(int, text)
    if number is None or not 1 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {quote(text)}")
    return number


def _classes(text: str) -> tuple[float, ...]:
    parts = [_number(float, part) for part in text.split(",")]
    labels = tuple(part for part in parts if part is not None)
    text = shorten(text)
    if len(labels) < len(parts):
        labels = ()
    if len(labels) < 2:
        raise argparse.ArgumentTypeError(f"must be two numbers NEG,POS or more integers, got {text!r}")
    if not all(map(math.isfinite, labels)) or len(set(labels)) < len(labels):
        raise argparse.ArgumentTypeError(f"must be different finite numbers, got {text!r}")
    if len(labels) > 2 and not all(label.is_integer() for label in labels):
        raise argparse.ArgumentTypeError(f"more than two labels must be integers, got {text!r}")
    return labels


def _run_info(arguments: argparse.Namespace) -> None:
    n_threads(None)
    with contextlib.redirect_stdout(io.StringIO()) as text:
        hf.show_config()
    _write(sys.stdout, text.getvalue())


def _run_eval(arguments: argparse.Namespace) -> None:
    result = evaluate(
        arguments.data,
        labels=arguments.labels,
        losses=arguments.loss,
        every_loss=arguments.all,
        coef=arguments.coef,
        model=arguments.model,
        alpha=arguments.alpha,
        dtype=arguments.dtype,
        threads=arguments.threads,
        classes=arguments.classes,
        n_features=arguments.n_features,
        zero_based=arguments.zero_based,
        compare=arguments.compare,
    )
    _write(sys.stdout, (as_json(result) if arguments.json else as_text(result)) + "\n")


def _run_fit(arguments: argparse.Namespace) -> None:
    try:
        result = fit(
            arguments.data,
            arguments.output,
            labels=arguments.labels,
            loss=arguments.loss,
            C=arguments.C,
            method=arguments.method,
            tol=arguments.tol,
            max_iter=arguments.max_iter,
            intercept=arguments.intercept,
            test=arguments.test,
            test_labels=arguments.test_labels,
            seed=arguments.seed,
            dtype=arguments.dtype,
            threads=arguments.threads,
            classes=arguments.classes,
            n_features=arguments.n_features,
            zero_based=arguments.zero_based,
            terminal=sys.stderr if is_terminal(sys.stderr) else None,
        )
    except KeyboardInterrupt:
        _tell(f"interrupted, {show_path(arguments.output)} is not written")
        raise
    _write(sys.stdout, (fit_as_json(result) if arguments.json else fit_as_text(result)) + "\n")
