"""Exact laws on the lattice of small graphs, by tables over all partial states up to relabelling of the atoms.

A partial state gives each of D sites one of five values, the last of which is "hidden": 5^D states, which relabelling
merges to 2 925 for 3 atoms and 428 625 for 4. What a permutation-equivariant network says is one row per orbit, and the
laws of samplers with random orders are sums over these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_molecules.chemistry import BONDS, pairs, relabel, sites
from genkit_molecules.items import Order

Array = jax.Array
S = BONDS + 1  # values of a site, "hidden" the last


@dataclass(frozen=True)
class Orbits:
    """Partial states of n atoms up to relabelling; states are numbers with one digit a site."""

    n: int
    index: np.ndarray
    """(5^D,) int32, orbit of each state"""
    turn: np.ndarray
    """(5^D,) int32, the relabelling that leads to the orbit's representative"""
    states: np.ndarray
    """(R, D) int32, the representatives"""
    size: np.ndarray
    """(R,) int64, states in the orbit"""

    @property
    def power(self) -> np.ndarray:
        """Value of each digit, (D,)."""
        return S ** np.arange(sites(self.n))[::-1]

    @property
    def codes(self) -> np.ndarray:
        """The representatives as numbers, (R,)."""
        return self.states @ self.power

    @property
    def full(self) -> np.ndarray:
        """(R,) bool, orbits with nothing hidden."""
        return np.all(self.states < BONDS, axis=1)

    def of(self, x: np.ndarray) -> np.ndarray:
        """Orbit of states (M, D)."""
        return self.index[np.asarray(x, np.int64) @ self.power]

    def after(self) -> np.ndarray:
        """(R, D, 4) int32, the orbit after a hidden site got a value; the orbit itself where it is not hidden."""
        step = np.where(self.states == BONDS, self.power, 0)
        return self.index[self.codes[:, None, None] + step[..., None] * (np.arange(BONDS) - BONDS)]

    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """(R, D) int32 orbit where a revealed site is hidden again, and the site of its representative that it is."""
        code = self.codes[:, None] + self.power * (BONDS - self.states)
        return self.index[code], relabel(self.n)[self.turn[code], np.arange(sites(self.n))]


