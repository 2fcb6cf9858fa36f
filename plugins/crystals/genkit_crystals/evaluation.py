"""Scores of a set of protostructures against a set of real ones."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from math import prod
from typing import Any

import numpy as np

from genkit.metrics import frechet_to
from genkit_crystals.protostructures import Protostructure, periodic_table, symbols, tables

MOST_STATES = 50_000  # combinations of oxidation states that are tried


def scores(
    crystals: Sequence[Protostructure], asked: int, train: Sequence[Protostructure], real: Sequence[Protostructure]
) -> dict[str, float]:
    """Flat scores of generated crystals; those without atoms are left out of `crystals` but counted in `asked`.

    validity: share with atoms; all else is among those. uniqueness: distinct labels; novelty/label and
    novelty/prototype: share whose label (prototype) no training crystal has; novel_prototypes: distinct new ones per
    thousand. Distances to `real`: atoms_w1 and orbits_w1, Wasserstein-1 of atoms in the conventional cell and of
    orbits; group_tv, element_tv, species_tv, total variation of the space group, of the elements (of each crystal
    once), of the number of elements. few_species: share with 2 or 3 elements; neutral: see `neutral`.
    """
    if not crystals:
        return {"validity": 0.0}
    labels, prototypes = [c.label for c in crystals], [c.prototype for c in crystals]
    known, patterns = {c.label for c in train}, {c.prototype for c in train}
    new = [p for p in prototypes if p not in patterns]
    return {
        "validity": len(crystals) / asked,
        "uniqueness": len(set(labels)) / len(labels),
        "novelty/label": sum(one not in known for one in labels) / len(labels),
        "novelty/prototype": len(new) / len(labels),
        "novel_prototypes": 1000 * len(set(new)) / asked,
        "atoms_w1": _wasserstein([c.atoms for c in crystals], [c.atoms for c in real]),
        "orbits_w1": _wasserstein([_orbits(c) for c in crystals], [_orbits(c) for c in real]),
        "group_tv": _variation((c.group for c in crystals), (c.group for c in real)),
        "element_tv": _variation(
            (z for c in crystals for z in c.composition), (z for c in real for z in c.composition)
        ),
        "species_tv": _variation((len(c.composition) for c in crystals), (len(c.composition) for c in real)),
        "few_species": float(np.mean([2 <= len(c.composition) <= 3 for c in crystals])),
        "neutral": float(np.mean([neutral(c) for c in crystals])),
    }


def neutral(crystal: Protostructure) -> bool:
    """Whether common oxidation states can balance, and anions be the more electronegative: the test of SMACT.

    One state an element, of pymatgen's common ones; a metal or alloy (no element is a non-metal) passes, as in the
    validity of CDVAE (Xie et al. 2022, arXiv 2110.06197). Davies et al. 2019 (doi 10.21105/joss.01361).
    """
    amounts = crystal.composition
    known = [_chemistry(z) for z in amounts]
    if len(amounts) == 1 or all(metal for _, _, metal in known):
        return True
    choices = [states for states, _, _ in known]
    if prod(map(len, choices)) > MOST_STATES:
        return False
    for states in product(*choices):
        if sum(n * q for n, q in zip(amounts.values(), states, strict=True)):
            continue
        cations = [x for (_, x, _), q in zip(known, states, strict=True) if q > 0]
        anions = [x for (_, x, _), q in zip(known, states, strict=True) if q < 0]
        if cations and anions and max(cations) < min(anions):
            return True
    return False


def frechet(
    sets: Mapping[str, Any], places: Mapping[str, np.ndarray], real: Any, rounds: int = 200, seed: int = 0
) -> dict[str, np.ndarray]:
    """Frechet distances to `real` (m, d) by set, (1 + rounds,): that of the set, then those of bootstrap samples of it.

    In a round a place counts equally often in all sets: what was drawn for one group stays together, so that ratios are
    of pairs. NaN of a sample with fewer than two rows.

    Args:
        sets: embeddings (n, d).
        places: (n,) int, which sample each row is.
        real: what they are compared with, which is not drawn again.
        rounds: of the bootstrap.
        seed: of the bootstrap.
    """
    size = 1 + max(int(at.max()) for at in places.values())
    drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), rounds)
    counts = np.concatenate([np.ones((1, size), int), drawn])
    to_real = frechet_to(*_moments(real, np.ones(len(real), int)))

    def distance(x: Any, count: np.ndarray) -> float:
        return to_real(*_moments(x, count)) if count.sum() > 1 else np.nan

    return {name: np.array([distance(x, count[places[name]]) for count in counts]) for name, x in sets.items()}


def ratio(found: np.ndarray, other: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None, float | None]:
    """Ratio of two distances of `frechet`, corrected for few samples, with the ends of its interval; None if unknown.

    The distance of a sample is too large by about c / n, and those of samples drawn from it are once more by as much
    (Efron and Tibshirani 1993, section 10.6). This is taken off both, from the samples and from each round, of whose
    ratios the interval has the percentiles. It is of the samples alone: one training, one encoder.
    """
    (one, rounds), (below, others) = (_corrected(f) for f in (found, other))
    fit = np.isfinite(rounds) & np.isfinite(others) & (others > 0)
    if not (one > 0 and below > 0) or 2 * fit.sum() < len(rounds):
        return None, None, None
    low, high = np.quantile(rounds[fit] / others[fit], [(1 - level) / 2, (1 + level) / 2])
    return float(one / below), max(float(low), 0.0), float(high)


def _corrected(found: np.ndarray) -> tuple[float, np.ndarray]:
    """A distance and those of its rounds without their bias."""
    bias = np.nanmean(found[1:]) - found[0] if np.isfinite(found[1:]).any() else np.nan
    return float(found[0] - bias), found[1:] - 2 * bias


def _moments(x: Any, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of rows that count so often."""
    x, n = np.asarray(x, np.float64), count.sum()
    rest = x - (mean := count @ x / n)
    return mean, (rest.T * count) @ rest / (n - 1)


