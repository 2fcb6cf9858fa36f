"""The loop of a Feynman-Kac model: `start`, `step`, `run`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain.types import Array, Kernel, Model, PyTree, Resampler, State, callable_tree
from genkit.errors import UsageError

# Folded into the key of a step beside the slots, which are below 2^31.
PLAN, LOOK, RESAMPLE = np.arange(2**32 - 3, 2**32).astype(np.uint32)


def particle_keys(key: Array, slots: Array) -> Array:
    """Keys (n,), one per slot (n,) int, so that a particle's numbers depend on its slot alone."""
    return jax.vmap(partial(jax.random.fold_in, key))(slots)


def reweigh(log_w: Array, log_g: Array) -> tuple[Array, Array]:
    """Multiply normalised weights by potentials: (new normalised log-weights, log of their sum before).

    Potentials of zero (-inf) are legal. If all weights vanish the sum is -inf and the weights uniform.
    """
    raw = log_w + log_g.astype(log_w.dtype)
    total = jax.nn.logsumexp(raw)
    dead = total == -jnp.inf
    log_w = jnp.where(dead, -jnp.log(raw.shape[0]), raw - jnp.where(dead, 0.0, total))
    return log_w, total


def start(key: Array, model: Model, n: int, slots: Array | None = None) -> State:
    """The population before the first step.

    Args:
        key: the key of the whole run; the same one goes to `run`.
        model: the model.
        n: number of particles.
        slots: (n,) int, places of these particles in the whole population; 0..n-1 by default. A run in
            chunks with their slots draws the same numbers as one run.
    """
    return _start(key, callable_tree(model.init), model.shared, _slots(slots, n))


@jax.jit
def _start(key, init, shared, slots):
    n = slots.shape[0]
    p, log_g = init(particle_keys(jax.random.fold_in(key, 0), slots))
    log_w = jnp.full(n, -jnp.log(n), dtype=float)
    state = State(
        p=jax.tree.map(jnp.asarray, p),
        log_w=log_w,
        log_z=jnp.zeros((), log_w.dtype),
        eve=slots,
        ancestors=jnp.arange(n, dtype=jnp.int32),
        t=jnp.zeros((), jnp.int32),
        shared=jax.tree.map(jnp.asarray, shared),
        resampled=jnp.zeros((), bool),
        collapsed=jnp.zeros((), bool),
    )
    return state if log_g is None else _weigh(state, log_g, "init")


def step(
    key: Array,
    state: State,
    kernel: Kernel,
    u: PyTree,
    resampler: Resampler | None = None,
    slots: Array | None = None,
) -> State:
    """One step: plan, look, normalise, resample, gather, move, log_g, normalise.

    The numbers drawn depend on `key`, the step and the slot alone, so a run may stop and go on anywhere.
    """
    name, n = type(kernel).__name__, state.log_w.shape[0]
    slots, t = _slots(slots, n), state.t + 1
    key = jax.random.fold_in(key, t)
    before = state.log_w
    if kernel.plan is not None:
        u, shared = kernel.plan(jax.random.fold_in(key, PLAN), state, u)
        state = replace(state, shared=shared)
    if kernel.look is not None:
        p, log_e = kernel.look(particle_keys(jax.random.fold_in(key, LOOK), slots), state.p, u)
        state = _weigh(replace(state, p=p), log_e, f"{name}.look")
    idx, did = jnp.arange(n, dtype=jnp.int32), False
    if resampler is not None:
        idx, log_w, did = resampler(jax.random.fold_in(key, RESAMPLE), before, state.log_w)
        p, eve = jax.tree.map(lambda a: a[idx], (state.p, state.eve))
        state = replace(state, p=p, eve=eve, log_w=log_w.astype(before.dtype))
    state = replace(state, ancestors=jnp.asarray(idx, jnp.int32), resampled=jnp.asarray(did))
    m = state.log_w.shape[0]
    p1 = kernel.move(particle_keys(key, slots[:m]), state.p, u)
    log_g = None if kernel.log_g is None else kernel.log_g(state.p, p1, u)
    if m < n:  # waste-free: each of m particles gave n / m states, which share its weight
        state = _spread(state, n, name)
    state = replace(state, p=p1, t=t)
    return state if log_g is None else _weigh(state, log_g, f"{name}.log_g")


