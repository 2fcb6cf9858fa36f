"""`weather.assimilation`: analyses from stations, cycled with forecasts, beside tuned baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.files import read_arrays, read_json, write_arrays, write_json
from genkit.kinds import ZERO, Dataset, Model, check_preset
from genkit.steer import DAISI, MMPS, PiGDM
from genkit_weather.assimilation import EXCEEDS, LINEAR, Climate, Folds, Quantity, Shape
from genkit_weather.cycling import GRIDS, Stations
from genkit_weather.data import Series, WeatherData
from genkit_weather.datasets import QGNature
from genkit_weather.lam import Augmentation, Score
from genkit_weather.models import CRPSLAM, OIDiffusion, OIModel, Snapshot, StateModel, WeatherModel

Name = Literal[
    "free", "frame_regression", "oi", "forecast_oi", "etkf", "letkf", "sda", "daisi", "oi_diffusion", "ddsmc"
]
ARRAYS = ("states", "backgrounds", "forecasts", "innovations", "seconds")
LEAST = 8  # times of an archive of the validation split


@dataclass(frozen=True)
class Assimilation(Experiment):
    """Analyses of a limited area from stations, cycled with a model's own forecasts, beside tuned baselines.

    Each method analyses the same observations every step; the next background is the forecast from its own analyses.
    Generative methods: a snapshot prior guided from noise (sda) or from the forecast by inverse sampling (daisi, Andrae
    et al. 2025, arXiv 2512.00252), a diffusion about optimal interpolation (oi_diffusion), particles (ddsmc). Baselines
    are tuned on the validation split.
    """

    headline = "analysis.rmse/*"

    data: Dataset[WeatherData] = field(default_factory=QGNature)
    """Where the weather comes from; its frame is given."""
    model: Model[WeatherData, WeatherModel] = field(default_factory=CRPSLAM)
    """What forecasts: trained here, or the folder of what was trained."""
    prior: Model[Folds, StateModel] = field(default_factory=Snapshot)
    """The prior of a state without its past, of sda, daisi and ddsmc."""
    oi: Model[Folds, OIModel] = field(default_factory=OIDiffusion)
    """The diffusion about optimal interpolation."""
    methods: tuple[Name, ...] = (
        "free", "frame_regression", "oi", "forecast_oi", "letkf", "sda", "daisi", "oi_diffusion"
    )  # fmt: skip
    """Methods to compare; etkf and ddsmc are there too."""
    stations: Stations = field(default_factory=Stations)
    """Where there is no file of observations."""
    observations: Path | None = None
    """Observations: CSV (station, time, lat, lon or x, y, `<variable> [unit]`, `<variable> error`) or NetCDF."""
    withheld: float = 0.2
    """Share of the stations that no method is given, to verify against; one is always given."""
    blacklist: tuple[str, ...] = ()
    """Stations of the file to leave out."""
    departure: float = 6.0
    """Observations that depart from what is expected by more than so many of its standard deviations are left out."""
    cycles: int = 24
    """Analyses."""
    members: int = 8
    """Members of the ensemble."""
    every: int = 6
    """Analyses from one forecast that is verified to the next."""
    leads: Annotated[int, ZERO] = 4
    """Steps of these forecasts; 0 makes none."""
    background: bool = True
    """Give oi_diffusion the forecast as its background; else what is expected from the frame."""
    archive: int = 900
    """Times of the training split at which forecasts are made as backgrounds, by cycling forecast_oi."""
    tuning: Annotated[int, ZERO] = 8
    """Cycles of the validation split on which methods are tuned; 0 leaves their options as they are."""
    guide: MMPS = field(default_factory=lambda: MMPS(steps=12, sigma_max=20.0, iterations=3))
    """How sda is guided."""
    inverse: DAISI = field(default_factory=lambda: DAISI(guidance=MMPS(iterations=3)))
    """How daisi takes members to noise and back; a level or noise other than the default is not tuned."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), few (8 stations), surface, nonlinear, paper."""
        tiny: dict[str, Any] = {
            "data": QGNature.preset("tiny"), "cycles": 2, "members": 4, "every": 2, "leads": 1, "tuning": 0,
            "archive": 8, "stations": Stations(6), "guide": MMPS(steps=3, sigma_max=20.0, iterations=2),
            "methods": ("free", "frame_regression", "oi", "forecast_oi", "letkf", "oi_diffusion"),
            "inverse": DAISI(steps=3, guidance=PiGDM()),
            # what takes long to compile is left out; `weather.crps_lam` has it
            "model": replace(CRPSLAM.preset("tiny"), augmentation=Augmentation(), score=Score()),
        }  # fmt: skip
        surface = Stations(quantities=("t_sfc", "u_sfc", "v_sfc"))
        nonlinear = Stations(quantities=("arctan(z_up)", "t_mid", "t_sfc", "wind_speed"))
        presets: dict[str, dict[str, Any]] = {
            "tiny": tiny, "default": {}, "few": {"stations": Stations(8)}, "surface": {"stations": surface},
            "nonlinear": {"stations": nonlinear}, "paper": {"members": 25, "cycles": 120},
        }  # fmt: skip
        check_preset(name, presets)
        parts = name if name in ("tiny", "paper") else "default"
        recipes = {"model": CRPSLAM, "prior": Snapshot, "oi": OIDiffusion}
        return cls(**{slot: recipe.preset(parts) for slot, recipe in recipes.items()} | presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("cycles", "every", "archive"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.members < 2:
            raise UsageError(f"members={self.members} have no spread; expected at least 2")
        if not 0 <= self.withheld < 1:
            raise UsageError(f"withheld={self.withheld} must be a share of the stations, 0 or more and below 1")
        if self.stations.count < 1 or not self.stations.error > 0:
            raise UsageError("stations: count must be at least 1 and error positive")
        if not self.departure > 0:
            raise UsageError(f"departure={self.departure} must be positive")
        if unknown := set(self.methods) - set(get_args(Name)):
            raise UsageError(f"unknown method {min(unknown)!r}; known: {', '.join(get_args(Name))}")
        level, lowest = self.grid("daisi").get("level", (inf,)), self.inverse.sigma_min
        if self.tuning and "daisi" in self.methods and not min(level) > lowest:
            raise UsageError(
                f"inverse: sigma_min={lowest:g} is not below the levels {', '.join(map(str, level))} that are tried; "
                "give --inverse.level, --tuning 0 or a lower sigma_min"
            )
        if not self.methods:
            raise UsageError(f"no method is asked for; known: {', '.join(get_args(Name))}")

    def grid(self, name: str) -> dict[str, tuple[float, ...]]:
        """The options of a method that are tuned, and their values; of daisi those left at their defaults."""
        grid = GRIDS.get(name, {})
        if name != "daisi":
            return dict(grid)
        return {n: values for n, values in grid.items() if getattr(self.inverse, n) == getattr(DAISI(), n)}

    # stages

    def weather(self, run: Run) -> WeatherData:
        """The data, loaded once a process."""
        return run.once("data", self.data.load)

    def climate(self, run: Run) -> Climate:
        """What the training split tells."""
        return self.folds(run).climate

    def folds(self, run: Run) -> Folds:
        """What priors are learned from, found once a process."""
        return run.once("folds", lambda: Folds.of(self.weather(run)))

    def prepare(self, run: Run) -> None:
        """Load the data and the observations, and tell what they are."""
        case = self.case(run, "test")
        if self.tuning:
            self.case(run, "val")
        self.check_quantities(run)
        used, numbers, withheld = case.counts
        run.say(
            f"{self.weather(run).source}: {numbers} observations of {used} stations at {len(case.given)} times, "
            f"{withheld} stations are withheld"
        )
        if self.withheld and not withheld:
            run.say(f"{self.withheld:g} of {used} stations is less than one: none is withheld")
        if gross := int(case.gross.sum()):
            run.say(f"{gross} observations depart by more than {self.departure:g} standard deviations: left out")
        for row in case.rows[2:]:
            if row not in case.given:
                run.say(f"no observation at {case.series.time[row]}: the forecast stands alone")

    def check_quantities(self, run: Run) -> None:
        """Refuse what a method cannot assimilate, before anything is trained."""
        kinds = {q.kind for q in self.measured(run)}
        tried = {q.kind for q in self.stations.measured(self.weather(run))} if self.tuning else set()
        if "ddsmc" in self.methods and kinds != {LINEAR}:
            raise UsageError(
                "ddsmc takes variables alone, no wind speed, arctangent or event; leave it out of --methods"
            )
        for name, guidance, seen in (("sda", self.guide, kinds), ("daisi", self.inverse.guidance, kinds | tried)):
            needs = guidance.kernel().needs  # type: ignore[attr-defined]
            if name in self.methods and EXCEEDS in seen and "normal noise" in needs:
                instead = "take --inverse.guidance dps, or " if name == "daisi" else ""
                raise UsageError(
                    f"{name} with {type(guidance).__name__} takes no events (variable>limit); {instead}leave it out of "
                    "--methods"
                )

    def train(self, run: Run) -> None:
        """Train or restore the models that the methods need."""
        run.trained("model", lambda: self.weather(run))
        if {"sda", "daisi", "ddsmc"} & set(self.methods):
            run.trained("prior", lambda: self.folds(run))
        if "oi_diffusion" in self.methods:
            recipe: Any = self.oi
            forecasts = self.background and (recipe.restore is None or recipe.finetune)
            run.trained("oi", lambda: self.archived(run) if forecasts else self.folds(run))

    def sample(self, run: Run) -> None:
        """Tune, then cycle each method; what it gave goes to analyses/<method>.npz."""
        from genkit_weather.cycling import cycle

        case, chosen = self.case(run, "test"), self.tune(run)
        forecasts, first = self.forecasts(run, case.series), self.method(run, "oi", chosen.get("oi", {}))
        every = self.every if self.leads else 0
        for name in run.each("methods", self.methods):
            path = self.path(run, name)
            if path.exists() and "sample" not in run.done:
                continue
            method = self.method(run, name, chosen.get(name, {}))
            record = cycle(method, first, forecasts, case.given, case.rows, self.members, run.seed, every, self.leads)
            said = {f"said/{key}": values for key, values in record.said.items()}
            write_arrays(path, {one: getattr(record, one) for one in ARRAYS} | said)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores by method and variable."""
        from genkit_weather.cycling import analysis_scores, forecast_scores, record_scores, withheld_scores

        data, climate, case = self.weather(run), self.climate(run), self.case(run, "test")
        truth, results = climate.states(case.series, case.rows[2:]), {}
        starts = case.rows[2 :: self.every]
        ahead = [climate.states(case.series, [r + k for r in starts]) for k in range(1, self.leads + 1)]
        for name in self.methods:
            record = self.record(run, name)
            results |= analysis_scores(name, data.names, record.states, truth, climate.std)
            if ahead:
                after = np.stack(ahead, 1)
                results |= forecast_scores(name, data.names, record.forecasts, after, climate.std, data.step_hours)
            withheld = [case.withheld.get(row) for row in case.rows[2:]]
            results |= withheld_scores(name, self.quantities(run), record.states, withheld)
            results |= record_scores(name, record)
        return results

    def report(self, run: Run) -> None:
        """Tables and figures."""
        from genkit_weather.experiments.assimilation_report import report

        records = {name: self.record(run, name) for name in self.methods}
        case, quantities = self.case(run, "test"), self.quantities(run)
        report(run, self.weather(run), self.climate(run), case, quantities, records, self.tune(run))

    # pieces

    def path(self, run: Run, name: str) -> Path:
        """The file of a method's analyses."""
        return run.folder / "analyses" / f"{name}.npz"

    def record(self, run: Run, name: str) -> Any:
        """What a method gave."""
        from genkit_weather.cycling import Record

        arrays = read_arrays(self.path(run, name))
        said = {key.removeprefix("said/"): a for key, a in arrays.items() if key.startswith("said/")}
        return Record(**{one: arrays[one] for one in ARRAYS}, said=said)

    def forecasts(self, run: Run, series: Series) -> Any:
        """Of the run's model."""
        from genkit_weather.cycling import Forecasts

        return Forecasts(run.model, self.climate(run), series, run.seed)

    def method(self, run: Run, name: str, options: Mapping[str, float]) -> Any:
        """A method, with options of its tuning."""
        from genkit_weather import cycling

        climate = self.climate(run)

        def about(keep: float = 0.6, **shape: float) -> Any:
            return cycling.ForecastOI(climate, Shape(**shape), keep)

        makers = {
            "free": lambda: cycling.Free(),
            "frame_regression": lambda: cycling.Expected(climate),
            "oi": lambda: cycling.OI(climate, Shape(**options)),
            "forecast_oi": lambda: about(**options),
            "etkf": lambda: cycling.ETKF(climate, **options),
            "letkf": lambda: cycling.LETKF(climate, **options),
            "sda": lambda: cycling.SDA(run.trained("prior"), self.guide),
            "daisi": lambda: cycling.InverseSampling(run.trained("prior"), replace(self.inverse, **options)),
            "oi_diffusion": lambda: cycling.OIDiffusion(run.trained("oi")),
            "ddsmc": lambda: cycling.Decoupled(run.trained("prior")),
        }
        return makers[name]()

    def quantities(self, run: Run) -> tuple[str, ...]:
        """Names of what stations measure."""
        return tuple(q.name for q in self.measured(run))

    def measured(self, run: Run) -> tuple[Quantity, ...]:
        """What stations measure."""
        return self.stations.measured(self.weather(run)) if self.observations is None else self.file(run)[0].quantities

    def file(self, run: Run) -> Any:
        """The network and the observations of the file."""
        from genkit_weather.cycling import read_network

        path, data = Path(self.observations or ""), self.weather(run)
        error, blacklist = self.stations.error, self.blacklist
        return run.once("observations", lambda: read_network(path, data, self.climate(run), error, blacklist))

    def case(self, run: Run, split: str) -> Any:
        """What is cycled in a split, `val` or `test`; of the validation split always of synthetic stations."""
        return run.once(f"case {split}", lambda: self._case(run, split))

    def _case(self, run: Run, split: str) -> Any:
        from genkit_weather.cycling import Case

        data, climate, rng = self.weather(run), self.climate(run), np.random.default_rng((run.seed, 17))
        if split == "test" and self.observations is not None:
            network, seen = self.file(run)
            length = 2 + self.cycles
            return Case.matched(rng, network, seen, data, climate, length, self.leads, self.withheld, self.departure)
        size = (2 + self.tuning, 0, 0.0) if split == "val" else (2 + self.cycles, self.leads, self.withheld)
        return Case.synthetic(rng, self.stations, data, climate, data.splits()[split][0], *size, self.departure)

    def archived(self, run: Run) -> Folds:
        """The folds and the validation split with forecasts of their states."""
        from genkit_weather.cycling import Forecasts, backgrounds

        data, chosen, rng = self.weather(run), self.tune(run), np.random.default_rng((run.seed, 23))
        first, method = (self.method(run, name, chosen.get(name, {})) for name in ("oi", "forecast_oi"))
        folds, members = self.folds(run), min(4, self.members)

        def forecast(climate: Climate, series: Series, most: int) -> Series:
            one, begin = replace(method, climate=climate), replace(first, climate=climate)
            forecasts = Forecasts(run.model, climate, series, run.seed)
            rows = run.each("backgrounds", range(min(most, len(series))))
            found = backgrounds(rng, one, begin, forecasts, data, self.stations, members, rows)
            return replace(series, forecast=found)

        each, few = max(LEAST, self.archive // len(folds.train)), max(LEAST, self.archive // 8)
        train = tuple((climate, forecast(climate, s, each)) for climate, s in folds.train)
        val = tuple(forecast(folds.climate, s, few) for s in data.val)
        return Folds(replace(data, val=val), folds.climate, train)

    def tune(self, run: Run) -> dict[str, dict[str, float]]:
        """Options of the methods that are tuned, by the mean error of analyses of the validation split."""
        return run.once("tuning", lambda: self._tune(run))

    def _tune(self, run: Run) -> dict[str, dict[str, float]]:
        from genkit_weather.cycling import cycle, distance, tuned

        path = run.folder / "tuning.json"
        # JSON has no infinity
        chosen = {n: {k: float(v) for k, v in one.items()} for n, one in read_json(path, {}).items()}
        if not self.tuning:
            return chosen
        climate, case = self.climate(run), self.case(run, "val")
        forecasts, truth = self.forecasts(run, case.series), climate.states(case.series, case.rows[2:])
        for name in (n for n in GRIDS if n in {"oi", "forecast_oi", *self.methods} and n not in chosen):
            if not (grid := self.grid(name)):
                continue

            def score(options: Mapping[str, float], name: str = name) -> float:
                first, method = (self.method(run, n, o) for n, o in (("oi", chosen.get("oi", {})), (name, options)))
                record = cycle(method, first, forecasts, case.given, case.rows, self.members, run.seed)
                return distance(climate, record.states, truth)

            chosen[name], error = tuned(name, grid, score)
            told = ", ".join(f"{key} {value:g}" for key, value in chosen[name].items())
            run.say(f"{name}: {told} (error {error:.3f} of the spread that the frame leaves, on the validation split)")
            write_json(path, {n: {k: str(v) for k, v in one.items()} for n, one in chosen.items()})
        return chosen
