"""The report of a forecasting run: headline tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.experiment import Best, Estimate, Run
from genkit.terminal import plural
from genkit_weather import diagnostics, figures
from genkit_weather.baselines import ENSEMBLES
from genkit_weather.data import WeatherData
from genkit_weather.events import Events, event_reliability
from genkit_weather.figures import unit, with_unit
from genkit_weather.verification import lead_hours


def report(
    run: Run,
    data: WeatherData,
    forecasts: xr.Dataset,
    truth: xr.Dataset,
    analysis: xr.Dataset,
    baselines: tuple[str, ...],
    events: Events,
    place: Sequence[str] = (),
    stations: Path | None = None,
) -> None:
    """Put tables and figures of a verified forecast into the report of its run; the plume is that of a place."""
    results, frame = run.results, data.frame
    hours = lead_hours(forecasts)
    shown = sorted({f"{hours[i]:g}h" for i in (0, len(hours) // 2 - 1, len(hours) - 1) if i >= 0}, key=_hours)
    compared = [b for b in baselines if any(key.startswith(f"{b}.") for key in results)]
    items, header = run.items, ["", *(with_unit(n, unit(forecasts[n])) for n in data.names)]
    lines = [("RMSE", "rmse"), *((f"RMSE {b}", f"{b}.rmse") for b in compared), ("CRPS", "crps")]
    lines += [(f"CRPS {b}", f"{b}.crps") for b in compared if b in ENSEMBLES]
    lines += [("spread/skill", "ssr")]
    if any(key.startswith("energy/") for key in results):
        lines += [("energy score", "energy"), ("variogram score", "variogram")]
    for lead in shown:
        rows = []
        for title, score in lines:
            rows.append([title, *(_estimate(results, items, f"{score}/{name}/{lead}") for name in data.names)])
        count = plural(forecasts.sizes["start"], "start") + ("; ± is the standard error over them" if items else "")
        caption = f"After {lead}: error of the ensemble mean, CRPS and spread/skill on {count}"
        best: Best = {"RMSE*": "low", "CRPS*": "low"}
        run.table(f"scores_{lead}", header, rows, caption, best, aside=("RMSE oracle", "CRPS oracle"))
    long = sorted({key.rpartition("/")[2] for key in results if key.startswith("growth/")}, key=_hours)
    rows = [[lead, *(results.get(f"growth/{name}/{lead}") for name in data.names)] for lead in long]
    if rows:
        caption = "Long forecasts: largest departure from the climate, in its standard deviations (1 is the climate)"
        if any(f"memory/{name}" in results for name in data.names):
            rows.append(["memory [h]", *(results.get(f"memory/{name}") for name in data.names)])
            caption += "; memory: hours up to which they are better than a regression on the frame alone"
        run.table("growth", ["up to", *data.names], rows, caption)
    for kind, title in (("hour", "hour of the day (UTC)"), ("season", "season")):
        labels = sorted({key.rpartition("/")[2] for key in results if key.startswith(f"rmse_{kind}/")})
        rows = [
            [f"{metric.upper() if metric != 'bias' else 'bias'} {label}",
             *(results.get(f"{metric}_{kind}/{name}/{label}") for name in data.names)]
            for metric in ("rmse", "bias", "crps") for label in labels
        ]  # fmt: skip
        if rows:
            run.table(f"by_{kind}", header, rows, f"Scores by {title} at which a forecast is valid, over all leads")
    _events(run, data, forecasts, truth, events, compared)
    name = run.name.partition(".")[2]
    figure = figures.scores_by_lead(results, data=forecasts, name=name, variables=data.names)
    run.figure("scores", figure, "Error of the ensemble mean, CRPS and spread/skill by lead time, with the baselines.")
    which: Any = {"start": forecasts.sizes["start"] // 2, "analysis": analysis}
    for variable in data.names[:3]:
        figure = figures.forecast_maps(forecasts, truth, variable, frame=frame, **which)
        caption = f"{variable}: truth, ensemble mean, members, error of the mean and spread of one forecast."
        run.figure(f"maps_{variable}", figure, caption)
    figure = figures.plume(forecasts, truth, place=place, stations=stations, **which)
    run.figure("plume", figure, "One cell: members, their mean and the truth.")
    if forecasts.sizes["member"] > 1:
        counts = diagnostics.rank_counts(forecasts, truth, frame=frame)
        figure = figures.rank_histogram(counts, data=forecasts)
        run.figure("ranks", figure, "Rank of the truth among the members; flat is calibrated.")
    if min(data.grid) > 1:
        power = diagnostics.spectra(forecasts, truth, frame=frame)
        figure = figures.spectra(power, data=forecasts)
        run.figure("spectra", figure, "Variance by wavelength of truth, members and ensemble mean.")
    if max(frame) and forecasts.sizes["member"] > 1:
        rings = diagnostics.by_distance(forecasts, truth, frame=frame)
        figure = figures.spread_by_distance(rings, data=forecasts)
        run.figure("distance", figure, "Spread and error by distance to the frame.")


def _events(
    run: Run, data: WeatherData, forecasts: xr.Dataset, truth: xr.Dataset, events: Events, compared: list[str]
) -> None:
    """A table of the scores of events by lead, and their reliability."""
    every = events.by_variable([*map(str, forecasts.data_vars)])
    names = [f"{name}>={level:g}" for name, levels in every.items() for level in levels]
    if not names:
        return
    leads = [f"{h:g}h" for h in lead_hours(forecasts)]
    rows = []
    for name in names:
        for metric, title in (("fss", "FSS"), ("brier", "Brier")):
            for who in ("", *compared):
                key = f"{who}.{metric}" if who else metric
                values = [run.results.get(f"{key}/{name}/{lead}") for lead in leads]
                if any(value is not None for value in values):
                    rows.append([f"{title} {name} {who}".rstrip(), *values])
    width = events.neighbourhood
    caption = f"Events: fractions skill score in squares of {width} x {width} cells, fair Brier score"
    run.table("events", ["", *leads], rows, caption, {"FSS*": "high", "Brier*": "low"})
    if forecasts.sizes["member"] > 1:
        found = event_reliability(forecasts, truth, events, frame=data.frame, weights=data.weights)
        figure = figures.reliability(found, forecasts, "all starts, leads and cells")
        run.figure("reliability", figure, "How often an event came, by the share of members that had it.")


def _hours(lead: str) -> float:
    return float(lead.removesuffix("h"))


def _estimate(results: dict[str, float | None], items: dict[str, np.ndarray], key: str) -> Any:
    """A score with its standard error over the starts, taken as independent; of an RMSE by that of its square."""
    value, squared = results.get(key), key.startswith("rmse/")
    each = items.get(f"mse{key.removeprefix('rmse')}" if squared else key)
    if not value or each is None or len(each) < 2:
        return value
    error = float(each.std(ddof=1)) / len(each) ** 0.5
    return Estimate(value, error / (2 * value) if squared else error)
