"""`tilt`: a chain under a potential."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp

from genkit.chain.types import Array, Kernel, Model, PyTree, callable_tree
from genkit.tree import register_dataclass


def tilt(chain: Model, log_potential: Callable[[PyTree, PyTree], Array] | tuple) -> Model:
    """Law of the chain's end reweighed by a potential h, which guides the population on its way.

    log_potential(p, u) -> (n,) is log h of particles that arrived by a step of inputs u; a tuple has one for each
    stage. Step t multiplies the weights by h_t / h_{t-1} (h_0 = 1), so that a path weighs h_T(p_T) and log_z estimates
    log E[h_T(p_T)]; where the steps before T look at something easier, they only choose which paths go on. Each
    particle carries its log h (`Tilted`), so it is evaluated once a step. A kernel's own potentials are kept.
    """
    stages = chain.stages
    each = log_potential if isinstance(log_potential, tuple) else (log_potential,) * len(stages)
    tilted = tuple((TiltedKernel(k, callable_tree(h)), u) for (k, u), h in zip(stages, each, strict=True))

    def init(keys: Array) -> tuple["Tilted", Array | None]:
        p, log_g = chain.init(keys)
        return Tilted(p, jnp.zeros(keys.shape[0], float)), log_g

    return replace(chain, init=init, stages=tilted)


@register_dataclass
@dataclass(frozen=True)
class Tilted:
    """A particle of the chain and its log-potential (n,)."""

    p: PyTree
    log_h: Array


@register_dataclass
@dataclass(frozen=True)
class TiltedKernel(Kernel):
    """A kernel of the chain, whose particles carry their potential."""

    kernel: Kernel
    log_potential: Any

    def move(self, keys: Array, p: Tilted, u: PyTree) -> Tilted:
        """The kernel's move, then the potential where it arrived."""
        p1 = self.kernel.move(keys, p.p, u)
        return Tilted(p1, self.log_potential(p1, u))

    def log_g(self, p: Tilted, p1: Tilted, u: PyTree) -> Array:
        """log h_t - log h_{t-1}; a path that met h = 0 stays dead."""
        ratio = jnp.where(p.log_h == -jnp.inf, -jnp.inf, p1.log_h - p.log_h)
        return ratio if self.kernel.log_g is None else ratio + self.kernel.log_g(p.p, p1.p, u)

    @property
    def where(self):  # type: ignore[override]
        """The kernel's, if it has one."""
        f = self.kernel.where
        return f and (lambda p, u: f(p.p, u))

    @property
    def log_prob(self):  # type: ignore[override]
        """The kernel's, if it has one."""
        f = self.kernel.log_prob
        return f and (lambda p, p1, u: f(p.p, p1.p, u))

    @property
    def look(self):  # type: ignore[override]
        """The kernel's, if it has one."""
        f = self.kernel.look
        if f is None:
            return None

        def look(keys: Array, p: Tilted, u: PyTree) -> tuple[Tilted, Array]:
            inner, log_e = f(keys, p.p, u)
            return replace(p, p=inner), log_e

        return look

    @property
    def parents(self):  # type: ignore[override]
        """The kernel's, if it has one."""
        f = self.kernel.parents
        return f and (lambda state, u: f(replace(state, p=state.p.p), u))

    @property
    def plan(self):  # type: ignore[override]
        """The kernel's, if it has one."""
        f = self.kernel.plan
        return f and (lambda key, state, u: f(key, replace(state, p=state.p.p), u))
