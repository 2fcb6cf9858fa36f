"""Chains that move all sites at once, each by its own law: what their samplers share.

x is an int array (n, ...) or a pytree of such parts, each with a process of its own: atoms and bonds, rows of two
kinds. The particle carries what the denoiser said at the state and time where it arrived.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.discrete.process import Process, one_of
from genkit.discrete.product import Product, combine, each, lead
from genkit.discrete.random import categorical
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


class Denoiser(Protocol):
    """Logits of x_0 given x_t: x (n, ...) int32, t () or (n,) float, cond a pytree of leaves (n, ...) or None.

    Parameters are leaves, so a trained network and a closed form are one type and new parameters do not compile
    again. A plain function is accepted too; it must be the same object from call to call.
    """

    def __call__(self, x: PyTree, t: Array, cond: Any = None) -> PyTree | Product:
        """Return logits (n, ..., K), for a pytree x one array a part; or a `Product` of such answers."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state and what the denoiser said there; leaves (n, ...)."""

    x: PyTree
    """int32; by part if the process has parts."""
    logits: PyTree | Product
    """log p(x_0 | x_t), (n, ..., S), normalised; by part, and by expert if guided."""


@register_dataclass
@dataclass(frozen=True)
class Interval:
    """From time t to an earlier one; leaves (N, ...) for a stage of N steps."""

    t: Array
    """Time of arrival."""
    bar: PyTree
    """Level of Qbar at the departure."""
    earlier: PyTree
    """Level of Qbar at the arrival."""
    over: PyTree
    """What the sampler's law needs beside: the level of the matrix between them, or the length of the step."""


@register_dataclass
@dataclass(frozen=True)
class Setting:
    """What all kernels of a chain share."""

    denoiser: Denoiser
    cond: Any
    process: PyTree
    """A `Process`, or one a part."""
    mask: PyTree
    """Bool by part, broadcasts with x: which sites are real."""

    def arrive(self, x: PyTree, t: Array, bar: PyTree) -> Particle:
        """Call the denoiser. Sites that are not real get x = 0 and logits 0."""
        x = self.real(x)

        def one(x, process, bar, mask, raw):
            return jnp.where(mask[..., None], process.denoised(raw, x, bar), 0.0)

        answer = self.denoiser(x, t, self.cond)
        return Particle(x, each(answer, lambda raw: jax.tree.map(one, x, self.process, bar, self.mask, raw)))

    def real(self, x: PyTree) -> PyTree:
        """x with 0 at the sites that are not real."""
        return jax.tree.map(lambda x, mask: jnp.where(mask, x, 0), x, self.mask)

    def log_prob(self, log_k: PyTree, x: PyTree) -> Array:
        """Sum over real sites of log_k (n, ..., S) at x, (n,)."""
        at = jax.tree.map(lambda x, k: jnp.take_along_axis(k, x[..., None], -1)[..., 0], x, log_k)
        return jnp.stack([a.reshape(a.shape[0], -1).sum(1) for a in jax.tree.leaves(self.real(at))]).sum(0)

    def draw(self, keys: Array, log_k: PyTree) -> PyTree:
        """Draw each site from its law; (n, ...) int32."""
        leaves, tree = jax.tree.flatten(log_k)
        fold = jax.vmap(jax.random.fold_in, (0, None))
        return tree.unflatten([categorical(fold(keys, i), leaf) for i, leaf in enumerate(leaves)])


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """A draw from the prior, with the first network call."""

    setting: Setting
    t: Array
    bar: PyTree
    shapes: tuple[tuple[int, ...], ...] = field(metadata={"static": True})
    """(n, ...) of each part."""
    tree: Any = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles (n, ...), no potential."""
        return self.arrive(self.setting.draw(keys, self.log_prior())), None

    def arrive(self, x: PyTree) -> Particle:
        """The particle of a state at the first time."""
        return self.setting.arrive(x, jnp.asarray(self.t, float), self.bar)

    def log_prob(self, p: Particle) -> Array:
        """log-density of the draw, (n,)."""
        return self.setting.log_prob(self.log_prior(), p.x)

    def log_prior(self) -> PyTree:
        """Law of every site, leaves (n, ..., S)."""
        laws = zip(self.shapes, _parts(self.setting.process), strict=True)
        return self.tree.unflatten([jnp.broadcast_to(p.log_prior, (*shape, p.states)) for shape, p in laws])


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """Base of the kernels: a subclass gives `rule`, and `normalise` if that is not a log-law already."""

    setting: Setting

    def rule(self, process: Process, x: Array, logits: Array, u: Interval) -> Array:
        """Log-law or log-rates of one part's sites, (n, ..., S), by one expert."""
        raise NotImplementedError

    def normalise(self, log_k: Array, alone: Array, x: Array) -> Array:
        """The log-law of the sites, (n, ..., S), from the product of experts and from the first one alone."""
        # Guidance that forbids everything is not followed.
        return jax.nn.log_softmax(jnp.where((log_k == -jnp.inf).all(-1, keepdims=True), alone, log_k))

    def log_kernel(self, p: Particle, u: Interval) -> PyTree:
        """The law of the next state, for every site: normalised, leaves (n, ..., S)."""

        def rule(x, process, bar, earlier, over, logits):
            return self.rule(process, x, logits, Interval(u.t, bar, earlier, over))

        parts = (p.x, self.setting.process, u.bar, u.earlier, u.over)
        rules = each(p.logits, lambda logits: jax.tree.map(rule, *parts, logits))
        return jax.tree.map(lambda x, k, alone: self.normalise(k, alone, x), p.x, combine(rules), lead(rules))

    def move(self, keys: Array, p: Particle, u: Interval) -> Particle:
        """Draw the next state and call the denoiser there."""
        return self.arrive(p, self.setting.draw(keys, self.log_kernel(p, u)), u)

    def log_prob(self, p: Particle, p1: Particle, u: Interval) -> Array:
        """log-density of the move, (n,)."""
        return self.setting.log_prob(self.log_kernel(p, u), p1.x)

    def arrive(self, p: Particle, x: PyTree, u: Interval) -> Particle:
        """The particle of the state x, come from p."""
        return self.setting.arrive(x, u.t, u.earlier)

    def where(self, p: Particle, u: Interval) -> tuple[PyTree, Array, Any]:  # type: ignore[override]
        """x, the time of arrival, and the condition."""
        return p.x, u.t, self.setting.cond


