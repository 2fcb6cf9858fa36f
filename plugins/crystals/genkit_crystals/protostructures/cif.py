"""CIF: text into blocks, a block into structures, held against all that the file says of them.

Structures are built here from cell, operations and atoms, and what no reader may guess is refused: an element that is
not named, a coordinate that is missing, an occupancy that is no whole, a setting that is left open. Hall, Allen and
Brown 1991 (doi 10.1107/S010876739101067X).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit_crystals.protostructures.elements import numbers, symbols
from genkit_crystals.protostructures.settings import Declared, Setting, group_of, keeping, operations

TOKEN = re.compile(
    r"""^;(?P<text>.*?)^;|(?<!\S)\#[^\n]*|(?<!\S)'(?P<single>[^\n]*?)'(?!\S)|(?<!\S)"(?P<double>[^\n]*?)"(?!\S)"""
    r"""|(?P<bare>\S+)""",
    re.MULTILINE | re.DOTALL,
)
NOTHING = ("", "?", ".")
CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
ATOM = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "calc_flag", "attached_hydrogens")
OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
MAGNETIC = "_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
SYMBOLS = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full",
           "_space_group_name_h-m_ref")  # fmt: skip
HALLS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
SHARE = 0.01  # by how much shares of elements may be off


@dataclass
class Block:
    """One data block: columns by name, in lower case with underscores alone; what is in no loop has one row."""

    name: str
    columns: dict[str, list[str]] = field(default_factory=dict)

    def one(self, *names: str) -> str:
        """The first value that is given under one of the names, else ""."""
        values = (self.columns.get(name, [""])[0].strip() for name in names)
        return next((value for value in values if value not in NOTHING), "")


@dataclass(frozen=True)
class Parsed:
    """Structures that a text may mean, all but one of which are ruled out by their symmetry."""

    structures: tuple[tuple[Any, str], ...]
    """pymatgen Structures, with what tells each from the others"""
    notes: tuple[str, ...] = ()
    """What was changed or assumed"""
    group: int | None = None
    """Number of the space group that is declared"""
    own: int | None = None
    """That which the operations form by which the atoms were made"""


def blocks(text: str) -> list[Block]:
    """The data blocks of a text; raises DataError."""
    found: list[Block] = []
    tag, loop, row, head = "", [], 0, False

    def closed() -> None:
        if tag:
            found[-1].columns[tag] = [""]
        if loop and row % len(loop):
            raise DataError(
                f"the loop of {loop[0]} has {row} values for {len(loop)} columns; one is missing or too many"
            )

    for match in TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        word, low = match[kind], match[kind].lower() if kind == "bare" else ""
        if low.startswith("data_"):
            closed() if found else None
            found.append(Block(word[5:]))
            tag, loop, row, head = "", [], 0, False
        elif not found:
            raise DataError(f"{word[:40]!r} stands before the first data_; this is no CIF")
        elif low == "loop_":
            closed()
            tag, loop, row, head = "", [], 0, True
        elif low.startswith("_"):
            name = low.replace(".", "_")
            if not head:
                closed()
                tag, loop, row = name, [], 0
            else:
                loop.append(name)
                found[-1].columns[name] = []
        elif loop:
            head = False
            found[-1].columns[loop[row % len(loop)]].append(word)
            row += 1
        elif tag:
            found[-1].columns[tag], tag = [word], ""
        elif low not in ("global_", "save_", "stop_"):
            raise DataError(f"{word[:40]!r} belongs to no name; a quote may be missing before it")
    closed() if found else None
    return found


def parsed(block: Block, tolerance: float) -> Parsed:
    """What a block means.

    Args:
        block: of `blocks`.
        tolerance: in A: an atom this near to a special position sits there.
    """
    notes: list[str] = []
    cell = _cell(block, notes)
    formula = _formula(block, notes)
    atoms = _atoms(block, formula, notes)
    declared = _declared(block)
    given = _operations(block)
    if given is not None:
        ways = [("", given)]
    elif declared.number is None and not (declared.symbol or declared.hall):
        notes.append("neither symmetry operations nor a space group: taken as P 1")
        ways = [("", operations(1))]
    else:
        ways = [(_named(one), operations(one.hall)) for one in _settings(declared, cell)]
    structures, refused = {}, ""
    for name, way in ways:
        moves: list[str] = []
        try:
            structure = _built(cell, atoms, way, tolerance, moves)
            _require_formula(block, structure, formula)
        except DataError as error:
            refused = refused or str(error)
            continue
        structures[name] = structure, moves, way
    if not structures:
        raise DataError(refused)
    if given is None and len(ways) > 1:
        notes.append(f"the setting is not said; possible: {', '.join(structures)}")
    _, moves, way = next(iter(structures.values()))
    rotations, translations = way
    own = group_of(rotations, translations, cell) if declared.group not in (None, 1) else None
    found = tuple((structure, name) for name, (structure, *_) in structures.items())
    return Parsed(found, (*notes, *moves), declared.group, own)


