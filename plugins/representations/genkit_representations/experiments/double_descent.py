"""`representations.double_descent`: learning curves of linear networks in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.files import read_arrays, write_arrays
from genkit_representations import figures
from genkit_representations.dynamics import Modes, case, cases, descend, flow, regression
from genkit_representations.experiments.study import at_least, preset

INPUTS, OUTPUTS, ROWS = 4, 3, 200  # of the matrices


@dataclass(frozen=True)
class DoubleDescent(Experiment):
    """Learning curves of two-layer linear networks, whose test error may fall, rise and fall again.

    Olmin and Lindsten (arXiv 2407.09845) solve gradient flow by mode. Extrema of the error are found from the closed
    form; beside it stand the flow by an adaptive solver, gradient descent on matrices that start along the modes, with
    steps of several sizes, and from small random ones, whose modes are coupled.
    """

    case: str = "all"
    """One of A_0, A_0.2, A_1, A_5, A_20, A_linear, B, B_linear, C, C_linear; or all."""
    steps: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    """Sizes of the steps of gradient descent."""
    time: float = 8.0
    """Length of the descent in units of the flow's time."""
    hidden: int = 5
    """Hidden units of the matrices."""
    start: float = 1e-2
    """Standard deviation of the random matrices."""
    draws: int = 5
    """Random starts."""
    grid: int = 24
    """Points a side of the phase diagram."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default and paper (the same: it takes seconds)."""
        tiny = {"case": "A_0", "steps": (0.1, 0.03), "draws": 2, "grid": 4}
        return preset(cls, name, {"tiny": tiny, "default": {}, "paper": {}})

    def __post_init__(self) -> None:
        """Check the options."""
        at_least(self, 1, "draws", "grid")
        if self.case != "all":
            case(self.case)
        if not self.steps or not 0 < min(self.steps) <= max(self.steps) < self.time or self.start <= 0:
            raise UsageError(
                f"steps={self.steps}, time={self.time}, start={self.start}; expected steps in 0..time, start > 0"
            )

    def chosen(self) -> dict[str, Modes]:
        """The cases by name."""
        return cases() if self.case == "all" else {self.case: case(self.case)}

    def sample(self, run: Run) -> None:
        """Follow the flow and the descents."""
        arrays: dict[str, Any] = {}
        for name, modes in self.chosen().items():
            times = np.linspace(0, self.time, 41)
            arrays[f"flow/{name}"] = np.abs(flow(modes, times) - modes.z(times)).max()
        matrix = case("A_0")
        data = regression(matrix, ROWS, INPUTS, OUTPUTS, seed=run.seed)
        sizes = np.sqrt(matrix.start)  # a = b: gamma = 0
        for step in self.steps:
            path = descend(data, data.layers(sizes, sizes, self.hidden), step, round(self.time / step))
            arrays[f"matrix/{step:g}"] = np.einsum("oi,toj,ji->ti", data.u, path, data.v)
        rng, step = np.random.default_rng(run.seed), min(self.steps)
        for k in range(self.draws):
            layers = (self.start * rng.standard_normal((self.hidden, INPUTS)),
                      self.start * rng.standard_normal((OUTPUTS, self.hidden)))  # fmt: skip
            path = descend(data, layers, step, round(self.time / step))
            whole = np.einsum("oi,toj,jk->tik", data.u, path, data.v)
            arrays[f"random/{k}"] = np.einsum("tii->ti", whole)
            arrays[f"coupling/{k}"] = np.abs(whole - np.einsum("tii,ij->tij", whole, np.eye(2))).max((1, 2))
        write_arrays(run.folder / "curves.npz", arrays)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Extrema in time, the regret of early stopping, and how far the numerical curves are."""
        arrays, found = read_arrays(run.folder / "curves.npz"), {}
        for name, modes in self.chosen().items():
            for kind in ("min", "max"):
                for k, one in enumerate([e for e in modes.extrema() if e.kind == kind]):
                    found |= {f"{kind}_t/{name}/{k}": one.t, f"{kind}_e/{name}/{k}": one.error}
            found[f"early_stop_regret/{name}"] = modes.regret()
            found[f"flow_error/{name}"] = float(arrays[f"flow/{name}"])
        matrix = case("A_0")
        for step in self.steps:
            z = arrays[f"matrix/{step:g}"]
            found[f"step_error/{step:g}"] = float(np.abs(z - matrix.z(step * np.arange(len(z)))).max())
        found["random/coupling"] = float(np.mean([arrays[f"coupling/{k}"].max() for k in range(self.draws)]))
        turns = [_turns(matrix.error_of(arrays[f"random/{k}"])) for k in range(self.draws)]
        found["random/double_descent"] = float(np.mean([t >= 2 for t in turns]))
        return found

    def report(self, run: Run) -> None:
        """Table and figures."""
        rows = []
        for name, modes in self.chosen().items():
            extrema = "; ".join(f"{e.kind} {e.error:.5g} at {e.t:.5g}" for e in modes.extrema())
            rows.append([name, extrema, f"{float(modes.error_of(modes.end)):.4g}", f"{modes.regret():.4g}"])
        header = ["case", "extrema of the test error", "at the end", "regret of stopping early"]
        run.table("extrema", header, rows, "Learning curves")
        what = "Test error (black) over its first value, with its extrema, and the modes over their ends; dashed lines "
        run.figure("curves", figures.curves(self.chosen()), what + "are the teacher's values.")
        arrays, matrix = read_arrays(run.folder / "curves.npz"), case("A_0")
        descents = {f"step {s:g}": (s * np.arange(len(z := arrays[f"matrix/{s:g}"])), z) for s in self.steps}
        randoms = [(min(self.steps) * np.arange(len(z := arrays[f"random/{k}"])), z) for k in range(self.draws)]
        what = "Case A_0 by gradient descent: distance of its modes from the flow's, by the size of steps; and test "
        figure = figures.descent(matrix, descents, randoms)
        run.figure("descent", figure, what + "errors from small random starts, whose modes are coupled.")
        what = "Extrema of the test error by the second mode's input variance and singular value, the first mode as in "
        also = "case A (dashed): two and more are double descent."
        run.figure("phases", figures.phases(*phases(self.grid)), what + also)


def phases(points: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Variances, singular values, and by model the number of extrema (values, variances), the second mode's varied.

    The second mode learns its teacher exactly, and its part of the first error is always .4.
    """
    lam, s = np.geomspace(0.03, 3, points), np.geomspace(0.03, 3, points)
    base, found = case("A_0"), {}
    for name, gamma, eta in (("linear regression", 1.0, 0.0), ("gamma = 1", 1.0, 1.0), ("gamma = 0", 0.0, 1.0)):
        counts = np.zeros((points, points), int)
        for i in range(points):
            for j in range(points):
                end = s[i] / lam[j]
                row = {"lam": (1.0, lam[j]), "s": (2.0, s[i]), "target": (1.2, end), "test": (1.0, 0.8 / end**2)}
                modes = replace(base, **row, start=(1e-3, 1e-3 * min(1.0, end)), gamma=(gamma, gamma), eta=eta)
                counts[i, j] = len(modes.extrema(points=400))
        found[name] = counts
    return lam, s, found


def _turns(error: np.ndarray) -> int:
    """Extrema of a sampled curve; changes under 1e-4 of its range are none."""
    kept, size = [error[0]], 1e-4 * np.ptp(error)
    for value in error:
        if abs(value - kept[-1]) > size:
            kept.append(value)
    sign = np.sign(np.diff(kept))
    return int((sign[1:] != sign[:-1]).sum())