def descriptors(crystals: Sequence[Protostructure]) -> np.ndarray:
    """Plain numbers of each crystal, (n, 14), for a Frechet distance that needs no encoder.

    Logarithms of atoms, orbits and multiplicity; kinds of elements, free parameters, share of orbits without freedom;
    mean and spread over atoms of electronegativity, atomic number, row and column of the periodic table.
    """
    return np.array([_describe(c) for c in crystals])


def standardised(real: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All sets in units of the spread of the real one."""
    mean, std = real.mean(0), real.std(0) + 1e-9
    return [(a - mean) / std for a in (real, *others)]


def _describe(c: Protostructure) -> list[float]:
    t = tables()
    orbits = _orbits(c)
    rows = np.array([row for row, _, n in c.orbits for _ in range(n)])
    fixed, size = np.mean(t.dof[c.group, rows] == 0), np.log(t.multiplicity[c.group, rows]).mean()
    elements = periodic_table()[list(c.composition)]
    share = np.array(list(c.composition.values())) / c.atoms
    mean = share @ elements
    spread = np.sqrt(share @ np.square(elements - mean))
    return [np.log(c.atoms), np.log(orbits), size, len(c.composition), np.log(c.freedom), fixed, *mean, *spread]


def electronegativity_spread(crystal: Protostructure) -> float:
    """Standard deviation of Pauling's electronegativity over the atoms: how ionic a crystal is."""
    share = np.array(list(crystal.composition.values())) / crystal.atoms
    x = periodic_table()[list(crystal.composition), 0]
    return float(np.sqrt(share @ np.square(x - share @ x)))


PROPERTIES: dict[str, Callable[[Protostructure], float]] = {
    "electronegativity": electronegativity_spread,
    "atoms": lambda c: c.atoms,
    "species": lambda c: len(c.composition),
}


@cache
def _chemistry(z: int) -> tuple[tuple[int, ...], float, bool]:
    """Common oxidation states, electronegativity, and whether an element is a metal."""
    from pymatgen.core import Element

    e = Element(symbols()[z])
    return tuple(e.common_oxidation_states), float(periodic_table()[z, 0]), e.is_metal


def _orbits(c: Protostructure) -> int:
    return sum(n for _, _, n in c.orbits)


def _wasserstein(x: Sequence[float], y: Sequence[float]) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(x, y))


def _variation(x: Any, y: Any) -> float:
    """Total variation of two empirical laws."""
    x, y = Counter(x), Counter(y)
    p, q = x.total(), y.total()
    return sum(abs(x[k] / p - y[k] / q) for k in {*x, *y}) / 2
