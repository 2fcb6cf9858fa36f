"""`weather.graph_lam` and `weather.hi_lam`: deterministic forecasts of a limited area, or the globe, on a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from genkit.kinds import Model, check_preset
from genkit_weather.data import WeatherData
from genkit_weather.datasets import MEPS, WeatherBench2
from genkit_weather.experiments.forecast import ForecastExperiment, tiny
from genkit_weather.models import GraphLAMRecipe, HiLAMRecipe, WeatherModel


@dataclass(frozen=True)
class GraphLAMForecast(ForecastExperiment):
    """Deterministic forecasts by messages on a mesh over the area.

    One step is one pass: grid to mesh, rounds of messages on the mesh, mesh to grid; forecasts of any length are made
    by feeding predictions back, and training ends with rollouts of several steps (Graph-LAM, Oskarsson et al. 2023,
    arXiv 2309.17370).
    """

    model: Model[WeatherData, WeatherModel] = field(default_factory=GraphLAMRecipe)
    """What forecasts: trained here, or the folder of what was trained."""
    members: int = 1
    """All members of a deterministic forecast are the same."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS, as published), global (GraphCast* of the
        Graph-EFM paper: 1.5 degrees, 8 rounds, width 256)."""
        return cls(model=GraphLAMRecipe.preset(name), **on_graphs(name))


@dataclass(frozen=True)
class HiLAMForecast(ForecastExperiment):
    """Deterministic forecasts by messages up and down a hierarchy of meshes over the area.

    As `weather.graph_lam`, with several mesh levels: Hi-LAM, its parallel variant and Graph-FM (Oskarsson et al. 2023,
    arXiv 2309.17370, and 2024, arXiv 2406.04759).
    """

    model: Model[WeatherData, WeatherModel] = field(default_factory=HiLAMRecipe)
    """What forecasts: trained here, or the folder of what was trained."""
    members: int = 1
    """All members of a deterministic forecast are the same."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS, as published), global (Graph-FM: 1.5 degrees,
        4 rounds, width 256)."""
        return cls(model=HiLAMRecipe.preset(name), **on_graphs(name))


def on_graphs(name: str) -> dict[str, Any]:
    """What the studies of models on graphs have in common, but for the model."""
    published = {"long_leads": 0, "chunk": 4, "baseline_members": 10}
    presets: dict[str, dict[str, Any]] = {
        "tiny": tiny(),
        "default": {},
        "paper": {**published, "data": MEPS.preset("paper"), "leads": 19,
                  "baselines": ("climatology", "persistence", "harmonic", "ar2")},
        "global": {**published, "data": WeatherBench2(), "latitude": True, "leads": 40,
                   "baselines": ("climatology", "persistence")},
    }  # fmt: skip
    check_preset(name, presets)
    return presets[name]
