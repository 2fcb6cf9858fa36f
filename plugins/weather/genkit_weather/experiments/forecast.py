"""What all forecasting experiments share: starts, forecast files, baselines, verification, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import Dataset
from genkit_weather.data import Series, WeatherData, truth
from genkit_weather.datasets.qg_nature import QGNature
from genkit_weather.forecasts import ForecastFile, dataset, read

Start = tuple[int, int]  # series of the test split, index of the last known state


@dataclass(frozen=True)
class ForecastExperiment(Experiment):
    """Train a model, forecast from several starts of the test split, verify against baselines."""

    data: Dataset = field(default_factory=QGNature)
    """Where the weather comes from."""
    starts: int = 12
    """Forecasts, spread evenly over the test split."""
    leads: int = 8
    """Steps of each forecast."""
    members: int = 8
    """Ensemble members."""
    chunk: int = 48
    """Member-states advanced at once: more is faster, less needs less memory. Results do not depend on it."""
    format: Literal["nc", "zarr"] = "nc"
    """Format of the forecast file."""
    baselines: tuple[str, ...] = ("climatology", "persistence", "harmonic", "ridge", "ar2", "oracle")
    """Baselines to compare with; those that the data do not allow are left out."""
    baseline_members: int = 50
    """Members of the climatological ensemble."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        from genkit_weather.baselines import BASELINES

        for name in ("starts", "leads", "members", "chunk", "baseline_members"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        for name in self.baselines:
            if name not in BASELINES:
                raise UsageError(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")

    # for subclasses

    def advance(
        self, run: Run, series: Series, starts: Sequence[int], leads: int
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Yield (leads, states (start, lead, member, H, W, V)) in physical units, some leads at a time, in order."""
        raise NotImplementedError(f"{type(self).__name__} needs a method advance(...)")

    # stages

    def weather(self, run: Run) -> WeatherData:
        """The data, loaded once a process."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Load or generate the data, and tell what they are."""
        data = self.weather(run)
        (h, w), (fy, fx) = data.grid, data.frame
        steps = {split: sum(map(len, series)) for split, series in data.splits().items()}
        run.say(
            f"{data.source}: {len(data.names)} variables on {h} x {w} cells, frame {fy} x {fx}, every "
            f"{data.step_hours:g} h; {steps['train']} train, {steps['val']} validation, {steps['test']} test states"
        )

    def sample(self, run: Run) -> None:
        """Forecast from all starts, chunk by chunk, into the forecast file; an interrupted one goes on."""
        from rich.progress import Progress

        data = self.weather(run)
        times, members = self._times(data), slice(0, self.members)
        with ForecastFile(run.folder / f"forecasts.{self.format}", data, times, self._leads, self.members) as file:
            jobs = [job for job in self._jobs(data) if not file.filled(job[1], members)]
            with Progress(disable=not run.progress, console=run.console) as progress:
                task = progress.add_task("forecasts", total=self.leads * sum(len(starts) for _, _, starts in jobs))
                for series, rows, starts in jobs:
                    for some, states in self.advance(run, data.test[series], starts, self.leads):
                        file.write(rows, slice(some.start - 1, some.stop - 1), members, states)
                        progress.advance(task, len(starts) * len(some))

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores by variable and lead, of the model and of the baselines, on the same starts."""
        from genkit_weather.verification import verify

        data = self.weather(run)
        true = self.truth(data)
        results: dict[str, Any] = {}
        with self.forecasts(run) as forecasts:
            results |= verify(forecasts, true, frame=data.frame)
        for name, forecast in self.baseline_forecasts(run, data):
            results |= verify(forecast, true, frame=data.frame, baseline=name)
        return results

    def report(self, run: Run) -> None:
        """Tables and figures."""
        from genkit_weather.experiments.summary import report

        with self.forecasts(run) as forecasts:
            report(run, self.weather(run), forecasts.load(), self.truth(self.weather(run)), self.baselines)

    # pieces

    @property
    def _leads(self) -> list[int]:
        return list(range(1, self.leads + 1))

    def chosen(self, data: WeatherData) -> list[Start]:
        """The starts, evenly spread over the times of the test split that have all leads."""
        every = [(s, i) for s, one in enumerate(data.test) for i in range(1, len(one) - self.leads)]
        if len(every) < self.starts:
            raise DataError(
                f"{data.source}: the test split has {len(every)} starts with {self.leads} leads, not {self.starts}; "
                "ask for fewer --starts or --leads"
            )
        return [every[i] for i in np.linspace(0, len(every) - 1, self.starts).round().astype(int)]

    def forecasts(self, run: Run) -> xr.Dataset:
        """The forecast file, opened."""
        return read(run.folder / f"forecasts.{self.format}")

    def truth(self, data: WeatherData) -> xr.Dataset:
        """The truth of all forecasts, (start, lead, y, x)."""
        states = np.concatenate([truth(data.test[s], [i], self._leads) for s, i in self.chosen(data)])
        return dataset(states, data, self._times(data), self._leads)

    def baseline_forecasts(self, run: Run, data: WeatherData) -> Iterator[tuple[str, xr.Dataset]]:
        """Name and forecast of each baseline that the data allow."""
        from genkit_weather.baselines import BASELINES

        for name in self.baselines:
            members = {"climatology": self.baseline_members, "oracle": self.members}.get(name)
            baseline = BASELINES[name](**({} if members is None else {"members": members}))
            try:
                forecast = baseline.fit(data)
                parts = [forecast(data.test[s], starts, self._leads) for s, _, starts in self._by_series(data)]
            except UsageError as error:  # no oracle, no frame, no daily cycle
                run.say(f"left out: {error}")
                continue
            yield name, dataset(np.concatenate(parts), data, self._times(data), self._leads)

    def _times(self, data: WeatherData) -> np.ndarray:
        return np.array([data.test[s].time[i] for s, i in self.chosen(data)])

    def _by_series(self, data: WeatherData) -> list[tuple[int, slice, list[int]]]:
        """Chosen starts grouped by series: (series, rows of the forecast file, indices)."""
        groups, row = [], 0
        chosen = self.chosen(data)
        for series in sorted({s for s, _ in chosen}):
            starts = [i for s, i in chosen if s == series]
            groups.append((series, slice(row, row + len(starts)), starts))
            row += len(starts)
        return groups

    def _jobs(self, data: WeatherData) -> list[tuple[int, slice, list[int]]]:
        """The groups of `_by_series` in pieces of about `chunk` member-states."""
        per = max(1, self.chunk // self.members)
        return [
            (series, slice(rows.start + lo, min(rows.start + lo + per, rows.stop)), starts[lo : lo + per])
            for series, rows, starts in self._by_series(data)
            for lo in range(0, len(starts), per)
        ]
