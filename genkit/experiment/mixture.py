"""The toy experiment `core.mixture`: a ring of Gaussians in the plane, where the exact denoiser is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, EDMDenoiser, Heun, LogNormal, denoising_loss, sample
from genkit.errors import UsageError
from genkit.experiment.experiment import Experiment
from genkit.experiment.run import Run
from genkit.experiment.table import Best, Estimate
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model, Network, Optimizer, Process, Sampler, check_preset
from genkit.model import Diffusion, Recipe
from genkit.nn import Net, NoisyMLP
from genkit.train import AdamW, Phase, TrainState, make_step

STD = 0.5  # of the data, in each coordinate
LOSS_SAMPLES = 20_000
REPEATS = 8  # sets of fresh samples


@dataclass(frozen=True)
class Ring:
    """Gaussians of equal weight on a circle of radius 0.7."""

    components: int
    spread: float

    def sample(self, key: Any, n: int) -> jax.Array:
        """n points, (n, 2)."""
        which, noise = jax.random.split(key)
        index = jax.random.randint(which, (n,), 0, self.components)
        return jnp.asarray(self.centres())[index] + self.spread * jax.random.normal(noise, (n, 2))

    def centres(self) -> np.ndarray:
        """Means of the components, (K, 2)."""
        angle = 2 * np.pi * np.arange(self.components) / self.components
        return (0.7 * np.stack([np.cos(angle), np.sin(angle)], -1)).astype(np.float32)

    def denoiser(self, process: Any) -> Any:
        """The exact denoiser."""
        from genkit.testing import gmm_denoiser

        weights = np.full(self.components, 1 / self.components)
        return gmm_denoiser(weights, self.centres(), np.full(self.components, self.spread), process=process)


@partial(jax.jit, static_argnames=("data", "noise", "n"))
def loss(key: Any, denoiser: Any, data: Ring, noise: LogNormal, n: int) -> jax.Array:
    """Denoising loss of n fresh points at levels of `noise`, weighted as in EDM."""
    draw, levels = jax.random.split(key)
    weigh = EDMDenoiser(lambda *_: jnp.zeros(()), None, STD, denoiser.process).loss_weight
    x0 = data.sample(draw, n)
    return denoising_loss(levels, denoiser, x0, None, noise, level_weight=lambda process, t: weigh(t))


@dataclass(frozen=True, kw_only=True)
class RingDiffusion(Recipe):
    """A diffusion model of points in the plane, trained on fresh points in each step."""

    fixed: ClassVar[tuple[str, ...]] = ("process", "network", "steps")
    used: ClassVar[tuple[str, ...]] = ("sampler",)

    steps: int = 2000
    """Training steps."""
    batch: int = 512
    """Samples in a step."""
    process: Process = field(default_factory=EDM)
    """The Gaussian path; levels and times of training and sampling are its own."""
    network: Network[int] = field(default_factory=NoisyMLP)
    """The denoising network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-3))
    """The optimiser."""
    sampler: Sampler = field(default_factory=lambda: Heun(steps=18, sigma_min=0.002))
    """The sampler."""
    noise: LogNormal = field(default_factory=LogNormal)
    """Noise levels sigma / alpha in training."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def fit(self, run: Run, data: Ring, start: Diffusion | None = None) -> Diffusion:
        """Train the network."""
        process: Any = self.process
        fresh = Diffusion(EDMDenoiser(Net(self.network, (2,)), None, STD, process), (2,), self.sampler)
        model = replace(start or fresh, sampler=self.sampler)
        steps = self.steps if start is None else self.finetune
        optimizer = self.optimizer.build(steps)

        def of(params: Any, aux: None, batch: None, key: Any) -> Any:
            return loss(key, replace(model.denoiser, params=params), data, self.noise, self.batch), (aux, {})

        def init(key: Any) -> TrainState:
            params = model.denoiser.network.init(key) if start is None else start.denoiser.params
            return TrainState.create(params, optimizer)

        step = make_step(of, optimizer, ema_half_life=steps / 40)
        params = run.fit(Phase("denoiser", init, step, data=None, steps=steps)).averaged
        return replace(model, denoiser=replace(model.denoiser, params=params))


@dataclass(frozen=True)
class Mixture(Experiment):
    """Learn a ring of Gaussians in the plane and sample it.

    The same sampler runs once with the trained network and once with the exact denoiser, so that the error
    of the network and the error of the sampler are seen apart.
    """

    headline: ClassVar[str] = "energy_distance/model"

    components: int = 8
    """Gaussians on the ring."""
    spread: float = 0.05
    """Their standard deviation; the ring has radius 0.7."""
    samples: int = 2000
    """Samples to draw."""
    model: Model[Ring, Diffusion] = field(default_factory=RingDiffusion)
    """What is trained."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default and paper (which is the default: the toy has no paper)."""
        check_preset(name)
        return cls(samples=500, model=RingDiffusion(steps=600)) if name == "tiny" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("components", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.spread <= 0:
            raise UsageError(f"spread={self.spread} must be positive")

    @property
    def ring(self) -> Ring:
        """The mixture."""
        return Ring(self.components, self.spread)

    def train(self, run: Run) -> None:
        """Train the model, or restore it."""
        run.trained("model", lambda: self.ring)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n samples, (n, 2)."""
        return sample(key, run.model.sampler, run.model.denoiser, (n, 2))

    def sample(self, run: Run) -> None:
        """Sample with the trained and with the exact denoiser."""
        key, model = run.key("sample"), run.model
        exact = self.ring.denoiser(model.denoiser.process)
        arrays = {
            "model": self.draw(run, key, self.samples),
            "oracle": sample(key, model.sampler, exact, (self.samples, 2)),
            "truth": self.ring.sample(run.key("truth"), self.samples),
        }
        write_arrays(run.folder / "samples.npz", arrays)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Energy distance to fresh samples of the truth; share of samples near no component; denoising loss.

        The loss of the exact denoiser is the least that any network can reach. Each distance is a mean over as many
        sets of fresh samples as `REPEATS`; the one between two sets of the truth, whose standard deviation is
        ``energy_distance/noise``, is 0 but for the luck of the samples.
        """
        from genkit.metrics import energy_distance

        distance, results = jax.jit(energy_distance), {}
        fresh = [self.ring.sample(key, self.samples) for key in jax.random.split(run.key("evaluate"), REPEATS)]
        arrays = read_arrays(run.folder / "samples.npz")
        for name, x in arrays.items():
            nearest = np.linalg.norm(x[:, None] - self.ring.centres()[None], axis=-1).min(1)
            results[f"energy_distance/{name}"] = float(np.mean([distance(x, y) for y in fresh]))
            results[f"outliers/{name}"] = float((nearest > 4 * self.spread).mean())
        pairs = zip(fresh, fresh[1:] + fresh[:1], strict=True)
        results["energy_distance/noise"] = float(np.std([distance(x, y) for x, y in pairs], ddof=1))
        trained = run.model.denoiser
        for name, denoiser in (("model", trained), ("oracle", self.ring.denoiser(trained.process))):
            results[f"loss/{name}"] = float(loss(run.key("loss"), denoiser, self.ring, LogNormal(), LOSS_SAMPLES))
        return results

    def report(self, run: Run) -> None:
        """A table of the distances and a picture of the samples."""
        from matplotlib.figure import Figure

        results = run.results
        kinds = ("energy_distance", "outliers", "loss")
        noise, n = results.get("energy_distance/noise"), self.samples
        rows = []
        for name in ("model", "oracle", "truth"):
            distance, outliers, error = (results.get(f"{kind}/{name}") for kind in kinds)
            share = Estimate(outliers, None if outliers is None else float(np.sqrt(outliers * (1 - outliers) / n)))
            rows.append([name, Estimate(distance, noise), share, error])
        caption = f"Distance to the mixture; ± is one standard error, of a distance that of {n} samples of the truth"
        best: Best = dict.fromkeys(("energy distance", "outliers [share]", "loss"), "low")
        header = ["samples of", "energy distance", "outliers [share]", "loss"]
        run.table("results", header, rows, caption, best, aside=("oracle",), floor=("truth",))
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        for axes, (name, x) in zip(figure.subplots(1, 3), read_arrays(run.folder / "samples.npz").items(), strict=True):
            axes.scatter(*x.T, s=3, alpha=0.5, lw=0, color="#0b6e99")
            axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", title=name, xlabel="x", ylabel="y")
        run.figure("samples", figure, "Samples with the trained denoiser, with the exact one, and the truth.")
