"""The domain of a data set: statistics and fixed fields, found in its training split."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit_weather.area import frame_of, harmonic, hour_of_day, interior_of
from genkit_weather.data import Series, Statistics, WeatherData, blocks, kept, rows_at_once, statistics
from genkit_weather.lam.domain import (
    Domain,
    Formulation,
    anomalies,
    departure,
    extended,
    first_guess,
    harmonic_guess,
    states_known,
    steps_a_day,
)
from genkit_weather.lam.examples import Examples
from genkit_weather.lam.times import STEP, Times


def domain_of(
    data: WeatherData, formulation: Formulation, stats: Statistics | None = None, times: Times = STEP
) -> Domain:
    """Gather the statistics, those of the residual included, from the training split."""
    stats = statistics(data) if stats is None else stats
    needs = formulation.fill or not formulation.blind
    if needs and not any(data.frame):
        raise UsageError(
            f"{data.source} has no frame from which guess={formulation.guess} or fill could be made; "
            "choose formulation.guess=persistence and formulation.fill=False"
        )
    shape = (len(times.leads), len(data.names))[len(times.leads) == 1 :]
    domain = Domain(
        mean=stats.mean,
        std=stats.std,
        diff_std=stats.diff_std,
        forcing_mean=stats.forcing_mean,
        forcing_std=stats.forcing_std,
        static=(data.static - stats.static_mean) / stats.static_std,
        extension=extension(data) if needs else None,
        climatology=daily_climatology(data, stats) if formulation.daily else None,
        residual_mean=np.zeros(shape, np.float32),
        residual_std=np.ones(shape, np.float32),
        memory=None,
        frame_width=data.frame,
        formulation=formulation,
        host=None if data.around is None else data.around.fields,
        times=times,
        step_hours=data.step_hours,
        mask=data.mask,
    )
    if formulation.guess == "relaxed":
        domain = replace(domain, memory=np.ones(shape, np.float32), yesterday=fitted_yesterday(domain, data))
        domain = replace(domain, memory=fitted_memory(domain, data))
    mean, std = residual_moments(domain, data)
    return jax.tree.map(jnp.asarray, replace(domain, residual_mean=mean, residual_std=std))


def extension(data: WeatherData) -> tuple[np.ndarray, np.ndarray]:
    """Weights (h w, R) of the harmonic extension and the places (R,) of its ring among the cells of the frame."""
    solver = harmonic(data.grid, data.frame)
    order = frame_of(np.arange(np.prod(data.grid)).reshape(*data.grid, 1), data.frame)[:, 0]
    return solver.weights, np.argsort(order)[np.searchsorted(np.sort(order), solver.ring)]


def changes(domain: Domain, data: WeatherData) -> np.ndarray:
    """(V,) or (leads, V) std of x(t + lead) - x(t) over the interior and the training split, standardised units."""
    if domain.formulation.guess == "persistence":
        return np.asarray(domain.residual_std)
    return residual_moments(replace(domain, formulation=Formulation("persistence", fill=False)), data)[1]


def residual_moments(domain: Domain, data: WeatherData) -> tuple[np.ndarray, np.ndarray]:
    """(V,) or (leads, V) mean and std of truth - guess over the interior and the training split, standardised units."""

    def residual(domain: Domain, batch: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        r = batch.truth - first_guess(domain, batch.inputs)
        return r, jnp.square(r), jnp.ones_like(r)

    total, square, count = _sums("residuals", residual, domain, data)
    mean = total / count
    return mean.astype(np.float32), np.sqrt(square / count - mean**2).astype(np.float32)


def fitted_memory(domain: Domain, data: WeatherData) -> np.ndarray:
    """(V,) or (leads, V) share of the departure from the frame's extension left after it, by least squares, in 0..1."""

    def products(domain: Domain, batch: Any) -> tuple[jax.Array, jax.Array]:
        now = departure(domain, anomalies(domain, batch.inputs))
        kept = batch.truth - harmonic_guess(domain, batch.inputs) + now  # the guess with a memory of 1
        return kept * now, jnp.square(now)

    product, square = _sums("memory", products, domain, data)
    return np.clip(product / np.where(square > 0, square, 1.0), 0, 1).astype(np.float32)


