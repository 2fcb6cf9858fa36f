"""Scores of a forecast by variable and lead time, over the interior cells and all starts.

Forecasts are Datasets (start, lead, member, y, x), truths (start, lead, y, x), as `forecasts.read` and
`forecasts.dataset` give them; a forecast without members counts as an ensemble of one. Cells whose truth is NaN at all
starts and leads have no values (`WeatherData.mask`) and do not count.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from genkit import metrics
from genkit.errors import DataError, UsageError
from genkit_weather.area import hour_of_day
from genkit_weather.data import Statistics, WeatherData

METRICS = ("rmse", "mae", "bias", "crps", "spread", "ssr", "energy", "variogram")
OF_SEVERAL = ("spread", "ssr", "energy", "variogram")  # members
MEANS = ("mse", "mae", "crps", "energy", "variogram")  # over the starts, so that a bootstrap may resample these
CHUNK_BYTES = 64 * 2**20  # of one variable, read and scored at once
ORDER = ("start", "lead", "member", "y", "x")


def verify(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    *,
    frame: tuple[int, int] = (0, 0),
    weights: np.ndarray | None = None,
    baseline: str | None = None,
    names: tuple[str, ...] = METRICS,
) -> dict[str, float | None]:
    """Flat results `<metric>/<variable>/<lead>`, as rmse/z_up/6h, in the units of the variable.

    rmse, mae and bias are those of the ensemble mean, crps is the fair one, spread the root of the mean
    unbiased variance, ssr = sqrt((M + 1) / M) spread / rmse; energy is the fair score of the whole field, in units
    times the root of the number of cells, variogram that of pairs of cells up to two apart; also crps_biased. All means
    come before the roots. A single member has a crps, its absolute error, and none that need several. None where the
    forecast is not finite.

    Args:
        forecast: what is scored; its starts and leads must be in `truth`.
        truth: the truth.
        frame: cells (fy, fx) on each side that do not count.
        weights: (y, x) of all cells, 0 = does not count. Only ratios matter. The variogram score, which knows no
            weights, is None where cells have no values.
        baseline: name put before the metric, as persistence.rmse/z_up/6h.
        names: which metrics.
    """
    return summary(scores(forecast, truth, frame=frame, weights=weights), baseline, names)


def summary(
    table: xr.Dataset, baseline: str | None = None, names: tuple[str, ...] = METRICS
) -> dict[str, float | None]:
    """The results of `verify` from the `scores` of each start."""
    prefix = "" if baseline is None else f"{baseline}."
    results: dict[str, float | None] = {}
    for name in names:
        for variable, values in _summary(table, name).items():
            for lead, value in zip(table["lead"].values, values, strict=True):
                key = f"{prefix}{name}/{variable}/{float(lead):g}h"
                results[key] = float(value) if np.isfinite(value) else None
    return results


def by_start(table: xr.Dataset) -> dict[str, np.ndarray]:
    """Scores of each start (start,) as `<score>/<variable>/<lead>`, those whose mean is a score again."""
    return {
        f"{kind}/{name}/{float(lead):g}h": table[name].sel(score=kind, lead=lead).values
        for name in map(str, table.data_vars)
        for kind in MEANS
        if kind in table["score"].values
        for lead in table["lead"].values
    }


def by_validity(table: xr.Dataset) -> dict[str, float | None]:
    """`rmse_hour/t2m/06` and `rmse_season/t2m/JJA`, also bias and crps: of the `scores` of all starts and leads.

    Cases are grouped by the hour (UTC) and by the season (DJF, MAM, JJA, SON) at which they are valid; where all fall
    in one group it is left out.
    """
    lead = (table["lead"].values * 3600).round().astype("timedelta64[s]")
    valid = table["start"].values.astype("datetime64[s]")[:, None] + lead
    hour = hour_of_day(valid)
    month = valid.astype("datetime64[M]").astype(int) % 12
    groups = {
        "hour": [(f"{h:02d}", hour == h) for h in np.unique(hour)],
        "season": [(name, (month + 1) % 12 // 3 == i) for i, name in enumerate(("DJF", "MAM", "JJA", "SON"))],
    }
    results: dict[str, float | None] = {}
    for kind, cases in groups.items():
        cases = [(label, where) for label, where in cases if where.any()]
        for metric in ("rmse", "bias", "crps") if len(cases) > 1 else ():
            for name in map(str, table.data_vars):
                values = table[name].sel(score="mse" if metric == "rmse" else metric).values.astype(np.float64)
                for label, where in cases:
                    value = values[where].mean() ** (0.5 if metric == "rmse" else 1)
                    results[f"{metric}_{kind}/{name}/{label}"] = float(value) if np.isfinite(value) else None
    return results


def growth(forecast: xr.Dataset, climate: Statistics, *, frame: tuple[int, int] = (0, 0)) -> dict[str, float | None]:
    """`growth/<variable>/<last lead>`: how far a long forecast strays, in standard deviations of the climate.

    The largest over all leads up to that one of the root mean square departure of interior cells, members and
    starts from the training mean, divided by the training std: about 1 for a model that keeps to its climate.
    None where the forecast is not finite.
    """
    (fy, fx), last = frame, f"{lead_hours(forecast)[-1]:g}h"
    results: dict[str, float | None] = {}
    for v, name in enumerate(map(str, forecast.data_vars)):
        cells = forecast[name].isel(y=slice(fy, forecast.sizes["y"] - fy), x=slice(fx, forecast.sizes["x"] - fx))
        cells = cells.stack(cell=("y", "x")).dropna("cell", how="all")
        away = (cells.astype(np.float64) - float(climate.mean[v])) / float(climate.std[v])
        squares = (away**2).mean([d for d in away.dims if d != "lead"], skipna=False)
        worst = float(squares.max(skipna=False)) ** 0.5
        results[f"growth/{name}/{last}"] = worst if np.isfinite(worst) else None
    return results


def memory(
    forecast: xr.Dataset,
    by_frame: xr.Dataset,
    truth: xr.Dataset,
    *,
    frame: tuple[int, int],
    weights: np.ndarray | None = None,
) -> dict[str, float | None]:
    """`memory/<variable>`: hours up to which a long forecast is better than a regression on the frame alone.

    What is worse would do as well without its initial state.
    """
    own, floor = (verify(f, truth, frame=frame, weights=weights, names=("rmse",)) for f in (forecast, by_frame))
    results: dict[str, float | None] = {}
    for name in map(str, forecast.data_vars):
        results[f"memory/{name}"] = 0.0
        for hours in lead_hours(forecast):
            mine, other = (found[f"rmse/{name}/{hours:g}h"] for found in (own, floor))
            if mine is None or other is None or mine >= other:
                break
            results[f"memory/{name}"] = float(hours)
    return results


def scores(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    *,
    frame: tuple[int, int] = (0, 0),
    weights: np.ndarray | None = None,
) -> xr.Dataset:
    """Scores of each start, (score, start, lead) a variable: `verify` averages them, a bootstrap resamples.

    Scores: mse, mae and bias of the ensemble mean, crps (fair), crps_biased; variance, energy and
    variogram from two members on.
    """
    table = {}
    for name, ens, obs, cells, known in pieces(forecast, truth, frame):
        w = None if weights is None else jnp.asarray(np.asarray(weights)[cells], jnp.float32)
        w = w if known is None else known.astype(np.float32) if w is None else w * known
        part = {k: np.asarray(v) for k, v in _each(ens, obs, w).items()}
        if known is not None and "variogram" in part:
            part["energy"] = part["energy"] * np.sqrt(known.mean())  # the norm is over the cells that count
            part["variogram"] = np.full_like(part["variogram"], np.nan)
        table.setdefault(name, []).append(part)
    starts, leads = forecast["start"], lead_hours(forecast)
    arrays = {}
    for name, parts in table.items():
        kinds = list(parts[0])
        stacked = np.concatenate([np.stack([part[k] for k in kinds]) for part in parts], axis=1)
        arrays[name] = xr.DataArray(
            stacked[:, : starts.size],
            dims=("score", "start", "lead"),
            coords={"score": kinds, "start": starts.values, "lead": leads},
        )
    members = forecast.sizes.get("member", 1)
    return xr.Dataset(arrays, attrs={"members": members})


def pieces(
    forecast: xr.Dataset, truth: xr.Dataset, frame: tuple[int, int] = (0, 0)
) -> Iterator[tuple[str, jax.Array, jax.Array, tuple[slice, slice], np.ndarray | None]]:
    """Variable by variable, some starts at a time: (name, ens (S, L, M, y, x), obs (S, L, y, x), interior, known).

    S is the same for all pieces: the last one repeats its last start. `known` (y, x) is False at cells without values,
    where ens and obs are 0; None where all have.
    """
    truth = aligned(truth, forecast)
    count, per_start = forecast.sizes["start"], 1
    for dim in ORDER[1:]:
        per_start *= forecast.sizes.get(dim, 1)
    size = max(1, min(count, CHUNK_BYTES // (4 * per_start)))
    for name in map(str, forecast.data_vars):
        field = forecast[name] if "member" in forecast[name].dims else forecast[name].expand_dims("member")
        h, w = field.sizes["y"], field.sizes["x"]
        cells = slice(frame[0], h - frame[0]), slice(frame[1], w - frame[1])
        known = truth[name].isel(y=cells[0], x=cells[1]).notnull().any(("start", "lead")).transpose("y", "x").values
        known = None if known.all() else known
        for lo in range(0, count, size):
            rows = np.minimum(np.arange(lo, lo + size), count - 1)
            part = {"start": rows, "y": cells[0], "x": cells[1]}
            ens = field.isel(part).transpose(*ORDER).values
            obs = truth[name].isel(part).transpose("start", "lead", "y", "x").values
            if known is not None:
                ens, obs = np.where(known, ens, 0), np.where(known, obs, 0)
            if not np.isfinite(obs).all() or (known is not None and not known.any()):
                raise DataError(f"truth of {name} is not finite; choose starts and leads inside the data")
            yield name, jnp.asarray(ens, jnp.float32), jnp.asarray(obs, jnp.float32), cells, known


def aligned(truth: xr.Dataset, forecast: xr.Dataset) -> xr.Dataset:
    """The part of the truth that belongs to the forecast; refuses what is missing."""
    for name in map(str, forecast.data_vars):
        if name not in truth:
            raise DataError(f"truth has no variable {name}; it has {', '.join(map(str, truth.data_vars))}")
    truth = truth.assign_coords(lead=lead_hours(truth))
    same = np.array_equal(truth["start"].values, forecast["start"].values)  # times of several series may repeat
    try:
        truth = truth.sel(lead=lead_hours(forecast))
        truth = truth if same else truth.sel(start=forecast["start"].values)
    except KeyError as error:
        raise DataError(f"truth lacks starts or leads of the forecast: {error.args[0]}") from None
    for dim in ("y", "x"):
        have, want = truth.sizes[dim], forecast.sizes[dim]
        if have != want:
            raise DataError(f"truth has {have} cells along {dim}, the forecast {want}; cut both to one area")
    return truth


def lead_hours(data: xr.Dataset) -> np.ndarray:
    """Lead times in hours, also where xarray has decoded them as time differences."""
    lead = data["lead"].values
    if np.issubdtype(lead.dtype, np.timedelta64):
        return lead / np.timedelta64(1, "h")
    return lead.astype(np.float64)


@jax.jit
def _each(ens: jax.Array, obs: jax.Array, weights: jax.Array | None) -> dict[str, jax.Array]:
    """Scores (S, L) of ens (S, L, M, y, x); one lead at a time, so that memory holds the members of one."""
    mean = partial(_mean_cells, weights)

    def at_lead(pair: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        x, y = pair
        error = x.mean(axis=1) - y
        result = {
            "mse": mean(jnp.square(error)),
            "mae": mean(jnp.abs(error)),
            "bias": mean(error),
            "crps": metrics.crps(x, y, weights, True, 1, (-2, -1)),
            "crps_biased": metrics.crps(x, y, weights, False, 1, (-2, -1)),
        }
        if x.shape[1] > 1:
            result["variance"] = metrics.variance(x, weights, 1, (-2, -1))
            result["energy"] = metrics.energy_score(x, y, weights, True, 1, (-2, -1), ())
            result["variogram"] = metrics.variogram_score(x, y, axis=1, reduce=())
        return result

    by_lead = jax.lax.map(at_lead, (ens.swapaxes(0, 1), obs.swapaxes(0, 1)))
    return jax.tree.map(jnp.transpose, by_lead)


def _mean_cells(weights: jax.Array | None, x: jax.Array) -> jax.Array:
    return metrics.weighted_mean(x, weights, (-2, -1))


def _summary(table: xr.Dataset, name: str) -> Mapping[str, np.ndarray]:
    """Metric `name` by lead for each variable; empty where a single member has none."""
    kinds, members = set(table["score"].values), table.attrs["members"]
    average = table.astype(np.float64).mean("start", skipna=False)
    variables = [str(v) for v in table.data_vars]

    def score(variable: str, kind: str) -> np.ndarray:
        return average[variable].sel(score=kind).values

    if name in OF_SEVERAL and "variance" not in kinds:
        return {}
    if name == "rmse":
        return {v: np.sqrt(score(v, "mse")) for v in variables}
    if name == "spread":
        return {v: np.sqrt(score(v, "variance")) for v in variables}
    if name == "ssr":
        ratio = (members + 1) / members
        with np.errstate(divide="ignore", invalid="ignore"):
            return {v: np.sqrt(ratio * score(v, "variance") / score(v, "mse")) for v in variables}
    return {v: score(v, name) for v in variables}


def latitude_weights(data: WeatherData) -> np.ndarray:
    """(H, W) area of the cells of a grid of latitudes and longitudes, of mean 1.

    cos(lat); where rows lie on the poles, cos(lat) sin(dlat / 2) and sin^2(dlat / 4) at the poles, the exact shares of
    rows that are bounded half-way between latitudes (WeatherBench 2).
    """
    if data.lat is None:
        raise UsageError(f"{data.source} has no latitudes; leave the weights of latitude out")
    lat = np.deg2rad(np.asarray(data.lat, np.float64))
    pole = np.abs(lat) > np.pi / 2 - 1e-6
    weights = np.cos(lat)
    if pole.any():
        step = float(np.abs(np.diff(lat[:, 0])).max())
        weights = np.where(pole, np.sin(step / 4) ** 2, weights * np.sin(step / 2))
    return weights / weights.mean()
