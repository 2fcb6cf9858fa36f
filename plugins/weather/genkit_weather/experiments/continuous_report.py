"""What a report of continuous ensembles has beyond that of any forecast."""

from __future__ import annotations

import numpy as np
import xarray as xr

from genkit.experiment import Run
from genkit_weather import figures
from genkit_weather.data import WeatherData
from genkit_weather.lam import Coupling
from genkit_weather.verification import lead_hours, scores


def report(
    run: Run,
    data: WeatherData,
    files: dict[str, xr.Dataset],
    blocks: dict[Coupling, xr.Dataset],
    truth: xr.Dataset,
    analysis: xr.Dataset,
) -> None:
    """Tables and figures of models and noises that are compared.

    Args:
        run: with its results.
        data: the weather.
        files: forecasts by name of the model, "" the one in question.
        blocks: the first block with each noise.
        truth: of all forecasts.
        analysis: true states at the start, interior.
    """
    results, models = run.results, [name for name in files if name not in blocks]
    names = {"": "ARCI", **{name: name for name in models if name}}
    costs = {title: results.get(f"calls/{name or 'arci'}") for name, title in names.items()}
    rows = [[title, cost] for title, cost in costs.items()]
    run.table("calls", ["", "calls"], rows, "Network calls in sequence of a member and day", {"calls": "low"})
    last = lead_hours(files[""])[-1]
    header, rows = ["", *data.names], []
    for name in models:
        if name and lead_hours(files[name])[-1] == last:
            rows.append([f"less than {name}", *_gains(files[""], files[name], truth, data)])
    if rows:
        caption = f"RMSE after {last:g} h: share by which it is less than the other's, mean and std over the starts"
        run.table("gains", header, rows, caption)
    if len(models) > 1:
        figure = figures.systems_by_lead(results, names, costs, data=files[""], variables=data.names)
        run.figure(
            "systems", figure, "Error by lead time of continuous and of autoregressive forecasts, and their cost."
        )
    if blocks:
        rows = [
            [f"{title} {noise}", *(results.get(f"{key}/{noise}/{name}") for name in data.names)]
            for key, title in (("dx", "dX"), ("correlation", "correlation"))
            for noise in blocks
        ]
        caption = (
            "Steps of a member over those of the truth (dX), correlation of its departure with that at the next lead"
        )
        run.table("coherence", header, rows, caption)
        run.figure("coherence", figures.coherence(results, list(blocks), data=files[""]), caption + ", by noise.")
        figure = figures.noises(blocks, truth.isel(y=data.interior[0], x=data.interior[1]), analysis)
        run.figure(
            "noises", figure, "One cell in the first block: members whose noise is one, or changes over the leads."
        )


def _gains(own: xr.Dataset, other: xr.Dataset, truth: xr.Dataset, data: WeatherData) -> list[str]:
    """Mean and std over the starts of 1 - RMSE / RMSE of the other, by variable, at the last lead."""
    options = {"frame": data.frame, "weights": data.weights}
    two = [scores(file.isel(lead=[-1]), truth, **options) for file in (own, other)]  # type: ignore[arg-type]
    shares = []
    for name in data.names:
        a, b = (np.sqrt(table[name].sel(score="mse").values[:, 0]) for table in two)
        gain = 1 - a / b
        shares.append(f"{gain.mean():.3f} ± {gain.std(ddof=min(1, len(gain) - 1)):.3f}")
    return shares
