"""Given sites: a chain whose known part follows the process, and the weights that make this exact."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model
from genkit.discrete.ancestral import Ancestral
from genkit.discrete.factorised import Begin, Denoiser, Interval, Particle, PyTree, Step
from genkit.discrete.process import Process
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class Inpaint:
    """The ancestral sampler with some sites of x_0 given.

    Known sites are drawn from the process given their end, x_s ~ q(x_s | x_t, x_0), all others as the denoiser says.
    That replaces the known part only (Lugmayr et al. 2022, arXiv 2201.09865), and what the other sites have become is
    never held against it. With `weigh`, every step is weighted by p(x_s | x_t) / q(x_s | x_t, x_0) of the known sites
    (Trippe et al. 2023, SMCDiff, arXiv 2206.04119): under resampling the law of the rest given the known sites is
    exact, and exp(log_z) is an unbiased estimate of the chain's probability of them. Run it by `genkit.chain.run` with
    a resampler.

    Args:
        sampler: an `Ancestral`.
        known: values of x_0, int, broadcast with x (by part).
        fixed: bool, broadcast with x (by part): the sites that are given.
        weigh: whether the steps have weights.
    """

    sampler: Ancestral
    known: PyTree
    fixed: PyTree
    weigh: bool = False

    def model(self, denoiser: Denoiser, shape: PyTree, cond: Any = None, mask: PyTree = None) -> Model:
        """The chain; see `Factorised.model`."""
        chain = self.sampler.model(denoiser, shape, cond, mask)
        begin: Any = chain.init

        def whole(a: Any, law: Array) -> Array:
            return jnp.broadcast_to(jnp.asarray(a), law.shape[:-1])

        laws = jax.eval_shape(begin.log_prior)
        known = jax.tree.map(whole, self.known, laws)
        fixed = jax.tree.map(whole, self.fixed, laws)
        stages = tuple((Held(kernel, known, fixed, self.weigh), u) for kernel, u in chain.stages)  # type: ignore[arg-type]
        return replace(chain, init=HeldBegin(begin, known, fixed, self.weigh), stages=stages)


@register_dataclass
@dataclass(frozen=True)
class HeldBegin:
    """A draw from the prior, and of the known sites from the noise at the first time."""

    begin: Begin
    known: PyTree
    fixed: PyTree
    weigh: bool = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Particle, Array | None]:
        """Particles (n, ...) and their weights."""
        setting, prior = self.begin.setting, self.begin.log_prior()

        def law(process, level, known, fixed, prior):
            return jnp.where(fixed[..., None], process.row(level, known), prior)

        log_k = jax.tree.map(law, setting.process, self.begin.bar, self.known, self.fixed, prior, is_leaf=_is_process)
        x = setting.draw(keys, log_k)
        p = self.begin.arrive(x)
        return p, setting.log_prob(prior, p.x) - setting.log_prob(log_k, p.x) if self.weigh else None


@register_dataclass
@dataclass(frozen=True)
class Held(Kernel):
    """A step of an ancestral chain, whose known sites follow the process."""

    kernel: Step
    known: PyTree
    fixed: PyTree
    weigh: bool = field(metadata={"static": True})

    def move(self, keys: Array, p: Particle, u: Interval) -> Particle:
        """Draw the next state and call the denoiser there."""
        return self.kernel.arrive(p, self.kernel.setting.draw(keys, self._law(p, u)), u)

    def log_prob(self, p: Particle, p1: Particle, u: Interval) -> Array:
        """log-density of the move, (n,)."""
        return self.kernel.setting.log_prob(self._law(p, u), p1.x)

    def where(self, p: Particle, u: Interval) -> tuple[PyTree, Array, Any]:  # type: ignore[override]
        """That of the kernel."""
        return self.kernel.where(p, u)

    @property
    def log_g(self):  # type: ignore[override]
        """log p(x_s | x_t) - log q(x_s | x_t, x_0) of the known sites."""
        if not self.weigh:
            return None
        return lambda p, p1, u: self.kernel.log_prob(p, p1, u) - self.log_prob(p, p1, u)

    def _law(self, p: Particle, u: Interval) -> PyTree:
        def law(process, step, earlier, x, known, fixed, log_k):
            return jnp.where(fixed[..., None], process.posterior(step, earlier, x, known), log_k)

        parts = (u.over, u.earlier, p.x, self.known, self.fixed, self.kernel.log_kernel(p, u))
        return jax.tree.map(law, self.kernel.setting.process, *parts, is_leaf=_is_process)


def _is_process(a: Any) -> bool:
    return isinstance(a, Process)
