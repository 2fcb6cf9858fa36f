"""`weather.graph_efm`: ensembles of a limited area, or the globe, by a latent variable on a mesh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from genkit.kinds import Model
from genkit_weather.data import WeatherData
from genkit_weather.experiments.forecast import ForecastExperiment
from genkit_weather.experiments.graph_lam import on_graphs
from genkit_weather.models import GraphEFMRecipe, WeatherModel


@dataclass(frozen=True)
class GraphEFMForecast(ForecastExperiment):
    """Ensemble forecasts by one network pass a step: a latent variable on a mesh carries what is uncertain.

    Trained as a conditional variational auto-encoder, first alone, then with its prior, then by the CRPS of its own
    rollouts (Graph-EFM, Oskarsson et al. 2024, arXiv 2406.04759).
    """

    model: Model[WeatherData, WeatherModel] = field(default_factory=GraphEFMRecipe)
    """What forecasts: trained here, or the folder of what was trained."""
    members: int = 32
    """Ensemble members; the mean of M errs by a factor of sqrt(1 + 1/M) more than that of very many."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (MEPS) and global (1.5 degrees), both of the published sizes."""
        members = {"tiny": 4, "paper": 100, "global": 80}
        options: dict[str, Any] = on_graphs(name) | ({"members": members[name]} if name in members else {})
        return cls(model=GraphEFMRecipe.preset(name), **options)
