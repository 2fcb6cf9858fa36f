"""Scores of analyses, against the truth and against withheld stations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genkit_weather.assimilation import Climate, Observed
from genkit_weather.cycling.cycle import Record


def analysis_scores(
    name: str, variables: Sequence[str], states: np.ndarray, truth: np.ndarray, std: np.ndarray
) -> dict[str, float]:
    """`analysis.rmse`, `analysis.crps` and `analysis.ssr` of members (T, M, h, w, V) against truth (T, h, w, V).

    Errors of the ensemble mean and the fair CRPS are in the units of the variables, whose std (V,) is that of one; the
    spread/skill ratio is sqrt((M + 1) / M) times the spread over the error.
    """
    from genkit import metrics

    over, members = (0, 1, 2), states.shape[1]
    rmse = np.sqrt(np.square(states.mean(1) - truth).mean(over))
    spread = np.sqrt(states.var(1, ddof=1).mean(over)) if members > 1 else np.zeros(len(std))
    crps = np.asarray(metrics.crps(states, truth, axis=1, reduce=over)) * std
    ssr = np.sqrt((members + 1) / members) * spread / np.maximum(rmse, 1e-12)
    table = {"rmse": rmse * std, "crps": crps, "ssr": ssr}
    return {
        f"analysis.{m}/{name}/{v}": float(x) for m, row in table.items() for v, x in zip(variables, row, strict=True)
    }


def forecast_scores(
    name: str, variables: Sequence[str], forecasts: np.ndarray, truth: np.ndarray, std: np.ndarray, hours: float
) -> dict[str, float]:
    """`forecast.rmse/<method>/<variable>/<lead>` of members (K, leads, M, h, w, V) and truth (K, leads, h, w, V)."""
    rmse = np.sqrt(np.square(forecasts.mean(2) - truth).mean((0, 2, 3))) * std
    return {
        f"forecast.rmse/{name}/{v}/{hours * (lead + 1):g}h": float(x)
        for lead, row in enumerate(rmse)
        for v, x in zip(variables, row, strict=True)
    }


def withheld_scores(
    name: str, quantities: Sequence[str], states: np.ndarray, withheld: Sequence[Observed | None]
) -> dict[str, float | None]:
    """`withheld.rmse/<method>/<quantity>` of the mean prediction, errors of the observations included."""
    parts = [_squares(one, seen) for one, seen in zip(states, withheld, strict=True) if seen is not None]
    if not parts:
        return {}
    square, there = (np.stack(a).reshape(len(parts), -1, len(quantities)) for a in zip(*parts, strict=True))
    count = there.sum((0, 1))
    total = np.where(there, square, 0.0).sum((0, 1))
    return {
        f"withheld.rmse/{name}/{q}": float(np.sqrt(s / n)) if n else None
        for q, s, n in zip(quantities, total, count, strict=True)
    }


def _squares(members: np.ndarray, seen: Observed) -> tuple[np.ndarray, np.ndarray]:
    return np.square(seen.y - seen.predict(members).mean(0)), np.asarray(seen.there)


def record_scores(name: str, record: Record) -> dict[str, float | None]:
    """`seconds/<method>` of the median cycle, `innovation.chi2/<method>` (1 is right) and what the method said."""
    results: dict[str, float | None] = {f"seconds/{name}": float(np.median(record.seconds))}
    if record.innovations.size:
        seen = record.innovations[record.innovations != 0]
        results[f"innovation.chi2/{name}"] = float(np.square(seen).mean()) if seen.size else None
    return results | {key: float(np.mean(values)) for key, values in record.said.items() if len(values)}


def distance(climate: Climate, states: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the variables of the RMSE of the mean over the std of the climate: what a tuning makes least."""
    spread = np.sqrt(np.asarray(climate.covariance.variance).reshape(climate.shape).mean((0, 1)))
    rmse = np.sqrt(np.square(states.mean(1) - truth).mean((0, 1, 2)))
    return float((rmse / np.maximum(spread, 1e-12)).mean())


def ranks(states: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(V, M + 1) counts of the truth's rank among the members (T, M, h, w, V)."""
    rank = (states < truth[:, None]).sum(1)
    members = states.shape[1]
    return np.stack([np.bincount(rank[..., v].ravel(), minlength=members + 1) for v in range(rank.shape[-1])])


def tables(results: Mapping[str, float | None], metric: str, methods: Sequence[str], names: Sequence[str]) -> list:
    """Rows (method, a number a variable) of `<metric>/<method>/<variable>`."""
    return [[m, *(results.get(f"{metric}/{m}/{v}") for v in names)] for m in methods]
