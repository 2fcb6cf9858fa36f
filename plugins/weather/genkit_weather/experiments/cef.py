"""`weather.cef`: ensembles continuous in lead time, and what they gain over autoregression (Andrae et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import xarray as xr

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Dataset, Model, check_preset
from genkit_weather.data import Series, WeatherData
from genkit_weather.datasets import QGGlobal, WeatherBench1
from genkit_weather.experiments.coherence import lead_correlation, step_ratio
from genkit_weather.experiments.forecast import ForecastExperiment, Plan, Start
from genkit_weather.forecasting import read
from genkit_weather.lam import Coupling, draws_on_the_way
from genkit_weather.models import CEF, WeatherModel, calls
from genkit_weather.verification import verify

Rival = Literal["ar_delta", "ar_T_it", "ci"]


@dataclass(frozen=True)
class ContinuousEnsembles(ForecastExperiment):
    """Ensemble forecasts by one network for all lead times, whose members are continuous in time.

    A member keeps its noise over the leads of a block of T_it hours, which are drawn side by side; longer forecasts go
    on block by block (ARCI). Compared with the same network trained for one lead (AR with steps of delta and of T_it,
    which is told the state a step earlier), with one for all leads to `ci` hours, and with noise that changes over the
    leads (Continuous Ensemble Forecasting, Andrae et al. 2025, arXiv 2410.05431).
    """

    data: Dataset[WeatherData] = field(default_factory=QGGlobal)
    """Where the weather comes from: a global data set, or a limited area with its frame."""
    model: Model[WeatherData, WeatherModel] = field(default_factory=CEF)
    """What forecasts: trained here, or the folder of what was trained."""
    starts: int = 4
    """Forecasts, spread evenly over the test split."""
    leads: int = 20
    """Steps of the data of each forecast, whole blocks of T_it."""
    members: int = 4
    """Ensemble members."""
    long_leads: int = 0
    """Steps of a longer forecast that shows whether the model keeps to its climate; 0 leaves it out."""
    lead_chunk: int | None = None
    """Leads of a block computed at once, at most; all if none. Fewer need less memory. Results do not depend on it."""
    compare: tuple[Rival, ...] = ("ar_delta", "ar_T_it", "ci")
    """Models trained for comparison: autoregression with steps of delta or of T_it, one block of all leads."""
    ci: float = 48.0
    """Hours to which continuous forecasting without autoregression is trained and verified."""
    baselines: tuple[str, ...] = ("climatology", "persistence", "ridge", "ar2", "oracle")
    """Baselines to compare with; those that the data do not allow are left out."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (ERA5 at 5.625 degrees)."""
        tiny: dict[str, Any] = {
            "data": QGGlobal.preset("tiny"), "starts": 2, "leads": 4, "members": 2, "compare": (),
            "baselines": ("climatology", "persistence", "ar2"),
        }  # fmt: skip
        paper: dict[str, Any] = {
            "data": WeatherBench1(), "latitude": True, "starts": 100, "leads": 40, "members": 10, "ci": 240.0,
            "baselines": ("climatology", "persistence"),
        }  # fmt: skip
        presets = {"tiny": tiny, "default": {}, "paper": paper}
        check_preset(name, presets)
        return cls(model=CEF.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.lead_chunk is not None and self.lead_chunk < 1:
            raise UsageError(f"lead_chunk={self.lead_chunk} is too few; expected at least 1")
        if not isinstance(self.model, CEF):
            raise UsageError(f"weather.cef needs the recipe cef, not {type(self.model).__name__}")
        if self.ci <= 0:
            raise UsageError(f"ci={self.ci:g} must be hours above 0")

    # stages

    def train(self, run: Run) -> None:
        """Train the model, and those that it is compared with."""
        data = self.weather(run)
        for plan in self.plans(data):
            self.times(data).outputs(plan.leads)
        rivals = [(recipe.times(data.step_hours), plan) for _, recipe, plan in self.rivals(data)]
        for times, plan in rivals:  # what is impossible is refused before anything is trained
            times.outputs(plan.leads)
        super().train(run)
        for name, recipe, _ in self.rivals(data):
            run.obtain(name, recipe, lambda: data, self._part(run, name))

    def sample(self, run: Run) -> None:
        """Forecast, by the other models and with other noise too."""
        super().sample(run)
        for _, model, plan in self.systems(run):
            self.forecast(run, self.weather(run), plan, model)

    def ensemble(
        self, run: Run, key: Any, series: Series, starts: Sequence[int], members: int, leads: int, model: Any = None
    ) -> Iterator[tuple[range, np.ndarray]]:
        """As of the base, with `lead_chunk` leads at once."""
        model = model or run.model
        outlook = model.outlook(self.weather(run), series, starts, leads)
        return model.forecast(key, outlook, members, self.chunk, self.lead_chunk)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores, those of the other models by name; `dx/<noise>/<variable>`, `correlation/...`, `calls/<model>`."""
        data = self.weather(run)
        results, true = super().evaluate(run), self.truth(data)
        results["calls/arci"] = calls(run.model)
        for name, model, plan in self.systems(run):
            with read(self.path(run, plan)) as forecasts:
                results |= verify(forecasts, true, frame=data.frame, weights=data.weights, baseline=name)
            if name not in get_args(Coupling):
                results[f"calls/{name}"] = calls(model)
        begin = self._inside(self.analysis(data), data)
        for noise, block in self.first_blocks(run).items():
            ratio, shared = step_ratio(block, self._inside(true, data), begin), lead_correlation(block)
            results |= {f"dx/{noise}/{name}": value for name, value in ratio.items()}
            results |= {f"correlation/{noise}/{name}": value for name, value in shared.items()}
        return results

    def report(self, run: Run) -> None:
        """Tables and figures, with those of blocks and of the models compared."""
        from genkit_weather.experiments.continuous_report import report

        super().report(run)
        data = self.weather(run)
        files = {name: read(self.path(run, plan)) for name, _, plan in self.systems(run)}
        report(
            run,
            data,
            {"": self.forecasts(run), **files},
            self.first_blocks(run),
            self.truth(data),
            self._inside(self.analysis(data), data),
        )

    # pieces

    def rivals(self, data: WeatherData) -> Iterator[tuple[str, CEF, Plan]]:
        """Name, recipe and forecasts of each model that is trained for comparison."""
        hours, plan = data.step_hours, self.plans(data)[0]
        for name, recipe in self._recipes().items():
            leads = round(self.ci / hours) if name == "ci" else self.leads
            if leads > self.leads:
                raise UsageError(f"ci={self.ci:g} h is longer than the forecasts, {self.leads * hours:g} h")
            yield name, recipe, replace(plan, file=name, leads=leads, stride=recipe.times(hours).delta)

    def _recipes(self) -> dict[str, CEF]:
        """Recipes of the models that are trained for comparison; from nothing, also where the model is restored."""
        base: Any = replace(self.model, restore=None, finetune=0, fingerprint=None)  # type: ignore[type-var]
        steps = {"ar_delta": base.delta, "ar_T_it": base.T_it}
        found = {}
        for rival in self.compare:
            if rival == "ci":
                found["ci"] = replace(base, T_it=self.ci)
            else:
                step = steps[rival]
                found[f"ar{step:g}"] = replace(base, T_it=step, delta=step, lag=step)
        return found

    def systems(self, run: Run) -> list[tuple[str, Any, Plan]]:
        """Name, model and forecasts of all that is compared: other models, and other noise in the first block."""
        data = self.weather(run)
        found = [(n, run.obtain(n, recipe, part=self._part(run, n)), plan) for n, recipe, plan in self.rivals(data)]
        own, plan = run.model, self.plans(data)[0]
        if len(own.times.leads) == 1 or draws_on_the_way(own.sampler.table()):
            return found
        others = [noise for noise in get_args(Coupling) if noise != own.coupling]
        first = replace(plan, leads=own.times.block)
        return found + [(noise, replace(own, coupling=noise), replace(first, file=noise)) for noise in others]

    def first_blocks(self, run: Run) -> dict[Coupling, xr.Dataset]:
        """The interior of the first block with each noise: (start, lead, member, y, x)."""
        own, data = run.model, self.weather(run)
        if len(own.times.leads) == 1:
            return {}
        plans = {name: plan for name, _, plan in self.systems(run) if name in get_args(Coupling)}
        files = {own.coupling: self.plans(data)[0], **plans}
        leads = [data.step_hours * lead for lead in own.times.leads]
        order = [noise for noise in get_args(Coupling) if noise in files]
        return {noise: self._inside(read(self.path(run, files[noise])).sel(lead=leads).load(), data) for noise in order}

    def _inside(self, states: xr.Dataset, data: WeatherData) -> xr.Dataset:
        rows, columns = data.interior
        return states.isel(y=rows, x=columns)

    def _part(self, run: Run, name: str) -> Run:
        return run.part(f"rivals/{name}", salt=f"{name}: ")

    def _possible(self, data: WeatherData, plan: Plan) -> list[Start]:
        """Starts from which all that is compared can forecast."""
        found = super()._possible(data, replace(plan, leads=max(plan.leads, self.leads)))
        lags = [round(recipe.lag / data.step_hours) for recipe in self._recipes().values()]
        return [(s, i) for s, i in found if i >= max(lags, default=0)]
