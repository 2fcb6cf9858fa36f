"""The benchmark on the lattice: the uniform law of all molecules of n atoms, its models, and its exact figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit_molecules import exact
from genkit_molecules.chemistry import BONDS, copies, enumerate_graphs, relabel, sites
from genkit_molecules.exact import Orbits, Score
from genkit_molecules.items import Graphs

Array = jax.Array
ELEMENTS = ("C", "N", "O", "F")


@dataclass(frozen=True)
class Target:
    """q, uniform on molecules, and on the copies of each by relabelling of its atoms."""

    n: int
    x: np.ndarray
    """(C, D), one graph of each molecule"""
    orbits: Orbits
    valid: np.ndarray
    """(C,) the orbit of each molecule"""
    log_q: np.ndarray
    """(R,) log q(x_S)"""
    factorised: np.ndarray
    """(R,) log of the product of the marginals of q"""

    @property
    def source(self) -> str:
        """What it is called."""
        return f"the lattice of {self.n} atoms"

    @property
    def layout(self) -> Graphs:
        """What a trained model knows of them."""
        kinds = (np.bincount(part.ravel(), minlength=BONDS) for part in (self.x[:, : self.n], self.x[:, self.n :]))
        return Graphs(ELEMENTS, np.array([self.n]), np.array([len(self.x)]), np.array([*kinds]))

    @property
    def entropy(self) -> float:
        """Of q over labelled graphs, nats: the least of any bound on the likelihood."""
        log_q, size = self.log_q[self.valid], self.orbits.size[self.valid]
        return float(-(np.exp(log_q) * size * log_q).sum())

    def model(self, which: Literal["factorised", "half"]) -> np.ndarray:
        """log p(x_S) (R,) of the product of the marginals of q, or of a mixture of it and q in equal parts."""
        if which == "factorised":
            return self.factorised
        return np.logaddexp(self.log_q, self.factorised) - np.log(2)

    def draw(self, key: Array, count: int) -> Array:
        """Labelled graphs (count, D) int32; traceable."""
        k_which, k_turn = jax.random.split(key)
        back = np.argsort(relabel(self.n), axis=1)
        x = jnp.asarray(self.x, jnp.int32)[jax.random.randint(k_which, (count,), 0, len(self.x))]
        turn = jnp.asarray(back)[jax.random.randint(k_turn, (count,), 0, len(back))]
        return jnp.take_along_axis(x, turn, 1)

    def score(self, law: np.ndarray) -> Score:
        """Score of probabilities (R,) of single states."""
        return exact.score((law * self.orbits.size)[self.valid])

    def histogram(self, x: Any, weights: Any = None) -> np.ndarray:
        """Frequencies (C,) of the molecules among graphs (M, D), with weights (M,) that sum to 1."""
        x = np.asarray(x)
        weights = np.full(len(x), 1 / len(x)) if weights is None else weights
        return np.bincount(self.orbits.of(x), weights, len(self.orbits.states))[self.valid]


@cache
def target(n: int) -> Target:
    """The benchmark for n = 1 to 4 atoms of C, N, O, F."""
    x = enumerate_graphs(n)
    of = exact.orbits(n)
    q = np.zeros((BONDS,) * sites(n))
    for rows in copies(x, n):
        q[tuple(rows.T)] = 1 / len(x) / len(rows)
    whole = exact.marginals(q)
    with np.errstate(divide="ignore"):
        log_q = np.log(whole.ravel()[of.codes])
        # the law of one site, all others hidden
        single = np.zeros((sites(n), BONDS + 1))
        for site in range(sites(n)):
            place: list[Any] = [BONDS] * sites(n)
            place[site] = slice(None)
            single[site] = np.log(whole[tuple(place)])
    factorised = np.take_along_axis(single, of.states.T, 1).sum(0)
    return Target(n, x, of, of.of(x), log_q, factorised)
