"""What surrounds the limited area of the nature run, as its coarse host model knows it: boundary data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from genkit.data import cached
from genkit.errors import UsageError
from genkit_weather.data import Series, WeatherData, check
from genkit_weather.datasets.qg_nature import EPOCH, KM, LONG_NAMES, NAMES, QGNature

MARGIN = 5  # blocks of 600 km kept on each side of the area


@dataclass(frozen=True)
class QGHost:
    """The host model of the nature run: its 5 variables on blocks of 600 km, 3000 km beyond the area on each side.

    `analysis`: block means of the truth every 6 h. `forecast`: forecasts of the host, which has half the resolution
    and no noise, started from them every `cycle` outputs. The nature run must be that of the limited area.
    """

    nature: QGNature = field(default_factory=QGNature)
    """the nature run"""
    kind: Literal["analysis", "forecast"] = "analysis"
    """one analysis, or many forecasts"""
    cycle: int = 8
    """outputs of 6 h between two forecasts"""
    length: int = 56
    """outputs of a forecast after its analysis"""

    @classmethod
    def preset(cls, name: str) -> "QGHost":
        """Around the nature run of the same preset."""
        return cls(QGNature.preset(name))

    def load(self) -> WeatherData:
        """The three splits; generated on first use."""
        from genkit_weather.datasets.qg import generate
        from genkit_weather.datasets.qg.model import Flow

        if self.cycle < 1 or self.length < 2:
            raise UsageError(f"qg_host: cycle {self.cycle} must be at least 1 and length {self.length} at least 2")
        nature = self.nature
        data, flow = nature.load(), Flow(noise=nature.noise)
        block = flow.n // generate.HOST_POINTS
        rows, columns = (
            slice(s.start // block - MARGIN, s.stop // block + MARGIN) for s in (generate.ROWS, generate.COLUMNS)
        )
        params = {**nature.params(), "kind": self.kind, "cycle": self.cycle, "length": self.length, "margin": MARGIN}

        def make(path: Path) -> None:
            arrays = {}
            with np.load(nature.path()) as file:
                for split in data.splits():
                    blocks = file[f"{split}_blocks"].astype(np.float32)
                    starts = np.arange(0, len(blocks), self.cycle if self.kind == "forecast" else 1)
                    leads = np.arange(self.length + 1) if self.kind == "forecast" else np.zeros(1, int)
                    runs = generate.host_runs(flow, blocks, nature.spinup, starts, leads)
                    arrays[split] = runs[:, :, rows, columns].astype(np.float16)
            np.savez(path, **arrays)

        with np.load(cached("qg_host_runs.npz", params, make)) as file:
            splits = {split: self._series(file[split].astype(np.float32)) for split in data.splits()}
        place = [
            KM * (block * np.arange(s.start, s.stop) + (block - 1) / 2 - area.start)
            for s, area in ((rows, generate.ROWS), (columns, generate.COLUMNS))
        ]
        return check(
            WeatherData(
                train=splits["train"],
                val=splits["val"],
                test=splits["test"],
                static=np.zeros((len(place[0]), len(place[1]), 0), np.float32),
                frame=(0, 0),
                names=NAMES,
                units=("1",) * len(NAMES),
                long_names=LONG_NAMES,
                forcing_names=(),
                static_names=(),
                step_hours=6.0,
                x=place[1],
                y=place[0],
                source="qg_host",
            )
        )

    def _series(self, runs: np.ndarray) -> tuple[Series, ...]:
        """Runs (start, lead, H, W, V) as one analysis or as forecasts."""
        step = np.timedelta64(6, "h")
        begin = EPOCH + self.nature.spinup * step
        if self.kind == "analysis":
            return (_plain(runs[:, 0], begin + np.arange(len(runs)) * step),)
        issued = begin + self.cycle * np.arange(len(runs)) * step
        return tuple(_plain(run, at + np.arange(len(run)) * step, at) for run, at in zip(runs, issued, strict=True))


def _plain(state: np.ndarray, time: np.ndarray, issued: np.datetime64 | None = None) -> Series:
    return Series(state, np.zeros((len(time), 1, 1, 0), np.float32), time, issued=issued)