def run(
    key: Array,
    state: State,
    stages: Sequence[tuple[Kernel, PyTree]],
    resampler: Resampler | None = None,
    keep: Callable[[State], PyTree] | None = None,
    slots: Array | None = None,
) -> tuple[State, tuple | None]:
    """Run stages from a state.

    Args:
        key: the key of the whole run; not split between calls that continue one another.
        state: from `start` or an earlier `run`.
        stages: ((kernel, inputs), ...), leaves of inputs (T, ...). Kernels, inputs and a resampler which is a
            pytree are traced: new values compile nothing.
        resampler: see `Resampler`; None is plain sampling.
        keep: what to collect of the state after each step, a function kept between calls.
        slots: (n,) int, as given to `start`.

    Returns:
        The state after the last step, and for each stage what was kept, leaves (T, ...), or None.
    """
    resampler = resampler if resampler is None else callable_tree(resampler)
    kept = []
    for kernel, inputs in stages:
        state, one = _stage(key, state, kernel, inputs, resampler, slots, keep)
        kept.append(one)
    return state, None if keep is None else tuple(kept)


@partial(jax.jit, static_argnames="keep")
def _stage(key, state, kernel, inputs, resampler, slots, keep):
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(inputs)}
    if len(lengths) != 1 or () in lengths:
        raise UsageError(
            f"inputs of {type(kernel).__name__} have leading sizes {sorted(lengths)}; every leaf must have "
            f"the number of steps first (a kernel without inputs gets jnp.arange(steps))"
        )

    def body(state, u):
        state = step(key, state, kernel, u, resampler, slots)
        return state, None if keep is None else keep(state)

    if lengths == {(1,)}:  # one step needs no loop, and may change the particle type
        state, kept = body(state, jax.tree.map(lambda a: a[0], inputs))
        return state, jax.tree.map(lambda a: a[None], kept)
    return jax.lax.scan(body, state, inputs)


def draw(key: Array, model: Model, n: int, cond: PyTree = None, slots: Array | None = None) -> PyTree:
    """Plain sampling of a batch: the particles of a model after all its stages, leaves (n, ...); one program.

    Args:
        key: the key of the run.
        model: the model.
        n: number of particles.
        cond: what the model's kernels are conditioned on, checked for its batch: leaves (n, ...).
        slots: (n,) int, places of these particles in a larger whole; a draw in chunks equals one draw.
    """
    for leaf in jax.tree.leaves(cond):
        if leaf.shape[:1] != (n,):
            raise UsageError(f"cond has a leaf of shape {leaf.shape}; its first axis must be the batch of {n}")
    return _draw(key, replace(model, init=callable_tree(model.init)), _slots(slots, n))


@jax.jit
def _draw(key, model, slots):
    state, _ = run(key, start(key, model, slots.shape[0], slots), model.stages, slots=slots)
    return state.p


def _weigh(state: State, log_g: Array, who: str) -> State:
    n = state.log_w.shape[0]
    if jnp.shape(log_g) != (n,):
        raise UsageError(f"{who} returned weights of shape {jnp.shape(log_g)}; expected ({n},), one a particle")
    log_w, total = reweigh(state.log_w, log_g)
    collapsed = state.collapsed | (total == -jnp.inf)
    return replace(state, log_w=log_w, log_z=state.log_z + total, collapsed=collapsed)


def _spread(state: State, n: int, name: str) -> State:
    m = state.log_w.shape[0]
    if n % m:
        raise UsageError(f"{n} particles cannot come from {m} resampled ones in {name}; {m} must divide {n}")
    eve, ancestors, log_w = (jnp.repeat(a, n // m) for a in (state.eve, state.ancestors, state.log_w))
    return replace(state, eve=eve, ancestors=ancestors, log_w=log_w - jnp.log(n // m).astype(log_w.dtype))


def _slots(slots: Array | None, n: int) -> Array:
    if slots is None:
        return jnp.arange(n, dtype=jnp.int32)
    if jnp.shape(slots) != (n,):
        raise UsageError(f"slots have shape {jnp.shape(slots)}; expected ({n},), one place a particle")
    return jnp.asarray(slots, jnp.int32)
