"""What drawn crystals shall be: the conditions that a study and `genkit sample` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from genkit.errors import UsageError
from genkit_crystals.chains import Goal, Sites, goal, sites
from genkit_crystals.protostructures import LAST, numbers, symbol, symbols

System = Literal["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]
SYSTEMS = get_args(System)


@dataclass(frozen=True)
class Conditions:
    """Base of what has these options."""

    group: int | None = None
    """Space group of all samples; that of a random training crystal each if not given."""
    system: System | None = None
    """Crystal system of all samples, each of whose space group is that of a random training crystal of it."""
    elements: tuple[str, ...] = ()
    """Chemical symbols that samples may have, in place of the others; all if empty."""
    formula: str | None = None
    """Chemical formula that all samples shall have, such as SrTiO3: particles compete for it."""
    atoms: int | None = None
    """Largest number of atoms in the conventional cell, likewise."""
    sites: tuple[str, ...] = ()
    """Given sites of the group, likewise: letter=element, as a=Na; i=2O for two orbits, b=0 for an empty one."""
    particles: int = 16
    """Particles for each sample, where they compete."""

    def __post_init__(self) -> None:
        """Check the options."""
        if self.particles < 1:
            raise UsageError(f"particles={self.particles} is too few")
        if self.group is not None and not 1 <= self.group <= 230:
            raise UsageError(f"group={self.group}; space groups are 1 to 230")
        if self.group is not None and self.system is not None:
            raise UsageError(f"group={self.group} and system={self.system} exclude one another; a group has its system")
        unknown = [e for e in self.elements if e not in numbers()]
        if unknown:
            raise UsageError(f"elements: no element is called {', '.join(unknown)}")
        if self.elements and self.formula is not None:
            raise UsageError("elements and formula exclude one another; a formula has its elements")
        allowed, given = self.allowed, self.given
        excluded = sorted(given.elements - set(allowed)) if given and allowed else []
        if excluded:
            raise UsageError(f"sites: {', '.join(symbols()[z] for z in excluded)} is not among the elements asked for")

    def groups_of(self, counts: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Space groups (n,) as asked for, in proportion to `counts` (231,) of training crystals where they are open.

        In a system of which there is no training crystal all groups are equally frequent.
        """
        if self.group is not None:
            return np.full(n, self.group, np.int32)
        counts = np.asarray(counts, float)
        if self.system is not None:
            own = system_of(np.arange(len(counts))) == SYSTEMS.index(self.system)
            own[0] = False
            counts = np.where(own, counts if counts[own].any() else 1.0, 0.0)
        return np.random.default_rng(seed).choice(len(counts), n, p=counts / counts.sum()).astype(np.int32)

    @property
    def goal(self) -> Goal:
        """Formula and atoms."""
        return goal(self.formula, self.atoms)

    @property
    def allowed(self) -> list[int]:
        """Atomic numbers that samples may have; all if empty."""
        return self.goal.elements or [numbers()[e] for e in self.elements]

    @property
    def given(self) -> Sites | None:
        """The given sites."""
        if not self.sites:
            return None
        if self.group is None:
            raise UsageError("sites are those of one space group; say which by group")
        return sites(self.group, self.sites)


def system_of(groups: Any) -> np.ndarray:
    """Place in `SYSTEMS` of the crystal systems of space groups."""
    return np.searchsorted(LAST, groups)


def require_group(group: int, known: np.ndarray) -> None:
    """Refuse a space group that is not among the known ones, and say what is possible."""
    if group in known:
        return
    own = known[system_of(known) == system_of(group)]
    others = f"of its crystal system there are {listed(own)}" if len(own) else f"there are {listed(known)}"
    raise UsageError(
        f"group={group}, {symbol(group)}: no training crystal has this space group, so there is nothing to train on or "
        f"to compare with; {others}; `genkit sample RUN --group {group}` draws by the table of Wyckoff positions alone"
    )


def listed(groups: np.ndarray, most: int = 12) -> str:
    """Numbers of space groups as text."""
    return ", ".join(map(str, groups[:most])) + f" and {len(groups) - most} more" * (len(groups) > most)
