"""The report of a study of analyses: tables of all methods and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genkit.experiment import Run
from genkit_weather import figures
from genkit_weather.assimilation import Climate
from genkit_weather.cycling import Case, Record, ranks, tables
from genkit_weather.data import WeatherData

SHOWN = ("oi_diffusion", "daisi", "letkf", "forecast_oi", "oi")  # whose maps are drawn: the first that there is
WORST = 12  # stations of the table of departures


def report(
    run: Run,
    data: WeatherData,
    climate: Climate,
    case: Case,
    quantities: Sequence[str],
    records: Mapping[str, Record],
    chosen: Mapping[str, Mapping[str, float]],
) -> None:
    """Put tables and figures of a finished study into its report."""
    results, methods = run.results, list(records)
    units = [figures.with_unit(n, figures.printed(u)) for n, u in zip(data.names, data.units, strict=True)]
    for metric, title, best in (("rmse", "Error of the mean analysis", "low"), ("crps", "Fair CRPS", "low"),
                                ("ssr", "Spread/skill; 1 is right", None)):  # fmt: skip
        rows = tables(results, f"analysis.{metric}", methods, data.names)
        marks: Any = {name: best for name in units} if best else None
        run.table(metric, ["", *units], rows, f"{title}, {len(case.rows) - 2} analyses", marks)
    if case.withheld:
        rows = tables(results, "withheld.rmse", methods, quantities)
        run.table("withheld", ["", *quantities], rows, "Error at withheld stations, those of the observations included")
    last = max((k.rpartition("/")[2] for k in results if k.startswith("forecast.rmse/")), key=_hours, default="")
    if last:
        rows = [[m, *(results.get(f"forecast.rmse/{m}/{v}/{last}") for v in data.names)] for m in methods]
        run.table("forecasts", ["", *units], rows, f"Error of mean forecasts of {last} from the analyses")
    rows = [
        [m, ", ".join(f"{k} {v:g}" for k, v in chosen.get(m, {}).items()), results.get(f"seconds/{m}"),
         results.get(f"innovation.chi2/{m}")]
        for m in methods
    ]  # fmt: skip
    run.table("methods", ["", "tuned", "seconds a cycle", "innovation χ²"], rows, "Tuning, cost and innovations")
    columns = ["station", "observations", "left out", "mean departure", "root mean square"]
    title = "Quality control: departures from what the frame tells, in their expected standard deviations; the largest"
    run.table("stations", columns, case.by_station()[:WORST], title)
    _figures(run, data, climate, case, records)


def _figures(run: Run, data: WeatherData, climate: Climate, case: Case, records: Mapping[str, Record]) -> None:
    truth = climate.states(case.series, case.rows[2:])
    std = np.asarray(climate.std)
    errors = {m: np.sqrt(np.square(r.states.mean(1) - truth).mean((1, 2))) * std for m, r in records.items()}
    figure = figures.errors_by_cycle(errors, data.names, list(map(figures.printed, data.units)), data.step_hours)
    run.figure("errors", figure, "Error of the mean analysis by time, of all methods.")
    counts = {m: ranks(r.states, truth) for m, r in records.items() if m != "free"}
    if counts:
        figure = figures.analysis_ranks(counts, data.names)
        run.figure("ranks", figure, "Rank of the truth among the members; flat is calibrated.")
    departures = {"the frame": case.departed[np.isfinite(case.departed)]}
    departures |= {m: r.innovations[r.innovations != 0] for m, r in records.items() if r.innovations.size}
    figure = figures.innovations(departures)
    note = "Departures of all observations from what the frame tells, and of those that are used from the backgrounds."
    run.figure("innovations", figure, note)
    name = next((m for m in SHOWN if m in records), next(iter(records)))
    states, background, middle = records[name].states, records[name].backgrounds, len(truth) // 2
    row = case.rows[2:][middle]
    seen = case.given.get(row)
    place = np.zeros((0, 2)) if seen is None else np.unique(seen.place[np.asarray(seen.there)], axis=0)
    before = climate.physical(background[middle])
    for v, variable in enumerate(data.names[:3]):
        analysis = climate.physical(states[middle].mean(0))
        fields = {
            "truth": climate.physical(truth[middle]),
            "background": before,
            "analysis": analysis,
            "increment": analysis - before,
            "spread": states[middle].std(0, ddof=1) * std,
        }
        shown = {title: field[..., v] for title, field in fields.items()}
        note = f"{name} at {case.series.time[row]}; dots: stations"
        figure = figures.analysis_maps(shown, variable, figures.printed(data.units[v]), place, note)
        run.figure(
            f"maps_{variable}", figure, f"{variable}: truth, background, analysis of {name}, increment and spread."
        )


def _hours(lead: str) -> float:
    return float(lead.removesuffix("h"))
