"""The types of a Feynman-Kac model: a Markov chain of kernels M_t with potentials G_t.

Vocabulary: Chopin and Papaspiliopoulos, An Introduction to Sequential Monte Carlo (2020), chapter 5.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


class Kernel:
    """One step of a chain; subclasses are frozen dataclasses, pytrees by `genkit.tree.register_dataclass`.

    Parameters, observations and strengths are leaves, so that new values do not compile again:

        @register_dataclass
        @dataclass(frozen=True)
        class Walk(Kernel):
            scale: jax.Array
            def move(self, keys, p, u):
                return p + self.scale * jax.vmap(jax.random.normal)(keys)

    `p` is the particle pytree, leaves (n, ...); `u` one slice of the inputs of the stage; `keys` (n,), one
    per particle. Only `move` is required; a method that is None is left out of the compiled program.
    A kernel that needs a network calls it in `move`, at the state in which it arrives, and lets the particle
    carry the answer: potentials and resampling then cost no further call.
    Draws from `genkit.threefry.written_out(keys)` are the same numbers as those from `keys`, sooner on the CPU.
    """

    # log G_t(p, p1, u) -> (n,), from what the particles carry
    log_g: ClassVar[Callable[..., Array] | None] = None
    # log M_t(p, p1, u) -> (n,), density of the move
    log_prob: ClassVar[Callable[..., Array] | None] = None
    # look(keys, p, u) -> (p, log_e (n,)), a weight known before the move
    look: ClassVar[Callable[..., tuple[PyTree, Array]] | None] = None
    # where(p, u) -> (x, t, cond): the state and time at which p arrived, as a network is told them
    where: ClassVar[Callable[..., tuple[PyTree, Array, PyTree]] | None] = None
    # plan(key, state, u) -> (u, shared), sees the whole population
    plan: ClassVar[Callable[..., tuple[PyTree, PyTree]] | None] = None

    def move(self, keys: Array, p: PyTree, u: PyTree) -> PyTree:
        """Draw from M_t(p, .); may return r n states for n particles, those of one particle side by side."""
        raise NotImplementedError(f"{type(self).__name__} has no move")


@register_dataclass
@dataclass(frozen=True)
class State:
    """A weighted population after t steps; all of it is needed, and enough, to go on."""

    p: PyTree
    """Particles, leaves (n, ...)."""
    log_w: Array
    """(n,) log-weights, normalised: logsumexp is 0."""
    log_z: Array
    """() log of the estimated normalising constant. exp(log_z) is unbiased where moves and potentials are chosen before
    the run; what `plan` adapts to the population, as exponents and step sizes, biases it by a term of order 1/n."""
    eve: Array
    """(n,) int, slot of the first ancestor."""
    ancestors: Array
    """(n,) int, place of the parent in the population before the last step."""
    t: Array
    """() int32, steps done."""
    shared: PyTree
    """What `plan` keeps for the whole population: temperature, step size."""
    resampled: Array
    """() bool, whether the last step resampled."""
    collapsed: Array
    """() bool, whether all weights were zero at some step; log_z is then -inf, the weights uniform."""
    undefined: Array
    """() int32, how many particles with a weight met a potential of NaN or +inf; it counted as zero."""
    unfinished: Array
    """() bool, whether `run_until` gave up at `max_steps`; log_z is then that of another target."""

    def mean(self, f: Callable[[PyTree], PyTree] = lambda p: p) -> PyTree:
        """Weighted means of f(particles), leaves (n, ...); those without a weight do not count, whatever f is there."""
        w = jnp.exp(self.log_w)

        def one(a: Array) -> Array:
            a = jnp.asarray(a)
            return jnp.tensordot(w, jnp.where(w.reshape(-1, *(1,) * (a.ndim - 1)) > 0, a, 0), 1)

        return jax.tree.map(one, f(self.p))

    def troubles(self) -> tuple[str, ...]:
        """What went wrong, a sentence each; of many runs (leading axes), in how many. Nothing of traced values."""
        flags = self.undefined, self.unfinished, self.collapsed
        if any(not isinstance(a, (jax.Array, np.ndarray)) or isinstance(a, Tracer) for a in flags):
            return ()
        undefined, unfinished, collapsed = map(np.asarray, flags)
        found = (
            (
                undefined > 0,
                f"{undefined.sum()} particles met a potential of NaN or +inf, which counts as zero; check where the "
                "target is defined",
            ),
            (unfinished, "it stopped at max_steps before its end, so log_z is not that of the target; raise max_steps"),
            (collapsed, "all weights were zero at some step, so log_z is -inf; take more particles or smaller steps"),
        )
        return tuple(
            said + (f" (in {flag.sum()} of {flag.size} runs)" if flag.ndim else "")
            for flag, said in found
            if flag.any()
        )

    def warned(self, who: str) -> "State":
        """The state itself, after a RuntimeWarning for each of its `troubles`, in the name of `who`."""
        for trouble in self.troubles():
            warnings.warn(f"{who}: {trouble}", RuntimeWarning, stacklevel=3)
        return self

    def __repr__(self) -> str:
        """One line."""
        about = f"{self.log_w.shape[-1]} particles after {self.t} steps, log_z {self.log_z}"
        return f"State({'; '.join((about, *self.troubles()))})"


class Resampler(Protocol):
    """Decides whether and how to resample.

    Called as (key, log_w before the look, log_w after it), both (n,) and normalised; returns idx (m,) int,
    normalised log_w (m,) and did (): where it decides against, the places 0..n-1 and unchanged weights.
    With m < n the kernel's move must return n / m states for each particle (waste-free SMC).
    """

    def __call__(self, key: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
        """Return (idx, log_w, did)."""
        ...


def callable_tree(f: Callable) -> Callable:
    """`f` itself if it is a pytree of leaves, else `f` as a pytree without leaves (a plain function)."""
    return jax.tree_util.Partial(f) if jax.tree_util.all_leaves([f]) else f


@register_dataclass
@dataclass(frozen=True)
class Model:
    """A Feynman-Kac model: how particles begin, and the stages they pass.

    `init(keys (n,)) -> (p, log_g (n,) or None)`. `stages` = ((kernel, inputs), ...) with leaves of inputs
    (T, ...), one `lax.scan` a stage; the particle type may change in a stage of one step. `shared` is the
    first value of `State.shared`.
    """

    init: Callable[[Array], tuple[PyTree, Array | None]]
    stages: tuple[tuple[Kernel, PyTree], ...]
    shared: PyTree = field(default=None)
