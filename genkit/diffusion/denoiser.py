"""Denoisers: pytree callables (x, t, cond) -> E[x_0 | x_t]."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import jax
import jax.numpy as jnp

from genkit.diffusion.process import EDM, Process, per_item
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
Network = Callable[[Any, Array, Array, Any], Array]


class Denoiser(Protocol):
    """E[x_0 | x_t]: x (n, ...), t () or (n,) float, cond a pytree of leaves (n, ...) or None.

    Parameters are leaves, so a trained network and a closed form are one type and new parameters do not
    compile again. An attribute `process` says what t means; a denoiser without one, as a plain function (the same
    object from call to call), speaks of noise levels sigma = t (`EDM`).
    """

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Return an array of the shape of x."""
        ...


def process_of(denoiser: Any) -> Process:
    """The Gaussian path that a denoiser belongs to."""
    return getattr(denoiser, "process", None) or EDM()


def check_process(denoiser: Any, process: Process, what: str) -> None:
    """Refuse a denoiser of another process than that of `what`."""
    if process_of(denoiser) != process:
        raise UsageError(
            f"{what} is for {process}, the denoiser for {process_of(denoiser)}; give both the same process"
        )


def denoise(denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
    """Call a denoiser and check its shape, in tracing."""
    d = denoiser(x, t, cond)
    if d.shape != x.shape:
        raise UsageError(f"the denoiser returned shape {d.shape} for x of shape {x.shape}; it must return x_0 like x")
    return d.astype(x.dtype)


@register_dataclass
@dataclass(frozen=True)
class EDMDenoiser:
    """Preconditioned network, Karras et al. 2022 (arXiv 2206.00364), eq. 7 and Table 1.

    D(x; sigma, cond) = c_skip x + c_out F(c_in x; c_noise, cond), where x is the state divided by alpha and sigma its
    noise level sigma / alpha, whatever the process. The coefficients are at least float32 even if F returns bfloat16.

    Args:
        network: F, called as (params, c_in x (n, ...), c_noise (n,), cond), returns the shape of x. Static.
        params: its parameters, any pytree.
        sigma_data: standard deviation of the data, () or one per entry of the last axis of x.
        process: the Gaussian path. Static.
        range: lowest and highest value of the data, where they have bounds. Static.
    """

    network: Network = field(metadata={"static": True})
    params: Any
    sigma_data: Array | float = 0.5
    process: Process = field(default=EDM(), metadata={"static": True})
    range: tuple[float, float] | None = field(default=None, metadata={"static": True})

    def coefficients(self, sigma: Array | float) -> tuple[Array, Array, Array, Array]:
        """(c_skip, c_out, c_in, c_noise) at noise level sigma / alpha, broadcast with sigma_data."""
        sigma, s = _at_least_float32(sigma), _at_least_float32(self.sigma_data)
        total = sigma**2 + s**2
        return s**2 / total, sigma * s / jnp.sqrt(total), 1 / jnp.sqrt(total), jnp.log(sigma) / 4

    def loss_weight(self, t: Array | float) -> Array:
        """lambda = 1 / c_out^2, by which the loss is 1 at F = 0 at every level."""
        _, c_out, _, _ = self.coefficients(self.process.ratio(_at_least_float32(t)))
        return 1 / c_out**2

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[x_0 | x_t = x] at time t () or (n,)."""
        x = _at_least_float32(x)
        t = per_item(t, x)
        x = x / self.process.alpha(t).astype(x.dtype)
        c_skip, c_out, c_in, c_noise = self.coefficients(self.process.ratio(t))
        f = self.network(self.params, c_in * x, jnp.broadcast_to(c_noise.reshape(-1), x.shape[:1]), cond)
        return c_skip * x + c_out * _given(self.network, f, x)


Predicted = Literal["eps", "x0", "v", "flow", "score"]


@register_dataclass
@dataclass(frozen=True)
class NetworkDenoiser:
    """A network that predicts the noise, the data, the velocity or the score, as a denoiser.

    With x = alpha x_0 + sigma eps and F = network(params, x, t, cond), the data are

        eps    (x - sigma F) / alpha                           Ho et al. 2020 (arXiv 2006.11239)
        x0     F
        v      (alpha x - sigma F) / (alpha^2 + sigma^2)       v = alpha eps - sigma x_0 (arXiv 2202.00512)
        flow   (x - sigma F) / (alpha + sigma)                 eps - x_0, for `Flow` x - t F (arXiv 2209.03003)
        score  (x + sigma^2 F) / alpha                         Song et al. 2021 (arXiv 2011.13456)

    Args:
        network: F, called as (params, x (n, ...), t (n,), cond), returns the shape of x. Static.
        params: its parameters, any pytree.
        process: the Gaussian path. Static.
        predicts: what F is. Static.
        range: lowest and highest value of the data, where they have bounds. Static.
    """

    network: Network = field(metadata={"static": True})
    params: Any
    process: Process = field(metadata={"static": True})
    predicts: Predicted = field(default="eps", metadata={"static": True})
    range: tuple[float, float] | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.predicts not in get_args(Predicted):
            raise UsageError(f"unknown parameterisation {self.predicts!r}; known: {', '.join(get_args(Predicted))}")

    def _affine(self, t: Any) -> tuple[Any, Any]:
        """(a, b) of x_0 = a x + b F."""
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        if self.predicts == "x0":
            return jnp.zeros_like(alpha), jnp.ones_like(alpha)
        if self.predicts == "v":
            total = alpha**2 + sigma**2
            return alpha / total, -sigma / total
        if self.predicts == "flow":
            return 1 / (alpha + sigma), -sigma / (alpha + sigma)
        return 1 / alpha, (sigma**2 if self.predicts == "score" else -sigma) / alpha

    def loss_weight(self, t: Array | float) -> Array:
        """Weight on |D - x_0|^2 that makes it |F - target|^2; for the score times sigma^2, as in score matching."""
        t = _at_least_float32(t)
        _, b = self._affine(t)
        return (self.process.sigma(t) ** 2 if self.predicts == "score" else 1.0) / b**2

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[x_0 | x_t = x] at time t () or (n,)."""
        x = _at_least_float32(x)
        t = per_item(t, x)
        a, b = self._affine(t.astype(x.dtype))
        f = self.network(self.params, x, jnp.broadcast_to(t.reshape(-1), x.shape[:1]), cond)
        return a * x + b * _given(self.network, f, x)


class Wrapped:
    """Base of a denoiser made from another, its field `denoiser`: process and range are those of that."""

    denoiser: Denoiser

    @property
    def process(self) -> Process:
        """That of the denoiser."""
        return process_of(self.denoiser)

    @property
    def range(self) -> tuple[float, float] | None:
        """That of the denoiser, None where it has no bounds."""
        return getattr(self.denoiser, "range", None)


@register_dataclass
@dataclass(frozen=True)
class Rescaled(Wrapped):
    """The denoiser of y = scale x + shift, made from that of x: data in [0, 1] from a network for [-1, 1].

    A noise level of y is `scale` times one of x: D_y(y) = scale D_x((y - shift) / scale) + shift at level s / scale.
    """

    denoiser: Denoiser
    scale: Array | float
    shift: Array | float = 0.0

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest value of y, where x has bounds and scale and shift are numbers."""
        bounds = super().range
        return bounds and tuple(self.scale * b + self.shift for b in bounds)  # type: ignore[return-value]

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[y_0 | y_t = x] at time t () or (n,)."""
        process, t = self.process, per_item(t, x)
        inner = process.time(process.ratio(t) / self.scale)
        state = process.alpha(inner) * (x / process.alpha(t) - self.shift) / self.scale
        return self.scale * self.denoiser(state, inner.reshape(-1) if inner.ndim else inner, cond) + self.shift


def to_range(denoiser: Denoiser, low: float, high: float) -> Rescaled:
    """The denoiser for the same data on another scale, such as [0, 1] in place of the [-1, 1] it was trained on.

    Raises `UsageError` for a denoiser that does not tell its range.
    """
    bounds = getattr(denoiser, "range", None)
    if bounds is None:
        raise UsageError(f"{type(denoiser).__name__} does not tell the range of its data; use Rescaled(scale, shift)")
    scale = (high - low) / (bounds[1] - bounds[0])
    return Rescaled(denoiser, scale, low - scale * bounds[0])


def _given(network: Any, f: Any, x: Array) -> Array:
    """What a network gave for x; refuses another shape, which might be broadcast."""
    if getattr(f, "shape", None) != x.shape:
        found = f"an array {tuple(f.shape)}" if hasattr(f, "shape") else type(f).__name__
        name = type(getattr(network, "component", network)).__qualname__
        raise UsageError(f"the network {name} gives {found} for an array {x.shape}; a denoiser needs the same shape")
    return _at_least_float32(f)


def _at_least_float32(a: Array | float) -> Array:
    a = jnp.asarray(a)
    return a.astype(jnp.promote_types(a.dtype, jnp.float32))
