"""Measurements of items: what was measured, and by what law of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import gammaln, xlogy

from genkit.errors import UsageError
from genkit.kinds import SIGNED
from genkit.steer.operators import LinearOperator, Operator
from genkit.tree import register_dataclass

Array = jax.Array


class Noise:
    """The law of a measurement y (m,) given A(x), (n, m); a subclass is a frozen dataclass, a registered pytree.

    `log_prob` is all that TDS and ESSFlow ask for; DPS, DAPS and REDDiff ask for what else is here.
    """

    def log_prob(self, y: Array, mean: Array) -> Array:
        """log p(y | A(x) = mean), (n,)."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def draw(self, key: Array, mean: Array) -> Array:
        """A measurement of A(x) = mean, of its shape."""
        raise UsageError(f"{type(self).__name__} does not draw measurements; give it a method draw(key, mean)")

    def check(self, y: np.ndarray) -> None:
        """Refuse values that the law cannot give."""

    def best(self, y: Array) -> Array:
        """The largest log-probability that any mean gives to y, ()."""
        raise UsageError(f"{type(self).__name__} does not say how far y is from a mean; give it a method best(y)")

    def variance(self, y: Array) -> Array:
        """About the variance of y, broadcasts with (m,): the scale of Langevin steps."""
        raise UsageError(f"{type(self).__name__} does not say how wide it is; give it a method variance(y)")

    def deviance(self, y: Array, mean: Array) -> Array:
        """Twice the log-probability that is lacking to `best`, (n,): |y - A(x)|^2 / std^2 for normal noise."""
        return 2 * (self.best(y) - self.log_prob(y, mean))

    def distance(self, y: Array, mean: Array) -> Array:
        """What DPS descends, (n,): the root of the deviance if not said otherwise."""
        return _root(self.deviance(y, mean))


@register_dataclass
@dataclass(frozen=True)
class Normal(Noise):
    """y = A(x) + std N(0, I).

    Methods that do not use the std (DPS, REDDiff) weigh numbers of different ones by `weights`.
    """

    std: float = 0.1
    """of the numbers, one for all or in Python one each; 0 for none"""

    @property
    def scale(self) -> Any:
        """(), the geometric mean of the std."""
        return jnp.exp(jnp.log(self.std).mean()) if jnp.ndim(self.std) else self.std

    @property
    def weights(self) -> Any:
        """std / scale, () or (m,)."""
        return self.std / self.scale if jnp.ndim(self.std) else 1.0

    def log_prob(self, y: Array, mean: Array) -> Array:
        """Sum over the numbers."""
        std = jnp.broadcast_to(jnp.asarray(self.std, mean.dtype), y.shape)
        return -0.5 * (((y - mean) / std) ** 2 + jnp.log(2 * jnp.pi * std**2)).sum(-1)

    def draw(self, key: Array, mean: Array) -> Array:
        """mean + std N(0, I)."""
        return mean + self.std * jax.random.normal(key, mean.shape, mean.dtype)

    def variance(self, y: Array) -> Array:
        """std^2."""
        return jnp.asarray(self.std) ** 2

    def distance(self, y: Array, mean: Array) -> Array:
        """|y - A(x)|, of numbers divided by their weights."""
        return _root((((y - mean) / self.weights) ** 2).sum(-1))


