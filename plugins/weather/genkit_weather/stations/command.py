"""`genkit weather-stations`: verify a finished run against stations, or one of its dates as a case study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class WeatherStations:
    """Verify the forecasts of a run against observations of stations; with --date, one of them as a case study.

    Writes stations/<file>[-<date>]/ in the run folder: report.html, results.json, figures. A date that the run
    did not forecast but its test data have is forecast now.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The run."""
    file: Annotated[Path, tyro.conf.Positional]
    """Observations: CSV (station, time, lat, lon or x, y, variables as `t2m [degC]`) or NetCDF (station, time)."""
    date: str | None = None
    """Begin of the forecast in UTC, as 2020-02-08T12; all forecasts of the run if not given."""
    method: Literal["bilinear", "nearest"] = "bilinear"
    """Interpolation of the forecast to the stations."""
    thresholds: tuple[tuple[str, float], ...] = ()
    """Events, as `t2m 273.15 wind_speed 17.2`; quantiles of the observations if not given."""
    lapse: float = 6.5
    """Fall of temperature with height in K a km, between the model's surface and a station's, where both are known."""
    wind: tuple[str, str] | None = None
    """The model's eastward and northward wind at the height of the stations."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> None:
        """Verify and report."""
        from genkit.experiment import held, load, set_up
        from genkit.terminal import console
        from genkit_weather.stations.case import verify_run
        from genkit_weather.stations.compare import InSitu

        set_up()
        run = load(self.run_folder, self.trust)
        run.console, run.progress = console(), True
        options = InSitu(self.file, self.method, self.thresholds, self.lapse, self.wind)
        with held(run.folder):
            folder = verify_run(run, options, self.date)
        run.console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
