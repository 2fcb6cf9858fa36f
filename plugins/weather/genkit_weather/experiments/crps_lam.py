"""`weather.crps_lam` and `weather.graph_crps`: ensembles of one network pass a member and step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from genkit.kinds import Model, check_preset
from genkit_weather.data import WeatherData
from genkit_weather.datasets import MEPS
from genkit_weather.experiments.forecast import ForecastExperiment, tiny
from genkit_weather.models import CRPSLAM, WeatherModel


@dataclass(frozen=True)
class CRPSLAMForecast(ForecastExperiment):
    """Ensemble forecasts of a limited area by one network pass a member and step, trained by the CRPS.

    A random vector takes the place of the noise of a diffusion model; the loss is the fair CRPS of two members, of one
    step and then of rollouts (CRPS-LAM, arXiv 2510.09484).
    """

    model: Model[WeatherData, WeatherModel] = field(default_factory=CRPSLAM)
    """What forecasts: trained here, or the folder of what was trained."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published MEPS configuration)."""
        return cls(model=CRPSLAM.preset(name), **studies(name))


@dataclass(frozen=True)
class GraphCRPSForecast(ForecastExperiment):
    """As `weather.crps_lam`, by messages on a hierarchy of meshes in place of a U-Net."""

    model: Model[WeatherData, WeatherModel] = field(default_factory=lambda: CRPSLAM.on_graph("default"))
    """What forecasts: trained here, or the folder of what was trained."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS)."""
        return cls(model=CRPSLAM.on_graph(name), **studies(name))


def studies(name: str) -> dict[str, Any]:
    """Options of the presets, but for the model."""
    paper = {"data": MEPS.preset("paper"), "leads": 19, "long_leads": 0, "members": 25, "baseline_members": 10,
             "baselines": ("climatology", "persistence", "harmonic", "ar2")}  # fmt: skip
    presets: dict[str, dict[str, Any]] = {"tiny": {**tiny(), "members": 4}, "default": {}, "paper": paper}
    check_preset(name, presets)
    return presets[name]
