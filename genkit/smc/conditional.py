"""Conditional SMC, particle Gibbs and particle Metropolis-Hastings: Andrieu, Doucet, Holenstein 2010."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, Resampler, State, log_joint, run, start
from genkit.errors import UsageError
from genkit.smc.resampling import Resample
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any
Method = Literal["trace", "ancestor", "backward"]
MULTINOMIAL = Resample("conditional_multinomial", 1.0)


@register_dataclass
@dataclass(frozen=True)
class Path:
    """One particle at all times."""

    first: PyTree
    """Leaves (...)."""
    log_g: Array | None
    """() its potential at the beginning; None where the model has none."""
    later: tuple[PyTree, ...]
    """For each stage, leaves (T, ...)."""


def sample_path(
    key: Array,
    model: Model,
    n: int,
    resample: Resampler,
    ref: Path | None = None,
    method: Method = "trace",
) -> tuple[Path, State]:
    """Run the model and draw one path by the final weights.

    Args:
        key: the key of this run.
        model: the model; `backward` and `ancestor` need `log_prob` of its kernels.
        n: number of particles, that of the reference included.
        resample: with a reference, of a conditional scheme.
        ref: reference path (conditional SMC); None is plain SMC.
        method: `trace` follows ancestors; `ancestor` too, with parents of the reference drawn anew in the run
            (Lindsten, Jordan, Schon 2014); `backward` draws all parents again from the end (Whiteley 2010).

    Returns:
        The path and the final state.
    """
    if ref is not None:
        _check_conditional(resample)
    forward, backward = jax.random.split(key)
    first, later = (None, None) if ref is None else ((ref.first, ref.log_g), ref.later)
    begin = start(forward, model, n, ref=first)
    ancestor = method == "ancestor" and ref is not None
    end, kept = run(forward, begin, model.stages, resample, keep=history, ref=later, ancestor=ancestor)
    assert kept is not None
    return trace(backward, model, begin, kept, end, method), end


def trace(key: Array, model: Model, begin: State, kept: tuple, end: State, method: Method) -> Path:
    """One path back through a run, from a place drawn by the final weights; `kept` is its `history`."""
    n = end.log_w.shape[0]
    place = jax.random.categorical(jax.random.fold_in(key, 0), end.log_w)
    path = []
    for s in reversed(range(len(model.stages))):
        kernel, inputs = model.stages[s]
        before = history(begin)[:2] if s == 0 else jax.tree.map(lambda a: a[-1], kept[s - 1][:2])
        if method == "backward":
            _check(kernel)
            parents = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b[:-1]]), before, kept[s][:2])
        else:
            parents = None

        def one(place: Array, x: Any, kernel: Kernel = kernel) -> tuple[Array, PyTree]:
            (p, _, ancestors, resampled, t), parents, u = x
            p = jax.tree.map(lambda a: a[place], p)
            parent = ancestors[place]
            if parents is not None:
                log_w = parents[1] + log_joint(kernel, parents[0], p, u)
                drawn = jax.random.categorical(jax.random.fold_in(key, t), log_w)
                parent = jnp.where(resampled, drawn, parent)
            return parent.astype(place.dtype), p

        place, one_path = jax.lax.scan(one, place, (kept[s], parents, inputs), reverse=True)
        path.insert(0, one_path)

    log_g = begin.log_w + begin.log_z + jnp.log(n)
    has_g = jax.eval_shape(model.init, jax.random.split(key, 1))[1] is not None
    first = jax.tree.map(lambda a: a[place], begin.p)
    return Path(first, log_g[place] if has_g else None, tuple(path))


def particle_gibbs(
    key: Array,
    model: Model,
    n: int,
    steps: int,
    ref: Path,
    resample: Resampler = MULTINOMIAL,
    method: Method = "trace",
) -> Path:
    """A Markov chain of paths that leaves the model's law of paths invariant; leaves (steps, ...).

    Begin with a `ref` from `sample_path`. For parameters beside the path alternate own draws with `sample_path`.
    """

    def sweep(path: Path, key: Array) -> tuple[Path, Path]:
        path, _ = sample_path(key, model, n, resample, path, method)
        return path, path

    return jax.lax.scan(sweep, ref, jax.random.split(key, steps))[1]


@register_dataclass
@dataclass(frozen=True)
class Link:
    """One state of particle Metropolis-Hastings, or a chain of them."""

    theta: PyTree
    log_z: Array
    """() estimate at theta, which stays with it"""
    log_prior: Array
    """()"""
    draw: PyTree
    """What the estimate came with, a path for instance."""
    accepted: Array
    """() bool, whether the last proposal was."""


def pmmh(
    key: Array,
    steps: int,
    theta: PyTree,
    estimate: Callable[[Array, PyTree], tuple[Array, PyTree]],
    log_prior: Callable[[PyTree], Array],
    propose: Callable[[Array, PyTree], PyTree],
    log_propose: Callable[[PyTree, PyTree], Array] | None = None,
) -> Link:
    """Particle marginal Metropolis-Hastings: exact for the posterior of theta, though Z is only estimated.

    Args:
        key: the key of the chain.
        steps: how many.
        theta: where to begin.
        estimate: (key, theta) -> (log of an unbiased estimate of Z(theta), anything to keep).
        log_prior: theta -> ().
        propose: (key, theta) -> theta.
        log_propose: (theta, proposed) -> (), log-density of the proposal, up to a constant; None where it is symmetric.

    Returns:
        The chain, leaves (steps, ...).
    """

    def link(key: Array, theta: PyTree) -> Link:
        log_z, draw = estimate(key, theta)
        prior = jnp.asarray(log_prior(theta), log_z.dtype)
        return Link(jax.tree.map(jnp.asarray, theta), log_z, prior, draw, jnp.ones((), bool))

    def one(now: Link, key: Array) -> tuple[Link, Link]:
        k0, k1, k2 = jax.random.split(key, 3)
        new = link(k1, propose(k0, now.theta))
        ratio = new.log_z + new.log_prior - now.log_z - now.log_prior
        if log_propose is not None:
            ratio += log_propose(new.theta, now.theta) - log_propose(now.theta, new.theta)
        accept = jnp.log(jax.random.uniform(k2)) < ratio  # NaN (two estimates of zero) rejects
        now = jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, now)
        now = Link(now.theta, now.log_z, now.log_prior, now.draw, accept)
        return now, now

    first, rest = jax.random.split(key)
    return jax.lax.scan(one, link(first, theta), jax.random.split(rest, steps))[1]


def pimh(key: Array, steps: int, estimate: Callable[[Array], tuple[Array, PyTree]]) -> Link:
    """Particle independent Metropolis-Hastings: `pmmh` without parameters, estimate(key) -> (log_z, path)."""
    return pmmh(key, steps, (), lambda key, _: estimate(key), lambda _: jnp.zeros(()), lambda _, theta: theta)


def history(state: State) -> tuple[PyTree, Array, Array, Array, Array]:
    """What a path needs of each step."""
    return state.p, state.log_w, state.ancestors, state.resampled, state.t


def _check(kernel: Kernel) -> None:
    if kernel.log_prob is None or kernel.look is not None or kernel.plan is not None:
        raise UsageError(
            f"backward sampling needs a kernel with log_prob and without look and plan; {type(kernel).__name__} is none"
        )


def _check_conditional(resample: Resampler) -> None:
    scheme = getattr(resample, "scheme", "conditional_")
    if isinstance(scheme, str) and not scheme.startswith("conditional_"):
        raise UsageError(
            f"conditional SMC needs a conditional resampling scheme, not {scheme!r}; conditional_{scheme}?"
        )
