"""Three cases of epoch-wise double descent, with two modes each."""

from __future__ import annotations

from typing import Any

from genkit.errors import UsageError
from genkit_representations.dynamics.modes import Modes

GAMMAS = (0.0, 0.2, 1.0, 5.0, 20.0)  # of case A, from quadratic weights towards linear regression
TINY = (1e-3, 1e-3)


def cases() -> dict[str, Modes]:
    """By name: A_<gamma>, A_linear, B, B_linear, C, C_linear.

    A: equal variances of the inputs, so that linear regression cannot descend twice, yet two layers do. B: both do.
    C: equal singular values; linear regression descends twice, two layers with gamma = 0 do not.
    """
    a: dict[str, Any] = {"lam": (1.0, 1.0), "s": (2.0, 0.4), "target": (1.2, 0.5), "test": (1.0, 4.0)}
    b: dict[str, Any] = {"lam": (2.0, 0.1), "s": (3.0, 0.12), "target": (0.9, 1.0), "test": (1.0, 1.0)}
    c: dict[str, Any] = {"lam": (2.0, 0.1), "s": (0.5, 0.5), "target": (0.15, 4.0), "test": (1.0, 0.002)}
    found = {f"A_{g:g}": Modes(**a, start=TINY, gamma=(g, g)) for g in GAMMAS}
    found["A_linear"] = Modes(**a, start=TINY, gamma=(1.0, 1.0), eta=0.0)
    for name, row in (("B", b), ("C", c)):
        found[name] = Modes(**row, start=TINY, gamma=(0.0, 0.0))
        found[f"{name}_linear"] = Modes(**row, start=(0.0, 0.0), gamma=(1.0, 1.0), eta=0.0)
    return found


def case(name: str) -> Modes:
    """One of `cases`; raises UsageError for another name."""
    known = cases()
    if name not in known:
        raise UsageError(f"no case {name!r}; there are {', '.join(known)}")
    return known[name]