@register_dataclass
@dataclass(frozen=True)
class Posterior(Step):
    """The posterior of the process, averaged over p(x_0 | x_t): D3PM eq. 4. The level between is `over`."""

    def rule(self, process: Process, x: Array, logits: Array, u: Interval) -> Array:
        """log p(x_s | x_t)."""
        return process.reverse(u.over, u.earlier, u.bar, x, logits)


@register_dataclass
@dataclass(frozen=True)
class Finish(Posterior):
    """The last step, to data: no network call."""

    argmax: bool = field(metadata={"static": True})

    def normalise(self, log_k: Array, alone: Array, x: Array) -> Array:
        """All the mass on the most likely class, if so asked."""
        log_k = super().normalise(log_k, alone, x)
        if not self.argmax:
            return log_k
        return jnp.where(one_of(jnp.argmax(log_k, -1), log_k.shape[-1]), 0.0, -jnp.inf).astype(log_k.dtype)

    def arrive(self, p: Particle, x: PyTree, u: Interval) -> Particle:
        """The state with what the denoiser said before."""
        return Particle(self.setting.real(x), p.logits)


@dataclass(frozen=True)
class Factorised:
    """Base of the samplers here; a subclass gives `kernel` and `over`.

    Args:
        process: a `Process`, or a pytree of them, one for each part of x.
        steps: steps and network calls; None is all of a chain in discrete time.
        argmax: end in the most likely class of each site in place of a draw.
    """

    process: PyTree
    steps: int | None = None
    argmax: bool = False

    def kernel(self, setting: Setting) -> Step:
        """The kernel of all steps but the last."""
        raise NotImplementedError

    def over(self, process: Process, times: np.ndarray, between: PyTree) -> PyTree:
        """`Interval.over` of the steps, leaves (N, ...), float64 on the host."""
        raise NotImplementedError

    def model(self, denoiser: Denoiser, shape: PyTree, cond: Any = None, mask: PyTree = None) -> Model:
        """The chain from noise to samples, for `genkit.chain.run`.

        Args:
            denoiser: see `Denoiser`.
            shape: (n, ...) of x, or a pytree of such shapes.
            cond: leaves (n, ...), or None.
            mask: bool, broadcasts with x (by part): the sites that are real.
        """
        shapes, tree = jax.tree.flatten(shape, is_leaf=_is_shape)
        parts = _parts(self.process)
        if tree != jax.tree.structure(self.process, is_leaf=_is_process) or not all(map(_is_process, parts)):
            raise UsageError(f"shape {shape} does not go with the process; expected one Process for each (n, ...)")
        mask = tree.unflatten([np.array(True)] * len(parts)) if mask is None else mask
        if tree != jax.tree.structure(mask):
            raise UsageError(f"mask has not the parts of the shape {shape}; give one array a part, or None")
        times = parts[0].grid(self.steps)
        if not all(np.array_equal(p.grid(self.steps), times) for p in parts):
            raise UsageError(
                "the parts of the process have different times; give them schedules of one length and kind"
            )
        bars, between = zip(*(p.intervals(times) for p in parts), strict=True)
        over = [self.over(p, times, level) for p, level in zip(parts, between, strict=True)]

        def stage(steps: slice, over: Any) -> Interval:
            levels = jax.tree.map(lambda a: a[:-1], bars), jax.tree.map(lambda a: a[1:], bars), over
            return Interval(times[1:][steps], *(tree.unflatten(jax.tree.map(lambda a: a[steps], b)) for b in levels))

        setting = Setting(denoiser, cond, self.process, mask)
        first = tree.unflatten(jax.tree.map(lambda a: a[0], bars))
        begin = Begin(setting, times[0], first, tuple(shapes), tree)
        last = (Finish(setting, self.argmax), stage(slice(-1, None), between))
        moves = () if len(times) == 2 else ((self.kernel(setting), stage(slice(-1), over)),)
        return Model(begin, (*moves, last))


def _parts(process: PyTree) -> list[Any]:
    return jax.tree.leaves(process, is_leaf=_is_process)


def _is_process(a: Any) -> bool:
    return isinstance(a, Process)


def _is_shape(a: Any) -> bool:
    return isinstance(a, tuple) and all(isinstance(b, int) for b in a)
