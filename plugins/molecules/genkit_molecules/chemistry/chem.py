"""RDKit at the border: graphs to molecules and back. On the host only, never inside a compiled program."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from rdkit import Chem, RDLogger

from genkit.errors import UsageError
from genkit.workers import each
from genkit_molecules.chemistry.graphs import atoms, named_with_charge, pairs, symbol_and_charge

T = TypeVar("T")
ORDERS = (Chem.BondType.ZERO, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
ORDER_OF = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}
FORMS = 100  # Kekule forms of a part that are held
LARGEST = 5000  # atoms; RDKit writes a molecule by recursion, and beyond some 10 000 it overflows its stack
SHARE = 1000  # fewer molecules than this are not worth a process of their own


def quiet() -> None:
    """Keep RDKit from printing what it thinks of every wrong molecule."""
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]


def from_smiles(smiles: str) -> Chem.Mol | None:
    """The molecule of SMILES; None where RDKit cannot read them or they are too long."""
    return Chem.MolFromSmiles(smiles) if len(smiles) <= LARGEST else None


def to_mol(x: Sequence[int] | np.ndarray, elements: Sequence[str]) -> Chem.RWMol:
    """The molecule of a graph (D,), not sanitised."""
    n = atoms(len(x))
    mol = Chem.RWMol()
    for a in x[:n]:
        symbol, charge = symbol_and_charge(elements[int(a)])
        atom = Chem.Atom(symbol)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit("H" in elements)
        mol.AddAtom(atom)
    for (i, j), b in zip(pairs(n), x[n:], strict=True):
        if b:
            mol.AddBond(int(i), int(j), ORDERS[int(b)])
    return mol


def to_smiles(x: Sequence[int] | np.ndarray, elements: Sequence[str]) -> str | None:
    """Canonical SMILES of a graph (D,), with dots between its fragments; None where RDKit cannot sanitise it."""
    mol = to_mol(x, elements)
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol))) if "H" in elements else Chem.MolToSmiles(mol)


def to_graph(mol: Chem.Mol) -> tuple[list[str], np.ndarray]:
    """Elements of the atoms and orders of all pairs of a molecule, in one Kekule form.

    Raises KeyError for bonds of another order than 1 to 3, RDKit's KekulizeException where there is no such form.
    """
    mol = Chem.Mol(mol)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    n = mol.GetNumAtoms()
    bonds = np.zeros((n, n), np.uint8)
    for b in mol.GetBonds():
        bonds[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] = bonds[b.GetEndAtomIdx(), b.GetBeginAtomIdx()] = ORDER_OF[
            b.GetBondType()
        ]
    kinds = [named_with_charge(a.GetSymbol(), a.GetFormalCharge()) for a in mol.GetAtoms()]
    return kinds, bonds[tuple(pairs(n).T)]


def encoded(kinds: Sequence[str], bonds: np.ndarray, elements: Sequence[str]) -> np.ndarray:
    """The graph (D,) uint8 of `to_graph`, whose elements are among these."""
    return np.concatenate([np.array([elements.index(kind) for kind in kinds], np.uint8), bonds])


def flat(mol: Chem.Mol) -> Chem.Mol:
    """The molecule without stereochemistry, isotopes, atom maps and explicit hydrogen, which is implied then."""
    mol = Chem.Mol(mol)
    for a in mol.GetAtoms():
        a.SetIsotope(0)
        a.SetAtomMapNum(0)
    mol = Chem.RemoveHs(mol)
    Chem.RemoveStereochemistry(mol)
    return mol


def motif_of(smiles: str) -> tuple[list[str], np.ndarray]:
    """Elements of the atoms, "*" for any, and orders (F, m, m) of the bonds of a part in each of its Kekule forms.

    They are the perfect matchings of the atoms with a double bond in a ring by aromatic bonds. Raises UsageError for
    what is no SMILES, has other bonds or too many forms.
    """
    quiet()
    mol = from_smiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        raise UsageError(f"{smiles!r} is no SMILES; expected a part of a molecule, as c1ccccc1 or *c1ccccc1")
    try:
        kinds, upper = to_graph(mol)
    except (Chem.KekulizeException, KeyError):
        raise UsageError(f"{smiles!r} has no Kekule form with bonds of order 1 to 3") from None
    bonds = np.zeros((len(kinds), len(kinds)), int)
    bonds[tuple(pairs(len(kinds)).T)] = upper
    bonds += bonds.T
    ring = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds() if b.GetIsAromatic()], int)
    i, j = ring.reshape(-1, 2).T
    paired = np.unique(ring[bonds[i, j] == 2])  # the same atoms in all forms, as valences are
    matchings = list(islice(_matchings(paired.tolist(), ring.tolist()), FORMS + 1))
    if len(matchings) > FORMS:
        raise UsageError(f"{smiles!r} has more than {FORMS} Kekule forms; expected a smaller part")
    found = []
    for doubles in matchings:
        form = bonds.copy()
        form[i, j] = form[j, i] = 1
        for a, b in doubles:
            form[a, b] = form[b, a] = 2
        found.append(form)
    return kinds, np.stack(found)


def _matchings(nodes: list[int], edges: list[list[int]]) -> Iterator[list[tuple[int, int]]]:
    """All perfect matchings of a graph."""
    if not nodes:
        yield []
        return
    first = nodes[0]
    for a, b in edges:
        other = b if a == first else a
        if first in (a, b) and other in nodes:
            rest = [node for node in nodes if node not in (first, other)]
            yield from ([(first, other), *more] for more in _matchings(rest, edges))


def smiles_of(
    x: Sequence[np.ndarray] | np.ndarray, elements: Sequence[str], say: Callable[[str], None] | None = None
) -> list[str | None]:
    """`to_smiles` of graphs, each (D,)."""
    return parallel(partial(to_smiles, elements=tuple(elements)), list(x), say)


def sdf_of(smiles: Sequence[str]) -> str:
    """Valid molecules with coordinates in the plane, as the text of an SDF file."""
    from rdkit.Chem import rdDepictor

    text = io.StringIO()
    writer = Chem.SDWriter(text)
    for s in smiles:
        mol = Chem.MolFromSmiles(s)
        rdDepictor.Compute2DCoords(mol)
        mol.SetProp("_Name", s)
        writer.write(mol)
    writer.close()
    return text.getvalue()


def parallel(f: Callable[[Any], T], items: Sequence[Any], say: Callable[[str], None] | None = None) -> list[T]:
    """[f(item)] with RDKit silent, by several processes where there are many items; f must be picklable.

    `say` hears of the progress where there are many.
    """

    def progress(done: int) -> None:
        if say and len(items) > SHARE and done % (len(items) // 10) == 0:
            say(f"{done} of {len(items)} molecules")

    return each(partial(_quietly, f), items, share=SHARE, progress=progress)


def _quietly(f: Callable[[Any], T], item: Any) -> T:
    quiet()  # in the process that does the work
    return f(item)
