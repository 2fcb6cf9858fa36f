"""From protostructures to structures: a cell and free coordinates of the right symmetry, checked, relaxed and written.

Without an ASE calculator what stays is a starting point for a relaxation, not a prediction: it is the best of many
random draws by a pair potential (`starts`), which knows of no energies.
"""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from genkit.errors import DataError, GenkitError, UsageError
from genkit.files import damaged, write
from genkit.kinds import CODE
from genkit.plugin import imported
from genkit.workers import each
from genkit_crystals.protostructures.limits import limited
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.starts import starts
from genkit_crystals.protostructures.structures import SYMPREC as RELAXED
from genkit_crystals.protostructures.structures import protostructure
from genkit_crystals.protostructures.symmetry import SYMPREC

NEAR = 0.6  # least distance in units of the sum of covalent radii
FAILURES = (Exception, SystemExit)  # of a calculator: it is code of others
CALCULATORS = {"chgnet": "chgnet.model.dynamics:CHGNetCalculator", "mace": "mace.calculators:mace_mp"}


@dataclass(frozen=True)
class Realised:
    """What became of one protostructure."""

    crystal: Protostructure
    structure: Any = None
    """pymatgen Structure, conventional cell; None where nothing came of it."""
    reason: str = ""
    """Why there is none, or what is wrong with it (a relaxation that did not end); else empty."""
    label: str = ""
    """Of the structure; a relaxation may have changed it."""
    tries: int = 0
    """Starts that were looked at."""
    seconds: float = 0.0
    nearest: float = float("nan")
    """Smallest distance in units of the sum of covalent radii."""
    energy: float = float("nan")
    """eV per atom after relaxation."""
    steps: int | None = None
    """Of the relaxation; None without one."""
    converged: bool | None = None
    """Whether its forces fell below the bound."""

    def write_cif(self, path: Path) -> None:
        """The structure, symmetric within the tolerance by which its label was found."""
        write_cif(self.structure, path, SYMPREC if self.converged is None else RELAXED)


