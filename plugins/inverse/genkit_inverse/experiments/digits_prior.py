"""`inverse.digits_prior`: a diffusion model of small images, the prior of inverse problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.diffusion import EDM, EDMDenoiser, Heun, LogNormal, NetworkDenoiser, denoising_loss, sample
from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Dataset, Network, Optimizer, Process, Sampler
from genkit.metrics import sliced_wasserstein
from genkit.nn import NoisyUNet, abstract, functional, parameter_count, traced_rngs
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit_inverse.datasets.digits import Digits
from genkit_inverse.datasets.mnist import MNIST
from genkit_inverse.images import Images

CHUNK = 256  # images that are drawn at a time
SHOWN = 32


@dataclass(frozen=True)
class DigitsPrior(Experiment):
    """Train a diffusion model of small images.

    Its run folder is a prior for `inverse.ddsmc_images` and, through `genkit.load(folder).denoiser`, for any method of
    `genkit.steer`.
    """

    data: Dataset = field(default_factory=Digits)
    """The images."""
    network: Network = field(default_factory=lambda: NoisyUNet(base=16, blocks=1, dropout=0.05))
    """The denoising network."""
    process: Process = field(default_factory=EDM)
    """The Gaussian path."""
    predicts: Literal["edm", "eps", "x0", "v", "flow", "score"] = "edm"
    """What the network gives: EDM's preconditioned residual, the noise, the image, the velocity of VP or of a flow, or
    the score."""
    noise: LogNormal = field(default_factory=lambda: LogNormal(mean=-0.8, std=1.2))
    """Noise levels sigma / alpha in training."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 2000
    """Training steps."""
    batch: int = 32
    """Images in a step."""
    ema: float = 200.0
    """Half-life of the averaged parameters in steps."""
    sampler: Sampler = field(default_factory=lambda: Heun(steps=18, sigma_min=0.01, sigma_max=20.0))
    """The sampler of the prior."""
    samples: int = 200
    """Images to draw from the prior."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (EDM's network for CIFAR-10, on MNIST)."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"network": NoisyUNet.preset("tiny"), "steps": 200, "batch": 32, "ema": 20.0, "samples": 64,
                     "sampler": Heun(steps=8, sigma_min=0.01, sigma_max=20.0)},
            "default": {},
            "paper": {"data": MNIST(), "network": NoisyUNet.preset("paper"), "optimizer": AdamW(lr=1e-3),
                      "steps": 100_000, "batch": 512, "ema": 1000.0, "samples": 500},
        }  # fmt: skip
        if name not in presets:
            raise UsageError(f"no preset {name!r}; there are {', '.join(presets)}")
        return cls(**presets[name])

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("steps", "batch", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.ema <= 0:
            raise UsageError(f"ema={self.ema} steps must be positive")

    def loaded(self, run: Run) -> Images:
        """The data."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Load the data once, so that a missing file stops the run here."""
        self.loaded(run)

    # training

    def train(self, run: Run) -> None:
        """Train the network."""
        self.trained(run)

    def trained(self, run: Run) -> Any:
        """The trained denoiser, with averaged parameters."""

        def make() -> Any:
            images = self.loaded(run)
            network, _ = abstract(lambda rngs: self.network.build(rngs, images.shape))
            return self._denoiser(network, run.fit(self._phase(images, run.seed)).averaged, images)

        return run.once("trained", make)

    def _denoiser(self, network: Any, params: Any, images: Images) -> EDMDenoiser | NetworkDenoiser:
        process: Any = self.process
        if self.predicts == "edm":
            return EDMDenoiser(network, params, float(images.train.std()), process, images.range)
        return NetworkDenoiser(network, params, process, self.predicts, images.range)

    def _loss(self, key: Any, denoiser: Any, x0: Any, training: bool) -> Any:
        key, drop = jax.random.split(key)
        return denoising_loss(key, denoiser, x0, drop if training else None, self.noise)

    def _phase(self, images: Images, seed: int) -> Phase:
        network, _ = abstract(lambda rngs: self.network.build(rngs, images.shape))

        def loss(params: Any, aux: None, batch: Any, key: Any) -> Any:
            return self._loss(key, self._denoiser(network, params, images), batch, True), (aux, {})

        @jax.jit
        def held_out(params: Any) -> Any:
            return self._loss(jax.random.key(0), self._denoiser(network, params, images), images.val, False)

        def validate(state: TrainState, step: int) -> dict[str, float]:
            return {"val/loss": float(held_out(state.averaged))}

        optimizer = self.optimizer.build(self.steps)
        step = make_step(loss, optimizer, ema_half_life=self.ema)

        def init(key: Any) -> TrainState:
            return TrainState.create(functional(self.network.build(traced_rngs(key), images.shape))[1], optimizer)

        source = batches(images.train, self.batch, seed=seed)
        return Phase("prior", init, step, source, self.steps, every=((max(1, self.steps // 10), validate),))

    # samples

    def denoiser(self, run: Run) -> Any:
        """The trained denoiser."""
        return self.trained(run)

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n images of the prior, (n, h, w, c)."""
        shape = self.loaded(run).shape
        size = min(n, CHUNK)
        parts = [
            sample(key, self.sampler, run.denoiser, (size, *shape), slots=jnp.arange(first, first + size))
            for first in range(0, n, size)
        ]
        return np.concatenate(parts)[:n]

    def sample(self, run: Run) -> None:
        """Draw images of the prior."""
        write_arrays(run.folder / "prior.npz", {"x": self.draw(run, run.key("sample"), self.samples)})

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Sliced Wasserstein distance of samples and of as many training images to the test images; val and train loss.

        sw/train is the floor: what other images of the same law reach. loss is the denoising loss, 1 for a network
        of zeros by `predicts=edm`; a loss/val far above loss/train tells of a network that knows its images by heart.
        """
        images, key = self.loaded(run), run.key("evaluate")
        truth = images.test.reshape(len(images.test), -1)
        distance = jax.jit(sliced_wasserstein)
        sets = {"samples": self._samples(run), "train": images.train[: self.samples]}
        results: dict[str, float | None] = {
            f"sw/{name}": float(distance(key, x.reshape(len(x), -1), truth)) for name, x in sets.items()
        }
        loss = jax.jit(lambda denoiser, x0: self._loss(key, denoiser, x0, False))
        n = min(len(images.val), len(images.train))
        for name in ("train", "val"):
            results[f"loss/{name}"] = float(loss(run.denoiser, getattr(images, name)[:n]))
        return results

    def report(self, run: Run) -> None:
        """The distances, and samples beside test images."""
        from genkit_inverse.figures import grid

        results = run.results
        rows = [[name, results[f"sw/{name}"]] for name in ("samples", "train")]
        run.table("results", ["images", "sliced Wasserstein"], rows, "Distance to the test images; train is the floor")
        images = self.loaded(run)
        rows = {"samples of the model": self._samples(run)[:SHOWN], "test images": images.test[:SHOWN]}
        run.figure("samples", grid(rows, images.range), "Samples of the model above, test images below.")

    def _samples(self, run: Run) -> np.ndarray:
        with np.load(run.folder / "prior.npz") as file:
            return file["x"]

    def plan(self) -> dict[str, str]:
        """Sizes and parameters."""
        shape = self.data.load().shape
        _, params = abstract(lambda rngs: self.network.build(rngs, shape))
        return {"images": " x ".join(map(str, shape)), "parameters": f"{parameter_count(params):,}"}
