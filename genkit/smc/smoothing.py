"""Smoothing after a filter: many paths by backward simulation, marginals by two filters."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, Resampler, State, reweigh, run, start
from genkit.errors import UsageError
from genkit.smc.conditional import Path, history, trace
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


def sample_paths(key: Array, model: Model, n: int, m: int, resample: Resampler) -> tuple[Path, State]:
    """Run the model once and draw m paths by backward simulation: Godsill, Doucet, West 2004.

    Their law is nearer to that of the model's paths than that of the n ancestries, of which few differ early on. Given
    the run they are independent. O(n m) a step.

    Args:
        key: the key of this run.
        model: kernels have `log_prob`, and no look and no plan.
        n: number of particles.
        m: number of paths.
        resample: of any scheme.

    Returns:
        The paths, leaves (m, ...), and the final state.
    """
    forward, backward = jax.random.split(key)
    begin = start(forward, model, n)
    end, kept = run(forward, begin, model.stages, resample, keep=history)
    assert kept is not None
    keys = jax.random.split(backward, m)
    return jax.vmap(lambda k: trace(k, model, begin, kept, end, "backward"))(keys), end


@register_dataclass
@dataclass(frozen=True)
class Populations:
    """Those of a run after each of T times."""

    p: PyTree
    """Particles, leaves (T, n, ...)"""
    log_w: Array
    """(T, n) normalised"""
    ancestors: Array
    """(T, n) int, places of the parents; those at the beginning are their own"""


def populations(key: Array, model: Model, n: int, resample: Resampler | None) -> tuple[Populations, State]:
    """Run a model of one stage and keep the population of each time, the beginning included."""
    if len(model.stages) != 1:
        raise UsageError(f"populations are kept of a model with one stage; this one has {len(model.stages)}")
    begin = start(key, model, n)
    end, kept = run(key, begin, model.stages, resample, keep=_population)
    assert kept is not None
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), _population(begin), kept[0])
    return Populations(*joined), end


def two_filter(forward: Populations, backward: Populations, kernel: Kernel, inputs: PyTree, log_gamma: Any) -> Array:
    """Weights of the filter's particles under the smoothing law: Briers, Doucet, Maskell 2010.

    Args:
        forward: of the filter, weighed by all potentials up to each time.
        backward: of an information filter that runs back in time, as it ran (the last time first): at t the target is
            gamma_t(x_t) times the expected product of the potentials from t on, given x_t.
        kernel: has `log_prob`.
        inputs: of its T - 1 steps.
        log_gamma: (particles (n, ...), t) -> (n,), the density that the information filter was given in place of that
            of x_t; any positive one, of any scale.

    Returns:
        (T, n) normalised log-weights, equal at a time at which no pair of particles connects. O(n^2) a step.
    """
    if kernel.log_prob is None:
        raise UsageError(f"two filters are joined by the kernel's log_prob; {type(kernel).__name__} has none")
    log_prob = kernel.log_prob
    t = jnp.arange(1, forward.log_w.shape[0])
    here = jax.tree.map(lambda a: a[:-1], (forward.p, forward.log_w))
    after = jax.tree.map(lambda a: a[::-1][1:], (backward.p, backward.log_w))

    def one(x: Any) -> Array:
        (p, log_w), (p1, log_v), u, t = x
        to = jax.vmap(lambda q: log_prob(p, jax.tree.map(lambda a: jnp.broadcast_to(a, (len(log_w), *a.shape)), q), u))
        log_v = log_v - log_gamma(p1, t)
        return reweigh(log_w, jax.nn.logsumexp(to(p1) + log_v[:, None], axis=0))[0]

    return jnp.concatenate([jax.lax.map(one, (here, after, inputs, t)), forward.log_w[-1:]])


def _population(state: State) -> tuple[PyTree, Array, Array]:
    return state.p, state.log_w, state.ancestors
