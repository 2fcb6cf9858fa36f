"""`genkit weather-analyse`: one analysis of observations, from files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from genkit.errors import DataError, UsageError

SAME = 1e-3  # in standard deviations: what rounding in a file makes of one boundary


@dataclass(frozen=True)
class WeatherAnalyse:
    """Analyse observations of stations at one time, with the model of a study `weather.assimilation`.

    A model of `weather.oi_diffusion` draws members about optimal interpolation of the mean background; one of
    `weather.snapshot` takes each member of the background to noise and back (DAISI). Needs neither data nor study.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a trained model: runs/x/models/oi or runs/x/models/prior."""
    background: Path
    """The state (time, y, x) at the time of the analysis, of all variables, with its frame: a forecast, or members of
    one, which share the frame."""
    observations: Path
    """Observations: CSV (station, time, lat, lon or x, y, `<variable> [unit]`, `<variable> error`) or NetCDF."""
    out: Path
    """File to write, .nc or .zarr."""
    time: str | None = None
    """Time of the analysis, as 2020-02-09T12; the last of the background by default."""
    members: int = 8
    """Members of the analysis; of a prior there are as many as of the background."""
    error: float = 0.1
    """Error of observations whose file does not tell it, in standard deviations of the variable."""
    departure: float = 6.0
    """Observations that depart from the background by more than so many standard deviations are left out."""
    blacklist: tuple[str, ...] = ()
    """Stations to leave out."""
    forcing: Path | None = None
    """Forcing that the background has not, where it does not follow from time and place."""
    seed: int = 0
    """Seed of the noise."""
    trust: bool = False
    """Allow the model to name own code (module:Class)."""

    def run(self) -> None:
        """Analyse and write."""
        import numpy as np

        from genkit.experiment import set_up
        from genkit.model import load
        from genkit_weather.assimilation import checked
        from genkit_weather.cycling.stations import read_network
        from genkit_weather.models import StateModel

        if self.members < 1 or not self.error > 0 or not self.departure > 0:
            raise UsageError("--members, --error and --departure must be positive")
        if self.out.suffix not in (".nc", ".zarr"):
            raise UsageError(f"--out {self.out}: expected a file that ends in .nc, or a folder in .zarr")
        if self.out in (self.background, self.observations, self.forcing):
            raise UsageError(f"--out {self.out} is one of the files that are read; choose another")
        set_up()
        model = load(self.model, self.trust)
        if not isinstance(model, StateModel):
            raise UsageError(
                f"{self.model} is a {type(model).__name__}; an analysis needs models/oi or models/prior of a run of "
                "weather.assimilation"
            )
        data, states = self._background(model)
        series, climate = data.test[0], model.climate
        _, seen = read_network(self.observations, data, climate, self.error, self.blacklist)
        when = series.time[0]
        if not seen:
            raise DataError(f"{self.observations} has no observation; give a file with values")
        observed = seen.get(when) or next(iter(seen.values())).without()
        if when not in seen:
            print(f"warning: {self.observations} has no observation at {when}; the analysis is the background")
        rng, covariance = np.random.default_rng(self.seed), getattr(model, "covariance", climate.covariance)
        # a background of few members does not know its error
        observed, gross = checked(observed, states.mean(0) + covariance.draw(rng, 100), self.departure)
        situation = climate.situation(series, [0])
        analysis = self._method(model)(rng, states, situation, observed).states
        self._write(data, np.asarray(climate.physical(analysis)))
        left = f", {int(gross.sum())} left out for their departure" if gross.any() else ""
        print(f"{self.out}: {len(analysis)} members at {when}, {int(observed.there.sum())} observations{left}")

    def _background(self, model: Any) -> tuple[Any, Any]:
        """The first member as data of one time, and the interior of all members (M, h, w, V), standardised."""
        import numpy as np

        from genkit_weather.area import frame_of, interior_of
        from genkit_weather.data import Series
        from genkit_weather.forecasting import at_times, forcing_of, members_of
        from genkit_weather.models import OIModel

        files = members_of(self.background, model.area)
        times = files[0]["time"].values.astype("datetime64[s]")
        if not len(times):
            raise DataError(f"{self.background} has no time")
        when = times[-1:] if self.time is None else np.array([self._moment()])
        states = np.concatenate([at_times(file, model.area, when, str(self.background)) for file in files])
        if not np.isfinite(states).all():
            raise DataError(f"{self.background} has values that are not finite at {when[0]}")
        frames = frame_of(model.climate.standard(states), model.area.frame)
        if np.abs(frames - frames[:1]).max(initial=0) > SAME:
            raise DataError(
                f"the members of {self.background} differ in the frame, {model.area.frame} cells wide; an analysis "
                "has one boundary: give members with that, or one state"
            )
        sources = {str(self.background): files[0]}
        if self.forcing is not None:
            sources[str(self.forcing)] = members_of(self.forcing, model.area)[0]
        series = Series(states[:1], forcing_of(model.area, when, sources), when)
        inner = interior_of(model.climate.standard(states), model.area.frame)
        if isinstance(model, OIModel) and len(inner) != self.members:
            inner = np.repeat(inner.mean(0, keepdims=True), self.members, 0)
        return model.area.data(series, str(self.background)), inner

    def _moment(self) -> Any:
        import numpy as np

        try:
            return np.datetime64((self.time or "").removesuffix("Z"), "s")
        except ValueError:
            raise UsageError(f"--time {self.time!r} is no time; write 2020-02-09T12") from None

    def _method(self, model: Any) -> Any:
        from genkit_weather.cycling.methods import InverseSampling, OIDiffusion
        from genkit_weather.models import OIModel

        return OIDiffusion(model) if isinstance(model, OIModel) else InverseSampling(model)

    def _write(self, data: Any, analysis: Any) -> None:
        """Members with the frame of the background, at lead 0."""
        import numpy as np

        from genkit_weather.area import frame_of, join
        from genkit_weather.forecasting import ForecastFile, discard, replace_file

        frame = np.repeat(frame_of(np.asarray(data.test[0].state), data.frame), len(analysis), 0)
        whole = np.asarray(join(frame, analysis.astype(np.float32), data.frame))
        every = slice(0, len(analysis))
        part = self.out.with_name(f".{os.getpid()}.{self.out.name}")
        try:
            with ForecastFile(part, data, data.test[0].time, [0], len(analysis)) as file:
                file.write(slice(0, 1), slice(0, 1), every, whole[None, None])
            replace_file(part, self.out)
        except BaseException:
            discard(part)
            raise