@dataclass(frozen=True)
class Realiser:
    """How structures are made of protostructures."""

    draws: int = 100
    """Random cells and coordinates, ranked by a pair potential; the best go down in ten times as many steps."""
    tries: int = 10
    """Starts that are kept of them, each with a descent of its own."""
    best_of: int = 1
    """Good starts that are relaxed, of which the lowest energy is kept; a calculator's energies choose them."""
    near: float = NEAR
    """Least distance of two atoms in units of the sum of their covalent radii."""
    largest: int = 200
    """Largest number of atoms in the conventional cell."""
    limit: float = 20.0
    """Seconds for one protostructure."""
    calculator: Annotated[str | None, CODE] = None
    """ASE calculator that relaxes them within their symmetry: chgnet, mace (extras), a name that ASE knows, or
    module:function."""
    steps: int = 200
    """Steps of the relaxation at most."""
    force: float = 0.05
    """Largest force (and stress times the volume) in eV/A at which a relaxation has converged."""

    def __post_init__(self) -> None:
        """Check the options."""
        counts = min(self.draws, self.tries, self.best_of, self.largest, self.steps)
        if counts < 1 or self.near < 0 or self.limit <= 0 or self.force <= 0:
            raise UsageError(f"realiser: {self}; expected counts of at least 1, near >= 0, limit > 0 and force > 0")

    def realise(self, crystal: Protostructure, seed: int = 0) -> Realised:
        """The best start that keeps its distances and the label that it is made from; relaxed where asked for.

        Whatever goes wrong with one crystal, in a calculator too, is its reason; only a calculator that cannot be made
        raises.
        """
        self._ready()
        begun, found = time.perf_counter(), []
        try:
            with limited(self.limit):
                for one in self._made(crystal, seed):
                    found.append(one)
        except TimeoutError:
            found.append(Realised(crystal, reason=f"nothing within {self.limit:g} s"))
        except Exception as error:
            found.append(Realised(crystal, reason=_line(error)))
        best = min(found, key=lambda one: (one.structure is None, bool(one.reason), one.energy))
        return replace(best, seconds=time.perf_counter() - begun)

    def relaxed(self, crystal: Protostructure, structure: Any) -> Realised:
        """A structure of a crystal, relaxed by the calculator as those that are made are."""
        self._ready()
        try:
            with limited(self.limit):
                return self._relaxed(Realised(crystal, structure))
        except TimeoutError:
            reason = f"nothing within {self.limit:g} s"
        except Exception as error:
            reason = _line(error)
        return Realised(crystal, reason=reason)

    def _ready(self) -> None:
        """Load what takes a while in a new process, which is none of a crystal's time."""
        import pymatgen.symmetry.analyzer  # noqa: F401

        if self.calculator:
            calculator(self.calculator)

    def _made(self, crystal: Protostructure, seed: int) -> Iterator[Realised]:
        """What comes of the starts, in their order, up to `best_of` structures; the last reason if there are none."""
        if crystal.atoms > self.largest:
            yield Realised(crystal, reason=f"more than {self.largest} atoms in the cell")
            return
        tried, good, reason = 0, [], ""
        # a descent may end at a higher symmetry; a plain draw does not
        for descend in (True, False):
            for structure in starts(crystal, self.draws, self.tries, seed, descend):
                tried += 1
                reason, nearest = self._judge(crystal, structure)
                if not reason:
                    good.append(Realised(crystal, structure, "", crystal.label, tried, nearest=nearest))
                if len(good) == self.best_of and self.calculator is None:
                    break
            if good:
                break
        if not good:
            yield Realised(crystal, reason=reason, tries=tried)
        elif self.calculator is None:
            yield from good
        else:
            for one in sorted(good, key=self._energy)[: self.best_of]:
                yield self._relaxed(one)

    def _judge(self, crystal: Protostructure, structure: Any) -> tuple[str, float]:
        """(why a structure is no good or "", its smallest distance)."""
        nearest = nearest_pair(structure)
        if nearest < self.near:
            return f"atoms nearer than {self.near:g} of their radii", nearest
        try:
            found = protostructure(structure, SYMPREC)
        except DataError as error:
            return str(error), nearest
        return ("" if found.label == crystal.label else "the random numbers make a higher symmetry"), nearest

    def _energy(self, one: Realised) -> float:
        """That of a start, infinite where the calculator fails; without a choice it is not asked."""
        if self.best_of >= self.tries:
            return 0.0
        try:
            with _calculating(self.calculator) as calculator:
                value = energy(one.structure, calculator)
        except TimeoutError:
            raise
        except FAILURES:
            return float("inf")
        return value if np.isfinite(value) else float("inf")

    def _relaxed(self, start: Realised) -> Realised:
        """The relaxed structure with its label, or why there is none."""
        failed = replace(start, structure=None, label="", nearest=float("nan"))
        try:
            with _calculating(self.calculator) as calculator:
                new = relax(start.structure, calculator, self.steps, self.force)
        except TimeoutError:
            raise
        except FAILURES as error:
            return replace(failed, reason=f"calculator {self.calculator}: {_line(error)}")
        failed = replace(failed, steps=new.steps, converged=False)
        if not np.isfinite([new.energy, new.force]).all() or not np.isfinite(new.structure.lattice.matrix).all():
            return replace(failed, reason=f"calculator {self.calculator}: its energies or forces are not finite")
        nearest = nearest_pair(new.structure)
        if nearest < self.near:
            return replace(failed, reason=f"relaxed to atoms nearer than {self.near:g} of their radii")
        try:
            label = protostructure(new.structure, RELAXED).label
        except DataError as error:
            return replace(failed, reason=f"relaxed to no crystal: {error}")
        said = "" if new.converged else f"not relaxed in {self.steps} steps: largest force {new.force:.2g} eV/A"
        return replace(
            start, structure=new.structure, reason=said, label=label, nearest=nearest, energy=new.energy,
            steps=new.steps, converged=new.converged,
        )  # fmt: skip


def realise(
    crystals: Sequence[Protostructure],
    realiser: Realiser,
    seeds: Sequence[int],
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Realised]:
    """Realise many protostructures, each from a seed of its own, on all cores."""
    if realiser.calculator and len(crystals):
        calculator(realiser.calculator)  # refused here, once
    share = 5 if realiser.calculator else 20
    return each(realiser.realise, crystals, seeds, share=share, workers=workers, progress=progress)


