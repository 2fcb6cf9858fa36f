"""The whole periodic domain of the nature run, as means over blocks: global data without a boundary."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.data import cached
from genkit_weather.data import Layout, Series, WeatherData, check
from genkit_weather.datasets.qg_nature import EPOCH, FORCINGS, KM, LONG_NAMES, NAMES, STATICS, QGNature, forcing

BLOCK = 2  # points of the nature run a cell has on each side


@dataclass(frozen=True)
class QGGlobal:
    """The nature run of `weather.qg_nature` as means over 600 km: 5 variables on 32 x 32 cells, periodic, every 6 h.

    Nothing comes in through a boundary, so that a forecast knows no more than its start.
    """

    nature: QGNature = field(default_factory=QGNature)
    """the nature run; its frame and boundary do not matter here"""

    suggests: ClassVar[dict[str, Any]] = {"formulation.guess": "persistence", "formulation.fill": False}

    @classmethod
    def preset(cls, name: str) -> "QGGlobal":
        """Of the nature run of the same preset."""
        return cls(QGNature.preset(name))

    def layout(self) -> Layout:
        """Sizes, without the data."""
        return Layout((32, 32), (0, 0), len(NAMES), len(FORCINGS), len(STATICS) - 1, uniform=True, spacing=600.0)

    def load(self) -> WeatherData:
        """The three splits; generated on first use (half a minute on two cores), then read from the cache."""
        from genkit_weather.datasets.qg import generate
        from genkit_weather.datasets.qg.model import Flow

        nature = self.nature
        nature.check()
        flow, lengths = Flow(noise=nature.noise), nature.lengths()

        def make(path: Path) -> None:
            runs = generate.natures(flow, nature.seeds, nature.spinup, list(lengths.values()))
            arrays: dict[str, Any] = {f"{split}_globe": run["globe"] for split, run in zip(lengths, runs, strict=True)}
            np.savez(path, **arrays, test_full=runs[-1]["full"])

        path = cached("qg_global.npz", {**asdict(flow), **lengths, **nature.params(), "block": BLOCK}, make)
        with np.load(path) as file:
            splits = {split: self._series(flow, file[f"{split}_globe"]) for split in lengths}

        def oracle(starts, members, leads, seed=0):  # noqa: ANN001, ANN202 - as WeatherData.oracle
            with np.load(path) as file:
                full = generate.oracle(flow, file["test_full"], nature.spinup, starts, members, leads, seed, area=False)
                return np.asarray(generate.block_mean(full, BLOCK))

        angle = 2 * np.pi * (BLOCK * np.arange(flow.n // BLOCK) + (BLOCK - 1) / 2) / flow.n
        x, y = np.meshgrid(angle, angle)
        ground = np.stack([flow.raw_orography, flow.land], -1)
        static = np.concatenate(
            [generate.block_mean(ground, BLOCK), np.stack([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], -1)], -1
        )
        kilometres = BLOCK * KM * np.arange(flow.n // BLOCK)
        return check(
            WeatherData(
                train=(splits["train"],),
                val=(splits["val"],),
                test=(splits["test"],),
                static=static.astype(np.float32),
                frame=(0, 0),
                names=NAMES,
                units=("1",) * len(NAMES),
                long_names=LONG_NAMES,
                forcing_names=FORCINGS,
                static_names=STATICS[:-1],
                step_hours=6.0,
                x=kilometres,
                y=kilometres,
                oracle=oracle,
                diurnal=True,
                source="qg_global",
            )
        )

    def _series(self, flow, state: np.ndarray) -> Series:  # noqa: ANN001
        when = self.nature.spinup + np.arange(len(state))
        return Series(state, forcing(flow, when), EPOCH + when * np.timedelta64(6, "h"))
