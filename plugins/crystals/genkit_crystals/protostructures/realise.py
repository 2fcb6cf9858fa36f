"""From protostructures to structures: a random cell and free coordinates of the right symmetry, checked and written.

pyxtal draws the numbers. What stays is a starting point for a relaxation, not a prediction: nothing here knows of
energies unless an ASE calculator is given.
"""

import importlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import DataError, GenkitError, UsageError
from genkit.files import write
from genkit.workers import each
from genkit_crystals.protostructures.files import to_pyxtal
from genkit_crystals.protostructures.limits import limited
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.structures import protostructure
from genkit_crystals.protostructures.symmetry import SYMPREC

NEAR = 0.6  # least distance in units of the sum of covalent radii
CALCULATORS = {"chgnet": "chgnet.model.dynamics:CHGNetCalculator", "mace": "mace.calculators:mace_mp"}


@dataclass(frozen=True)
class Realised:
    """What became of one protostructure."""

    crystal: Protostructure
    structure: Any
    """pymatgen Structure, conventional cell; None where nothing came of it."""
    reason: str
    """Why there is none, else empty."""
    tries: int
    seconds: float
    nearest: float
    """Smallest distance in units of the sum of covalent radii."""
    energy: float = float("nan")
    """eV per atom after relaxation."""


@dataclass(frozen=True)
class Realiser:
    """How structures are made of protostructures."""

    tries: int = 10
    """Random structures at most."""
    best_of: int = 1
    """Good ones among which the roomiest is kept; with a calculator, that of the lowest energy."""
    near: float = NEAR
    """Least distance of two atoms in units of the sum of their covalent radii."""
    largest: int = 200
    """Largest number of atoms in the conventional cell."""
    limit: float = 20.0
    """Seconds for one protostructure."""
    calculator: str | None = None
    """ASE calculator that relaxes them within their symmetry: chgnet, mace (extras), or module:function."""
    steps: int = 200
    """Steps of the relaxation at most."""

    def __post_init__(self) -> None:
        """Check the options."""
        if min(self.tries, self.best_of, self.largest, self.steps) < 1 or self.near < 0 or self.limit <= 0:
            raise UsageError(f"realiser: {self}; expected counts of at least 1, near >= 0 and limit > 0")

    def realise(self, crystal: Protostructure, seed: int = 0) -> Realised:
        """Try until a structure keeps its distances and has the label that it was made from."""
        begun, reason, kept = time.perf_counter(), f"more than {self.largest} atoms in the cell", []
        tried = 0
        if crystal.atoms <= self.largest:
            try:
                with limited(self.limit):
                    for tried in range(1, self.tries + 1):
                        # later tries get more room
                        structure = _random(crystal, np.random.default_rng((seed, tried)), 1.0 + 0.1 * tried)
                        reason, nearest = self._judge(crystal, structure)
                        if not reason:
                            kept.append(self._relaxed(crystal, structure, nearest))
                        if len(kept) == self.best_of:
                            break
            except TimeoutError:
                reason = f"nothing within {self.limit:g} s"
        seconds = time.perf_counter() - begun
        if not kept:
            return Realised(crystal, None, reason, tried, seconds, float("nan"))
        energy, nearest, structure = min(kept, key=lambda one: (one[0], -one[1]))
        return Realised(crystal, structure, "", tried, seconds, nearest, energy if self.calculator else float("nan"))

    def _judge(self, crystal: Protostructure, structure: Any) -> tuple[str, float]:
        """(why a structure is no good or "", its smallest distance)."""
        if structure is None:
            return "pyxtal found no place for the atoms", 0.0
        nearest = nearest_pair(structure)
        if nearest < self.near:
            return f"atoms nearer than {self.near:g} of their radii", nearest
        try:
            found = protostructure(structure, SYMPREC)
        except DataError as error:
            return str(error), nearest
        return ("" if found.label == crystal.label else "the random numbers make a higher symmetry"), nearest

    def _relaxed(self, crystal: Protostructure, structure: Any, nearest: float) -> tuple[float, float, Any]:
        """(energy, smallest distance, structure) after a relaxation, if one is asked for and keeps the label."""
        if self.calculator is None:
            return 0.0, nearest, structure
        new, energy = relax(structure, calculator(self.calculator), self.steps)
        if self._judge(crystal, new)[0]:
            return float("inf"), nearest, structure
        return energy, nearest_pair(new), new


def realise(
    crystals: Sequence[Protostructure],
    realiser: Realiser,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Realised]:
    """Realise many protostructures, each from a seed of its own, on all cores."""
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(crystals))]
    return each(realiser.realise, crystals, seeds, share=20, workers=workers, progress=progress)


def nearest_pair(structure: Any) -> float:
    """Smallest distance of two atoms, periodic images among them, in units of the sum of their covalent radii."""
    from ase.data import covalent_radii

    radii = np.array([covalent_radii[site.specie.Z] for site in structure])
    i, j, _, distance = structure.get_neighbor_list(2 * radii.max())
    return float((distance / (radii[i] + radii[j])).min()) if len(distance) else float("inf")


def relax(structure: Any, calculator: Any, steps: int = 200) -> tuple[Any, float]:
    """Relax atoms and cell within the symmetry; returns the structure and its energy in eV per atom."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms: Any = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = calculator
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.05, steps=steps)  # type: ignore[arg-type]
    energy = float(atoms.get_potential_energy()) / len(atoms)
    atoms.calc = None
    atoms.set_constraint()
    return AseAtomsAdaptor.get_structure(atoms), energy


@cache
def calculator(name: str) -> Any:
    """An ASE calculator by its short name or as module:function, made once in a process."""
    module, _, factory = CALCULATORS.get(name, name).partition(":")
    if not factory:
        raise UsageError(f"calculator {name!r}; expected {', '.join(CALCULATORS)} or module:function")
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        how = f'pip install "genkit-crystals[{name}]"' if name in CALCULATORS else "install it"
        raise GenkitError(f"calculator {name!r} is not there ({error}); {how}, or relax without") from error
    try:
        return make()
    except Exception as error:  # of any kind: some fetch their weights
        raise GenkitError(f"calculator {name!r} cannot be made: {error}") from error


def write_cif(structure: Any, path: str | Path) -> None:
    """A CIF file with the true space group and one atom of each orbit."""
    from pymatgen.io.cif import CifWriter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(Path(path), str(CifWriter(structure, symprec=SYMPREC)))


def _random(crystal: Protostructure, rng: np.random.Generator, factor: float) -> Any:
    """A random structure of pyxtal, None if it found none."""
    from pyxtal import pyxtal

    made = pyxtal()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.from_random(dim=3, **to_pyxtal(crystal), factor=factor, random_state=rng)
            return made.to_pymatgen() if made.valid else None
    except TimeoutError:
        raise
    except Exception:  # pyxtal raises many kinds where a cell has no room
        return None
