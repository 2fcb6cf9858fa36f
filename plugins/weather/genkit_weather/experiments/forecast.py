"""What all forecasting experiments share: starts, forecast files, baselines, verification, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import ZERO, Dataset, Model
from genkit_weather.data import Series, WeatherData, statistics, take, truth
from genkit_weather.datasets import QGNature
from genkit_weather.events import Events
from genkit_weather.forecasting import ForecastFile, dataset, discard, read, replace_file
from genkit_weather.host import HostWindow, framed, possible_starts, surrounded
from genkit_weather.lam import STEP, Times
from genkit_weather.models import Diffusion, WeatherModel
from genkit_weather.stations import InSitu, at_stations, observed

Start = tuple[int, int]  # series of the test split, index of the last known state


@dataclass(frozen=True)
class Plan:
    """Forecasts of one file: how many starts, steps of the data and members; every `stride`-th step is forecast."""

    file: str
    starts: int
    leads: int
    members: int
    stride: int = 1

    @property
    def steps(self) -> list[int]:
        """Those that are forecast."""
        return list(range(self.stride, self.leads + 1, self.stride))


@dataclass(frozen=True)
class ForecastExperiment(Experiment):
    """Train a model, forecast from several starts of the test split, verify against baselines."""

    headline = "rmse/*"

    data: Dataset[WeatherData] = field(default_factory=QGNature)
    """Where the weather comes from."""
    model: Model[WeatherData, WeatherModel] = field(default_factory=Diffusion)
    """What forecasts: trained here, or the folder of what was trained."""
    host: Dataset[WeatherData] | None = None
    """A second data set around the area, on its own grid and with its own step: the boundary. Models on graphs see its
    points as nodes, in place of a frame: only the interior of `data` is used, and all of it is forecast (Oskarsson,
    Adamov et al. 2025, arXiv 2504.09340). For other models it is interpolated to the cells of the frame."""
    window: HostWindow = field(default_factory=HostWindow)
    """What models on graphs see of the second data set."""
    latitude: bool = False
    """Weigh cells by their area on a grid of latitudes and longitudes, in the loss and in the scores."""
    verify: Literal["test", "val"] = "test"
    """The split that is forecast and verified. A recipe is chosen on val, so that test stays unseen."""
    starts: int = 12
    """Forecasts, spread evenly over that split."""
    leads: int = 8
    """Steps of each forecast."""
    members: int = 8
    """Ensemble members."""
    long_leads: Annotated[int, ZERO] = 40
    """Steps of a longer forecast, up to 4 members from 3 starts, that shows whether the model keeps to its climate; 0
    leaves it out."""
    chunk: int = 48
    """Member-states advanced at once: more is faster, less needs less memory. Results do not depend on it."""
    format: Literal["nc", "zarr"] = "nc"
    """Format of the forecast file."""
    baselines: tuple[str, ...] = (
        "climatology", "persistence", "harmonic", "ridge", "ar2", "frame_regression", "oracle",
    )  # fmt: skip
    """Baselines to compare with; those that the data do not allow are left out."""
    baseline_members: int = 50
    """Members of the climatological ensemble."""
    events: Events = field(default_factory=Events)
    """Events whose Brier and fractions skill scores are reported, such as rain of more than a threshold."""
    stations: InSitu = field(default_factory=InSitu)
    """Observations of stations to verify against as well."""
    plume: tuple[str, ...] = ()
    """Place whose forecasts the report shows as a plume: latitude and longitude (y and x in km where the data have no
    degrees), or the name of a station of `stations.file` or of a town that cartopy's files know. The middle of the area
    by default."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        from genkit_weather.baselines import BASELINES

        for name in ("starts", "leads", "members", "chunk", "baseline_members"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.long_leads < 0:
            raise UsageError(f"long_leads={self.long_leads} is negative; 0 makes no long forecast")
        for name in self.baselines:
            if name not in BASELINES:
                raise UsageError(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
        if self.host is not None and not self.on_nodes and self.window != HostWindow():
            raise UsageError("window is for models on graphs; this one sees the second data set in its frame")

    # stages

    def weather(self, run: Run) -> WeatherData:
        """The data, loaded once a process; with a second data set around them, and weights of their cells."""
        return run.once("data", self._load)

    def _load(self) -> WeatherData:
        from genkit_weather.verification import latitude_weights

        data, host = self.data.load(), None if self.host is None else self.host.load()
        if self.latitude:
            data = replace(data, weights=latitude_weights(data))
        if self.verify == "val":  # an oracle re-runs the test split
            data = replace(data, test=data.val, oracle=None)
            host = host and replace(host, test=host.val, oracle=None)
        if host is None:
            return data
        return surrounded(data, host, self.window) if self.on_nodes else framed(data, host)

    def prepare(self, run: Run) -> None:
        """Load or generate the data, and tell what they are."""
        data = self.weather(run)
        (h, w), (fy, fx) = data.grid, data.frame
        steps = {split: sum(map(len, series)) for split, series in data.splits().items()}
        run.say(
            f"{data.source}: {len(data.names)} variables on {h} x {w} cells, frame {fy} x {fx}, every "
            f"{data.step_hours:g} h; {steps['train']} train, {steps['val']} validation, {steps['test']} test states"
        )
        for note in data.notes:
            run.say(note)
        self.events.by_variable(data.names)
        if self.stations.file is not None:  # what is wrong with the file should not wait for the training to end
            found = observed(self.stations, self.truth(data), data.frame)
            run.say(f"{found.attrs['source']}: {found.sizes['station']} stations, {found.attrs['count']} observations")
        if self.plume:
            from genkit_weather.figures import spot

            spot(self.truth(data), self.plume, self.stations.file)

    def train(self, run: Run) -> None:
        """Train the model, or restore it."""
        run.trained("model", lambda: self.weather(run))

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n members of one forecast, from the middle of the test split: (n, lead, H, W, V), physical units."""
        data = self.weather(run)
        chosen = self.chosen(data)
        series, start = chosen[len(chosen) // 2]
        states = self.ensemble(run, key, data.test[series], [start], n, self.leads)
        return np.concatenate([s for _, s in states], 1)[0].swapaxes(0, 1)

    def ensemble(
        self, run: Run, key: Any, series: Series, starts: Sequence[int], members: int, leads: int, model: Any = None
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Yield (numbers of leads, states (start, lead, member, H, W, V)), frame included, in physical units.

        By the run's model, or by another.
        """
        model = model or run.model
        outlook = model.outlook(self.weather(run), series, starts, leads)
        return model.forecast(key, outlook, members, self.chunk)

    def sample(self, run: Run) -> None:
        """Forecast from all starts, chunk by chunk, into the forecast files; an interrupted one goes on."""
        data = self.weather(run)
        if self.long_leads and len(self.plans(data)) == 1:
            run.say(
                f"left out: long forecasts, as the {self.verify} split has no 3 starts with {self.long_leads} leads"
            )
        for plan in self.plans(data):
            self.forecast(run, data, plan)

    def forecast(self, run: Run, data: WeatherData, plan: Plan, model: Any = None) -> None:
        """Write the file of a plan, by the run's model or by another."""
        from rich.progress import Progress

        path, every, key = self.path(run, plan), slice(0, plan.members), run.key("forecast")
        # what is made again replaces the old forecasts when it is whole
        part = path.with_name(f".{path.name}") if "sample" in run.done else path
        if part != path:
            discard(part)
        with ForecastFile(part, data, self._times(data, plan), plan.steps, plan.members) as file:
            jobs = [job for job in self._jobs(data, plan) if not file.filled(job[1], every)]
            with Progress(disable=not run.progress, console=run.console) as progress:
                total = plan.leads * sum(len(starts) for _, _, starts in jobs)
                task = progress.add_task(plan.file.replace("_", " "), total=total // plan.stride)
                for series, rows, starts in jobs:
                    pieces = self.ensemble(run, key, data.test[series], starts, plan.members, plan.leads, model)
                    for some, states in pieces:
                        file.write(rows, slice(some.start - 1, some.stop - 1), every, states)
                        progress.advance(task, len(starts) * len(some))
        if part != path:
            replace_file(part, path)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores by variable and lead, of the model and of the baselines, on the same starts."""
        from genkit_weather.events import event_scores
        from genkit_weather.verification import by_start, by_validity, growth, scores, summary, verify

        data = self.weather(run)
        results: dict[str, Any] = {}
        for plan in self.plans(data)[1:]:
            with read(self.path(run, plan)) as forecasts:
                results |= growth(forecasts, statistics(data), frame=data.frame)
                results |= self.memory(forecasts, data, plan)
        true = self.truth(data)
        with self.forecasts(run) as forecasts:
            table = scores(forecasts, true, frame=data.frame, weights=data.weights)
            results |= summary(table)
            results |= by_validity(table) if data.diurnal else {}
            results |= event_scores(forecasts, true, self.events, frame=data.frame, weights=data.weights)
            run.keep_items(by_start(table), self._times(data, self.plans(data)[0]).astype(str))
            results |= self.in_situ(forecasts, data)
        for name, forecast in self.baseline_forecasts(run, data):
            results |= verify(forecast, true, frame=data.frame, weights=data.weights, baseline=name)
            results |= event_scores(forecast, true, self.events, frame=data.frame, weights=data.weights, baseline=name)
            results |= self.in_situ(forecast, data, name)
        return results

    def report(self, run: Run) -> None:
        """Tables and figures."""
        from genkit_weather.experiments.summary import report

        with self.forecasts(run) as forecasts:
            data = self.weather(run)
            known = self.truth(data), self.analysis(data)
            report(run, data, forecasts.load(), *known, self.baselines, self.events, self.plume, self.stations.file)
            if self.stations.file is not None:
                from genkit_weather.stations import report as add_stations

                add_stations(run, self.stations, forecasts, data.frame, run.results)

    def plan(self) -> dict[str, str]:
        """Sizes, parameters and memory, without data; needs a data set with `layout()`."""
        around = self.host is not None and self.on_nodes
        if not hasattr(self.data, "layout") or around or not hasattr(self.model, "plan"):
            return {}
        layout, model = self.data.layout(), self.model  # type: ignore[attr-defined]
        return model.plan(layout, min(self.chunk, self.members * self.starts))  # type: ignore[attr-defined]

    # pieces

    @property
    def on_nodes(self) -> bool:
        """Whether the model sees a second data set as nodes."""
        return getattr(self.model, "on_nodes", False)

    def in_situ(self, forecast: xr.Dataset, data: WeatherData, baseline: str | None = None) -> dict[str, float | None]:
        """Scores at the stations of `stations.file`; none where there is no file."""
        if self.stations.file is None:
            return {}
        from genkit_weather.stations import station_scores, thresholds

        found = observed(self.stations, forecast, data.frame)
        events = thresholds(self.stations.thresholds, found)
        return station_scores(at_stations(forecast, found, self.stations.method), found, events, baseline)

    def case(self, run: Run, when: np.datetime64) -> tuple[xr.Dataset, xr.Dataset]:
        """Forecast (1, lead, member, y, x) and truth of one start: from the file where it is there, else made now."""
        data = self.weather(run)
        plan = self.plans(data)[0]
        found = [(s, i) for s, i in self._possible(data, plan) if data.test[s].time[i] == when]
        if not found:
            first = self.times(data).lag
            times = np.concatenate([one.time[first : len(one) - plan.leads] for one in data.test])
            raise UsageError(
                f"no forecast from {when}: the {self.verify} data have starts from {times.min()} to {times.max()}, "
                f"every {data.step_hours:g} h"
            )
        series, start = found[0]
        true = dataset(truth(data.test[series], [start], plan.steps), data, np.array([when]), plan.steps)
        chosen = self.chosen(data, plan)
        if found[0] in chosen:
            with self.forecasts(run) as file:
                return file.isel(start=[chosen.index(found[0])]).load(), true
        pieces = self.ensemble(run, run.key("forecast"), data.test[series], [start], plan.members, plan.leads)
        states = np.concatenate([states for _, states in pieces], 1)
        return dataset(states, data, np.array([when]), plan.steps), true

    def plans(self, data: WeatherData) -> list[Plan]:
        """The forecasts that are verified and, where the test split is long enough, the long ones."""
        stride = self.times(data).delta
        verified = Plan("forecasts", self.starts, self.leads, self.members, stride)
        long = Plan("long_forecasts", 3, self.long_leads, min(4, self.members), stride)
        room = self.long_leads > 0 and len(self._possible(data, long)) >= long.starts
        return [verified, long] if room else [verified]

    def chosen(self, data: WeatherData, plan: Plan | None = None) -> list[Start]:
        """The starts of a plan (by default the verified one), evenly spread over the times that have all leads."""
        plan = plan or self.plans(data)[0]
        every = self._possible(data, plan)
        if len(every) < plan.starts:
            raise DataError(
                f"{data.source}: the {self.verify} split has {len(every)} starts with {plan.leads} leads, not "
                f"{plan.starts}; ask for fewer --starts or --leads"
            )
        return [every[i] for i in np.linspace(0, len(every) - 1, plan.starts).round().astype(int)]

    def _possible(self, data: WeatherData, plan: Plan) -> list[Start]:
        lag = self.times(data).lag
        return [(s, i) for s in range(len(data.test)) for i in possible_starts(data, s, lag, plan.leads)]

    def times(self, data: WeatherData) -> Times:
        """The lag and the leads of the model."""
        times = getattr(self.model, "times", None)
        return STEP if times is None else times(data.step_hours)

    def path(self, run: Run, plan: Plan) -> Path:
        """The file of a plan's forecasts."""
        return run.folder / f"{plan.file}.{self.format}"

    def forecasts(self, run: Run) -> xr.Dataset:
        """The forecast file, opened."""
        return read(self.path(run, self.plans(self.weather(run))[0]))

    def truth(self, data: WeatherData, plan: Plan | None = None) -> xr.Dataset:
        """The truth of the forecasts of a plan (by default the verified ones), (start, lead, y, x)."""
        plan = plan or self.plans(data)[0]
        states = [truth(data.test[s], [i], plan.steps) for s, i in self.chosen(data, plan)]
        return self._of_data(np.concatenate(states), data, plan, plan.steps)

    def analysis(self, data: WeatherData) -> xr.Dataset:
        """The states that the verified forecasts start from, (start, y, x)."""
        states = np.stack([take(data.test[s].known, np.array([i])) for s, i in self.chosen(data)])
        return self._of_data(states, data, self.plans(data)[0], [0]).isel(lead=0)

    def _of_data(self, states: np.ndarray, data: WeatherData, plan: Plan, steps: Sequence[int]) -> xr.Dataset:
        """States of the data as a file has them, NaN where they have no value."""
        states = states if data.mask is None else np.where(data.mask, states, np.float32("nan"))
        return dataset(states, data, self._times(data, plan), steps)

    def baseline_forecasts(self, run: Run, data: WeatherData) -> Iterator[tuple[str, xr.Dataset]]:
        """Name and forecast of each baseline that the data allow."""
        from genkit_weather.baselines import BASELINES, ENSEMBLES

        plan = self.plans(data)[0]
        for name in self.baselines:
            members = {"climatology": self.baseline_members}.get(name, self.members)
            baseline = BASELINES[name](**({"members": members} if name in ENSEMBLES else {}))
            try:
                yield name, self._by(baseline, data, plan)
            except UsageError as error:  # no oracle, no frame, no daily cycle
                run.say(f"left out: {error}")

    def _by(self, baseline: Any, data: WeatherData, plan: Plan) -> xr.Dataset:
        """The forecasts of a plan by a baseline."""
        forecast = baseline.fit(data)
        parts = [forecast(data.test[s], starts, plan.steps) for s, _, starts in self._by_series(data, plan)]
        return dataset(np.concatenate(parts), data, self._times(data, plan), plan.steps)

    def memory(self, forecasts: xr.Dataset, data: WeatherData, plan: Plan) -> dict[str, float | None]:
        """See `genkit_weather.verification.memory`; none without a frame."""
        from genkit_weather.baselines import FrameRegression
        from genkit_weather.verification import memory

        if "frame_regression" not in self.baselines or not any(data.frame):
            return {}
        by_frame = self._by(FrameRegression(), data, plan)
        return memory(forecasts, by_frame, self.truth(data, plan), frame=data.frame, weights=data.weights)

    def _times(self, data: WeatherData, plan: Plan) -> np.ndarray:
        return np.array([data.test[s].time[i] for s, i in self.chosen(data, plan)])

    def _by_series(self, data: WeatherData, plan: Plan) -> list[tuple[int, slice, list[int]]]:
        """Chosen starts grouped by series: (series, rows of the forecast file, indices)."""
        groups, row = [], 0
        chosen = self.chosen(data, plan)
        for series in sorted({s for s, _ in chosen}):
            starts = [i for s, i in chosen if s == series]
            groups.append((series, slice(row, row + len(starts)), starts))
            row += len(starts)
        return groups

    def _jobs(self, data: WeatherData, plan: Plan) -> list[tuple[int, slice, list[int]]]:
        """The groups of `_by_series` in pieces of about `chunk` member-states."""
        per = max(1, self.chunk // plan.members)
        return [
            (series, slice(rows.start + lo, min(rows.start + lo + per, rows.stop)), starts[lo : lo + per])
            for series, rows, starts in self._by_series(data, plan)
            for lo in range(0, len(starts), per)
        ]


def tiny() -> dict[str, Any]:
    """Options of the preset tiny of all studies of forecasts."""
    return {
        "data": QGNature.preset("tiny"),
        "starts": 4,
        "leads": 4,
        "long_leads": 0,
        "baselines": ("climatology", "persistence", "harmonic", "ar2"),
    }
