"""From weather to the numbers of Diffusion-LAM and back: conditioning, first guess, residual target."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.boundary import harmonic
from genkit_weather.data import Layout, Series, Statistics, WeatherData, statistics
from genkit_weather.frame import frame_of, interior_of
from genkit_weather.host import HostFields
from genkit_weather.networks.unet import Conditioning, Sizes

Guess = Literal["persistence", "harmonic", "diurnal"]


@dataclass(frozen=True)
class Formulation:
    """What is predicted and what the network is told (Larsson et al. 2025, arXiv 2502.07532)."""

    guess: Guess = "harmonic"
    """first guess of the next state: persistence (published); plus the harmonic extension of the frame tendency;
    plus the hour-of-day climatological change, then only the frame residual is extended"""
    fill: bool = True
    """tell the interior the harmonic extension of the frame tendency"""
    tendencies: bool = True
    """tell differences of states, in units of their std, in place of the past and the future frame states"""
    future: bool = True
    """tell the frame its next state; without, as in Graph-LAM, a step knows nothing of the time that it predicts"""

    def __post_init__(self) -> None:
        """A first guess or a filling from the future frame needs it."""
        if not self.future and (self.fill or self.guess != "persistence"):
            raise UsageError(
                f"guess={self.guess} with fill={self.fill} knows the next state of the frame; without future, choose "
                "guess=persistence and fill=False"
            )

    @classmethod
    def preset(cls, name: str) -> "Formulation":
        """`paper`: persistence and plain states; else the defaults."""
        return cls(guess="persistence", fill=False, tendencies=False) if name == "paper" else cls()

    def sizes(self, layout: Layout, extra: int = 0) -> Sizes:
        """Sizes of the network for data of this layout; `extra` further interior channels."""
        v, forcing = layout.variables, 3 * layout.forcings
        fields = layout.statics + (0 if layout.uniform else forcing)
        interior = (3 if self.fill else 2) * v + fields + extra
        outside = (3 if self.future else 2) * v + fields
        return Sizes(layout.grid, layout.frame, interior, outside, forcing if layout.uniform else 0, v)


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """What is known before a step t -> t+1, standardised; n items."""

    prev: Any
    """(n, h, w, V) interior at t"""
    before: Any
    """(n, h, w, V) interior at t-1"""
    frame: Any
    """(n, 3, cells, V) frame at t-1, t, t+1"""
    forcing: Any
    """(n, H, W, 3F), or (n, 1, 1, 3F) where it is the same everywhere, at t-1, t, t+1"""
    drift: Any = None
    """(n, H, W, V) climatological change from t to t+1, with the guess `diurnal`"""
    outside: Any = None
    """(values (n, nodes, .), times (n, .)) of a second data set around the area, in place of a frame"""


@register_dataclass
@dataclass(frozen=True)
class Domain:
    """Statistics and fixed fields of a limited area; leaves are traced, so new data of equal shape do not recompile."""

    mean: Any
    """(V,) of the state"""
    std: Any
    """(V,)"""
    diff_std: Any
    """(V,) of one-step differences of the standardised state"""
    forcing_mean: Any
    """(F,)"""
    forcing_std: Any
    """(F,)"""
    static: Any
    """(H, W, S) standardised"""
    extension: Any
    """(weights (h w, R), places (R,)) of the harmonic extension of the R frame cells at the interior, or None"""
    climatology: Any
    """(hours, H, W, V) standardised mean by hour of the day, or None"""
    residual_mean: Any
    """(V,) m of the residual of the guess, standardised units"""
    residual_std: Any
    """(V,) d of it"""
    frame_width: tuple[int, int] = field(metadata={"static": True})
    formulation: Formulation = field(metadata={"static": True})
    host: HostFields | None = None
    """of a second data set around the area"""

    @classmethod
    def build(cls, data: WeatherData, formulation: Formulation, stats: Statistics | None = None) -> "Domain":
        """Gather the statistics, those of the residual included, from the training split."""
        stats = statistics(data) if stats is None else stats
        needs = formulation.fill or formulation.guess != "persistence"
        if needs and not any(data.frame):
            raise UsageError(
                f"{data.source} has no frame from which guess={formulation.guess} or fill could be made; "
                "choose formulation.guess=persistence and formulation.fill=False"
            )
        domain = cls(
            mean=stats.mean,
            std=stats.std,
            diff_std=stats.diff_std,
            forcing_mean=stats.forcing_mean,
            forcing_std=stats.forcing_std,
            static=(data.static - stats.static_mean) / stats.static_std,
            extension=extension(data) if needs else None,
            climatology=daily_climatology(data, stats) if formulation.guess == "diurnal" else None,
            residual_mean=np.zeros(len(data.names), np.float32),
            residual_std=np.ones(len(data.names), np.float32),
            frame_width=data.frame,
            formulation=formulation,
            host=None if data.around is None else data.around.fields,
        )
        mean, std = residual_moments(domain, data)
        return jax.tree.map(jnp.asarray, replace(domain, residual_mean=mean, residual_std=std))


def condition(domain: Domain, inputs: Inputs) -> Conditioning:
    """Assemble what the network sees: prev first, then before, forcing, static fields; the future in the frame only."""
    how, frame = domain.formulation, domain.frame_width
    n, scale = inputs.prev.shape[0], domain.diff_std
    before, prev, future = (inputs.frame[:, i] for i in range(3))
    if how.tendencies:
        interior = [inputs.prev, (inputs.prev - inputs.before) / scale]
        news, outside = (future - prev) / scale, [prev, (prev - before) / scale]
    else:
        interior, news, outside = [inputs.prev, inputs.before], future, [prev, before]
    if how.future:
        outside.insert(0, news)
    if how.fill:
        interior.append((harmonic_guess(domain, inputs) - inputs.prev) / scale)
    everywhere = [jnp.broadcast_to(domain.static, (n, *domain.static.shape))]
    scalars = jnp.zeros((n, 0), inputs.prev.dtype)
    if inputs.forcing.shape[1:3] == (1, 1):
        scalars = inputs.forcing[:, 0, 0]
    else:
        everywhere.insert(0, inputs.forcing)
    image = jnp.concatenate(everywhere, -1)
    inside = jnp.concatenate([*interior, interior_of(image, frame)], -1)
    if domain.host is not None:
        return Conditioning(inside, domain.host(*inputs.outside), scalars)
    return Conditioning(inside, jnp.concatenate([*outside, frame_of(image, frame)], -1), scalars)


def harmonic_guess(domain: Domain, inputs: Inputs) -> jax.Array:
    """(n, h, w, V): persistence, climatological change if known, and the harmonic extension of the frame's rest."""
    change, guess = inputs.frame[:, 2] - inputs.frame[:, 1], inputs.prev
    if inputs.drift is not None:
        change = change - frame_of(inputs.drift, domain.frame_width)
        guess = guess + interior_of(inputs.drift, domain.frame_width)
    weights, places = domain.extension
    inner = jnp.einsum("ir,nrv->niv", weights, change[:, places], precision="highest")
    return guess + inner.reshape(guess.shape)


