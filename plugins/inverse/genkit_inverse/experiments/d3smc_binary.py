"""Posterior samples of binary images under discrete diffusion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jax
import numpy as np

from genkit.discrete import Process
from genkit.errors import UsageError
from genkit.experiment import Best, Run, obtain_variant, settle_variants, variants
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model, check_preset
from genkit.steer import D3SMC, Channel, Draws, posterior
from genkit.terminal import plural
from genkit.testing import discrete_denoiser
from genkit_inverse.datasets import BinaryDigits
from genkit_inverse.experiments.study import InverseStudy, table
from genkit_inverse.images import Bits
from genkit_inverse.models import KERNELS, BinaryDiffusion, BinaryPrior, bit_channel
from genkit_inverse.networks import Classifier

METHODS = ("d3smc", "ancestral", "single")
PATCH = (slice(3, 5), slice(3, 5))  # four cells in the middle of 8 x 8: a prior of which every state can be summed
SHOWN = 4  # images in the figure
ORACLE = 2000  # samples of it


@dataclass(frozen=True)
class D3SMCBinary(InverseStudy):
    """Restore binary images, of which half is hidden and the rest has flipped bits.

    A discrete diffusion model of the images is trained for every kernel; D3SMC (arXiv 2502.06379) with its decoupled
    chain and with the reverse chain of D3PM is compared with a single particle and with cells taken as independent.
    The same is done with an exact denoiser on a law of four bits, where the posterior is a sum.
    """

    headline = "error/*/hidden"

    data: Dataset[Bits] = field(default_factory=BinaryDigits)
    """The images."""
    kernels: tuple[str, ...] = KERNELS
    """Noise: of uniform, masked (absorbing). They take the place of `kernel`; the first is the model of the run."""
    model: Model[Bits, BinaryDiffusion] = field(default_factory=BinaryPrior)
    """The diffusion model of the images: trained here, or the folder of what was trained."""
    methods: tuple[str, ...] = METHODS
    """What is compared: of d3smc, ancestral (the same with the reverse chain of D3PM), single (one particle)."""
    hide: Literal["half", "random"] = "half"
    """What is not measured: the lower half, or random cells."""
    share: float = 0.5
    """Share of cells hidden at random."""
    flip: float = 0.1
    """Probability that a measured bit flips."""
    images: int = 16
    """Images to restore."""
    samples: int = 16
    """Samples of each, each from a group of particles of its own."""
    particles: int = 32
    """Particles in a group."""
    steps: int = 25
    """Steps of a sampler, of those of the chain."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default, and paper: all steps of a long chain, as the paper's sizes are not known."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"images": 3, "samples": 4, "particles": 8, "steps": 5, "kernels": ("masked",),
                     "methods": ("d3smc",)},
            "default": {},
            "paper": {"images": 100, "samples": 50, "particles": 256, "steps": 1000},
        }  # fmt: skip
        check_preset(name, presets)
        return cls(model=BinaryPrior.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("images", "samples", "particles", "steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        for name, known in (("kernels", KERNELS), ("methods", METHODS)):
            if not getattr(self, name) or set(getattr(self, name)) - set(known):
                raise UsageError(f"{name}={getattr(self, name)}; expected one or more of {', '.join(known)}")
        if self.steps > (chain := getattr(self.model, "chain", self.steps)):
            raise UsageError(f"steps={self.steps} of a chain of {chain}; expected at most as many")
        if not 0 <= self.flip < 0.5 or not 0 < self.share < 1:
            raise UsageError(f"flip={self.flip}, share={self.share}; expected 0 <= flip < 0.5 and 0 < share < 1")
        settle_variants(self, "kernels", "kernel")

    def plan(self) -> dict[str, str]:
        """Sizes."""
        calls = self.images * self.samples * self.steps * (2 * self.particles + 1)
        return {
            "training": f"{len(self.kernels)} networks",
            "sampling": f"at most {calls} network calls on an image with every kernel",
        }

    def loaded(self, run: Run) -> Bits:
        """Images to train and to restore."""

        def load() -> Bits:
            data = self.data.load()
            if len(data.test) < self.images:
                raise UsageError(f"images={self.images}, but the data have {len(data.test)} to restore")
            return data

        return run.once("data", load)

    def train(self, run: Run) -> None:
        """Train a network for every kernel, or restore the first."""
        for kernel in self.kernels:
            self.trained(run, kernel)

    def trained(self, run: Run, kernel: str) -> Classifier:
        """The trained denoiser, with averaged parameters."""
        recipes = variants(self, "kernels", "kernel")
        return obtain_variant(run, recipes, kernel, lambda: self.loaded(run)).denoiser

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n images of the first prior, (n, h, w)."""
        return run.model.sample(key, n)

    # sampling

    def measurement(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Of every image, y and which cells were seen, (images, h, w)."""
        truth = self.loaded(run).test[: self.images]
        rng = np.random.default_rng([run.seed, 1])
        y = np.where(rng.uniform(size=truth.shape) < self.flip, 1 - truth, truth)
        if self.hide == "random":
            return y, rng.uniform(size=truth.shape) >= self.share
        seen = np.ones(truth.shape, bool)
        seen[:, truth.shape[1] // 2 :] = False
        return y, seen

    def _draws(self, key: Any, method: str, process: Process, denoiser: Any, given: Channel, groups: int) -> Draws:
        chain: Any = "ancestral" if method == "ancestral" else "decoupled"
        particles = 1 if method == "single" else self.particles
        rule = D3SMC(steps=self.steps, chain=chain).table(process)
        return posterior(key, rule, denoiser, given, groups, particles, chunk=min(groups, 100))

    def sample(self, run: Run) -> None:
        """Restore the images by every method, then the four bits."""
        train, truth = self.loaded(run).train, self.loaded(run).test[: self.images]
        y, seen = self.measurement(run)
        given = [bit_channel(*one, self.flip) for one in zip(y, seen, strict=True)]
        rate = (train.sum(0) + 1) / (len(train) + 2)
        law = np.stack([1 - rate, rate], -1) * np.exp([one.log_r for one in given])  # each cell on its own
        p = (law[..., 1] / law.sum(-1))[:, None]
        rng = np.random.default_rng([run.seed, 2])
        found = {"x/independent": (rng.uniform(size=(len(p), self.samples, *p.shape[2:])) < p).astype(np.int8)}
        for kernel in self.kernels:
            denoiser = self.trained(run, kernel)
            for method in self.methods:
                key = run.key(f"{kernel} {method}")
                parts = [
                    self._draws(jax.random.fold_in(key, i), method, denoiser.process, denoiser, one, self.samples)
                    for i, one in enumerate(run.each(f"{kernel} {method}", given))
                ]
                name = f"{kernel}_{method}"
                found[f"x/{name}"] = np.stack([d.x[:, 0] for d in parts]).astype(np.int8)
                found[f"ess/{name}"] = np.stack([d.ess.mean(0) for d in parts])
                found[f"log_z/{name}"] = np.array([jax.nn.logsumexp(d.log_z) - np.log(self.samples) for d in parts])
            found |= self._oracle(run, kernel, denoiser.process)
        write_arrays(run.folder / "samples.npz", {"truth": truth, "y": y, "seen": seen} | found)

    def _oracle(self, run: Run, kernel: str, process: Process) -> dict[str, np.ndarray]:
        """Laws (16,) of four bits: the posterior by a sum, and the methods' samples of it, as counts."""
        bits = BinaryDigits().load().train[:, *PATCH].reshape(-1, 4)
        place = 2 ** np.arange(4)[::-1]
        law = np.bincount(bits @ place, minlength=16) + 0.1  # no state is impossible
        law /= law.sum()
        prior = discrete_denoiser(law.reshape((2,) * 4), process)
        rng = np.random.default_rng([run.seed, 3])
        x0, seen = bits[rng.integers(len(bits))], np.arange(4) % 2 == 0
        given = bit_channel(np.where(rng.uniform(size=4) < self.flip, 1 - x0, x0), seen, self.flip)
        states = (np.arange(16)[:, None] // place) % 2
        joint = law * np.exp(np.take_along_axis(given.log_r[None], states[..., None], -1).sum((1, 2)))
        found = {f"exact/{kernel}": joint / joint.sum(), f"evidence/{kernel}": np.log(joint.sum())}
        for method in self.methods:
            draws = self._draws(run.key(f"oracle {kernel} {method}"), method, process, prior, given, ORACLE)
            found[f"counts/{kernel}_{method}"] = np.bincount(draws.x[:, 0] @ place, minlength=16)
            found[f"oracle_log_z/{kernel}_{method}"] = np.logaddexp.reduce(draws.log_z) - np.log(ORACLE)
        return found

    # figures

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """For each method <kernel>_<d3smc, ancestral, single>, and `independent`:

        error/<method>/hidden and /seen: share of wrong bits in the samples, and .../se its standard error over the
        images; nll/<method>: -log of the probability of a hidden bit, by its share in the samples, in nats; ess, a mean
        over the steps; log_z, a mean over the images, in nats. oracle_tv/<method> and oracle_tv/<kernel>_floor: total
        variation between the four bits' posterior and the samples, and as many exact ones; oracle_log_z_error.
        """
        found = read_arrays(run.folder / "samples.npz")
        truth, seen = found["truth"][:, None], found["seen"][:, None]
        results: dict[str, float | None] = {}
        for name in self._names():
            x = found[f"x/{name}"]
            for part, cells in (("hidden", ~seen), ("seen", seen)):
                wrong = ((x != truth) & cells).mean(1).sum((1, 2)) / np.maximum(cells[:, 0].sum((1, 2)), 1)
                results[f"error/{name}/{part}"] = float(wrong.mean())
                results[f"error/{name}/{part}/se"] = float(wrong.std(ddof=1) / len(x) ** 0.5) if len(x) > 1 else None
            p = ((x == truth).sum(1) + 0.5) / (self.samples + 1)
            results[f"nll/{name}"] = float(-np.log(p)[~seen[:, 0]].mean())
            if f"ess/{name}" in found:
                results[f"ess/{name}"] = float(found[f"ess/{name}"].mean())
                weighs = not name.endswith("single")
                results[f"log_z/{name}"] = float(found[f"log_z/{name}"].mean()) if weighs else None
        for kernel in self.kernels:
            exact = found[f"exact/{kernel}"]
            for method in self.methods:
                counts, name = found[f"counts/{kernel}_{method}"], f"{kernel}_{method}"
                results[f"oracle_tv/{name}"] = _tv(counts, exact)
                error = abs(found[f"oracle_log_z/{name}"] - found[f"evidence/{kernel}"])
                results[f"oracle_log_z_error/{name}"] = float(error) if method != "single" else None
            fresh = np.random.default_rng([run.seed, 4]).multinomial(ORACLE, exact)
            results[f"oracle_tv/{kernel}_floor"] = _tv(fresh, exact)
        return results

    def report(self, run: Run) -> None:
        """Tables of errors and of the four bits, pictures of the images, and the effective sample size."""
        from genkit_inverse.figures import restorations, traces

        found, names = read_arrays(run.folder / "samples.npz"), self._names()
        columns = {
            "wrong, hidden [share]": ("error/{}/hidden", "error/{}/hidden/se"), "wrong, seen [share]": "error/{}/seen",
            "nll [nats]": "nll/{}", "ESS": "ess/{}", "log Z [nats]": "log_z/{}",
        }  # fmt: skip
        best: Best = {"wrong, *": "low", "nll [nats]": "low"}
        caption = f"Restored bits, {plural(self.images, 'image')}; ± is the standard error over them"
        table(run, "results", caption, names, columns, best=best)
        exact = [f"{k}_{m}" for k in self.kernels for m in (*self.methods, "floor")]
        columns = {"total variation": "oracle_tv/{}", "log Z error [nats]": "oracle_log_z_error/{}"}
        caption = "Four bits with an exact denoiser, against their posterior"
        floor = [f"{kernel}_floor" for kernel in self.kernels]
        table(run, "oracle", caption, exact, columns, best={"total variation": "low"}, floor=floor)
        measured = np.where(found["seen"], found["y"], 0.5)
        truth, grey = (found["truth"][:SHOWN, ..., None], measured[:SHOWN, ..., None])
        run.figure(
            "images",
            restorations(truth, grey, {name: found[f"x/{name}"][:SHOWN, ..., None] for name in names}, (0.0, 1.0)),
            "Truth, measurement (grey cells are hidden), three samples, their mean and their standard deviation.",
        )
        sizes = {name: found[f"ess/{name}"].mean(0) for name in names if f"ess/{name}" in found}
        sizes = {name: row for name, row in sizes.items() if not name.endswith("single")}
        run.figure("ess", traces(sizes, self.particles), "Effective sample size, mean over images and groups.")

    def _names(self) -> list[str]:
        return [f"{kernel}_{method}" for kernel in self.kernels for method in self.methods] + ["independent"]


def _tv(counts: np.ndarray, exact: np.ndarray) -> float:
    return float(0.5 * np.abs(counts / counts.sum() - exact).sum())
