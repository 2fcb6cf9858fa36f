"""SMC^2: parameters by IBIS, whose likelihoods are estimated by a particle filter each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, Resampler, State, callable_tree, run, start, step
from genkit.errors import UsageError
from genkit.smc.moves import RandomWalk, frame
from genkit.smc.resampling import Resample
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Filtered:
    """Parameters and their filters."""

    theta: Array
    """(n, d)"""
    inner: State
    """Leaves (n, ...); its log_z estimates log p(y_0..y_t | theta)"""
    accept: Array
    """(n,) acceptance rate of the last moves"""


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Draws from the prior, with the likelihood of the first datum."""

    draw: Any
    model: Any
    particles: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Filtered, Array]:
        """Particles and their weights."""
        keys = jax.vmap(jax.random.split)(keys)
        theta = jax.vmap(self.draw)(keys[:, 0])
        if theta.ndim != 2:
            raise UsageError(f"draw gives parameters of shape {theta.shape[1:]}; expected (d,), ravel them")
        inner = jax.vmap(lambda k, th: start(k, self.model(th), self.particles))(keys[:, 1], theta)
        return Filtered(theta, inner, jnp.zeros(len(theta))), inner.log_z


@register_dataclass
@dataclass(frozen=True)
class Datum(Kernel):
    """One more datum for all filters; where that makes the resampler act, particle Metropolis-Hastings moves.

    The input is the number of the step of the filters.
    """

    log_prior: Any
    model: Any
    resample: Resample
    filter_by: Any
    particles: int = field(metadata={"static": True})
    steps: int = field(metadata={"static": True})

    def plan(self, key: Array, state: State, u: Array) -> tuple[Any, Any]:
        """The filters go on; the weights after that decide on the moves as they will on resampling."""
        inner = jax.vmap(lambda k, th, s: self._one(k, self.model(th), s, u))(
            jax.random.split(key, len(state.log_w)), state.p.theta, state.p.inner
        )
        log_e = inner.log_z - state.p.inner.log_z
        log_e = jnp.where(jnp.isnan(log_e), -jnp.inf, log_e)  # both are -inf
        log_w = state.log_w + log_e
        root = frame(state.p.theta, log_w, jnp.ones(()), RandomWalk()).root
        return (u, inner, log_e, self.resample.due(log_w), root), state.shared

    def look(self, keys: Array, p: Filtered, u: Any) -> tuple[Filtered, Array]:
        """Estimated likelihood of the datum."""
        return Filtered(p.theta, u[1], p.accept), u[2]

    def move(self, keys: Array, p: Filtered, u: Any) -> Filtered:
        """Moves on the posterior of the data so far; none where nothing was resampled."""
        last, _, _, due, root = u
        return jax.lax.cond(
            due, lambda p: jax.vmap(lambda k, p: self._chain(k, p, last, root))(keys, p), lambda p: p, p
        )

    def _one(self, key: Array, model: Model, inner: State, t: Array) -> State:
        """Step t of a filter."""
        kernel, inputs = model.stages[0]
        return step(key, inner, kernel, jax.tree.map(lambda a: jnp.asarray(a)[t], inputs), self.filter_by)

    def _chain(self, key: Array, p: Filtered, last: Array, root: Array) -> Filtered:
        """`steps` Metropolis-Hastings moves of one parameter, each with a new filter of all data so far."""
        d = p.theta.shape[0]

        def one(now: Filtered, key: Array) -> tuple[Filtered, Array]:
            k0, k1, k2 = jax.random.split(key, 3)
            theta = now.theta + 2.38 / d**0.5 * (root @ jax.random.normal(k0, (d,), now.theta.dtype))
            model = self.model(theta)
            begin = start(k1, model, self.particles)
            inner = jax.lax.fori_loop(0, last + 1, lambda t, s: self._one(k1, model, s, t), begin)
            ratio = inner.log_z + self.log_prior(theta) - now.inner.log_z - self.log_prior(now.theta)
            accept = jnp.log(jax.random.uniform(k2)) < ratio  # NaN rejects
            new = Filtered(theta, inner, now.accept)
            return jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, now), accept

        end, accepted = jax.lax.scan(one, p, jax.random.split(key, self.steps))
        return Filtered(end.theta, end.inner, accepted.mean(dtype=end.accept.dtype))


@dataclass(frozen=True)
class SMC2:
    """Posterior of the parameters of a state-space model, datum by datum: Chopin, Jacob, Papaspiliopoulos 2013.

    Exact as the number of parameters grows, for any number of particles in the filters; that number stays as it is
    here, so choose it such that log_z of a filter has a standard deviation of about 1 at the end of the data.
    """

    particles: int = 100
    """Of each filter."""
    steps: int = 3
    """Metropolis-Hastings moves after each resampling, with normal proposals of the population's covariance."""
    resample: Resample = Resample()
    """Of the parameters."""
    filter_by: Resampler = Resample()
    """Of the filters."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.particles < 1 or self.steps < 1:
            raise UsageError(f"particles={self.particles} and steps={self.steps} must be at least 1")

    def run(
        self,
        key: Array,
        n: int,
        draw: Callable[[Array], Array],
        log_prior: Callable[[Array], Array],
        model: Callable[[Array], Model],
    ) -> tuple[State, Array]:
        """The posterior of all data as a weighted population of `Filtered`, and log p(y_0..y_t), (T,).

        Outside jit what went wrong is warned of (`State.troubles`), `undefined` with that of the last filters.

        Args:
            key: the key of the run.
            n: number of parameters.
            draw: key -> theta (d,), from the prior.
            log_prior: (d,) -> (), its density.
            model: theta -> the model, whose log_z is log p(y | theta), with one stage of a step a datum; the first
                datum is the potential of its beginning.
        """
        model = callable_tree(model)
        begin = start(key, Model(Begin(callable_tree(draw), model, self.particles), ()), n)
        stages = jax.eval_shape(model, jax.eval_shape(draw, key)).stages
        if len(stages) != 1:
            raise UsageError(f"the model has {len(stages)} stages; SMC^2 takes one")
        count = jax.tree.leaves(stages[0][1])[0].shape[0]
        kernel = Datum(callable_tree(log_prior), model, self.resample, self.filter_by, self.particles, self.steps)
        state, kept = run(key, begin, ((kernel, jnp.arange(count)),), self.resample, _log_z)
        assert kept is not None
        inside = state.p.inner.undefined.sum(dtype=state.undefined.dtype)
        state = replace(state, undefined=state.undefined + inside).warned("SMC2")
        return state, jnp.concatenate([begin.log_z[None], kept[0]])


def _log_z(state: State) -> Array:
    return state.log_z
