"""The toy experiment `core.mixture`: a ring of Gaussians in the plane, where the exact denoiser is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from genkit.diffusion import EDM, EDMDenoiser, Heun, LogNormal, denoising_loss, sample
from genkit.errors import UsageError
from genkit.experiment.experiment import Experiment
from genkit.experiment.folder import read_arrays, write_arrays
from genkit.experiment.run import Run
from genkit.kinds import Network, Optimizer, Process, Sampler
from genkit.nn.noisy_mlp import NoisyMLP
from genkit.train import AdamW

STD = 0.5  # of the data, in each coordinate
LOSS_SAMPLES = 20_000


@dataclass(frozen=True)
class Mixture(Experiment):
    """Learn a ring of Gaussians in the plane and sample it.

    The same sampler runs once with the trained network and once with the exact denoiser, so that the error
    of the network and the error of the sampler are seen apart.
    """

    components: int = 8
    """Gaussians on the ring."""
    spread: float = 0.05
    """Their standard deviation; the ring has radius 0.7."""
    steps: int = 2000
    """Training steps."""
    batch: int = 512
    """Samples in a step."""
    samples: int = 2000
    """Samples to draw."""
    process: Process = field(default_factory=EDM)
    """The Gaussian path; levels and times of training and sampling are its own."""
    network: Network = field(default_factory=NoisyMLP)
    """The denoising network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-3))
    """The optimiser."""
    sampler: Sampler = field(default_factory=lambda: Heun(steps=18, sigma_min=0.002))
    """The sampler."""
    noise: LogNormal = field(default_factory=LogNormal)
    """Noise levels sigma / alpha in training."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default and paper (which is the default: the toy has no paper)."""
        if name not in ("tiny", "default", "paper"):
            raise UsageError(f"core.mixture has no preset {name!r}; it has tiny, default and paper")
        return cls(steps=600, samples=500) if name == "tiny" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("components", "steps", "batch", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.spread <= 0:
            raise UsageError(f"spread={self.spread} must be positive")

    def truth(self, key: Any, n: int) -> Any:
        """n samples of the mixture, (n, 2)."""
        import jax

        which, noise = jax.random.split(key)
        index = jax.random.randint(which, (n,), 0, self.components)
        return self.centres()[index] + self.spread * jax.random.normal(noise, (n, 2))

    def centres(self) -> Any:
        """Means of the components, (K, 2)."""
        import jax.numpy as jnp

        angle = 2 * jnp.pi * jnp.arange(self.components) / self.components
        return 0.7 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)

    def train(self, run: Run) -> None:
        """Train the network."""
        run.once("trained", lambda: run.fit(self.phase()))

    def phase(self) -> Any:
        """The training."""
        from flax import nnx

        from genkit.nn import functional, traced_rngs
        from genkit.train import Phase, TrainState, make_step

        network, _ = functional(self.network.build(nnx.Rngs(0), 2))

        def loss(params: Any, aux: None, batch: None, key: Any) -> Any:
            return self._loss(self._preconditioned(network, params), key, self.batch), (aux, {})

        optimizer = self.optimizer.build(self.steps)
        step = make_step(loss, optimizer, ema_half_life=self.steps / 40)

        def init(key: Any) -> Any:
            return TrainState.create(functional(self.network.build(traced_rngs(key), 2))[1], optimizer)

        return Phase("denoiser", init, step, data=None, steps=self.steps)

    def denoiser(self, run: Run) -> EDMDenoiser:
        """The trained denoiser, with averaged parameters."""
        from flax import nnx

        from genkit.nn import functional

        network, _ = functional(self.network.build(nnx.Rngs(0), 2))
        state = run.once("trained", lambda: run.fit(self.phase()))
        return self._preconditioned(network, state.averaged)

    def _preconditioned(self, network: Any, params: Any) -> EDMDenoiser:
        process: Any = self.process
        return EDMDenoiser(network, params, STD, process)

    def _loss(self, denoiser: Any, key: Any, n: int) -> Any:
        import jax

        draw, noise = jax.random.split(key)
        weigh = self._preconditioned(None, None).loss_weight
        x0 = self.truth(draw, n)
        return denoising_loss(noise, denoiser, x0, None, self.noise, level_weight=lambda process, t: weigh(t))

    def exact(self) -> Any:
        """The exact denoiser."""
        import jax.numpy as jnp

        from genkit.testing import gmm_denoiser

        process: Any = self.process
        weights = jnp.full(self.components, 1 / self.components)
        return gmm_denoiser(weights, self.centres(), jnp.full(self.components, self.spread), process=process)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n samples, (n, 2)."""
        return sample(key, self.sampler, run.denoiser, (n, 2))

    def sample(self, run: Run) -> None:
        """Sample with the trained and with the exact denoiser."""
        key = run.key("sample")
        arrays = {
            "model": self.draw(run, key, self.samples),
            "oracle": sample(key, self.sampler, self.exact(), (self.samples, 2)),
            "truth": self.truth(run.key("truth"), self.samples),
        }
        write_arrays(run.folder / "samples.npz", arrays)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Energy distance to fresh samples of the truth; share of samples near no component; denoising loss.

        The loss of the exact denoiser is the least that any network can reach.
        """
        import jax.numpy as jnp

        from genkit.metrics import energy_distance

        fresh = self.truth(run.key("evaluate"), self.samples)
        results = {}
        for name, x in read_arrays(run.folder / "samples.npz").items():
            nearest = jnp.linalg.norm(x[:, None] - self.centres()[None], axis=-1).min(1)
            results[f"energy_distance/{name}"] = float(energy_distance(jnp.asarray(x), fresh))
            results[f"outliers/{name}"] = float((nearest > 4 * self.spread).mean())
        for name, denoiser in (("model", run.denoiser), ("oracle", self.exact())):
            results[f"loss/{name}"] = float(self._loss(denoiser, run.key("loss"), LOSS_SAMPLES))
        return results

    def report(self, run: Run) -> None:
        """A table of the distances and a picture of the samples."""
        from matplotlib.figure import Figure

        results = run.results
        kinds = ("energy_distance", "outliers", "loss")
        rows = [[name, *(results.get(f"{kind}/{name}") for kind in kinds)] for name in ("model", "oracle", "truth")]
        run.table("results", ["samples of", "energy distance", "outliers", "loss"], rows, "Distance to the mixture")
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        for axes, (name, x) in zip(figure.subplots(1, 3), read_arrays(run.folder / "samples.npz").items(), strict=True):
            axes.scatter(*x.T, s=3, alpha=0.5, lw=0, color="#0b6e99")
            axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", title=name)
        run.figure("samples", figure, "Samples with the trained denoiser, with the exact one, and the truth.")