def _number(text: str, what: str) -> float:
    """A number, perhaps with its uncertainty: 5.64(2)."""
    try:
        number = float(re.sub(r"\(\d*\)?$", "", text.strip()))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{what} is {text!r}; expected a number")
    return number


def _cell(block: Block, notes: list[str]) -> np.ndarray:
    """Vectors of the cell (3, 3) in A, as rows."""
    from pymatgen.core import Lattice

    values: list[Any] = []
    for name in CELL:
        text = block.one(f"_cell_{name}")
        if not text and name.startswith("length"):
            raise DataError(f"no cell: _cell_{name} is missing")
        if not text:
            notes.append(f"_cell_{name} is missing: taken as 90")
        values.append(_number(text or "90", f"_cell_{name}"))
    with np.errstate(invalid="ignore"):
        cell = np.asarray(Lattice.from_parameters(*values[:3], *values[3:]).matrix)
    if min(values) <= 0 or not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-3:
        raise DataError(f"the cell {' '.join(f'{v:g}' for v in values)} encloses nothing; expected A and degrees")
    return cell


def _formula(block: Block, notes: list[str]) -> dict[int, float]:
    """Atoms by atomic number of the declared formula; empty where there is none."""
    text = block.one("_chemical_formula_sum")
    words = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", text)
    if re.sub(r"[A-Z][a-z]?\d*\.?\d*|[\s,]", "", text) or any(element not in numbers() for element, _ in words):
        notes.append(f"the formula {text!r} is not understood, and not compared")
        return {}
    amounts: dict[int, float] = {}
    for element, n in words:
        amounts[numbers()[element]] = amounts.get(numbers()[element], 0) + float(n or 1)
    return amounts


def _atoms(block: Block, formula: dict[int, float], notes: list[str]) -> list[tuple[str, str, np.ndarray]]:
    """(name, element, coordinates) of the atoms that are listed."""
    size = len(block.columns.get("_atom_site_fract_x", []))
    every = {n.removeprefix("_atom_site_"): c for n, c in block.columns.items() if len(c) == size}
    columns = {name: every[name] for name in ATOM if name in every}
    names, kinds = columns.get("label"), columns.get("type_symbol")
    places = [columns.get(f"fract_{axis}") for axis in "xyz"]
    if None in places or not size:
        raise DataError("no atoms: _atom_site_fract_x, _y or _z is missing, or not as long as the others")
    if names is None and kinds is None:
        raise DataError("atoms without elements: neither _atom_site_type_symbol nor _atom_site_label is there")
    found = []
    for i in range(size):
        label, kind = (column[i] if column else "" for column in (names, kinds))
        name = label or kind
        if columns.get("calc_flag", [""] * (i + 1))[i].lower() == "dum":
            notes.append(f"{name} is a dummy and left out")
            continue
        element = _element(kind, True, formula) if kind not in NOTHING else _element(label, False, formula)
        occupancy = columns.get("occupancy", ["1"] * (i + 1))[i]
        share = 1.0 if occupancy in NOTHING else _number(occupancy, f"the occupancy of {name}")
        if share == 0:
            notes.append(f"{name} has occupancy 0 and is left out")
            continue
        if abs(share - 1) > SHARE:
            raise DataError(f"disordered sites: {name} has occupancy {share:g}; order the structure first")
        hydrogens = columns.get("attached_hydrogens", ["0"] * (i + 1))[i]
        if hydrogens not in NOTHING and _number(hydrogens, "attached hydrogens"):
            raise DataError(f"{name} has {hydrogens} attached hydrogen atoms without coordinates; give them")
        texts = [(place or [])[i] for place in places]
        if any(text in NOTHING for text in texts):
            raise DataError(
                f"{name} ({element}) has no coordinates; give them or leave the atom out of atoms and formula"
            )
        found.append((name, element, np.array([_number(text, f"a coordinate of {name}") for text in texts])))
    if not found:
        raise DataError("no atoms are listed")
    return found


def _word(text: str, whole: bool) -> str:
    """The letters that name an element: all of a type symbol but its charge, the first of a label."""
    end = r"(?:\d*\.?\d*[+-]?|[+-]\d*)$" if whole else r"(?![a-z])"
    match = re.match(rf"([A-Za-z]{{1,2}}){end}", text) or re.match(rf"([A-Za-z]){end}", text)
    return match[1] if match else ""


def _element(text: str, whole: bool, formula: dict[int, float]) -> str:
    """The element of a type symbol (`whole`) or of a label, in the case of the tables or as the formula has it."""
    word = _word(text, whole)
    choices = (word, word[:1]) if not whole and not word[1:].islower() else (word,)
    for choice in choices:
        if choice in numbers():
            return symbols()[numbers()[choice]] if numbers()[choice] < len(symbols()) else choice
        if (z := numbers().get(choice.title())) and (z in formula or (len(choice) == 1 and choice.islower())):
            return symbols()[z] if z < len(symbols()) else choice.title()
    what = f"type symbol {text!r}" if whole else f"label {text!r}, without a type symbol,"
    raise DataError(f"{what} names no element; write one, such as Na or Fe3+, for each atom")


