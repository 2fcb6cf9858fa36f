"""Do the tests catch wrong mathematics? Change one place at a time in a copy of the checkout, and run its tests.

    python benchmarks/mutants.py [CHECKOUT]

Places are drawn in turn from the rooms of mathematics, one a function: a sign, a factor, an index, a number, a dropped
term. They are chosen by a hash of what is written there, so that other edits do not move them. A mutant meets the tests
of its room, the files that name its function or module first, until one fails. Some mutants are equivalent to the
original; a person judges the survivors, which are printed.
"""

import ast
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOMS = ("chain", "diffusion", "discrete", "metrics", "nn", "smc", "steer")
NO_MATHEMATICS = {"datasets", "experiments", "figures", "figures.py", "benchmarks.py", "__init__.py"}
COUNT, SEED = 40, 0
LIMIT = 90  # CPU seconds for the tests of a mutant


@dataclass(frozen=True)
class Mutant:
    """New text for one expression of a file."""

    file: Path
    function: str
    line: int
    span: tuple[int, int]
    """Bytes of the file."""
    old: str
    new: str

    def rank(self) -> str:
        """Where it stands in the draw."""
        return hashlib.sha256(f"{SEED} {self.file} {self.function} {self.old} {self.new}".encode()).hexdigest()


def rewritten(node: ast.expr) -> Iterator[str]:
    """The ways in which an expression can be wrong."""
    text = ast.unparse
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            yield f"({text(left)}) {'-' if isinstance(sign, ast.Add) else '+'} ({text(right)})"
            yield f"({text(left)})"
        case ast.BinOp(left, ast.Mult() | ast.Div() as sign, right):
            yield f"({text(left)}) {'/' if isinstance(sign, ast.Mult) else '*'} ({text(right)})"
            yield f"({text(left)})"
        case ast.UnaryOp(ast.USub(), operand):
            yield f"({text(operand)})"
        case ast.Subscript(value, ast.Constant(int(index))):
            yield f"{text(value)}[{index + 1}]"
        case ast.Constant(float(number)):
            yield f"{2 * number if number else 1.0}"


def mutants(root: Path, path: Path) -> Iterator[Mutant]:
    """Those of the functions of a file; messages, annotations and presets are left alone."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def visit(node: ast.AST, names: tuple[str, ...], inside: bool) -> Iterator[Mutant]:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments | ast.AnnAssign):
            return
        named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if named and node.name == "preset":
            return
        names = (*names, node.name) if named else names
        inside = inside or isinstance(node, ast.FunctionDef)
        if inside and isinstance(node, ast.expr):
            span = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            for new in rewritten(node):
                place = path.relative_to(root), ".".join(names), node.lineno
                yield Mutant(*place, span, ast.unparse(node), f"({new})")
        for child in node.body if named else ast.iter_child_nodes(node):
            yield from visit(child, names, inside)

    yield from visit(ast.parse(source), (), False)


def drawn(root: Path) -> list[Mutant]:
    """From each room in turn the first of its mutants by rank, no two of one function."""
    folders = [*(root / "genkit" / room for room in ROOMS), *sorted(root.glob("plugins/*/genkit_*"))]
    rooms = []
    for folder in folders:
        files = (path for path in folder.rglob("*.py") if not NO_MATHEMATICS & set(path.relative_to(folder).parts))
        ranked = sorted((one for path in files for one in mutants(root, path)), key=Mutant.rank)
        first = {(one.file, one.function): one for one in reversed(ranked)}
        rooms.append(sorted(first.values(), key=Mutant.rank))
    turns = [one for turn in zip_longest(*rooms) for one in turn if one is not None]
    return turns[:COUNT]


def tests(root: Path, mutant: Mutant) -> list[str]:
    """Test files of the room, those that name the function, its class or its module first."""
    parts = mutant.file.parts
    folder = root.joinpath(*(("tests", parts[1]) if parts[0] == "genkit" else (*parts[:2], "tests")))
    names = re.compile(rf"\b({'|'.join({mutant.file.stem, *mutant.function.split('.')})})\b", re.IGNORECASE)
    found = {path: len(names.findall(path.read_text())) for path in sorted(folder.glob("test_*.py"))}
    return [str(path.relative_to(root)) for path in sorted(found, key=lambda path: -found[path])]


def fate(root: Path, mutant: Mutant) -> str:
    """Whether the tests of a mutant fail: caught, survived, or late."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv"))
        source = (copy / mutant.file).read_bytes()
        a, b = mutant.span
        (copy / mutant.file).write_bytes(source[:a] + mutant.new.encode() + source[b:])
        packages = [str(copy), *map(str, copy.glob("plugins/*"))]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *tests(copy, mutant)]
        done = subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT)),
        )
    return {0: "survived", 1: "caught", 2: "caught"}.get(done.returncode, "late")


def main() -> None:
    """Print the fate of each mutant, and how many were caught."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).absolute()
    some = drawn(root)
    fates = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for one, what in zip(some, pool.map(lambda one: fate(root, one), some), strict=True):
            fates.append(what)
            print(f"{what:8}  {one.file}:{one.line} {one.function}: {one.old} -> {one.new}", flush=True)
    print(f"{fates.count('caught')} of {len(fates)} caught, {fates.count('late')} not within {LIMIT} CPU seconds")


if __name__ == "__main__":
    main()
