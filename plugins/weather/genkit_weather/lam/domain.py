"""From weather to the numbers of Diffusion-LAM and back: conditioning, first guess, residual target."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, hour_of_day, interior_of, join
from genkit_weather.data import Layout, Series, take
from genkit_weather.host import HostFields
from genkit_weather.lam.times import STEP, Times
from genkit_weather.networks import Conditioning, Sizes

Guess = Literal["persistence", "harmonic", "diurnal", "relaxed", "none"]
LONGEST = 240.0  # hours: the unit of the lead times that networks are told


@dataclass(frozen=True)
class Formulation:
    """What is predicted and what the network is told (Larsson et al. 2025, arXiv 2502.07532)."""

    guess: Guess = "harmonic"
    """first guess of the next state: persistence (published); plus the harmonic extension of the frame tendency; plus
    the hour-of-day climatological change, then only the frame residual is extended; relaxed: the climatology of the
    hour, moved by a share of the departure from it of the same hour on the last day that is known, plus the extension
    of the frame's departure from that, plus a share of what the interior departs from it now, both shares fitted to
    the training split (a multiplicative seasonal autoregression); none: the state itself is predicted"""
    fill: bool = True
    """tell the interior the harmonic extension of the frame tendency"""
    tendencies: bool = True
    """tell differences of states, in units of their std, in place of the past and the future frame states"""
    anomalies: bool = False
    """tell states as departures from the climatology of their hour, and how the interior departs from the harmonic
    extension of the frame's; with guess diurnal or relaxed"""
    future: bool = True
    """tell the frame its next state; without, as in Graph-LAM, a step knows nothing of the time that it predicts"""

    def __post_init__(self) -> None:
        """A first guess or a filling from the future frame needs it."""
        if not self.future and (self.fill or not self.blind):
            raise UsageError(
                f"guess={self.guess} with fill={self.fill} knows the next state of the frame; without future, choose "
                "guess=persistence and fill=False"
            )
        if self.anomalies and not self.daily:
            raise UsageError(f"anomalies need the guess diurnal or relaxed, not {self.guess}")

    @property
    def blind(self) -> bool:
        """Whether the guess knows nothing of the frame."""
        return self.guess in ("persistence", "none")

    @property
    def daily(self) -> bool:
        """Whether a climatology by the hour of the day is used."""
        return self.guess in ("diurnal", "relaxed")

    @classmethod
    def preset(cls, name: str) -> "Formulation":
        """`paper`: persistence and plain states; else the defaults."""
        return cls(guess="persistence", fill=False, tendencies=False) if name == "paper" else cls()

    def sizes(self, layout: Layout, extra: int = 0) -> Sizes:
        """Sizes of the network for data of this layout; `extra` further interior channels."""
        v, forcing = layout.variables, 3 * layout.forcings
        fields = layout.statics + (0 if layout.uniform else forcing)
        interior = (2 + self.fill + self.anomalies) * v + fields + extra
        outside = (3 if self.future else 2) * v + fields
        return Sizes(
            layout.grid, layout.frame, interior, outside, forcing if layout.uniform else 0, v, spacing=layout.spacing
        )


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """What is known before a step t -> t+1, standardised; n items.

    Models of other times (`Times`) know t - lag in place of t-1, and predict t + lead in place of t+1.
    """

    prev: Any
    """(n, h, w, V) interior at t"""
    before: Any
    """(n, h, w, V) interior at t-1"""
    frame: Any
    """(n, 3, cells, V) frame at t-1, t, t+1"""
    forcing: Any
    """(n, H, W, 3F), or (n, 1, 1, 3F) where it is the same everywhere, at t-1, t, t+1"""
    climate: Any = None
    """(n, 3, H, W, V) climatology of the hours at t-1, t, t+1, with the guesses `diurnal` and `relaxed`; with
    the latter as it is moved by the last day that is known"""
    outside: Any = None
    """(values (n, nodes, .), times (n, .)) of a second data set around the area, in place of a frame"""
    lead: Any = None
    """(n,) lead in steps, of a model that knows several"""


