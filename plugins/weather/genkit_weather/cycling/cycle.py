"""The cycle: a forecast of each member by any model of one step, an analysis of each, and so on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit_weather.assimilation import Climate, Observed, departures
from genkit_weather.cycling.methods import Method
from genkit_weather.data import Series
from genkit_weather.lam import STEP, Outlook, forecast
from genkit_weather.models import WeatherModel


@dataclass(frozen=True)
class Record:
    """What a cycle gave; standardised states of the interior."""

    states: np.ndarray
    """(T, M, h, w, V) analyses"""
    backgrounds: np.ndarray
    """(T, h, w, V) means of the forecasts that were analysed; of what is not cycled what is expected from the frame"""
    forecasts: np.ndarray
    """(K, leads, M, h, w, V) from some of them"""
    innovations: np.ndarray
    """(T, m) departures of observations from the background over their expected size; none of what is not cycled"""
    seconds: np.ndarray
    """(T,) of the forecast of one step and the analysis"""
    said: dict[str, np.ndarray]
    """(T,) what the method said, by name"""


class Forecasts:
    """Ensembles of a model from members that are given, standardised; for models of one step of the data."""

    def __init__(self, model: WeatherModel, climate: Climate, series: Series, seed: int):
        if model.times != STEP:
            raise UsageError("assimilation needs a model of one step that knows two states, as crps_lam or diffusion")
        if model.surroundings is not None:
            raise UsageError("assimilation needs a model whose boundary is a frame, not a second data set")
        if model.transform is not None:
            raise UsageError("assimilation needs a model that sees its variables as they are; train one without --log")
        self.stepper = jax.device_put(model.stepper)
        self.climate, self.series, self.key = climate, series, jax.random.key(seed)
        unknown = np.broadcast_to(np.float32(np.nan), series.state.shape)
        self.given = replace(series, analysis=unknown)  # the states are those that are handed over, none of the series

    def __call__(self, start: int, before: np.ndarray, prev: np.ndarray, leads: int) -> np.ndarray:
        """(leads, M, h, w, V) after 1, 2, ... steps from a time of the series."""
        domain, members = self.stepper.domain, len(prev)
        outlook = Outlook.build(domain, self.given, [start], leads)
        given = jax.tree.map(
            lambda a: np.repeat(np.moveaxis(a, 0, 1), members, 1), (outlook.forcing, outlook.climate, outlook.outside)
        )
        slots = np.stack([np.repeat(outlook.time, members), np.arange(members)], -1).astype(np.int32)
        # of the model's own statistics, whatever it was trained on; new arrays, since their memory is given away
        mean, std = np.asarray(domain.mean), np.asarray(domain.std)
        states = tuple(jax.numpy.array((self.climate.physical(a) - mean) / std, "float32") for a in (before, prev))
        frame = np.repeat(np.moveaxis(outlook.frame, 0, 1), members, 1)
        _, out = forecast(self.key, self.stepper, states, frame, *given, slots, np.arange(leads, dtype=np.int32))
        return self.climate.standard(out)


def cycle(
    method: Method,
    first: Method,
    forecasts: Forecasts,
    observed: Mapping[int, Observed],
    rows: Sequence[int],
    members: int,
    seed: int,
    every: int = 0,
    leads: int = 0,
) -> Record:
    """Analyses at consecutive times of a series; the first two, which `first` makes without a forecast, do not count.

    Args:
        method: of the analyses.
        first: a method that is not cycled.
        forecasts: of the model.
        observed: observations by time; a time without any has the forecast alone.
        rows: times of the series, T + 2.
        members: M.
        seed: of all draws.
        every: forecasts are made from every so many analyses; 0 makes none.
        leads: steps of these.
    """
    climate, series = forecasts.climate, forecasts.series
    blank = np.zeros((members, *climate.shape), np.float32)
    past = [_analysis(first, seed, blank, climate, series, row, observed) for row in rows[:2]]
    before, prev = (analysed.states for analysed in past)
    states, given, ahead, innovations, seconds, said = [], [], [], [], [], []
    for number, row in enumerate(rows[2:]):
        begin, background = time.perf_counter(), blank
        if method.cycled:
            background = forecasts(row - 1, before, prev, 1)[0]
            if row in observed:
                innovations.append(departures(observed[row], background))
        analysed = _analysis(method, seed, background, climate, series, row, observed)
        before, prev = prev, np.asarray(analysed.states)
        seconds.append(time.perf_counter() - begin)
        states.append(prev)
        given.append(background.mean(0) if method.cycled else climate.situation(series, [row]).expected[0])
        said.append(analysed.said)
        if every and number % every == 0:
            ahead.append(forecasts(row, before, prev, leads))
    return Record(
        np.stack(states).astype(np.float32),
        np.stack(given).astype(np.float32),
        np.stack(ahead).astype(np.float32) if ahead else np.zeros((0, leads, *blank.shape), np.float32),
        np.stack(innovations) if innovations else np.zeros((0, 0)),
        np.array(seconds),
        {name: np.array([one[name] for one in said if name in one]) for name in (said[-1] if said else {})},
    )


def _analysis(
    method: Method, seed: int, background: np.ndarray, climate: Climate, series: Series, row: int, observed: Any
) -> Any:
    rng = np.random.default_rng((seed, row))
    if row not in observed:
        nothing = next(iter(observed.values()))
        observed = {row: nothing.without()}
    return method(rng, background, climate.situation(series, [row]), observed[row])
