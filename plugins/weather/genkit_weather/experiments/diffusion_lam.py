"""`weather.diffusion_lam`: ensembles of a limited area by conditional diffusion (Larsson et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from genkit.kinds import check_preset
from genkit_weather.datasets import MEPS
from genkit_weather.experiments.forecast import ForecastExperiment, tiny
from genkit_weather.models import Diffusion


@dataclass(frozen=True)
class DiffusionLAM(ForecastExperiment):
    """Ensemble forecasts of a limited area by conditional diffusion.

    One step is drawn at a time, from noise, given the last two states of the interior, the forcing, and the
    boundary frame now, before and one step ahead; forecasts of any length are made by feeding samples back
    (Diffusion-LAM, Larsson et al. 2025, arXiv 2502.07532).
    """

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published MEPS configuration)."""
        paper: dict[str, Any] = {"data": MEPS.preset("paper"), "leads": 19, "long_leads": 0, "members": 25, "chunk": 25,
                                 "baselines": ("climatology", "persistence", "harmonic", "ar2"),
                                 "baseline_members": 10}  # fmt: skip
        presets = {"tiny": {**tiny(), "members": 4}, "default": {}, "paper": paper}
        check_preset(name, presets)
        return cls(model=Diffusion.preset(name), **presets[name])