def fitted_yesterday(domain: Domain, data: WeatherData) -> np.ndarray | None:
    """(V,) share of the interior's departure from the frame's extension left after a day, by least squares, in 0..1.

    Both are departures from the climatology of their hour without the two dates: that of few dates holds a part of
    each, and departures from it forget themselves. Where sums of departures from the mean of n states are D and E over
    the k and l states of two dates, of all series, the mean of the others is -(D + E) / (n - k - l). Two dates of all
    series at least are held at once. None where no whole number of steps is a day.
    """
    day, v = steps_a_day(data.step_hours), len(data.names)
    if not day:
        return None
    climatology = np.asarray(domain.climatology)
    which = np.repeat(np.arange(len(data.train)), [len(s) for s in data.train])
    row = np.concatenate([np.arange(len(s)) for s in data.train])
    time = np.concatenate([s.time for s in data.train])
    date, slot = (time.astype(f"datetime64[{unit}]").astype(int) for unit in "Dh")
    (dates, states), count = np.unique(date, return_counts=True), np.bincount(slot % 24, minlength=24)
    span = max(rows_at_once((0, *data.grid, v)) // states.max() - 1, 1)

    def rest(series: Series, rows: np.ndarray) -> np.ndarray:
        x = states_known(domain, series, rows) - climatology[hour_of_day(series.time[rows])]
        apart = interior_of(x, domain.frame_width) - np.asarray(extended(domain, frame_of(x, domain.frame_width)))
        return apart * _cells(domain)

    def find() -> list[np.ndarray]:
        product, square = np.zeros(v), np.zeros(v)
        for lo in range(0, len(dates) - 1, span):
            near = np.flatnonzero(np.isin(date, dates[lo : lo + span + 1]))
            own, when = which[near], slot[near]
            x = np.concatenate([rest(data.train[i], row[near[own == i]]) for i in np.unique(own)])
            first = np.flatnonzero((own[:-day] == own[day:]) & (when[:-day] + 24 == when[day:]))
            for hour in np.unique(when[first]):
                both = x[(when == hour) | (when == hour + 24)]
                others = count[hour % 24] - len(both)
                if others > 0:
                    shift = both.sum(0, dtype=np.float64) / others
                    rows = first[when[first] == hour]
                    a = x[rows] + shift
                    product += (a * (x[rows + day] + shift)).sum((0, 1, 2))
                    square += np.square(a).sum((0, 1, 2))
        return [product, square]

    product, square = _kept("yesterday_by_date", domain, data, find)
    return np.clip(product / np.where(square > 0, square, 1.0), 0, 1).astype(np.float32)


def _sums(name: str, entries: Callable[..., Any], domain: Domain, data: WeatherData) -> list[np.ndarray]:
    """(V,) or (leads, V) sums of `entries(domain, batch)`, arrays (n, h, w, V), over the training split in float64.

    Cells of the domain's mask alone are summed.
    """
    return _kept(name, domain, data, lambda: _summed(entries, domain, data))


def _kept(name: str, domain: Domain, data: WeatherData, find: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """Arrays that are found in a domain and the training split; of data read from files they are kept under a name."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(domain)]
    seen = hashlib.sha256(repr((domain.formulation, domain.times)).encode())
    for leaf in leaves:
        seen.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())

    def numbered() -> dict[str, np.ndarray]:
        return {str(i): one for i, one in enumerate(find())}

    return [*kept(name, data, numbered, domain=seen.hexdigest()).values()]


def _cells(domain: Domain) -> Any:
    """(h, w, V) of the interior, 0 where a variable has no values; or 1."""
    return 1.0 if domain.mask is None else interior_of(np.asarray(domain.mask, np.float32), domain.frame_width)


def _summed(entries: Callable[..., Any], domain: Domain, data: WeatherData) -> list[np.ndarray]:
    block = rows_at_once((0, *data.grid, len(data.names)))
    examples = Examples(data.train, domain)
    cells = _cells(domain)
    summed = jax.jit(lambda domain, batch: [(e * cells).sum((0, 1, 2)) for e in entries(domain, batch)])

    def over(rows: np.ndarray) -> list[np.ndarray]:
        parts = [summed(domain, examples.take(rows[lo : lo + block])) for lo in range(0, len(rows), block)]
        return [np.sum([np.asarray(p, np.float64) for p in one], 0) for one in zip(*parts, strict=True)]

    leads = [over(np.flatnonzero(examples.index[:, 2] == lead)) for lead in domain.times.leads]
    return leads[0] if len(leads) == 1 else [np.stack(one) for one in zip(*leads, strict=True)]


def daily_climatology(data: WeatherData, stats: Statistics) -> np.ndarray:
    """(24, H, W, V) standardised training mean by hour of the day; 0 at hours the data never have."""

    def find() -> dict[str, np.ndarray]:
        total, count = np.zeros((24, *data.grid, len(data.names))), np.zeros(24)
        for series in data.train:
            hour, done = hour_of_day(series.time), 0
            for piece in blocks(series.state):
                np.add.at(total, hour[done : done + len(piece)], (piece - stats.mean) / stats.std)
                done += len(piece)
            count += np.bincount(hour, minlength=24)
        return {"mean": (total / np.maximum(count, 1)[:, None, None, None]).astype(np.float32)}

    scale = np.concatenate([stats.mean, stats.std]).tolist()
    return kept("climatology", data, find, scale=scale)["mean"]
