"""From structures to protostructures, many at once, with a list of what was refused and why.

The symmetry is found by spglib within 0.1 A and 5 degrees (as in the label of pymatgen), and again at 1e-5 A on the
refined structure where that fails. What a file declares is held against what was found.
"""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from genkit.errors import DataError
from genkit.workers import each
from genkit_crystals.protostructures.cif import Parsed, blocks, parsed
from genkit_crystals.protostructures.limits import limited
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.settings import order
from genkit_crystals.protostructures.sources import Entry, Reject, numbers_of
from genkit_crystals.protostructures.wyckoff import ELEMENTS, LETTERS

SYMPREC = 0.1  # A
REFINED = 1e-5  # A: of what spglib has refined
NEAREST = 0.5  # A: no two atoms are nearer
FLAT = 0.1  # A^3: no cell is smaller
LIMIT = 60.0  # s
WIDEN = "another tolerance (symprec) may do"


@dataclass(frozen=True)
class Read:
    """What became of one structure."""

    place: str
    """File, line of a table, name of a block"""
    label: str = ""
    reason: str = ""
    """Why there is no label"""
    notes: tuple[str, ...] = ()
    """What was changed or assumed, and what parsers warned of"""
    values: dict[str, float] = field(default_factory=dict)
    """Numbers that stand beside it, by name"""
    file: str = ""
    """Path of the file within the folder that was read"""


@dataclass(frozen=True)
class Encoded:
    """What became of all."""

    reads: tuple[Read, ...]

    @property
    def good(self) -> list[Read]:
        """Those with a label."""
        return [one for one in self.reads if one.label]

    @property
    def labels(self) -> tuple[str, ...]:
        """Their labels."""
        return tuple(one.label for one in self.good)

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """What was refused."""
        return tuple(Reject(one.place, one.reason) for one in self.reads if not one.label)

    @property
    def notes(self) -> tuple[Reject, ...]:
        """What was changed or assumed."""
        return tuple(Reject(one.place, note) for one in self.reads for note in one.notes)

    def summary(self) -> str:
        """One line of counts, by reason."""
        reasons = Counter(r.reason.partition(":")[0] for r in self.rejects)
        why = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common())
        return f"{len(self.good)} encoded, {len(self.rejects)} refused" + (f" ({why})" if why else "")