def _declared(block: Block) -> Declared:
    number = block.one(*NUMBERS)
    value = int(_number(number, "the number of the space group")) if number else None
    if value is not None and not 1 <= value <= 230:
        raise DataError(f"the number of the space group is {number}; expected 1 to 230")
    return Declared(value, block.one(*SYMBOLS), block.one(*HALLS))


def _settings(declared: Declared, cell: np.ndarray) -> list[Setting]:
    """Settings that are declared and that the cell can have."""
    meant = declared.settings()
    found = keeping(meant, cell @ cell.T)
    if not found:
        raise DataError(
            f"no setting of space group {declared.name} (number {meant[0].group}) fits the cell, which lacks its "
            f"symmetry; give the symmetry operations"
        )
    return found


def _named(one: Setting) -> str:
    return f"{one.group} {one.symbol}" + f" ({one.choice})" * bool(one.choice)


def _operations(block: Block) -> tuple[np.ndarray, np.ndarray] | None:
    """Rotations (n, 3, 3) and translations (n, 3) that the file lists; None where it lists none."""
    listed = next((block.columns[name] for name in (*OPERATIONS, MAGNETIC[0]) if block.columns.get(name)), [])
    listed = [text for text in listed if text not in NOTHING]
    if not listed:
        return None
    try:
        found = [_operation(text) for text in listed]
        centrings = [_operation(text) for text in block.columns.get(MAGNETIC[1], ["x,y,z"])]
    except ValueError as error:
        raise DataError(f"a symmetry operation is not understood: {error}") from None
    made = {}  # what differs by moments alone is one operation
    for rotation, translation in found:
        for _, shift in centrings:
            moved = (translation + shift) % 1
            made[(*rotation.ravel(), *(np.rint(moved * 1e4) % 1e4))] = rotation, moved
    return np.array([r for r, _ in made.values()]), np.array([t for _, t in made.values()])


@cache
def _operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of x, y+1/2, -z, perhaps with the reversal of time behind them."""
    from pymatgen.core.operations import SymmOp

    parts = text.split(",")[:3]
    if len(parts) != 3 or not all(re.fullmatch(r"[\s\dxyzXYZ+\-*/.]+", part) for part in parts):
        raise ValueError(f"{text!r}; expected three parts, such as x, y+1/2, -z")
    found = SymmOp.from_xyz_str(",".join(parts).lower())
    return found.rotation_matrix, found.translation_vector


def _built(
    cell: np.ndarray,
    atoms: list[tuple[str, str, np.ndarray]],
    way: tuple[np.ndarray, np.ndarray],
    tolerance: float,
    notes: list[str],
) -> Any:
    """The structure of all images of the atoms; what lies near a special position is moved there."""
    from pymatgen.core import Lattice, Structure

    rotations, translations = way
    species, places = [], []
    for name, element, point in atoms:
        images = rotations @ point + translations
        away = images - point
        away -= np.rint(away)
        near = np.linalg.norm(away @ cell, axis=1) < tolerance
        shift = away[near].mean(0)
        if (moved := float(np.linalg.norm(shift @ cell))) > 1e-3:
            notes.append(f"{name} was moved by {moved:.3f} A to its special position")
        images = rotations @ (point + shift) + translations
        gaps = images[:, None] - images
        gaps -= np.rint(gaps)
        first = (np.linalg.norm(gaps @ cell, axis=-1) < tolerance).argmax(1)
        kept = np.unique(first)
        if len(kept) * near.sum() != len(images):
            raise DataError(f"{name} lies near several special positions within {tolerance:g} A; a smaller tolerance")
        species += [element] * len(kept)
        places.append(images[kept])
    return Structure(Lattice(cell), species, np.concatenate(places) % 1.0)


def _require_formula(block: Block, structure: Any, formula: dict[int, float]) -> None:
    """Refuse a structure that has not the declared formula, or not so many of its units."""
    if not formula:
        return
    made: dict[int, float] = {}
    for site in structure:
        made[site.specie.Z] = made.get(site.specie.Z, 0) + 1
    total, asked = sum(made.values()), sum(formula.values())
    text, found = block.one("_chemical_formula_sum"), _text(made)
    if any(abs(made.get(z, 0) / total - formula.get(z, 0) / asked) > SHARE for z in {*made, *formula}):
        raise DataError(f"the formula is {text}, but the atoms and operations make {found}; one of them is wrong")
    units = block.one("_cell_formula_units_z")
    times = _number(units or "1", "_cell_formula_units_Z")
    # some programs write the atoms of the cell as the formula, beside the number of its reduced units
    whole = times > 1 and all((n / times).is_integer() for n in formula.values())
    if units and all(abs(one - total) > SHARE * total + 0.5 for one in (times * asked, *[asked] * whole)):
        raise DataError(
            f"the cell holds {units} x {text}, but the atoms and operations make {found}; one of them is wrong"
        )


def _text(amounts: dict[int, float]) -> str:
    return " ".join(f"{symbols()[z]}{n:g}" for z, n in sorted(amounts.items()) if z < len(symbols()))