@cache
def orbits(n: int) -> Orbits:
    """The orbits of n = 1 to 4 atoms."""
    if not 1 <= n <= 4:
        raise UsageError(f"n={n}; exact tables are made for 1 to 4 atoms (5^D states)")
    d = sites(n)
    power = S ** np.arange(d)[::-1]
    # atoms and pairs are permuted apart, so a relabelled state is a sum of two table entries
    parts = [np.indices((S,) * k).reshape(k, S**k).T for k in (n, d - n)]
    best = np.arange(S**d, dtype=np.int32)
    turn = np.zeros(S**d, np.int32)
    for g, to in enumerate(relabel(n)):
        atom, pair = parts[0] @ power[to[:n]], parts[1] @ power[to[n:]]
        code = (atom[:, None] + pair).ravel().astype(np.int32)
        less = code < best
        best[less], turn[less] = code[less], g
    codes = np.flatnonzero(best == np.arange(S**d))
    number = np.zeros(S**d, np.int32)
    number[codes] = np.arange(len(codes))
    index = number[best]
    states = (codes[:, None] // power % S).astype(np.int32)
    return Orbits(n, index, turn, states, np.bincount(index, minlength=len(codes)))


def marginals(full: np.ndarray) -> np.ndarray:
    """p(x_S) of a law (4,) * D: "hidden" becomes the last value of every axis, (5,) * D."""
    for axis in range(full.ndim):
        full = np.concatenate([full, full.sum(axis, keepdims=True)], axis)
    return full


def log_ratio(log_q: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """log W = log q - log p; -inf where q is 0."""
    return np.where(log_q == -np.inf, -np.inf, log_q - np.where(log_q == -np.inf, 0.0, log_p))


def conditionals(of: Orbits, log_m: np.ndarray) -> np.ndarray:
    """log p(x_i | x_S) of all hidden sites, (R, D, 4), from log p(x_S) (R,); uniform where p(x_S) is 0."""
    after = log_m[of.after()]
    nothing = (log_m == -np.inf)[:, None, None] | (of.states < BONDS)[..., None]
    return np.where(nothing, -np.log(BONDS), after - np.where(log_m == -np.inf, 0.0, log_m)[:, None, None])


def adapted(of: Orbits, log_p: np.ndarray, log_h: np.ndarray) -> np.ndarray:
    """The conditionals of ARDG, (R, D, 4): p(x_i | x_S) W(x_S, x_i) normalised, p where that is zero."""
    both = log_p + log_h[of.after()]
    top = both.max(-1, keepdims=True)
    some = top > -np.inf
    ratio = np.exp(both - np.where(some, top, 0.0))
    with np.errstate(divide="ignore"):
        return np.where(some, np.log(ratio / np.where(some, ratio.sum(-1, keepdims=True), 1.0)), log_p)


def candidates(of: Orbits, order: Order = "uniform") -> np.ndarray:
    """(R, D) bool, the sites of each state that may be revealed next."""
    hidden, n = of.states == BONDS, of.n
    if order == "uniform":
        return hidden
    atom, pair = hidden.copy(), hidden.copy()
    atom[:, n:], pair[:, :n] = False, False
    if order == "nodes_edges":
        return np.where(atom.any(1, keepdims=True), atom, pair)
    # the pairs that are open among the revealed atoms all belong to the latest of these
    i, j = pairs(n).T
    pair[:, n:] &= ~hidden[:, i] & ~hidden[:, j]
    return np.where(pair.any(1, keepdims=True), pair, atom)


def law(of: Orbits, log_p: np.ndarray, order: Order = "uniform") -> np.ndarray:
    """Probability of each state of an orbit, (R,), after as many steps as it shows sites, over random orders.

    law(x_S) = sum_{i in S} law(x_{S - i}) p(x_i | x_{S - i}) / number of sites that may come after S - i, for any
    conditionals (R, D, 4).
    """
    shown = (of.states < BONDS).sum(1)
    orbit, site = of.before()
    value = np.minimum(of.states, BONDS - 1)
    may = candidates(of, order)
    share = may / np.maximum(may.sum(1, keepdims=True), 1)
    found = np.zeros(len(of.states))
    found[shown == 0] = 1.0
    for k in range(1, of.states.shape[1] + 1):
        rows = np.flatnonzero(shown == k)
        before = orbit[rows], site[rows]
        terms = found[orbit[rows]] * share[before] * np.exp(log_p[(*before, value[rows])])
        found[rows] = np.where(of.states[rows] < BONDS, terms, 0).sum(1)
    return found


def bound(of: Orbits, log_q: np.ndarray, log_p: np.ndarray, order: Order = "uniform") -> float:
    """The order-agnostic bound E_q[-log p(x)] in nats of conditionals log_p (R, D, 4), from log q(x_S) (R,)."""
    truth = conditionals(of, log_q)
    may = candidates(of, order)
    mass = law(of, truth, order) * of.size
    cross = -(np.exp(truth) * np.where(truth > -np.inf, log_p, 0)).sum(-1)
    return float((mass[:, None] * may / np.maximum(may.sum(1, keepdims=True), 1) * cross).sum())


def log_marginals(of: Orbits, law: np.ndarray) -> np.ndarray:
    """log p(x_S) (R,) of a law (R,) of full states."""
    d = of.states.shape[1]
    full = law[of.index.reshape((S,) * d)[(slice(BONDS),) * d]]
    with np.errstate(divide="ignore"):
        return np.log(marginals(full).ravel()[of.codes])


def reweighed(of: Orbits, p: np.ndarray, log_h: np.ndarray) -> np.ndarray:
    """The limit of many particles, (R,): p(x) W(x) / Z on full states, zero elsewhere."""
    w = np.where(of.full, p * np.exp(np.minimum(log_h, 700.0)), 0.0)
    return w / (w * of.size).sum()


@dataclass(frozen=True)
class Score:
    """How far a law of molecules is from the uniform one on the valid ones."""

    validity: float
    tv: float
    """total variation, with "invalid" as one more class"""
    tv_valid: float
    """total variation given that they are valid"""


def score(mass: np.ndarray) -> Score:
    """Score of the probabilities (C,) of the valid molecules."""
    validity = float(mass.sum())
    far = np.abs(mass - 1 / len(mass)).sum() + 1 - validity
    given = np.abs(mass / max(validity, 1e-300) - 1 / len(mass)).sum() if validity > 0 else 2.0
    return Score(validity, float(far / 2), float(given / 2))


def noise_floor(classes: int, samples: int) -> float:
    """Expected total variation of that many draws of the uniform law itself."""
    return 0.5 * (2 / np.pi * (classes - 1) / samples) ** 0.5


@register_dataclass
@dataclass(frozen=True)
class OrbitTable:
    """A table of orbits as a function of states; a denoiser if its values are (R, D, 4), a log-potential if (R,)."""

    index: Any
    turn: Any
    relabel: Any
    values: Any

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Logits (n, D, 4) or log-weights (n,) of x (n, D)."""
        code = x @ jnp.asarray(S ** np.arange(x.shape[1])[::-1], jnp.int32)
        rows = jnp.asarray(self.values)[jnp.asarray(self.index)[code]]
        if rows.ndim == 1:
            return rows
        to = jnp.asarray(self.relabel)[jnp.asarray(self.turn)[code]]
        return jnp.take_along_axis(rows, to[..., None], 1)


def table(of: Orbits, values: Any) -> OrbitTable:
    """The function of states with these values; float32."""
    return OrbitTable(of.index, of.turn, relabel(of.n), jnp.asarray(values, jnp.float32))