@register_dataclass
@dataclass(frozen=True)
class Domain:
    """Statistics and fixed fields of a limited area; leaves are traced, so new data of equal shape do not recompile.

    Those of the residual are (V,), or (leads, V) where a model knows several leads.
    """

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
    memory: Any
    """(V,) share of a departure from the frame's extension that is left after a step, with the guess `relaxed`"""
    frame_width: tuple[int, int] = field(metadata={"static": True})
    formulation: Formulation = field(metadata={"static": True})
    host: HostFields | None = None
    """of a second data set around the area"""
    times: Times = field(default=STEP, metadata={"static": True})
    """the lag and the leads that a model was trained for"""
    step_hours: float = field(default=6.0, metadata={"static": True})
    """between states of the data"""
    mask: Any = None
    """(H, W, V) bool, False where a variable has no values, or None"""
    graph: Any = None
    """of a denoising network whose graph was read from a file"""
    yesterday: Any = None
    """(V,) share of a departure from the climatology that is left after a day, with the guess `relaxed`; None where no
    whole number of steps is a day"""

    @property
    def day(self) -> int:
        """Steps of the day before a forecast that move its climatology; 0 where none are looked at."""
        return 0 if self.yesterday is None else steps_a_day(self.step_hours)

    def of_lead(self, table: Any, lead: Any) -> Any:
        """The rows (n, 1, 1, V) of a table (leads, V) for leads (n,) in steps; a table (V,) as it is."""
        return table if lead is None else table[lead // self.times.delta - 1][:, None, None]


def condition(domain: Domain, inputs: Inputs) -> Conditioning:
    """Assemble what the network sees: prev first, then before, forcing, static fields; the future in the frame only."""
    how, frame = domain.formulation, domain.frame_width
    n, scale = inputs.prev.shape[0], domain.diff_std
    if domain.mask is not None:  # what is forecast there means nothing: the network sees the mean
        inside = interior_of(domain.mask, frame)
        inputs = replace(inputs, prev=inputs.prev * inside, before=inputs.before * inside)
    guess = harmonic_guess(domain, inputs) - inputs.prev if how.fill else None
    if how.anomalies:
        inputs = anomalies(domain, inputs)
    before, prev, future = (inputs.frame[:, i] for i in range(3))
    if how.tendencies:
        interior = [inputs.prev, (inputs.prev - inputs.before) / scale]
        news, outside = (future - prev) / scale, [prev, (prev - before) / scale]
    else:
        interior, news, outside = [inputs.prev, inputs.before], future, [prev, before]
    if how.future:
        outside.insert(0, news)
    if guess is not None:
        interior.append(guess / scale)
    if how.anomalies:
        interior.append(departure(domain, inputs) / scale)
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
    lead = None if inputs.lead is None else inputs.lead * (domain.step_hours / LONGEST)
    outside = jnp.concatenate([*outside, frame_of(image, frame)], -1)
    return Conditioning(inside, outside, scalars, lead=lead, graph=domain.graph)


def anomalies(domain: Domain, inputs: Inputs) -> Inputs:
    """The inputs as departures from the climatology of their hour, where there is one."""
    if inputs.climate is None:
        return inputs
    inside, width = [interior_of(inputs.climate[:, i], domain.frame_width) for i in (0, 1)], domain.frame_width
    around = jnp.stack([frame_of(inputs.climate[:, i], width) for i in range(3)], 1)
    return replace(inputs, prev=inputs.prev - inside[1], before=inputs.before - inside[0], frame=inputs.frame - around)


def extended(domain: Domain, frame: jax.Array) -> jax.Array:
    """(n, h, w, V) harmonic extension of values (n, cells, V) of the frame."""
    weights, places = domain.extension
    inner = jnp.einsum("ir,nrv->niv", weights, frame[:, places], precision="highest")
    (h, w), (fy, fx) = domain.static.shape[:2], domain.frame_width
    return inner.reshape(len(frame), h - 2 * fy, w - 2 * fx, -1)


def harmonic_guess(domain: Domain, inputs: Inputs) -> jax.Array:
    """(n, h, w, V): persistence, climatological change if known, and the harmonic extension of the frame's rest.

    With the guess `relaxed`, less the share of the interior's departure from the extension that is lost in a step.
    """
    rest = anomalies(domain, inputs)
    guess = inputs.prev + extended(domain, rest.frame[:, 2] - rest.frame[:, 1])
    if inputs.climate is not None:
        guess = guess + interior_of(inputs.climate[:, 2] - inputs.climate[:, 1], domain.frame_width)
    if domain.memory is None:
        return guess
    return guess - (1 - domain.of_lead(domain.memory, inputs.lead)) * departure(domain, rest)


def departure(domain: Domain, rest: Inputs) -> jax.Array:
    """(n, h, w, V) of the interior's anomalies from the harmonic extension of the frame's."""
    return rest.prev - extended(domain, rest.frame[:, 1])


def first_guess(domain: Domain, inputs: Inputs) -> jax.Array:
    """(n, h, w, V) next interior state before the network has spoken, by `Formulation.guess`."""
    if domain.formulation.guess == "none":
        return jnp.zeros_like(inputs.prev)
    return inputs.prev if domain.formulation.guess == "persistence" else harmonic_guess(domain, inputs)


def target(domain: Domain, inputs: Inputs, truth: jax.Array) -> jax.Array:
    """y = (x - guess - m) / d of the true next interior (n, h, w, V)."""
    mean, std = (domain.of_lead(a, inputs.lead) for a in (domain.residual_mean, domain.residual_std))
    return (truth - first_guess(domain, inputs) - mean) / std


def advance(domain: Domain, inputs: Inputs, y: jax.Array) -> jax.Array:
    """The next interior state of a residual y: the inverse of `target`."""
    mean, std = (domain.of_lead(a, inputs.lead) for a in (domain.residual_mean, domain.residual_std))
    return first_guess(domain, inputs) + mean + std * y


def steps_a_day(hours: float) -> int:
    """How many steps of so many hours are a day; 0 where no whole number is."""
    steps = round(24 / hours)
    return steps if abs(steps * hours - 24) < 1e-6 else 0


def standardised(domain: Domain, array: Any) -> np.ndarray:
    """States in physical units, or their frame, in those of the model."""
    return (np.asarray(array, np.float32) - np.asarray(domain.mean)) / np.asarray(domain.std)


def known(domain: Domain, series: Series, when: np.ndarray, last: np.ndarray) -> dict[str, Any]:
    """Standardised forcing (n, ..., ., ., 3F) and climate (n, ..., 3, H, W, V) or None at the times `when` (n, ..., 3).

    `last` (n,) are the times of the last states that are known.
    """
    forcing = np.moveaxis(np.asarray(take(series.forcing, when), np.float32), -4, -2)
    forcing = (forcing - np.asarray(domain.forcing_mean)) / np.asarray(domain.forcing_std)
    climate = None if domain.climatology is None else expected(domain, series, when, last)
    return {"forcing": forcing.reshape(*forcing.shape[:-2], -1), "climate": climate}


def expected(domain: Domain, series: Series, when: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(n, ..., 3, H, W, V) climatology of the hours of times `when` (n, ..., 3), moved towards the last day known.

    Of what the same hour departed from it on the last day up to `last` (n,), d days before, by the power d of the
    share `yesterday`; not where the series has not begun then, or the state is not known.
    """
    climatology, hour = np.asarray(domain.climatology), hour_of_day(series.time)
    climate = climatology[hour[when]]
    if not domain.day:
        return climate
    ahead = when - last.reshape(-1, *(1,) * (when.ndim - 1))
    days = np.maximum(-(-ahead // domain.day), 1)
    rows, place = np.unique(when - domain.day * days, return_inverse=True)
    moved = np.zeros((len(rows), *climate.shape[-3:]), np.float32)
    if (begun := rows >= 0).any():
        moved[begun] = states_known(domain, series, rows[begun]) - climatology[hour[rows[begun]]]
        moved[~np.isfinite(moved).all((1, 2, 3))] = 0
    place = place.reshape(when.shape)
    for ago in np.unique(days):
        left = np.asarray(domain.yesterday) ** float(ago) * moved
        for at in zip(*np.nonzero(days == ago), strict=True):  # in place: the climate of many leads is large
            climate[at] += left[place[at]]
    return climate


def states_known(domain: Domain, series: Series, rows: np.ndarray) -> np.ndarray:
    """(n, H, W, V) standardised: the interior of what is known of the states, in the frame the boundary data."""
    states = standardised(domain, take(series.known, rows))
    if series.boundary is series.known:
        return states
    width = domain.frame_width
    around = frame_of(standardised(domain, take(series.boundary, rows)), width)
    return np.asarray(join(around, interior_of(states, width), width))