@register_dataclass
@dataclass(frozen=True)
class Poisson(Noise):
    """Counts y of rate gain (A(x) + offset), such as photons; none where that is negative.

    Images in [-1, 1] whose white gives n photons have gain n / 2 and offset 1. Below `floor` log(rate) goes on in its
    tangent: a network's black is a little above or below 0, where a count would else weigh without bound. With half a
    count no step of DAPS that is sized for the variance of one count goes beyond y: at rate r it is (y / r - 1) / 2.
    """

    gain: float = 1.0
    """counts for each unit of A(x)"""
    floor: float = 0.5
    """least rate whose log-likelihood is that of the law, at most 1; below it probabilities sum to more than 1, 1.2 at
    rate 0 with .5. TDS and ESSFlow also take .001, which the evidence of dark images needs."""
    offset: Annotated[float, SIGNED] = 0.0
    """added to A(x)"""

    def rate(self, mean: Array) -> Array:
        """gain (mean + offset)."""
        return jnp.asarray(self.gain, mean.dtype) * (mean + jnp.asarray(self.offset, mean.dtype))

    def value(self, y: Any) -> Any:
        """A(x) whose rate is y."""
        return y / jnp.asarray(self.gain) - jnp.asarray(self.offset)

    def log_prob(self, y: Array, mean: Array) -> Array:
        """Sum over the counts."""
        rate = self.rate(mean)
        safe = jnp.maximum(rate, self.floor)
        log_rate = jnp.log(safe) + (jnp.minimum(rate, self.floor) - self.floor) / self.floor
        return (y * log_rate - jnp.maximum(rate, 0.0) - gammaln(y + 1)).sum(-1)

    def draw(self, key: Array, mean: Array) -> Array:
        """Counts, none where the rate is negative."""
        return jax.random.poisson(key, jnp.maximum(self.rate(mean), 0.0)).astype(mean.dtype)

    def check(self, y: np.ndarray) -> None:
        """Whole numbers, not negative; of rates that can be above zero, and a floor that no count is below."""
        for name, (low, high) in {"gain": (0, np.inf), "floor": (0, 1), "offset": (-np.inf, np.inf)}.items():
            value = getattr(self, name)
            if not isinstance(value, Tracer) and not (np.isfinite(value) & (low < value) & (value <= high)).all():
                raise UsageError(
                    f"Poisson noise has {name}={value}; expected finite numbers, gain above 0, floor above 0 and at "
                    "most 1"
                )
        if (y < 0).any():
            raise UsageError(f"y has the count {y.min():g}; counts under Poisson noise are not negative")
        if (y != np.round(y)).any():
            raise UsageError(f"y has {y[y != np.round(y)][0]:g}; expected counts, whole numbers, under Poisson noise")

    def best(self, y: Array) -> Array:
        """At rate y."""
        return (xlogy(y, y) - y - gammaln(y + 1)).sum(-1)

    def variance(self, y: Array) -> Array:
        """Of A(x) as told by a count, at least that of one."""
        return jnp.maximum(y, 1.0) / jnp.asarray(self.gain) ** 2

    def distance(self, y: Array, mean: Array) -> Array:
        """Of normal noise of this variance, as in the paper of DPS: no count pulls more than in proportion to it."""
        return Normal(jnp.sqrt(self.variance(y))).distance(self.value(y), mean)  # type: ignore[arg-type]


@register_dataclass
@dataclass(frozen=True)
class Bernoulli(Noise):
    """Bits y of probability sigmoid(A(x))."""

    def log_prob(self, y: Array, mean: Array) -> Array:
        """Sum over the bits."""
        return -jax.nn.softplus(jnp.where(y > 0.5, -mean, mean)).sum(-1)

    def draw(self, key: Array, mean: Array) -> Array:
        """Bits."""
        return jax.random.bernoulli(key, jax.nn.sigmoid(mean)).astype(mean.dtype)

    def check(self, y: np.ndarray) -> None:
        """Bits."""
        if not np.isin(y, (0, 1)).all():
            raise UsageError("y has other values than 0 and 1; expected bits under Bernoulli noise")

    def best(self, y: Array) -> Array:
        """Certainty."""
        return jnp.zeros((), y.dtype)

    def variance(self, y: Array) -> Array:
        """Of a logit as told by an even bit."""
        return jnp.asarray(4.0)


class Linearised(NamedTuple):
    """A measurement near coordinates z (n, d), in its own coordinates (n, r)."""

    gap: Array
    """y - A(z)"""
    forth: Callable[[Array], Array]
    """J v, (n, r), of v (n, d)"""
    back: Callable[[Array], Array]
    """J^T w, (n, d), of w (n, r)"""