def nearest_pair(structure: Any) -> float:
    """Smallest distance of two atoms, periodic images among them, in units of the sum of their covalent radii."""
    from ase.data import covalent_radii

    radii, reach = np.array([covalent_radii[site.specie.Z] for site in structure]), 1.0
    while True:  # all pairs up to this ratio are seen
        i, j, _, distance = structure.get_neighbor_list(2 * radii.max() * reach)
        nearest = float((distance / (radii[i] + radii[j])).min()) if len(distance) else 2 * reach
        if not nearest > reach:
            return nearest
        reach = nearest


@dataclass(frozen=True)
class Relaxed:
    """Where a relaxation ended."""

    structure: Any
    energy: float
    """eV per atom."""
    steps: int
    force: float
    """The largest, of atoms in eV/A, of the cell in the units of ASE's FrechetCellFilter."""
    converged: bool


def relax(structure: Any, calculator: Any, steps: int = 200, force: float = 0.05) -> Relaxed:
    """Relax atoms and cell within the symmetry, until no force is larger than `force`."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms: Any = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = calculator
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    free: Any = FrechetCellFilter(atoms)
    walk = LBFGS(free, logfile=None)  # type: ignore[arg-type]
    converged = bool(walk.run(fmax=force, steps=steps))
    value, largest = float(atoms.get_potential_energy()) / len(atoms), np.linalg.norm(free.get_forces(), axis=1).max()
    atoms.calc = None
    atoms.set_constraint()
    return Relaxed(AseAtomsAdaptor.get_structure(atoms), value, walk.nsteps, float(largest), converged)


def energy(structure: Any, calculator: Any) -> float:
    """That of a structure as it is, in eV per atom."""
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms: Any = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = calculator
    return float(atoms.get_potential_energy()) / len(atoms)


class _Made(threading.local):
    """The calculators of a thread: they keep the atoms that they compute, so that no two threads can share one."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {}


_MADE = _Made()


def calculator(name: str) -> Any:
    """An ASE calculator by its short name or as module:function, made once in a thread."""
    if name not in _MADE.by_name:
        _MADE.by_name[name] = _make(name)
    return _MADE.by_name[name]


@contextmanager
def _calculating(name: str | None) -> Iterator[Any]:
    """A calculator at work; one that is stopped or fails may be half done, and is made anew."""
    try:
        yield calculator(name or "")
    except BaseException:
        _MADE.by_name.clear()
        raise


def _make(name: str) -> Any:
    own = ":" in name
    try:
        make = imported(CALCULATORS.get(name, name), own) if own or name in CALCULATORS else _of_ase(name)
    except (ImportError, AttributeError) as error:
        how = f'pip install -e "plugins/crystals[{name}]" in the checkout' if name in CALCULATORS else "install it"
        raise GenkitError(f"calculator {name!r} is not there ({error}); {how}, or relax without") from error
    try:
        return make()
    except FAILURES as error:  # of any kind: some fetch their weights
        raise GenkitError(f"calculator {name!r} cannot be made: {_line(error)}") from error


def _of_ase(name: str) -> Any:
    from ase.calculators.calculator import get_calculator_class
    from ase.calculators.names import names

    if name not in names:
        raise UsageError(
            f"calculator {name!r}; expected {', '.join(CALCULATORS)}, a name that ASE knows, such as emt, or "
            "module:function"
        )
    return get_calculator_class(name)


def write_cif(structure: Any, path: str | Path, symprec: float = SYMPREC) -> None:
    """A CIF file with the true space group, found within `symprec` A, and one atom of each orbit."""
    from pymatgen.io.cif import CifWriter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(Path(path), str(CifWriter(structure, symprec=symprec)))


def _line(error: BaseException) -> str:
    """An exception in one line."""
    text = (str(error).strip().splitlines() or [""])[0][:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_cif(path: Path) -> Any:
    """The structure of a file that `write_cif` wrote. Raises `GenkitError`."""
    from pymatgen.core import Structure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Structure.from_file(path)
    except Exception as error:  # of many kinds
        raise damaged(path, f"is no CIF file ({_line(error)})", "`genkit evaluate RUN` makes it again") from None
