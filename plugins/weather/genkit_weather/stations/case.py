"""The verification of a finished run at stations, of all its forecasts or of one date, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run, build_report, clear_report
from genkit.files import write_json
from genkit_weather import figures
from genkit_weather.stations.compare import InSitu, at_stations, observed
from genkit_weather.stations.report import report as add_stations
from genkit_weather.stations.scores import station_scores, thresholds


def verify_run(run: Run, options: InSitu, date: str | None = None) -> Path:
    """Write stations/<file>[-<date>]/ in the run folder and return it."""
    experiment: Any = run.config
    if not hasattr(experiment, "case"):
        raise UsageError(f"{run.folder} is a run of {run.name}, which makes no weather forecasts")
    data = experiment.weather(run)
    label = Path(options.file or "").stem
    if date is None:
        truth = None
        with experiment.forecasts(run) as file:
            forecast = file.load()
    else:
        when = _moment(date)
        forecast, truth = experiment.case(run, when)
        label += f"-{when.astype('datetime64[m]').astype(str).replace(':', '')}"
    found = observed(options, forecast, data.frame)
    events = thresholds(options.thresholds, found)
    results = station_scores(at_stations(forecast, found, options.method), found, events)
    # baselines of the whole run are on its own starts, so a single date has none
    for name, other in [] if date else experiment.baseline_forecasts(run, data):
        results |= station_scores(at_stations(other, found, options.method), found, events, name)
    one = run.part(f"stations/{label}")
    clear_report(one.folder)
    write_json(one.folder / "results.json", results)
    add_stations(one, options, forecast, data.frame, results)
    if truth is not None:
        for name in [n for n in data.names if n in found][:3]:
            figure = figures.forecast_maps(forecast, truth, name, frame=data.frame)
            one.figure(f"maps_{name}", figure, f"{name}: truth, ensemble mean, members and spread.")
    about = f"Verification at the stations of {found.attrs['source']}" + (f", forecast from {date}" if date else "")
    build_report(one.folder, run.name, about)
    return one.folder


def _moment(date: str) -> np.datetime64:
    try:
        return np.datetime64(date.removesuffix("Z"), "s")
    except ValueError:
        raise UsageError(f"--date {date!r} is no date; write 2020-02-08T12") from None
