"""Starts of structures: many cheap random cells and coordinates of a symmetry, ranked by a pair potential.

The energy of a draw at edge length L (all lengths scale with it) is, in arbitrary units for each atom,

    E(L) = A / L^12 - B / L^6 + C / L,

A and B the Lennard-Jones sums of pairs whose radii are covalent ones (B without like charges), C the damped Coulomb sum
of charges by which the electronegativity of an atom differs from the mean of the cell (so that each cell is neutral).
The three sums are taken once, L is where E is least. From the best draws random steps go down, each of them on its own,
so that the starts differ. No energies of real crystals enter: it tells crowded and unlikely cells from likely ones, and
is no force field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from genkit_crystals.protostructures.elements import periodic_table, symbols
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.symmetry import operations

CUTOFF = 2.6  # of pairs, where the volume of an atom is 1
DAMPING = 1.2  # of the Coulomb sum, likewise
COULOMB = 14.4  # e^2 / (4 pi epsilon_0) in eV A
CHARGES = 0.6  # e for each unit of electronegativity
LIKE = 5.0  # 1/e^2: how fast the attraction of like charges vanishes, which else makes dimers of anions
ROUNDS = 10
LARGEST = 4_000_000  # distances at once
LENGTHS = np.geomspace(1.6, 4.5, 60)  # cube roots of the volume of an atom, A


def starts(crystal: Protostructure, draws: int, kept: int, seed: Any, descend: bool = True) -> Iterator[Any]:
    """The best starts, at most `kept` pymatgen Structures of the conventional cell, best first.

    Each is the best of `draws` random ones or, with `descend`, the end of a descent of its own from there.
    """
    rng, atoms = np.random.default_rng(seed), _Atoms.of(crystal)
    shape, free = _shapes(crystal.group, rng, draws), rng.random((draws, atoms.orbits, 3))
    energy, length = atoms.energies(shape, free)
    best = np.argsort(energy, kind="stable")[:kept]
    shape, free, energy, length = shape[best], free[best], energy[best], length[best]
    size, each = np.full(len(best), 0.15), max(1, draws // len(best))
    for _ in range(ROUNDS if descend and crystal.freedom > 1 else 0):
        steps = size.repeat(each)[:, None]
        new = shape.repeat(each, 0) + steps * _steps(crystal.group, rng, len(steps))
        moved = free.repeat(each, 0) + steps[..., None] * rng.normal(size=(len(steps), atoms.orbits, 3))
        e, at = atoms.energies(new, moved)
        child = np.arange(len(best)) * each + e.reshape(-1, each).argmin(1)
        better = e[child] < energy
        size = np.where(better, size, size / 2)
        own = child[better]
        shape[better], free[better], energy[better], length[better] = new[own], moved[own], e[own], at[own]
    for i in np.argsort(energy, kind="stable"):
        yield atoms.structure(shape[i], free[i], float(length[i]))


@dataclass(frozen=True)
class _Atoms:
    """The atoms of the conventional cell as maps of the free points of the orbits."""

    turn: np.ndarray  # (atoms, 3, 3)
    shift: np.ndarray  # (atoms, 3)
    orbit: np.ndarray  # (atoms,)
    z: np.ndarray  # (atoms,)
    first: np.ndarray  # (orbits,) one atom of each
    share: np.ndarray  # (orbits,) of the atoms

    @classmethod
    def of(cls, crystal: Protostructure) -> "_Atoms":
        maps, orbit, z = [], [], []
        for row, element, count in crystal.orbits:
            for _ in range(count):
                own = operations(crystal.group)[row]
                maps += [one.affine_matrix for one in own]
                orbit += [max(orbit, default=-1) + 1] * len(own)
                z += [element] * len(own)
        matrix, orbits = np.array(maps), np.array(orbit)
        _, first, count = np.unique(orbits, return_index=True, return_counts=True)
        return cls(matrix[:, :3, :3], matrix[:, :3, 3], orbits, np.array(z), first, count / len(orbits))

    @property
    def orbits(self) -> int:
        return len(self.first)

    def places(self, free: np.ndarray) -> np.ndarray:
        """Fractional coordinates (n, atoms, 3) of free points (n, orbits, 3)."""
        return (np.einsum("aij,naj->nai", self.turn, free[:, self.orbit]) + self.shift) % 1.0

    def energies(self, shape: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) least energy of an atom over the lengths, and that length, the cube root of its volume in A."""
        matrix = _matrices(shape)
        matrix = matrix * (len(self.z) / np.abs(np.linalg.det(matrix)))[:, None, None] ** (1 / 3)
        heights = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=1)
        order = np.lexsort(np.ceil(CUTOFF / heights).T)  # draws that need the same images follow each other
        reach = np.ceil(CUTOFF / heights).astype(int)
        sums = np.empty((len(shape), 3))
        begin = 0
        while begin < len(order):
            same = int((reach[order[begin:]] == reach[order[begin]]).all(1).cumprod().sum())
            pairs = self.orbits * len(self.z) * int(np.prod(2 * reach[order[begin]] + 1))
            some = order[begin : begin + min(same, max(1, LARGEST // pairs))]
            sums[some] = self._sums(matrix[some], self.places(free[some]), reach[some[0]])
            begin += len(some)
        a, b, c = sums.T[:, :, None]
        energy = a / LENGTHS**12 - b / LENGTHS**6 + c / LENGTHS
        best = np.argmin(energy, 1)
        return energy[np.arange(len(best)), best], LENGTHS[best]

    def _sums(self, matrix: np.ndarray, at: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """(n, 3): A, B and C of cells (n, 3, 3) with one atom a unit of volume."""
        from scipy.special import erfc

        near = at[:, self.first, None] - at[:, None, :]  # (n, orbits, atoms, 3)
        images = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
        near = (near - np.round(near)) @ matrix[:, None]
        shifts = images @ matrix  # (n, images, 3)
        r = np.sqrt(np.square(near[:, :, :, None] + shifts[:, None, None]).sum(-1))  # (n, orbits, atoms, images)
        own = (np.arange(len(self.z)) == self.first[:, None])[..., None] & (images == 0).all(1)
        r = np.where(own | (r > CUTOFF), np.inf, np.maximum(r, 1e-2))
        radii, charges = _nature(tuple(self.z))
        wide = (radii[self.first, None] + radii)[..., None] ** 6 * r**-6.0
        charge = charges[self.first, None, None] * charges[:, None]
        pairs = np.square(wide), 2 * np.clip(1 - LIKE * charge, 0, 1) * wide, COULOMB * charge * erfc(DAMPING * r) / r
        of_orbit = np.stack([one.sum((-1, -2)) for one in pairs], -1)
        return np.einsum("o,nok->nk", self.share / 2, of_orbit)

    def structure(self, shape: np.ndarray, free: np.ndarray, length: float) -> Any:
        from pymatgen.core import Lattice, Structure

        a, b, c, *angles = np.concatenate([np.exp(shape[:3]), shape[3:]])
        lattice = Lattice.from_parameters(a, b, c, *np.degrees(angles)).scale(length**3 * len(self.z))
        return Structure(lattice, [symbols()[z] for z in self.z], self.places(free[None])[0])


@cache
def _nature(z: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Radii (atoms,) in A, and charges (atoms,) from electronegativities, of a cell."""
    from ase.data import covalent_radii

    x = periodic_table()[list(z), 0]
    x = np.where(x > 0, x, 2.0)  # noble gases have none
    charges = x.mean() - x
    return covalent_radii[list(z)] * (1 - 0.1 * charges), CHARGES * charges


def _family(group: int) -> int:
    """Index of the crystal family: triclinic, monoclinic, orthorhombic, tetragonal, hexagonal, cubic."""
    return int(np.searchsorted([2, 15, 74, 142, 194], group))


def _tied(group: int, six: np.ndarray) -> np.ndarray:
    """Changes (n, 6) of log lengths and angles that the family allows."""
    family, six = _family(group), six.copy()
    if family >= 3:
        six[:, 1] = six[:, 0]
    if family == 5:
        six[:, :3] = 0
    six[:, 3:] *= np.array([[1, 1, 1], [0, 1, 0], [0] * 3, [0] * 3, [0] * 3, [0] * 3])[family]
    return six


def _shapes(group: int, rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 6): logarithms of lengths, up to a common one, and angles, of random cells of the family."""
    six = rng.uniform([-1, -1, -1, -0.5, -0.5, -0.5], [1, 1, 1, 0.5, 0.5, 0.5], (n, 6))
    right = np.full(3, np.pi / 2)
    right[2] += np.pi / 6 * (_family(group) == 4)
    return _tied(group, six) + np.concatenate([np.zeros(3), right])


def _steps(group: int, rng: np.random.Generator, n: int) -> np.ndarray:
    return _tied(group, rng.normal(size=(n, 6)))


def _matrices(shape: np.ndarray) -> np.ndarray:
    """Lattice vectors (n, 3, 3) in rows."""
    a, b, c = np.exp(shape[:, :3]).T
    alpha, beta, gamma = np.cos(shape[:, 3:].T)
    s = np.sin(shape[:, 5])
    y = (alpha - beta * gamma) / s
    zero, height = np.zeros_like(a), np.sqrt(np.maximum(1 - beta**2 - y**2, 1e-3))
    rows = [[a, zero, zero], [b * gamma, b * s, zero], [c * beta, c * y, c * height]]
    return np.moveaxis(np.array(rows), -1, 0)
