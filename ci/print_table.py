"""Print the declarations of ``hingefast/_kernels/table.pxd``: the table of C loops, as Cython sees it.

They follow from ``hingefast/_loops``: types and numbers from ``table.h``, losses from ``losses.h``, the loops from
``loops.h``.

Usage: ``python ci/print_table.py`` prints them; ``--write`` puts them between the two markers of table.pxd; ``--check``
compares what stands there, and fails when it differs.
"""

import argparse
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "hingefast"
PXD = PACKAGE / "_kernels" / "table.pxd"
BEGIN = "# --- printed by ci/print_table.py ---\n"
END = "# --- end of what ci/print_table.py prints ---\n"
WIDTH = 120


def source(name):
    """Return a header of _loops without comments, every run of white space a blank."""
    text = re.sub(r"/\*.*?\*/", "", (PACKAGE / "_loops" / name).read_text(), flags=re.DOTALL)
    return " ".join(text.split())


def extents(table):
    """Return the dimensions of each kind of loop, such as ``[2]``; none for one loop."""
    pattern = r"#define HF_EXTENT_(\w+)((?: ?\[\w+\])*)(?= )"
    return {kind: extent.replace(" ", "") for kind, extent in re.findall(pattern, table)}


def loops(macro, table):
    """Return, as C declares them, the members of the table that one macro of loops.h lists."""
    text, members = source("loops.h"), []
    for use in re.finditer(rf"(?<!\w){macro}\((\w+), (\w+), (\w+), (?=\()", text):
        kind, result, name = use.groups()
        depth, end = 1, use.end() + 1  # up to the bracket that closes the arguments; some have their own
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if (kind, result) != ("KIND", "RESULT"):
            members.append(f"{result} (*{name}{extents(table)[kind]}){text[use.end() : end]}")
    return members


def in_cython(declaration):
    """Return a declaration of C, of one name, as Cython spells it."""
    spelt = declaration.replace("ptrdiff_t", "Py_ssize_t").replace(" *const", "* const")
    spelt = re.sub(r" \*(?=\w)", "* ", spelt)
    return spelt + (" noexcept nogil" if "(*" in spelt else "")


def wrapped(line):
    """Return the lines of a member of a struct, broken between arguments."""
    lines, more = ["        " + line], " " * (9 + line.find(")(") + 1)
    while len(lines[-1]) > WIDTH:
        at = lines[-1].rindex(", ", 0, WIDTH) + 1
        lines[-1:] = [lines[-1][:at], more + lines[-1][at + 1 :]]
    return lines


def members(name, body, table):
    """Return the members of a struct as C declares them, one name each."""
    macro = {"hf_real_loops": "REAL_LOOP", "hf_loops": "LOOP"}.get(name)
    found = []
    for declaration in filter(
        None, (part.strip() for part in body.replace('#include "loops.h"', "").split(";"))
    ):
        first, *others = [declaration] if "(" in declaration else declaration.split(", ")
        ctype = re.match(r"(?:const )?\w+", first)[0]
        found += [first, *(f"{ctype} {other}" for other in others)]
    return found + (loops(macro, table) if macro else [])


def declarations():
    """Return everything that this script prints."""
    losses, table = source("losses.h").split("#ifdef real")[0], source("table.h")
    lines = ['cdef extern from "../_loops/table.h" nogil:']
    for body in re.findall(r"enum \{(.*?)\}", losses + table):
        names = re.sub(r"HF_FAMILIES\(.*?\)", "", body)  # how many there are is all that the kernels need
        lines += ["    enum:", *(f"        {name.split()[0]}" for name in names.split(","))]
    for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", losses + table):
        lines += ["", f"    ctypedef struct {name}:"]
        for member in members(name, body, table):
            lines += wrapped(in_cython(member))
    return "\n".join(lines) + "\n"


def main():
    """Print, write or check the declarations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the declarations into table.pxd")
    parser.add_argument("--check", action="store_true", help="compare with table.pxd instead of printing")
    arguments = parser.parse_args()
    printed = declarations()
    before, committed, after = re.split(f"{BEGIN}|{END}", PXD.read_text())
    if arguments.write:
        PXD.write_text(before + BEGIN + printed + END + after)
    elif not arguments.check:
        print(printed, end="")
    elif committed != printed:
        print(f"{PXD.name} is not what {Path(__file__).name} prints: run it with --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
