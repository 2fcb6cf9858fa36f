"""`check_kernel`: what the engine expects of one step of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, particle_keys
from genkit.testing.require import Count, claim, near, part, require, varied

DRAWS = 20_000


def _state(p: Any) -> Any:
    return getattr(p, "x", p)


def check_kernel(kernel: Kernel, p: Any, u: Any, state: Callable[[Any], Any] = _state) -> None:
    """Raise AssertionError unless a kernel can be trusted with a population.

    Every method treats each particle alone, so that a run in chunks is the same run; numbers that the kernel holds
    are leaves, so that new ones compile nothing; and `log_prob`, where there is one, is the density of `move`.
    That is tested from the first particle by importance sampling, E[h(x_1) / M(x_1)] = 1 for normal densities h
    that lie within the moves, which holds for a state of a few continuous numbers; integer states are counted.

    Args:
        kernel: a kernel, a pytree.
        p: particles, leaves (n, ...), n at least 2.
        u: one slice of the inputs, as `plan` returns it where there is one.
        state: picks from the moved particles the array (n, ...) whose density `log_prob` is; its attribute `x`, or
            the particle itself, if not given.
    """
    name, n = type(kernel).__name__, len(jax.tree.leaves(p)[0])
    keys, count = particle_keys(jax.random.key(0), jnp.arange(n)), Count()

    @jax.jit
    def move(kernel: Kernel, keys: jax.Array, p: Any, u: Any) -> Any:
        count.traces += 1
        return kernel.move(keys, p, u)

    with claim(f"{name}.move fails"):
        p1 = move(kernel, keys, p, u)
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(p1)}
    require(len(sizes) == 1 and () not in sizes, f"{name}.move returned leaves of sizes {sizes}; particles come first")
    many = sizes.pop()[0]
    require(many > 0 and many % n == 0, f"{name}.move made {many} particles of {n}; expected as many, or a multiple")

    with claim(f"{name} cannot hold other numbers"):
        other = varied(kernel)
    traces = count.traces
    move(other, keys, p, u)
    require(count.traces == traces, f"{name} compiles again for new numbers; register them as leaves, not static")

    def alone(method: str, whole: Any, of: Callable[[slice], Any], times: int) -> None:
        for which in (slice(0, n // 2), slice(n // 2, n)):
            own = slice(times * which.start, times * which.stop)
            require(
                near(of(which), part(whole, own)),
                f"{name}.{method} gives particles other numbers when others are left out; "
                f"use one key per particle and no statistics of the population",
            )

    def compiled(method: str) -> Callable[..., Any] | None:
        if getattr(kernel, method) is None:
            return None
        program = jax.jit(lambda kernel, *args: getattr(kernel, method)(*args))
        return lambda *args: program(kernel, *args)

    r = many // n
    alone("move", p1, lambda s: move(kernel, keys[s], part(p, s), u), r)
    if (look := compiled("look")) is not None:
        with claim(f"{name}.look fails"):
            seen = look(keys, p, u)
        require(seen[1].shape == (n,), f"{name}.look returned weights of shape {seen[1].shape}; expected ({n},)")
        alone("look", seen, lambda s: look(keys[s], part(p, s), u), 1)
    for method in ("log_g", "log_prob"):
        f = compiled(method)
        if f is None:
            continue
        with claim(f"{name}.{method} fails"):
            value = f(p, p1, u)
        require(value.shape == (many,), f"{name}.{method} returned shape {value.shape}; expected ({many},)")
        require(not jnp.isnan(value).any(), f"{name}.{method} returned NaN; a potential of zero is -inf")
        alone(method, value, lambda s, f=f: f(part(p, s), part(p1, slice(r * s.start, r * s.stop)), u), r)
    if kernel.log_prob is not None and r == 1:

        @jax.jit
        def drawn(kernel: Any, p: Any, u: Any) -> tuple[Any, jax.Array]:
            many_keys = particle_keys(jax.random.key(1), jnp.arange(DRAWS))
            tiled = jax.tree.map(lambda a: jnp.repeat(a[:1], DRAWS, 0), p)
            moved = kernel.move(many_keys, tiled, u)
            return moved, kernel.log_prob(tiled, moved, u)

        moved, log_q = drawn(kernel, p, u)
        log_q = np.asarray(log_q, np.float64)
        x = state(moved)
        require(hasattr(x, "dtype"), f"{name} moves a {type(x).__name__}; give state=..., which picks one array of it")
        require(np.isfinite(log_q).all(), f"{name}.log_prob is not finite where move arrives")
        test = _frequencies if jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool else _density
        test(name, np.asarray(x).reshape(DRAWS, -1), log_q)


def _frequencies(name: str, x: np.ndarray, log_q: np.ndarray) -> None:
    """Frequencies of the states (DRAWS, d) against their probabilities, to five standard errors."""
    _, first, counts = np.unique(x, axis=0, return_index=True, return_counts=True)
    q, found = np.exp(log_q[first]), counts / DRAWS
    require(q.sum() < 1 + 1e-4, f"{name}.log_prob sums to {q.sum():.4g} over the states that move reached")
    off = np.abs(found - q) - 5 * np.sqrt(q / DRAWS) - 5 / DRAWS
    i = np.argmax(off)
    require(off[i] <= 0, f"{name}.log_prob gives {q[i]:.4g} to a state that move reaches with frequency {found[i]:.4g}")


def _density(name: str, x: np.ndarray, log_q: np.ndarray) -> None:
    """E[h / M] for three normal h, 0.4 times as wide as the moves (DRAWS, d) and up to half a width off their mean."""
    d, width = x.shape[1], 0.4
    x = x.astype(np.float64)
    spread = np.atleast_2d(np.cov(x.T))
    values, vectors = np.linalg.eigh(spread)
    require(
        values.min() > 1e-10 * values.max(),
        f"{name}.move has no spread in some direction, so it has no density; leave log_prob out",
    )
    z = (x - x.mean(0)) @ vectors / np.sqrt(values)
    for off in (-0.5, 0.0, 0.5):
        distance = ((z - off / d**0.5) ** 2).sum(1) / width**2
        log_h = -0.5 * distance - 0.5 * d * np.log(2 * np.pi * width**2) - 0.5 * np.log(values).sum()
        ratio = np.exp(log_h - log_q)
        error = 5 * ratio.std() / DRAWS**0.5 + 0.01
        require(error < 0.5, f"{name}: a state of {d} numbers is too large to test log_prob; give a smaller particle")
        require(
            abs(ratio.mean() - 1) < error,
            f"{name}.log_prob is not the density of move: E[h(x1) / M(x1)] = {ratio.mean():.3f}, "
            f"expected 1 within {error:.3f}",
        )
