"""Tables and figures of a verification at stations, for the report of a run or of one case."""

from __future__ import annotations

import numpy as np
import xarray as xr

from genkit.experiment import Run
from genkit_weather import figures
from genkit_weather.stations.compare import InSitu, at_stations, observed
from genkit_weather.stations.scores import station_reliability, thresholds
from genkit_weather.verification import lead_hours

TITLES = {"rmse": "RMSE", "mae": "MAE", "bias": "Bias", "crps": "CRPS"}


def report(
    run: Run,
    options: InSitu,
    forecast: xr.Dataset,
    frame: tuple[int, int],
    results: dict[str, float | None],
    start: int | None = None,
) -> None:
    """Put the scores at stations, time series and maps of one start (by default the middle one) into a report."""
    found = observed(options, forecast, frame)
    start = found.sizes["start"] // 2 if start is None else start
    for note in found.attrs["notes"]:
        run.say(note)
    names = list(map(str, found.data_vars))
    here = at_stations(forecast, found, options.method)
    hours = lead_hours(found)
    for lead in dict.fromkeys(float(hours[i]) for i in (0, len(hours) // 2, -1)):
        rows = [
            [title, *(results.get(f"station_{metric}/{name}/{lead:g}h") for name in names)]
            for metric, title in TITLES.items()
        ]
        count = int(np.isfinite(found[names[0]].sel(lead=lead)).sum())
        caption = f"After {lead:g}h at {found.sizes['station']} stations, {count} observations of each variable"
        header = ["", *(figures.with_unit(name, figures.unit(found[name])) for name in names)]
        run.table(f"stations_{lead:g}h", header, rows, caption)
    called = run.name.partition(".")[2]
    figure = figures.station_scores(results, found, name=called, variables=names[:6])
    run.figure("stations", figure, f"Scores at the stations of {found.attrs['source']} by lead time.")
    if here.sizes["member"] > 1:
        events = {name: levels for name, levels in thresholds(options.thresholds, found).items() if levels}
        figure = figures.reliability(station_reliability(here, found, events), found, "all starts, leads and stations")
        run.figure("stations_reliability", figure, "How often an event came, by the share of members that had it.")
    for name in names[:3]:
        figure = figures.station_series(here, found, name, start=start)
        run.figure(f"stations_{name}", figure, f"{name}: forecast and observations at some stations.")
        if name in forecast:
            figure = figures.station_map(forecast, here, found, name, start=start, frame=frame)
            run.figure(f"stations_map_{name}", figure, f"{name}: ensemble mean and observations, and errors below.")