@register_dataclass
@dataclass(frozen=True)
class Observation:
    """A measurement y of law `noise` given A(x_0); made by `observe`.

    In the units of the data; numbers of a linear operator that have different std are divided, and its rows too, by
    their std over the geometric mean, which is then that of all.
    """

    operator: Any
    """An `Operator`."""
    y: Any
    """(m,)"""
    noise: Any
    """A `Noise`; of a linear operator with normal noise one std ()."""
    log_scale: Any = 0.0
    """log-density of the numbers that were given over that of y: of those divided by their std"""

    @property
    def std(self) -> Any:
        """Standard deviation () of normal noise: the geometric mean, where numbers have different ones."""
        return self.noise.scale

    @property
    def diagonal(self) -> bool:
        """Whether the likelihood is diagonal in the operator's basis: normal noise of a linear operator."""
        return isinstance(self.operator, LinearOperator) and isinstance(self.noise, Normal)

    @property
    def coordinates(self) -> Array:
        """U^T y, (r,)."""
        return self.operator.from_data(jnp.asarray(self.y)[None])[0]

    @property
    def outside2(self) -> Array:
        """|y - U U^T y|^2, (): what no x explains, 0 where the rank is m."""
        y = jnp.asarray(self.y)
        if self.operator.size == self.operator.rank:
            return jnp.zeros((), y.dtype)
        return ((y - self.operator.to_data(self.coordinates[None])[0]) ** 2).sum()

    def log_prob(self, z: Array, spread2: Any = None) -> Array:
        """log p(y | x), (n,), of x given by coordinates z (n, d).

        `spread2` is a variance of x beside z, for which the likelihood must be `diagonal`: then it is
        log N(y; A x, std^2 I + spread2 A A^T). Where r < m, what y has outside of the range of A counts as noise.
        """
        if not self.diagonal:
            return self.noise.log_prob(jnp.asarray(self.y, z.dtype), self._mean(z))
        s, c = jnp.asarray(self.operator.s, z.dtype), self.coordinates.astype(z.dtype)
        noise2 = jnp.asarray(self.std, z.dtype) ** 2
        variance = noise2 + (0.0 if spread2 is None else spread2) * s**2
        log_p = -0.5 * ((c - s * z[:, : s.size]) ** 2 / variance + jnp.log(2 * jnp.pi * variance)).sum(1)
        outside = self.operator.size - s.size
        rest = self.outside2.astype(z.dtype) / noise2 + outside * jnp.log(2 * jnp.pi * noise2) if outside else 0.0
        return log_p - 0.5 * rest + self.log_scale

    def condition(self, x0: Array, rho2: Any) -> tuple[Array, Array]:
        """N(x0, rho2 I) of coordinates given a `diagonal` y: its share of the variance (d,), and the mean (n, d)."""
        s, c = (jnp.asarray(a, x0.dtype) for a in (self.operator.s, self.coordinates))
        total = s**2 * rho2 + jnp.asarray(self.std, x0.dtype) ** 2
        unseen = (0, x0.shape[1] - s.size)
        shift = rho2 * s / total * (c - s * x0[:, : s.size])
        return jnp.pad(rho2 * s**2 / total, unseen), x0 + jnp.pad(shift, ((0, 0), unseen))

    def distance(self, z: Array) -> Array:
        """|y - A x|, (n,), or what stands for it under another noise (`Noise.distance`)."""
        if not self.diagonal:
            return self.noise.distance(jnp.asarray(self.y, z.dtype), self._mean(z))
        s, c = jnp.asarray(self.operator.s, z.dtype), self.coordinates.astype(z.dtype)
        return _root(((c - s * z[:, : s.size]) ** 2).sum(1) + self.outside2.astype(z.dtype))

    def chi2(self, x: Array) -> Array:
        """|(y - A x) / std|^2 of items x (n, *shape), (n,), or the deviance under another noise.

        For the truth about m under normal noise, and of `Poisson` where counts are large; else another number.
        Raises `UsageError` for a measurement without noise, or whose law does not tell it.
        """
        z = self.operator.to_basis(x)
        if not isinstance(self.noise, Normal):
            return self.noise.deviance(jnp.asarray(self.y, z.dtype), self._mean(z))
        if not np.all(np.asarray(self.std) > 0):
            raise UsageError("a measurement without noise has no chi^2")
        return (self.distance(z) / self.std) ** 2

    def linearised(self, z: Array) -> Linearised:
        """y - A(x) and the products with A's derivative at x; numbers over their weights, so that all have one std."""
        if self.diagonal:
            s, c = jnp.asarray(self.operator.s, z.dtype), self.coordinates.astype(z.dtype)
            unseen = ((0, 0), (0, z.shape[1] - s.size))
            return Linearised(c - s * z[:, : s.size], lambda v: s * v[:, : s.size], lambda w: jnp.pad(s * w, unseen))
        mean, back = jax.vjp(self._mean, z)
        over = jnp.asarray(self.noise.weights if isinstance(self.noise, Normal) else 1.0, z.dtype)
        gap = (jnp.asarray(self.y, z.dtype) - mean) / over
        return Linearised(gap, lambda v: jax.jvp(self._mean, (z,), (v,))[1] / over, lambda w: back(w / over)[0])

    def _mean(self, z: Array) -> Array:
        return self.operator(self.operator.from_basis(z))