def extension(data: WeatherData) -> tuple[np.ndarray, np.ndarray]:
    """Weights (h w, R) of the harmonic extension and the places (R,) of its ring among the cells of the frame."""
    solver = harmonic(data.grid, data.frame)
    order = frame_of(np.arange(np.prod(data.grid)).reshape(*data.grid, 1), data.frame)[:, 0]
    return solver.weights, np.argsort(order)[np.searchsorted(np.sort(order), solver.ring)]


def first_guess(domain: Domain, inputs: Inputs) -> jax.Array:
    """(n, h, w, V) next interior state before the network has spoken, by `Formulation.guess`."""
    return inputs.prev if domain.formulation.guess == "persistence" else harmonic_guess(domain, inputs)


def target(domain: Domain, inputs: Inputs, truth: jax.Array) -> jax.Array:
    """y = (x - guess - m) / d of the true next interior (n, h, w, V)."""
    return (truth - first_guess(domain, inputs) - domain.residual_mean) / domain.residual_std


def advance(domain: Domain, inputs: Inputs, y: jax.Array) -> jax.Array:
    """The next interior state of a residual y: the inverse of `target`."""
    return first_guess(domain, inputs) + domain.residual_mean + domain.residual_std * y


def residual_moments(domain: Domain, data: WeatherData, block: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """(V,) mean and std of truth - guess over the interior and the training split, standardised units."""
    from genkit_weather.lam.examples import Examples

    examples = Examples(data.train, domain)
    moments = jax.jit(lambda domain, batch: _sums(batch.truth - first_guess(domain, batch.inputs)))
    total, square, count = np.zeros(len(data.names)), np.zeros(len(data.names)), 0
    for lo in range(0, len(examples), block):
        batch = examples.take(np.arange(lo, min(lo + block, len(examples))))
        one, two = moments(domain, batch)
        total, square = total + np.asarray(one, np.float64), square + np.asarray(two, np.float64)
        count += batch.truth[..., 0].size
    mean = total / count
    return mean.astype(np.float32), np.sqrt(square / count - mean**2).astype(np.float32)


def _sums(x):
    return x.sum((0, 1, 2)), (x**2).sum((0, 1, 2))


def hours(time: np.ndarray) -> np.ndarray:
    """Hour of the day 0..23 of datetime64 values."""
    return (time.astype("datetime64[h]") - time.astype("datetime64[D]")).astype(int)


def daily_climatology(data: WeatherData, stats: Statistics) -> np.ndarray:
    """(24, H, W, V) standardised training mean by hour of the day; 0 at hours the data never have."""
    total, count = np.zeros((24, *data.grid, len(data.names))), np.zeros(24)
    for series in data.train:
        hour = hours(series.time)
        for h in np.unique(hour):
            rows = np.flatnonzero(hour == h)
            total[h] += ((np.asarray(series.state[rows]) - stats.mean) / stats.std).sum(0)
            count[h] += len(rows)
    return (total / np.maximum(count, 1)[:, None, None, None]).astype(np.float32)


def known(domain: Domain, series: Series, now: np.ndarray) -> dict[str, Any]:
    """Standardised forcing (n, ., ., 3F) and drift (n, H, W, V) or None for steps from the times `now` (n,)."""
    forcing = np.stack([np.asarray(series.forcing[now + i], np.float32) for i in (-1, 0, 1)], -2)
    forcing = (forcing - np.asarray(domain.forcing_mean)) / np.asarray(domain.forcing_std)
    drift = None
    if domain.climatology is not None:
        climatology = np.asarray(domain.climatology)
        drift = climatology[hours(series.time[now + 1])] - climatology[hours(series.time[now])]
    return {"forcing": forcing.reshape(*forcing.shape[:3], -1), "drift": drift}
