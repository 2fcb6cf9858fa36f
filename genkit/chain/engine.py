"""The loop of a Feynman-Kac model: `start`, `step`, `run`, `run_until`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain.types import Array, Kernel, Model, PyTree, Resampler, State, callable_tree
from genkit.errors import UsageError
from genkit.parallel import split
from genkit.threefry import written_out

# Folded into the key of a step beside the slots, which are below 2^31.
ANCESTOR, PLAN, LOOK, RESAMPLE = np.arange(2**32 - 4, 2**32).astype(np.uint32)


def particle_keys(key: Array, slots: Array) -> Array:
    """Keys (n,), one per slot (n,) int, so that a particle's numbers depend on its slot alone.

    A place of several numbers, (n, k), is folded in one number after the other: a start time and a member.
    """
    first, *rest = slots.reshape(slots.shape[0], -1).T
    keys = jax.vmap(partial(jax.random.fold_in, written_out(key)))(first)
    for numbers in rest:
        keys = jax.vmap(jax.random.fold_in)(keys, numbers)
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=jax.random.key_impl(key))


def reweigh(log_w: Array, log_g: Array) -> tuple[Array, Array]:
    """Multiply normalised weights by potentials: (new normalised log-weights, log of their sum before).

    Potentials of zero (-inf) are legal. If all weights vanish the sum is -inf and the weights uniform.
    """
    raw = log_w + log_g.astype(log_w.dtype)
    total = jax.nn.logsumexp(raw)
    dead = total == -jnp.inf
    log_w = jnp.where(dead, -jnp.log(raw.shape[0]), raw - jnp.where(dead, 0.0, total))
    return log_w, total


def start(
    key: Array, model: Model, n: int, slots: Array | None = None, ref: tuple[PyTree, Array | None] | None = None
) -> State:
    """The population before the first step.

    Args:
        key: the key of the whole run; the same one goes to `run`.
        model: the model.
        n: number of particles.
        slots: (n,) or (n, k) int, places of these particles in the whole population; 0..n-1 by default. A run
            in chunks with their slots draws the same numbers as one run.
        ref: (particle, its log_g () or None), which takes place 0, see `run`.
    """
    return _start(key, callable_tree(model.init), model.shared, _slots(slots, n), ref)


@jax.jit
def _start(key, init, shared, slots, ref):
    n = slots.shape[0]
    p, log_g = init(particle_keys(jax.random.fold_in(key, 0), slots))
    if ref is not None:
        p, log_g = _pin((p, log_g), ref)
    log_w = jnp.full(n, -jnp.log(n), dtype=float)
    state = State(
        p=jax.tree.map(jnp.asarray, p),
        log_w=log_w,
        log_z=jnp.zeros((), log_w.dtype),
        eve=slots if slots.ndim == 1 else jnp.arange(n, dtype=jnp.int32),
        ancestors=jnp.arange(n, dtype=jnp.int32),
        t=jnp.zeros((), jnp.int32),
        shared=jax.tree.map(jnp.asarray, shared),
        resampled=jnp.zeros((), bool),
        collapsed=jnp.zeros((), bool),
        undefined=jnp.zeros((), jnp.int32),
        unfinished=jnp.zeros((), bool),
    )
    return state if log_g is None else _weigh(state, log_g, "init")


def step(
    key: Array,
    state: State,
    kernel: Kernel,
    u: PyTree,
    resampler: Resampler | None = None,
    slots: Array | None = None,
    ref: PyTree | None = None,
    ancestor: bool = False,
) -> State:
    """One step: plan, look, normalise, resample, gather, move, log_g, normalise.

    The numbers drawn depend on `key`, the step and the slot alone, so a run may stop and go on anywhere.
    `ref` is the particle at which place 0 is to arrive, see `run`.
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
    chosen = None
    if kernel.parents is not None:
        chosen = *kernel.parents(state, u), True
    elif resampler is not None:
        chosen = resampler(jax.random.fold_in(key, RESAMPLE), before, state.log_w)
    idx, did = jnp.arange(n, dtype=jnp.int32), False
    if chosen is not None:
        idx, log_w, did = chosen
        if ancestor:
            joint = state.log_w + log_joint(kernel, state.p, ref, u)
            first = jax.random.categorical(jax.random.fold_in(key, ANCESTOR), joint)
            idx = idx.at[0].set(jnp.where(did, first, idx[0]).astype(idx.dtype))
        p, eve = jax.tree.map(lambda a: a[idx], (state.p, state.eve))
        state = replace(state, p=p, eve=eve, log_w=log_w.astype(before.dtype))
    state = replace(state, ancestors=jnp.asarray(idx, jnp.int32), resampled=jnp.asarray(did))
    m = state.log_w.shape[0]
    p1 = kernel.move(particle_keys(key, slots[:m]), state.p, u)
    if ref is not None:
        p1 = _pin(p1, ref)
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
    ref: Sequence[PyTree] | None = None,
    ancestor: bool = False,
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
        ref: for each stage the particles, leaves (T, ...), at which place 0 arrives whatever the kernel draws:
            conditional SMC. The resampler must keep parent 0 in place 0 (see `genkit.smc`).
        ancestor: draw the parent of the particle in place 0 by the kernel's `log_prob` when the resampler resamples
            (Lindsten, Jordan, Schon 2014).

    Returns:
        The state after the last step, and for each stage what was kept, leaves (T, ...), or None.
    """
    resampler = resampler if resampler is None else callable_tree(resampler)
    kept = []
    for (kernel, inputs), path in zip(stages, ref or [None] * len(stages), strict=True):
        if ancestor and (path is None or kernel.log_prob is None):
            raise UsageError(
                f"ancestor sampling needs ref and a kernel with log_prob; {type(kernel).__name__} lacks one"
            )
        state, one = _stage(key, state, kernel, inputs, resampler, slots, path, keep, ancestor)
        kept.append(one)
    return state, None if keep is None else tuple(kept)


def run_until(
    key: Array,
    state: State,
    kernel: Kernel,
    done: Callable[[State], Array],
    max_steps: int,
    resampler: Resampler | None = None,
    u: PyTree = None,
) -> State:
    """Steps of one kernel, all with the input u, until done(state) or for `max_steps`.

    For kernels whose `plan` finds the way, as in adaptive tempering; `State.unfinished` says that `max_steps` were too
    few, `State.shared` how far it got. Under `jax.vmap` each run ends on its own. Has no derivative in reverse mode.
    """
    resampler = resampler if resampler is None else callable_tree(resampler)
    return _until(key, state, kernel, callable_tree(done), max_steps, resampler, u)


@jax.jit
def _until(key, state, kernel, done, max_steps, resampler, u):
    last = state.t + max_steps

    def going(s: State) -> Array:
        return ~jnp.asarray(done(s))

    state = jax.lax.while_loop(lambda s: (s.t < last) & going(s), lambda s: step(key, s, kernel, u, resampler), state)
    return replace(state, unfinished=going(state))


@partial(jax.jit, static_argnames=("keep", "ancestor"))
def _stage(key, state, kernel, inputs, resampler, slots, ref, keep, ancestor):
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(inputs)}
    if len(lengths) != 1 or () in lengths:
        raise UsageError(
            f"inputs of {type(kernel).__name__} have leading sizes {sorted(lengths)}; every leaf must have "
            f"the number of steps first (a kernel without inputs gets jnp.arange(steps))"
        )

    def body(state, x):
        state = step(key, state, kernel, x[0], resampler, slots, x[1], ancestor)
        return state, None if keep is None else keep(state)

    if lengths == {(1,)}:  # one step needs no loop, and may change the particle type
        state, kept = body(state, jax.tree.map(lambda a: a[0], (inputs, ref)))
        return state, jax.tree.map(lambda a: a[None], kept)
    return jax.lax.scan(body, state, (inputs, ref))


def draw(key: Array, model: Model, n: int, cond: PyTree = None, slots: Array | None = None) -> PyTree:
    """Plain sampling of a batch: the particles of a model after all its stages, leaves (n, ...); one program.

    Args:
        key: the key of the run.
        model: the model.
        n: number of particles.
        cond: what the model's kernels are conditioned on, checked for its batch: leaves (n, ...).
        slots: (n,) or (n, k) int, places of these particles in a larger whole; a draw in chunks equals one draw.
    """
    for leaf in jax.tree.leaves(cond):
        if leaf.shape[:1] != (n,):
            raise UsageError(f"cond has a leaf of shape {leaf.shape}; its first axis must be the batch of {n}")
    return _draw(key, replace(model, init=callable_tree(model.init)), _slots(slots, n))


@jax.jit
def _draw(key, model, slots):
    slots = split(slots)
    state, _ = run(key, start(key, model, slots.shape[0], slots), model.stages, slots=slots)
    return state.p


def _weigh(state: State, log_g: Array, who: str) -> State:
    n = state.log_w.shape[0]
    if jnp.shape(log_g) != (n,):
        raise UsageError(f"{who} returned weights of shape {jnp.shape(log_g)}; expected ({n},), one a particle")
    wrong = ~(log_g < jnp.inf)  # NaN too
    log_w, total = reweigh(state.log_w, jnp.where(wrong, -jnp.inf, log_g))
    return replace(
        state,
        log_w=log_w,
        log_z=state.log_z + total,
        collapsed=state.collapsed | (total == -jnp.inf),
        undefined=state.undefined + (wrong & (state.log_w > -jnp.inf)).sum(dtype=jnp.int32),
    )


def _pin(p: PyTree, ref: PyTree) -> PyTree:
    return jax.tree.map(lambda a, r: jnp.asarray(a).at[0].set(r), p, ref)


def log_joint(kernel: Kernel, p: PyTree, p1: PyTree, u: PyTree) -> Array:
    """log M(p_i, p1) G(p_i, p1), (n,), of particles (n, ...) and one state p1 where they might have gone."""
    n = len(jax.tree.leaves(p)[0])
    p1 = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *jnp.shape(a))), p1)
    log_m = kernel.log_prob(p, p1, u)  # type: ignore[misc]
    return log_m if kernel.log_g is None else log_m + kernel.log_g(p, p1, u)


def _spread(state: State, n: int, name: str) -> State:
    m = state.log_w.shape[0]
    if n % m:
        raise UsageError(f"{n} particles cannot come from {m} resampled ones in {name}; {m} must divide {n}")
    eve, ancestors, log_w = (jnp.repeat(a, n // m) for a in (state.eve, state.ancestors, state.log_w))
    return replace(state, eve=eve, ancestors=ancestors, log_w=log_w - jnp.log(n // m).astype(log_w.dtype))


def _slots(slots: Array | None, n: int) -> Array:
    if slots is None:
        return jnp.arange(n, dtype=jnp.int32)
    if jnp.shape(slots)[:1] != (n,) or jnp.ndim(slots) > 2:
        raise UsageError(f"slots have shape {jnp.shape(slots)}; expected ({n},) or ({n}, k), one place a particle")
    return jnp.asarray(slots, jnp.int32)
