"""Graphs of discrete and Gaussian variables: the Gaussian ones are summed out, and drawn at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.errors import UsageError
from genkit.smc.graphs.factors import FactorGraph, Factors
from genkit.smc.graphs.propagation import Messages, belief_propagation
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array


def _propagate(mixed: MixedGraph, **options: Any) -> Messages:
    return belief_propagation(mixed.marginal(), **options)


@dataclass(frozen=True, eq=False)
class MixedGraph:
    """p(z, x) = exp(discrete(z) - x^T Q x / 2 + x^T (shift + sum_v pull_v(z_v))) / Z, z discrete, x in R^d.

    The conditional Gaussian laws whose covariance does not depend on z (Lauritzen 1996, homogeneous). What is left of
    the integral over x are potentials of pairs, so z is a factor graph again, and x given z is normal.
    """

    discrete: FactorGraph
    """Of V variables."""
    precision: np.ndarray
    """(d, d), Q: symmetric, positive definite; refused if it is not."""
    pull: np.ndarray
    """(V, K, d), what each value adds to the shift"""
    shift: Any = 0.0
    """(d,) or one number"""

    approximations: ClassVar[dict[str, Callable[..., Messages]]] = {"lbp": _propagate}

    def __post_init__(self) -> None:
        """Check Q and the shapes."""
        q, (v, k) = np.asarray(self.precision, np.float64), self.discrete.unary.shape
        if np.shape(self.pull) != (v, k, len(q)):
            raise UsageError(f"pull has shape {np.shape(self.pull)}; expected ({v}, {k}, {len(q)})")
        if q.shape != (len(q), len(q)) or not np.allclose(q, q.T) or not (np.linalg.eigvalsh(q) > 0).all():
            raise UsageError(f"precision of shape {q.shape} is no symmetric positive definite matrix")

    def marginal(self) -> FactorGraph:
        """The graph of z alone, with the same Z."""
        pull, v = np.asarray(self.pull, np.float64), len(self.discrete.unary)
        shift = np.broadcast_to(np.asarray(self.shift, np.float64), len(self.precision))
        cov = np.linalg.inv(self.precision)
        joint = np.einsum("vki,ij,wlj->vwkl", pull, cov, pull)
        unary = np.asarray(self.discrete.unary) + pull @ cov @ shift + 0.5 * np.einsum("vvkk->vk", joint)
        constant = 0.5 * (shift @ cov @ shift + np.linalg.slogdet(2 * np.pi * cov)[1])
        unary[0] += constant
        pairs = [(i, j) for i in range(v) for j in range(i + 1, v) if np.abs(joint[i, j]).max() > 1e-12]
        new = (Factors(tuple(pairs), np.array([joint[p] for p in pairs])),) if pairs else ()
        return FactorGraph(unary, self.discrete.factors + new)

    def neighbours(self) -> list[set[int]]:
        """Of the discrete variables."""
        return self.marginal().neighbours()

    def exact(self) -> float | None:
        """log Z by elimination; None where a table would get too large."""
        return self.marginal().exact()

    def model(self, messages: Messages | None = None, order: Sequence[int] | None = None) -> Model:
        """That of z, then a draw of x given z; particles end as (z (n, V), x (n, d))."""
        chain = self.marginal().model(messages, order)
        cov = np.linalg.inv(self.precision)
        kernel = Rest(cov, np.linalg.cholesky(cov), np.asarray(self.pull), np.asarray(self.shift))
        return Model(chain.init, (*chain.stages, (kernel, np.zeros(1))), chain.shared)


@register_dataclass
@dataclass(frozen=True)
class Rest(Kernel):
    """The Gaussian variables given the discrete ones."""

    cov: Any
    root: Any
    pull: Any
    shift: Any

    def move(self, keys: Array, p: Array, u: Array) -> tuple[Array, Array]:
        """Draw x."""
        place = np.arange(p.shape[1])
        shift = jnp.asarray(self.pull)[place, p.astype(jnp.int32)].sum(1) + self.shift
        noise = jax.vmap(lambda k: jax.random.normal(k, self.cov.shape[:1]))(written_out(keys))
        return p, shift @ self.cov + noise @ self.root.T
