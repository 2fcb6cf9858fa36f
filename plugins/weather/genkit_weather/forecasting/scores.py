"""Scores of one forecast file against a file of what came."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genkit.errors import DataError
from genkit_weather.forecasting.files import dataset, read
from genkit_weather.forecasting.inputs import at_times, open_file
from genkit_weather.models import WeatherModel
from genkit_weather.verification import lead_hours, verify


def scored(forecast: Path, truth: Path, model: WeatherModel) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: a row a lead, RMSE and CRPS of each variable."""
    area = model.area
    with read(forecast) as made:
        came = open_file(truth, area)
        hours = lead_hours(made)
        start = made["start"].values[0].astype("datetime64[s]")
        when = start + (hours * 3600).astype("timedelta64[s]")
        states, mask = at_times(came, area, when, str(truth))[None], model.domain.mask
        if not np.isfinite(states if mask is None else states[..., np.asarray(mask)]).all():
            raise DataError(f"{truth} has values that are not finite; fill or cut them")
        states = states if mask is None else np.where(mask, states, np.float32("nan"))
        true = dataset(states, area, np.array([start]), range(1, len(hours) + 1))  # type: ignore[arg-type]
        results = verify(made.load(), true, frame=area.frame, names=("rmse", "crps"))
    metrics = [(m, n, u) for m in ("rmse", "crps") for n, u in zip(area.names, area.units, strict=True)]
    rows = [[f"{h:g} h", *(f"{results[f'{m}/{n}/{h:g}h']:.4g}" for m, n, _ in metrics)] for h in hours]
    return ["after", *(f"{m.upper()} {n} [{u}]" for m, n, u in metrics)], rows