def observe(operator: Operator, y: Any, noise: Any) -> Observation:
    """An observation, checked.

    Args:
        operator: A, such as `dense(matrix)`, or any `function`.
        y: (m,) real; or complex, of which the real and then the imaginary parts are the m numbers.
        noise: standard deviation of normal noise in each real number, () or (m,), or 0 for none, which not all methods
            take; or another law, such as `Poisson()`.
    """
    y = y if isinstance(y, jax.Array) else np.asarray(y)
    if jnp.iscomplexobj(y):
        y = jnp.concatenate([y.real, y.imag])
    if y.shape != (operator.size,):
        raise UsageError(f"y has shape {y.shape}; expected ({operator.size},), the numbers that the operator measures")
    if not isinstance(y, Tracer) and not np.isfinite(np.asarray(y)).all():
        raise UsageError("y has NaN or infinite numbers; leave them out of the measurement, by a mask")
    if isinstance(noise, Noise) and not isinstance(noise, Normal):
        if not isinstance(y, Tracer):
            noise.check(np.asarray(y))
        return Observation(operator, y, noise)
    std = noise.std if isinstance(noise, Normal) else noise
    std: Any = std if isinstance(std, jax.Array) else np.asarray(std, float)
    if jnp.shape(std) not in ((), y.shape):
        raise UsageError(
            f"std of the noise has shape {jnp.shape(std)}; expected one number, or one for each of y {y.shape}"
        )
    if not isinstance(std, Tracer) and not np.all((np.asarray(std) >= 0) & np.isfinite(std)):
        raise UsageError(f"std={std} of the noise must be positive, or 0 for a measurement without noise")
    if not jnp.ndim(std):
        return Observation(operator, y, Normal(std))  # type: ignore[arg-type]
    if isinstance(std, Tracer):
        raise UsageError("different std of the numbers are needed outside jit; make the observation there")
    if not np.all(np.asarray(std) > 0):
        raise UsageError("some std of the noise are 0 and others not; give a small one for numbers without noise")
    if not isinstance(operator, LinearOperator):
        return Observation(operator, y, Normal(std))
    scale = np.exp(np.log(std).mean())
    return Observation(operator.whitened(std / scale), y * scale / std, Normal(scale), -np.log(std / scale).sum())


def _root(a: Array) -> Array:
    """sqrt whose slope at 0 is 0; NaN stays NaN."""
    return jnp.where(a > 0, jnp.sqrt(jnp.where(a > 0, a, 1.0)), 0.0 * a)