def protostructure(structure: Any, symprec: float = SYMPREC) -> Protostructure:
    """The protostructure of a pymatgen Structure; raises DataError with the reason.

    Oxidation states and other properties of sites do not count.
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    if not structure.is_ordered:
        raise DataError("disordered sites: a Wyckoff position holds one element; order the structure first")
    strange = [str(s) for s in structure.elements if not getattr(s, "Z", 0) or s.Z > ELEMENTS]
    if strange:
        raise DataError(f"element not represented: {', '.join(strange)}; elements 1 to {ELEMENTS} are")
    plain = structure.copy(site_properties={})
    plain.remove_oxidation_states()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spglib tells of what it then mends
            found = SpacegroupAnalyzer(plain, symprec, angle_tolerance=5)
            try:
                return _analysed(plain, found)
            except DataError:
                refined = found.get_refined_structure()
                return _analysed(refined, SpacegroupAnalyzer(refined, REFINED, angle_tolerance=-1))
    except TimeoutError:
        raise
    except Exception as error:
        raise DataError(f"no symmetry found within {symprec:g} A: {_line(error)}; {WIDEN}") from error


def _analysed(structure: Any, found: Any) -> Protostructure:
    """The canonical protostructure of a structure, by what a SpacegroupAnalyzer found.

    Its label is that of pymatgen.analysis.prototypes, which makes all structures of AFLOW when it is imported, in three
    seconds.
    """
    data = found.get_symmetry_dataset()
    heads = [(int(i), data.wyckoffs[i]) for i in sorted(set(data.equivalent_atoms))]
    crystal = Protostructure.of(data.number, [(LETTERS.index(letter), structure[i].specie.Z, 1) for i, letter in heads])
    there = Counter(site.specie.Z for site in structure)
    unlike = any(there[z] * crystal.atoms != n * len(structure) for z, n in crystal.composition.items())
    if crystal.atoms != len(data.std_types) or unlike:
        raise DataError(
            f"its sites make {crystal.chemical_formula} with {crystal.atoms} atoms in the conventional cell"
        )
    return crystal.canonical


def read(entry: Entry, symprec: float = SYMPREC, limit: float = LIMIT) -> list[Read]:
    """What becomes of the structures of an entry, each within `limit` seconds."""
    every = _read(entry, _resolved, symprec, limit)
    return [replace(one, label=made[0].label) if made else one for one, made in every]


def crystals_of(entry: Entry | Reject) -> list[tuple[str, Any]]:
    """(place, (Protostructure, pymatgen Structure)) of an entry; text, the reason, in place of what is refused."""
    return _made(entry, _resolved)


def structures_of(entry: Entry | Reject) -> list[tuple[str, Any]]:
    """(place, pymatgen Structures that are meant) of an entry, several where the setting is open; text, the reason,
    in place of what cannot be parsed. Their symmetry is not looked at."""
    return _made(entry, lambda one, *_: [structure for structure, _ in one.structures])


def _made(entry: Entry | Reject, work: Callable[..., Any]) -> list[tuple[str, Any]]:
    if isinstance(entry, Reject):
        return [(entry.place, entry.reason)]
    return [(one.place, one.reason or made) for one, made in _read(entry, work, SYMPREC, LIMIT)]


def _read(entry: Entry, work: Callable[..., Any], symprec: float, limit: float) -> list[tuple[Read, Any]]:
    """What becomes of each structure of an entry, and what work(parsed, symprec, notes) makes of it."""
    import pymatgen.symmetry.analyzer  # noqa: F401  it loads for a second, which is of no structure's limit

    try:
        with limited(limit):
            every = list(_parts(entry))
    except Exception as error:  # whatever one of them raises, the others are read
        return [(Read(entry.place, reason=_why(error, limit), values=entry.values, file=entry.file), None)]
    found = []
    for place, parse, values in every:
        notes, reason, made = [], "", None
        try:
            with limited(limit):
                one = parse(symprec)
                notes += one.notes
                made = work(one, symprec, notes)
        except Exception as error:
            reason = _why(error, limit)
        said = tuple(dict.fromkeys(notes))
        found.append((Read(place, "", reason, said, entry.values | values, entry.file), made))
    return found


def encode(
    entries: Iterable[Entry | Reject],
    workers: int | None = None,
    symprec: float = SYMPREC,
    progress: Callable[[int], None] = lambda done: None,
    limit: float = LIMIT,
) -> Encoded:
    """Labels of all entries, in their order; what is refused stops nothing.

    Args:
        entries: such as `entries(path)`.
        workers: processes; None for one a core, fewer where there are few entries.
        symprec: tolerance of spglib in A, and that within which an atom is moved to a special position.
        progress: called with the number of entries done.
        limit: seconds for one structure.
    """
    every = list(entries)
    todo = [one for one in every if isinstance(one, Entry)]
    done = iter(each(partial(read, symprec=symprec, limit=limit), todo, share=50, workers=workers, progress=progress))
    reads: list[Read] = []
    for one in every:
        reads += next(done) if isinstance(one, Entry) else [Read(one.place, reason=one.reason)]
    return Encoded(tuple(reads))


Parser = Callable[[float], Parsed]


def _parts(entry: Entry) -> Iterator[tuple[str, Parser, dict[str, float]]]:
    """(place, how it is parsed, numbers beside it) of the structures of an entry; raises DataError."""
    if entry.form == "cif":
        found = blocks(entry.text)
        if not found:
            raise DataError("no data_ block; this is no CIF" if entry.text.strip() else "nothing there: it is empty")
        filled = [block for block in found if any(name.startswith("_atom_site_") for name in block.columns)]
        for i, block in enumerate(filled or found):
            several = len(filled or found) > 1
            place = f"{entry.place}[{block.name or i}]" if several else entry.place
            empty = tuple(f"block {one.name} has no atoms" for one in found if filled and one not in filled)
            yield place, partial(_block, block, empty if i == 0 else ()), {}
    elif entry.form == "xyz":
        every = _frames(entry.text)
        for i, text in enumerate(every):
            place = f"{entry.place}[{i}]" if len(every) > 1 else entry.place
            try:
                atoms = _frame(text)
            except DataError as error:
                yield place, partial(_refused, error), {}
                continue
            values = numbers_of(atoms.info)
            if atoms.calc is not None and "energy" in atoms.calc.results:
                values |= numbers_of({"energy_per_atom": float(atoms.calc.results["energy"]) / len(atoms)})
            yield place, partial(_atoms, atoms), values
    else:
        yield entry.place, partial(_text, entry), {}


def _block(block: Any, empty: tuple[str, ...], symprec: float) -> Parsed:
    one = parsed(block, symprec)
    return Parsed(one.structures, (*empty, *one.notes), one.group, one.own)


def _frames(text: str) -> list[str]:
    """The frames of xyz, each to be read by itself; one that is not followed by a count goes to the end."""
    lines, found, at = text.splitlines(), [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        size = int(lines[at]) + 2 if lines[at].strip().isdecimal() else len(lines)
        behind = at + size
        while behind < len(lines) and (not lines[behind].strip() or lines[behind].startswith("VEC")):  # of the cell
            behind += 1
        size = behind - at if behind >= len(lines) or lines[behind].strip().isdecimal() else len(lines)
        found.append("\n".join(lines[at : at + size]))
        at += size
    return found


def _frame(text: str) -> Any:
    """The atoms of one frame."""
    from ase.io import read as atoms_of

    with _told("xyz"):
        (atoms,) = atoms_of(io.StringIO(text), index=":", format="extxyz")
    return atoms


def _refused(error: DataError, symprec: float) -> Parsed:
    raise error


def _atoms(atoms: Any, symprec: float) -> Parsed:
    """Of a frame of xyz."""
    from pymatgen.core import Structure

    if atoms.cell.rank < 3:
        raise DataError('no cell: the second line lacks Lattice="..." of nine numbers')
    if not atoms.pbc.all():
        raise DataError("periodic in fewer than three directions; a crystal is in all of them")
    structure = Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    return Parsed(((structure, ""),))


def _text(entry: Entry, symprec: float) -> Parsed:
    """Of a POSCAR or of JSON; warnings of the parser are kept."""
    from pymatgen.core import Structure
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings(record=True) as caught, _told(entry.form):
        warnings.simplefilter("always")
        if entry.form == "poscar":
            poscar = Poscar.from_str(entry.text, read_velocities=False)
            named, structure = poscar.true_names, poscar.structure
        else:
            content = _plain(json.loads(entry.text))
            if not isinstance(content, dict) or not {"lattice", "sites"} <= {*content}:
                raise DataError("unreadable json: expected a mapping with lattice and sites")
            named, structure = True, Structure.from_dict(content)
    if not named:
        raise DataError("no symbols of elements (VASP 4): write them in a line before that of the numbers of atoms")
    return Parsed(((structure, ""),), tuple(" ".join(str(one.message).split()) for one in caught))


def _plain(content: Any) -> Any:
    """JSON without properties and names of modules: pymatgen would import these and call what they name."""
    if isinstance(content, list):
        return [_plain(one) for one in content]
    if isinstance(content, dict):
        return {k: _plain(v) for k, v in content.items() if k != "properties" and not k.startswith("@")}
    return content


class _told:
    """What a parser raises is a DataError that says so."""

    def __init__(self, form: str):
        self.form = form

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, DataError | TimeoutError):
            raise DataError(f"unreadable {self.form}: {_line(error)}") from error


def _resolved(one: Parsed, symprec: float, notes: list[str]) -> tuple[Protostructure, Any]:
    """The only crystal that is meant, and its structure; raises DataError."""
    found: dict[str, tuple[Protostructure, Any, str]] = {}
    refused = ""
    for structure, name in one.structures:
        try:
            _require_room(structure)
            crystal = protostructure(structure, symprec)
            _require_group(one, crystal, symprec)
        except DataError as error:
            refused = refused or str(error)
            continue
        found.setdefault(crystal.label, (crystal, structure, name))
    if not found:
        raise DataError(refused)
    if len(found) > 1:
        ways = "; ".join(f"{label} in {name}" for label, (*_, name) in found.items())
        raise DataError(f"the setting is not said: {ways}; give the symmetry operations or the Hall symbol")
    crystal, structure, _ = next(iter(found.values()))
    if one.group not in (None, 1, crystal.group):
        notes.append(f"space group {one.group} is declared, {crystal.group} was found within {symprec:g} A")
    return crystal, structure


def _require_room(structure: Any) -> None:
    """Refuse a cell without volume, and two atoms on one place."""
    if not structure.volume > FLAT:
        raise DataError(f"the cell has a volume of {structure.volume:.3g} A^3: its lengths and angles cannot be")
    i, j, _, distance = structure.get_neighbor_list(NEAREST)
    if len(distance):
        n = distance.argmin()
        pair = " and ".join(structure[int(k)].species_string for k in (i[n], j[n]))
        raise DataError(f"two atoms on one place: {pair} are {distance[n]:.2g} A apart")


def _require_group(one: Parsed, crystal: Protostructure, symprec: float) -> None:
    """Refuse another space group than the declared one, unless its operations are there and there are more."""
    if one.group in (None, 1, crystal.group):
        return
    if one.own != one.group or order(crystal.group) < order(one.group):
        raise DataError(
            f"space group {one.group} is declared, but the atoms have {crystal.group} within {symprec:g} A; {WIDEN}, "
            f"or the symmetry operations are not those of {one.group}"
        )


def _why(error: Exception, limit: float) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {limit:g} s"
    return str(error) if isinstance(error, DataError) else f"not understood: {type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
