"""A generated atmosphere: two-layer quasi-geostrophic flow over mountains, seen in a limited area every 6 h."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from genkit.data import cached, location
from genkit.errors import UsageError
from genkit.kinds import ZERO
from genkit_weather.data import Layout, Series, WeatherData, check

NAMES = ("z_up", "t_mid", "t_sfc", "u_sfc", "v_sfc")
LONG_NAMES = (
    "upper streamfunction",
    "mid-level temperature",
    "surface temperature",
    "surface eastward wind",
    "surface northward wind",
)
FORCINGS = ("sin_day", "cos_day", "sin_year", "cos_year", "mean_wind")
STATICS = ("orography", "land", "sin_x", "cos_x", "sin_y", "cos_y", "frame")
KM = 300.0  # grid spacing
EPOCH = np.datetime64("2000-01-01T00", "s")
VERSION = 2  # raise it when the same parameters give other numbers


@dataclass(frozen=True)
class QGNature:
    """Embedded nature run: 5 variables on 32 x 32 cells of 300 km, every 6 h, no download.

    Three independent runs make the splits. The future is uncertain by stochastic forcing of strength `noise`
    (0: deterministic chaos). All values are nondimensional anomalies (600 km, 12.5 m/s, 13.33 h). Train, val and
    test lengths count outputs of 6 h.

    The flow has two jets whose places take one of two patterns, and a run keeps its pattern for hundreds of days.
    With the default seeds all three runs have the same one; with seeds (0, 1, 2) the training run has the other,
    which makes the test one of generalisation (the ridge baseline's errors grow by 40 %).
    """

    noise: float = 0.3
    """strength of the stochastic forcing; 0 is deterministic"""
    boundary: Literal["perfect", "coarse", "host"] = "perfect"
    """frame values: the truth, the truth on 1200 km blocks, or forecasts of a 600 km host model"""
    frame: int = 4
    """cells of the frame on each side"""
    train: int = 1800
    """outputs of the training run"""
    val: int = 360
    """outputs of the validation run"""
    test: int = 720
    """outputs of the test run"""
    spinup: Annotated[int, ZERO] = 444
    """outputs of each run that are left out before those"""
    seeds: tuple[int, int, int] = (10, 1, 2)
    """of the train, val and test run"""
    analysis_error: float = 0.0
    """noise on the states a forecast starts from, in units of each variable's standard deviation"""

    @classmethod
    def preset(cls, name: str) -> "QGNature":
        """The default (also the paper's) size, or "tiny": 96, 36 and 48 outputs."""
        return cls(train=96, val=36, test=48, spinup=60) if name == "tiny" else cls()

    def layout(self) -> Layout:
        """Sizes, without the data."""
        return Layout(
            (32, 32), (self.frame, self.frame), len(NAMES), len(FORCINGS), len(STATICS), uniform=True, spacing=300.0
        )

    def path(self) -> Path:
        """The file of the generated run."""
        return location("qg_nature.npz", self.params())

    def lengths(self) -> dict[str, int]:
        """Outputs of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def params(self) -> dict[str, Any]:
        """What the generated run depends on."""
        from genkit_weather.datasets.qg.model import Flow

        flow = asdict(Flow(noise=self.noise))
        return {**flow, **self.lengths(), "seeds": self.seeds, "spinup": self.spinup, "version": VERSION}

    def check(self) -> None:
        """Refuse options out of range."""
        if not 0 < self.frame < 16 or min(self.train, self.val, self.test) < 3 or self.noise < 0 or self.spinup < 0:
            raise UsageError(
                f"qg_nature: frame {self.frame} must be 1..15, each of train, val, test at least 3, "
                "noise and spinup not negative"
            )

    def load(self) -> WeatherData:
        """The three splits; generated on first use (half a minute on two cores), then read from the cache."""
        from genkit_weather.datasets.qg import generate
        from genkit_weather.datasets.qg.model import Flow

        self.check()
        flow = Flow(noise=self.noise)
        lengths, params = self.lengths(), self.params()

        def make(path: Path) -> None:
            runs = generate.natures(flow, self.seeds, self.spinup, list(lengths.values()))
            arrays: dict[str, Any] = {}
            for split, run in zip(lengths, runs, strict=True):
                names = ("area", "coarse", "blocks") + ("full",) * (split == "test")  # only the test run is re-run
                arrays |= {f"{split}_{name}": run[name] for name in names}
            np.savez(path, **arrays)

        path = cached("qg_nature.npz", params, make)
        with np.load(path) as file:
            splits = {split: self._series(flow, params, file, split) for split in lengths}

        def oracle(starts, members, leads, seed=0):  # noqa: ANN001, ANN202 - as WeatherData.oracle
            with np.load(path) as file:
                return generate.oracle(flow, file["test_full"], self.spinup, starts, members, leads, seed)

        data = WeatherData(
            train=(splits["train"],),
            val=(splits["val"],),
            test=(splits["test"],),
            static=_static(flow, self.frame),
            frame=(self.frame, self.frame),
            names=NAMES,
            units=("1",) * 5,
            long_names=LONG_NAMES,
            forcing_names=FORCINGS,
            static_names=STATICS,
            step_hours=6.0,
            x=KM * np.arange(32),
            y=KM * np.arange(32),
            oracle=oracle,
            diurnal=True,
            source="qg_nature",
        )
        return check(self._with_analysis_error(data))

    def _series(self, flow, params: dict, file, split: str) -> Series:  # noqa: ANN001
        from genkit_weather.datasets.qg import generate

        state, lateral, host = file[f"{split}_area"], None, None
        if self.boundary == "coarse":
            lateral = generate.refine(file[f"{split}_coarse"])
        if self.boundary == "host":
            blocks = file[f"{split}_blocks"].astype(np.float32)
            host = partial(generate.host, flow, blocks, self.spinup)

            def make(path: Path) -> None:
                np.savez(path, frame=generate.host_archive(flow, blocks, self.spinup))

            with np.load(cached("qg_host.npz", {**params, "split": split}, make)) as archive:
                lateral = archive["frame"]
        when = self.spinup + np.arange(len(state))
        return Series(state, forcing(flow, when), EPOCH + when * np.timedelta64(6, "h"), lateral=lateral, host=host)

    def _with_analysis_error(self, data: WeatherData) -> WeatherData:
        """The same data with noisy known states, smooth on the scale of the deformation radius."""
        if not self.analysis_error:
            return data
        std = np.concatenate([s.state for s in data.train]).std((0, 1, 2))
        parts = {}
        for number, (split, (series,)) in enumerate(data.splits().items()):
            noise = _smooth_noise(self.seeds[number], len(series))
            parts[split] = (replace(series, analysis=series.state + self.analysis_error * std * noise),)
        return replace(data, **parts)


def forcing(flow, when: np.ndarray) -> np.ndarray:  # noqa: ANN001
    """(T, 1, 1, 5) angles of day and year and the mean wind U(t)."""
    from genkit_weather.datasets.qg.model import PER_DAY, PER_YEAR

    day, year = (2 * np.pi * (when % per) / per for per in (PER_DAY, PER_YEAR))
    wind = flow.wind * (1 + 0.2 * np.cos(year))
    columns = np.stack([np.sin(day), np.cos(day), np.sin(year), np.cos(year), wind], -1)
    return columns[:, None, None].astype(np.float32)


def _static(flow, frame: int) -> np.ndarray:  # noqa: ANN001
    """(32, 32, 7) static fields of the limited area."""
    from genkit_weather.datasets.qg.generate import COLUMNS, ROWS

    angle = 2 * np.pi * np.arange(flow.n) / flow.n
    x, y = np.meshgrid(angle, angle)
    layers = [flow.raw_orography, flow.land, np.sin(x), np.cos(x), np.sin(y), np.cos(y), np.ones_like(x)]
    static = np.stack(layers, -1)[ROWS, COLUMNS].astype(np.float32)
    static[frame:-frame, frame:-frame, -1] = 0
    return static


def _smooth_noise(seed: int, count: int) -> np.ndarray:
    """(count, 32, 32, 5) white noise filtered by exp(-K2 / 4), unit variance, independent in time and variable."""
    from genkit_weather.datasets.qg.generate import COLUMNS, ROWS
    from genkit_weather.datasets.qg.model import Flow

    n, rng = Flow.n, np.random.default_rng((seed, 77))
    wave = 2 * np.pi / Flow.length * np.fft.fftfreq(n, 1 / n)
    filter_ = np.exp(-(wave[:, None] ** 2 + wave[: n // 2 + 1] ** 2) / 4)[:, :, None]
    kernel = np.fft.irfft2(filter_[..., 0])
    scale = 1 / np.sqrt((kernel**2).sum())
    out = np.empty((count, 32, 32, 5), np.float32)
    for t in range(count):
        white = rng.standard_normal((n, n, 5), np.float32)
        smooth = np.fft.irfft2(np.fft.rfft2(white, axes=(0, 1)) * filter_, axes=(0, 1))
        out[t] = scale * smooth[ROWS, COLUMNS]
    return out
