"""`genkit weather-forecast`: a forecast by a trained model, from files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from genkit.errors import UsageError


@dataclass(frozen=True)
class WeatherForecast:
    """Forecast with a trained model: from two states, a boundary and a forcing, into a NetCDF file or zarr folder.

    Needs neither the data nor the experiment of the training. Members depend on the seed, the time of the start and
    their number alone. With --truth the forecast is scored.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a run or of a trained model."""
    initial: Path
    """The last two states (time, y, x), as far apart as in the training, of all variables. A model with the guess
    `relaxed` forecasts better from those of the last day."""
    boundary: Path
    """The boundary from the begin of the forecast to its end; only its frame is read. On another grid or with a longer
    step, as of a host model, it is interpolated. Of a model that was trained with a second data set around its area,
    that data set."""
    out: Path
    """File to write, .nc, .zarr or, with eccodes, .grib2."""
    leads: int = 8
    """Steps of the data the model was trained on."""
    members: int = 8
    """Ensemble members; those of a deterministic model are the same."""
    seed: int = 0
    """Seed of the noise."""
    forcing: Path | None = None
    """Forcing that neither file has, where it does not follow from time and place."""
    names: dict[str, str] = field(default_factory=dict)
    """shortName of GRIB of variables that are not called as there, as `--names gust 10fg`."""
    truth: Path | None = None
    """What came, to score the forecast."""
    chunk: int = 8
    """Members advanced at once: more is faster on an accelerator, less needs less memory. They are kept when they are
    whole: the same command, given again after a kill, goes on with the others."""
    trust: bool = False
    """Allow the model to name own code (module:Class)."""

    def run(self) -> None:
        """Forecast and write."""
        import numpy as np
        from rich.progress import Progress

        from genkit.experiment import set_up
        from genkit.model import load
        from genkit.parallel import named_key
        from genkit.terminal import console
        from genkit_weather.forecasting.files import ForecastFile, discard, replace_file
        from genkit_weather.forecasting.grib import GribFile, eccodes
        from genkit_weather.forecasting.inputs import given
        from genkit_weather.forecasting.parts import Parts, identity
        from genkit_weather.models import WeatherModel

        for name in ("leads", "members", "chunk"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)} is too few; expected at least 1")
        grib = self.out.suffix == ".grib2"
        if self.out.suffix not in (".nc", ".zarr", ".grib2"):
            raise UsageError(f"--out {self.out}: expected a file that ends in .nc or .grib2, or a folder in .zarr")
        if grib:
            eccodes()
        elif self.names:
            raise UsageError(f"--names is for GRIB; leave it out, or let --out {self.out} end in .grib2")
        if grib and self.truth is not None:
            raise UsageError("--truth is scored with a forecast in .nc or .zarr; leave it out of one in .grib2")
        if self.out in (self.initial, self.boundary, self.forcing, self.truth):
            raise UsageError(f"--out {self.out} is one of the files that are read; choose another")
        set_up()
        model = load(self.model, self.trust)
        if not isinstance(model, WeatherModel):
            raise UsageError(f"{self.model} is a {type(model).__name__}, which makes no weather forecasts")
        inputs = given(model, self.initial, self.boundary, self.leads, self.forcing)
        for note in inputs.notes:
            print(note)
        part = self.out.with_name(f".{os.getpid()}.{self.out.name}")
        # what GRIB cannot hold is refused before the forecast is made
        messages = GribFile(part, inputs.data, inputs.time, self.members, self.names) if grib else None
        outlook = model.outlook(inputs.data, inputs.series, [inputs.start], self.leads)
        key, steps = named_key(self.seed, "forecast"), model.times.outputs(self.leads)
        asked = identity(model, outlook, repr(model.sampler), repr(outlook.times), self.seed)
        shape = (len(steps), self.members, *model.area.grid, len(model.area.names))
        parts, screen = Parts(self.out, asked, shape, self.chunk), console()
        if len(parts.missing) < len(parts.first):
            print(f"{len(parts.first) - len(parts.missing)} of {len(parts.first)} parts are there already: it goes on")
        with Progress(disable=not screen.is_terminal, console=screen) as progress:
            task = progress.add_task("forecast", total=len(steps) * len(parts.missing))
            for lo in parts.missing:
                for some in parts.make(lo, partial(self._draw, model, key, outlook)):
                    progress.advance(task, len(some))
        try:
            if messages is not None:
                with messages as file:
                    for some, states in parts.read():
                        for k, step in enumerate(steps):
                            file.write(step, some.start, states[k])
            else:
                with ForecastFile(part, inputs.data, np.array([inputs.time]), steps, self.members) as file:
                    for some, states in parts.read():
                        for k in range(len(steps)):
                            file.write(slice(0, 1), slice(k, k + 1), some, states[None, k : k + 1])
            replace_file(part, self.out)
        except BaseException:
            discard(part)
            raise
        parts.discard()
        hours = self.leads * model.area.step_hours
        print(f"{self.out}: {self.members} members from {inputs.time}, {self.leads} steps to {hours:g} h")
        if self.truth is not None:
            self._score(screen, model, self.truth)

    def _draw(self, model: Any, key: Any, outlook: Any, first: int, count: int) -> Any:
        return model.forecast(key, outlook, count, self.chunk, first=first)

    def _score(self, screen: Any, model: Any, truth: Path) -> None:
        """A table of errors by lead."""
        from genkit.experiment import printed
        from genkit_weather.forecasting.scores import scored

        for part in printed(*scored(self.out, truth, model), f"{self.out} against {truth}", screen.width):
            screen.print(part)
