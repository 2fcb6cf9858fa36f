"""Learning curves of linear networks by mode, in closed form.

A network y = W2 W1 x whose layers start along the singular vectors of the input-output covariance learns each of them
by itself (Olmin and Lindsten 2024, arXiv 2407.09845, A.1). With z_i = a_i b_i = u_i^T W v_i, eta = sqrt(eta_a eta_b)
and the constant gamma_i = eta_b a_i^2 - eta_a b_i^2, gradient flow is

    dz_i/dt = sqrt(gamma_i^2 + 4 eta^2 z_i^2) (s_i - lam_i z_i).

eta = 0 is linear regression with rate |gamma|, gamma = 0 the network with quadratic weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from genkit.errors import UsageError

Row = tuple[float, ...]


class Extremum(NamedTuple):
    """An inner extremum of the error."""

    kind: str
    """min or max"""
    t: float
    error: float


@dataclass(frozen=True)
class Modes:
    """The k modes of a linear network and of its test data."""

    lam: Row
    """variances of the inputs along the modes"""
    s: Row
    """singular values of the input-output covariance"""
    target: Row
    """z* of the teacher"""
    test: Row
    """variances of the test inputs"""
    start: Row
    """z at t = 0"""
    gamma: Row
    """the constants eta_b a^2 - eta_a b^2"""
    eta: float = 1.0
    """sqrt(eta_a eta_b); 0 for linear regression"""
    floor: float = 0.0
    """error that no weights remove"""

    def __post_init__(self) -> None:
        """Check the sizes."""
        sizes = {len(row) for row in (self.lam, self.s, self.target, self.test, self.start, self.gamma)}
        if len(sizes) != 1 or 0 in sizes:
            raise UsageError(f"rows of {sorted(sizes)} modes: lam, s, target, test, start and gamma need equal lengths")
        if min(self.lam) < 0 or min(self.test) < 0 or self.eta < 0:
            raise UsageError(f"lam={self.lam}, test={self.test}, eta={self.eta}: none may be negative")

    @property
    def end(self) -> np.ndarray:
        """s / lam, where the modes go, (k,)."""
        return np.divide(self.s, self.lam)

    def z(self, t: Any) -> np.ndarray:
        """The modes at times t (...), (..., k) float64.

        With v - k^2 / v = z and k = |gamma| / (4 eta) the flow is a Riccati equation, solved here without subtracting
        like numbers: gamma = 0 and late times need no case of their own.
        """
        t = np.asarray(t, float)[..., None]
        lam, s, gamma, start = (np.asarray(row, float) for row in (self.lam, self.s, self.gamma, self.start))
        if self.eta == 0:
            away = (start - self.end) * np.exp(-np.abs(gamma) * lam * t)
            return self.end + away
        mirror = np.where(start < 0, -1.0, 1.0)  # (z, s) -> (-z, -s) leaves the flow as it is
        a, b, k = 2 * self.eta * s * mirror, lam * np.abs(gamma), np.abs(gamma) / (4 * self.eta)
        v0 = np.abs(start) / 2 + np.sqrt(start**2 / 4 + k**2)
        d = np.hypot(a, b)
        large = d + np.abs(a)
        small = np.divide(b**2, large, out=np.zeros_like(d), where=large > 0)
        plus, minus = np.where(a >= 0, large, small), np.where(a >= 0, small, large)  # D + A, D - A
        decay = np.exp(-d * t)
        gone = np.where(d > 0, -np.expm1(-d * t), t / 2)
        up = np.where(d > 0, plus + minus * decay, 1.0)
        down = np.where(d > 0, minus + plus * decay, 1.0)
        four = 4 * lam * self.eta * gone
        over = down + four * v0
        v = np.divide(v0 * up + four * k**2, over, out=np.zeros_like(over), where=over > 0)
        return mirror * (v - np.divide(k**2, v, out=np.zeros_like(v), where=v > 0))

    def slope(self, z: np.ndarray) -> np.ndarray:
        """dz/dt at z (..., k)."""
        return np.sqrt(np.square(self.gamma) + 4 * self.eta**2 * z**2) * (self.s - np.asarray(self.lam) * z)

    def error(self, t: Any) -> np.ndarray:
        """Generalisation error 1/2 sum lam_test (z - z*)^2 + floor at times t (...)."""
        return self.error_of(self.z(t))

    def error_of(self, z: np.ndarray) -> np.ndarray:
        """The error of modes z (..., k)."""
        return 0.5 * (np.asarray(self.test) * (z - self.target) ** 2).sum(-1) + self.floor

    def error_slope(self, t: Any) -> np.ndarray:
        """dE/dt at times t (...)."""
        z = self.z(t)
        return (np.asarray(self.test) * (z - self.target) * self.slope(z)).sum(-1)

    def overfits(self) -> np.ndarray:
        """Modes that pass the teacher's value on their way, (k,) bool: their part of the error rises again."""
        start, target = np.asarray(self.start), np.asarray(self.target)
        return (target - start) * (self.end - target) > 0

    def horizon(self) -> float:
        """A time at which every mode has come to its end, to 1e-12 of it."""
        late = 2.0 ** np.arange(30)
        there = np.abs(self.z(late) - self.end).max(-1) <= 1e-12 * max(1.0, np.abs(self.end).max())
        if not there.any():
            raise UsageError(f"the modes do not come to s / lam = {self.end}: one stands still at its start")
        return float(late[there.argmax()])

    def turns(self, points: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
        """Times (m, 2) between which the error has an extremum, and its slope's sign (m,) before it.

        Where the curve has ended, its derivative is rounding noise; those of less than 1e-13 of the largest are taken
        for none.
        """
        last = self.horizon()
        t = np.unique(np.concatenate([np.geomspace(last * 1e-8, last, points), np.linspace(0, last, points)[1:]]))
        slope = self.error_slope(t)
        clear = np.abs(slope) > 1e-13 * np.abs(slope).max()
        t, sign = t[clear], np.sign(slope[clear])
        at = np.flatnonzero(sign[1:] != sign[:-1])
        return np.stack([t[at], t[at + 1]], 1), sign[at]

    def extrema(self) -> tuple[Extremum, ...]:
        """Minima and maxima of the error for t > 0, in time, by root finding on its derivative."""
        return _extrema(self)

    def regret(self) -> float:
        """What is lost by stopping at the first minimum: its error less the least of the whole curve.

        0 where the error only falls.
        """
        lows = [one.error for one in self.extrema() if one.kind == "min"]
        end = float(self.error_of(self.end))
        return lows[0] - min(*lows, end, float(self.error(0.0))) if lows else 0.0


@lru_cache(maxsize=64)
def _extrema(modes: Modes) -> tuple[Extremum, ...]:
    found = []
    for (low, high), sign in zip(*modes.turns(), strict=True):
        at: Any = brentq(lambda x: float(modes.error_slope(x)), low, high, xtol=1e-14, rtol=np.float64(1e-14))
        found.append(Extremum("min" if sign < 0 else "max", float(at), float(modes.error(at))))
    return tuple(found)


def invariant(a: float, b: float, eta_a: float = 1.0, eta_b: float = 1.0) -> tuple[float, float]:
    """(gamma, eta) of layers that start at a and b and learn at rates eta_a and eta_b."""
    return eta_b * a**2 - eta_a * b**2, float(np.sqrt(eta_a * eta_b))
