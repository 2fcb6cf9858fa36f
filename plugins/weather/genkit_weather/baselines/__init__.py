"""Forecasts that need no training worth the name: what a model has to beat.

A baseline is a frozen dataclass of options with `fit(data) -> forecast`, and `forecast(series, starts, leads)`
returns float32 (start, lead, member, H, W, V) in physical units. All but climatology and the oracle carry the given
boundary data in the frame.
"""

from genkit_weather.baselines.linear import AR2, FrameMap, FrameRegression, Ridge, cut
from genkit_weather.baselines.simple import (
    Baseline,
    Climatology,
    ClimatologyMean,
    Diurnal,
    Forecast,
    Harmonic,
    HarmonicEnsemble,
    Oracle,
    Persistence,
    Relaxed,
)

BASELINES: dict[str, type[Baseline]] = {
    "climatology": Climatology,
    "climatology_mean": ClimatologyMean,
    "persistence": Persistence,
    "harmonic": Harmonic,
    "harmonic_ensemble": HarmonicEnsemble,
    "diurnal": Diurnal,
    "relaxed": Relaxed,
    "ridge": Ridge,
    "ar2": AR2,
    "frame_regression": FrameRegression,
    "oracle": Oracle,
}
ENSEMBLES = tuple(name for name, baseline in BASELINES.items() if hasattr(baseline, "members"))

__all__ = [
    "AR2",
    "BASELINES",
    "ENSEMBLES",
    "Baseline",
    "Climatology",
    "ClimatologyMean",
    "Diurnal",
    "Forecast",
    "FrameMap",
    "FrameRegression",
    "Harmonic",
    "HarmonicEnsemble",
    "Oracle",
    "Persistence",
    "Relaxed",
    "Ridge",
    "cut",
]
