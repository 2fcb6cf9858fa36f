"""`weather.km_lam`: a limited area with a second data set around it as its boundary, and what each choice is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import xarray as xr

from genkit.errors import UsageError
from genkit.experiment import Best, Run
from genkit.kinds import Dataset, Model, check_preset
from genkit_weather import diagnostics, figures
from genkit_weather.data import WeatherData, statistics
from genkit_weather.datasets import QGHost
from genkit_weather.experiments.forecast import ForecastExperiment, Plan, Start, tiny
from genkit_weather.graphs import Mesh
from genkit_weather.host import HostWindow
from genkit_weather.lam import Augmentation
from genkit_weather.models import ADAMW, PUBLISHED, HiLAMRecipe, WeatherModel
from genkit_weather.networks import GraphLAM, HiLAM
from genkit_weather.stations import InSitu
from genkit_weather.verification import verify

BORDER = 2  # cells that count as near the border


def _recipe(distance: float = 800.0, width: int = 48, **options: Any) -> HiLAMRecipe:
    """There is no frame from which a guess could be made."""
    network = HiLAM(mesh=Mesh("rect_hierarchical", distance=distance), width=width, layers=1)
    return HiLAMRecipe(**{"network": network, "formulation": replace(PUBLISHED, tendencies=True), **options})


@dataclass(frozen=True)
class KmLAM(ForecastExperiment):
    """Deterministic forecasts of a limited area that is told of its surroundings by another, coarser data set.

    Points of that data set within a width in km are nodes that only send: their values at several times, how far
    away those are in time, and their static fields. All of the area is forecast, nothing is overwritten (Oskarsson,
    Adamov et al. 2025, arXiv 2504.09340).
    """

    model: Model[WeatherData, WeatherModel] = field(default_factory=_recipe)
    """What forecasts: trained here, or the folder of what was trained."""
    host: Dataset[WeatherData] | None = field(default_factory=QGHost)
    """The data set around the area, on its own grid and with its own step."""
    window: HostWindow = field(default_factory=lambda: HostWindow(width=1200.0))
    """What is seen of it."""
    members: int = 1
    """All members of a deterministic forecast are the same."""
    ablate: bool = False
    """Also train with one choice changed at a time: the width of the boundary, its window in time, overlap, mesh."""
    widths: tuple[float, ...] = (600.0, 2400.0)
    """Other widths in km for `ablate`."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the options of the published code, as known)."""
        if name == "default":
            return cls()
        if name == "tiny":
            model = _recipe(900.0, 16, stages=((1, 40),))
            return cls(**tiny(), host=QGHost.preset("tiny"), model=model)
        check_preset(name)
        model = HiLAMRecipe(
            network=HiLAM(mesh=Mesh("rect_hierarchical", distance=900.0)), formulation=PUBLISHED,
            augmentation=Augmentation(), optimizer=replace(ADAMW, schedule="cosine"), batch=4, clip=None, ema=None,
            checkpoint="best", stages=((1, 50_000), (4, 20_000)), validate=1000,
        )  # fmt: skip
        return cls(model=model, window=HostWindow(width=1200.0, encoding=64))

    def __post_init__(self) -> None:
        """Check what a boundary of nodes allows."""
        super().__post_init__()
        if self.host is None:
            raise UsageError("weather.km_lam needs a data set around the area; choose --host, or weather.hi_lam")
        if self.ablate:
            _ = self.recipe  # refuses another model's
        how = getattr(self.model, "formulation", PUBLISHED)
        if how.guess != "persistence" or how.fill or how.future:
            raise UsageError(
                "without a frame there is no guess from it; choose formulation.guess=persistence, "
                "formulation.fill=False and formulation.future=False"
            )

    # stages: the same for each variant, in a folder of its own

    def train(self, run: Run) -> None:
        """Train, with `ablate` the variants too."""
        for _, variant, part in self.variants(run):
            variant.recipe.graph(variant.weather(part))  # no points or no mesh: refused before anything is trained
        super().train(run)
        for _, variant, part in self.variants(run):
            variant.train(part)

    def sample(self, run: Run) -> None:
        """Forecast, with `ablate` by the variants too."""
        super().sample(run)
        for _, variant, part in self.variants(run):
            variant.sample(part)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the whole area, and of the cells near its border."""
        results = super().evaluate(run) | self.near_border(run)
        for title, variant, part in self.variants(run):
            scores = variant.evaluate(part)
            kept = {key: value for key, value in scores.items() if key.startswith(("rmse/", "border.rmse/"))}
            results |= {f"{title.replace(' ', '_')}.{key}": value for key, value in kept.items()}
        return results

    def report(self, run: Run) -> None:
        """Tables and figures, with `ablate` a comparison of the variants."""
        super().report(run)
        if not self.ablate:
            return
        data, results = self.weather(run), run.results
        scale = dict(zip(data.names, statistics(data).std, strict=True))
        hours = [f"{data.step_hours * lead:g}h" for lead in (1, max(1, self.leads // 2), self.leads)]
        every = [("as configured", self, run), *self.variants(run)]

        def mean(prefix: str, hour: str) -> float:
            squares = [(results[f"{prefix}rmse/{n}/{hour}"] / scale[n]) ** 2 for n in data.names]  # type: ignore[operator]
            return float(np.sqrt(np.mean(squares)))

        rows = []
        for title, *_ in every:
            prefix = "" if title == "as configured" else f"{title.replace(' ', '_')}."
            rows.append([title, *(mean(prefix + where, h) for where in ("border.", "") for h in dict.fromkeys(hours))])
        header = ["", *(f"{where} {h}" for where in ("border", "all") for h in dict.fromkeys(hours))]
        caption = f"RMSE over all variables in their standard deviations; border: the outer {BORDER} cells"
        best: Best = {"border *": "low", "all *": "low"}
        run.table("ablation", header, rows, caption, best)
        rings = {title: self._rings(variant, part, scale) for title, variant, part in every}
        figure = figures.ablation(rings, [float(h.removesuffix("h")) for h in dict.fromkeys(hours)])
        run.figure("ablation", figure, "Error by distance to the border, one choice changed at a time.")

    # pieces

    def variants(self, run: Run) -> Iterator[tuple[str, KmLAM, Run]]:
        """Title, configuration and run of what is trained for comparison."""
        if not self.ablate:
            return
        window, recipe = self.window, self.recipe
        network: Any = recipe.network
        changes: dict[str, dict[str, Any]] = {
            f"width {width:g} km": {"window": replace(window, width=width)} for width in self.widths
        }
        if window.future:
            changes["no future"] = {"window": replace(window, future=0)}
        if window.past:
            changes["no past"] = {"window": replace(window, past=0)}
        other = "no overlap" if window.overlap else "overlap"
        changes[other] = {"window": replace(window, overlap=not window.overlap)}
        if isinstance(network, HiLAM):
            flat = replace(network.mesh, kind=network.mesh.kind.replace("hierarchical", "multiscale"))
            changes["one level"] = {"model": replace(recipe, network=network.like(GraphLAM, mesh=flat))}
        plain = replace(self, model=recipe, ablate=False, baselines=(), long_leads=0, stations=InSitu())
        for title, change in changes.items():
            variant = replace(plain, **change)
            folder = f"ablation/{title.replace(' ', '_')}"
            yield title, variant, run.once(f"variant {title}", lambda v=variant, f=folder: run.part(f, v))

    @property
    def recipe(self) -> HiLAMRecipe:
        """The recipe of the variants, which are trained from nothing also where the model is restored."""
        if not isinstance(self.model, HiLAMRecipe):
            raise UsageError(f"--ablate needs the recipe hi_lam, not {type(self.model).__name__}")
        return replace(self.model, restore=None, finetune=0, fingerprint=None)

    def _possible(self, data: WeatherData, plan: Plan) -> list[Start]:
        """Starts that have a boundary time before and after, used or not: the same with and without past and future."""
        around = data.around
        if around is not None:
            window = replace(around.window, past=max(1, around.window.past), future=max(1, around.window.future))
            data = replace(data, around=replace(around, window=window))
        return super()._possible(data, plan)

    def near_border(self, run: Run) -> dict[str, float | None]:
        """`border.rmse/<variable>/<lead>`: the outer cells alone."""
        data = self.weather(run)
        ring = np.minimum(*(np.minimum(i, i[..., ::-1, ::-1]) for i in np.indices(data.grid)))
        with self.forecasts(run) as forecasts:
            weights = (ring < BORDER).astype(float)
            return verify(forecasts, self.truth(data), weights=weights, baseline="border", names=("rmse",))

    def _rings(self, variant: KmLAM, part: Run, scale: dict[Any, Any]) -> xr.DataArray:
        """RMSE (lead, distance) over all variables, in their standard deviations."""
        with variant.forecasts(part) as forecasts:
            rings = diagnostics.by_distance(forecasts, variant.truth(variant.weather(part)))
        squares = [(rings[name].sel(kind="rmse") / scale[name]) ** 2 for name in rings.data_vars]
        return np.sqrt(sum(squares) / len(squares))  # type: ignore[return-value]
