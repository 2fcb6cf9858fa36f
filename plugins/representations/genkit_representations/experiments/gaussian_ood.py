"""`representations.gaussian_ood`: likelihoods and detection where both are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

from genkit.diffusion import VE, VP, SubVP
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model
from genkit.testing import gaussian_denoiser
from genkit_representations import density, figures
from genkit_representations.data import Split, Splits
from genkit_representations.datasets import Normal
from genkit_representations.experiments.study import Study, at_least, preset
from genkit_representations.models import RDM, FeatureDensity, Integrator
from genkit_representations.networks import FeatureMLP

MEAN, VARIANCE = np.array([1, -2, 0.5, 3]), np.array([0.25, 1, 4, 0.01])
POINT = np.array([[1.2, -1, 0, 3.05]])
MOVED = ((2, 3.0), (16, 4.0), (64, 4.0), (64, 16.0))
SCALED = ((16, 0.5), (64, 0.5), (16, 2.0), (64, 2.0))


def processes() -> dict[str, Any]:
    """The three linear processes, read from 1e-5 on."""
    rates = {"b0": 0.2, "b1": 20.0, "t_min": 1e-5}
    return {"vp": VP(**rates), "sub_vp": SubVP(**rates), "ve": VE(0.01, 50.0)}


@dataclass(frozen=True)
class GaussianOOD(Study):
    """Likelihoods of normal data by the probability flow, and what detection by likelihood can do, beside closed forms.

    Three parts: the flow under the exact score against its closed form; AUROC and FPR of the log density on samples of
    moved and of narrower or wider normals against theirs, with typicality beside it, as likelihood prefers the narrower
    ones to known data; and a density learned from samples against the true one, on fresh samples.
    """

    data: Dataset[Splits] = field(default_factory=Normal)
    """Features whose density is known."""
    model: Model[Split, FeatureDensity] = field(
        default_factory=lambda: RDM(
            components=None,
            steps=4000,
            network=FeatureMLP(depth=3),
            ema=300.0,
            held=0.0,
            integrator=Integrator(steps=40),
        )
    )
    """The density that is learned."""
    samples: int = 20_000
    """Of known and of unknown normals."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default and paper (which is the default)."""
        tiny = {"model": RDM(network=FeatureMLP.preset("tiny"), components=None, steps=60, held=0.0), "samples": 500,
                "data": Normal(points=500, test=100)}  # fmt: skip
        return preset(cls, name, {"tiny": tiny, "default": {}, "paper": {}})

    def __post_init__(self) -> None:
        """Check the options."""
        at_least(self, 2, "samples")
        if not hasattr(self.data, "log_density"):
            raise UsageError(f"{type(self.data).__name__} has no log_density; take the data set normal")

    def train(self, run: Run) -> None:
        """Learn a density."""
        run.trained("model", lambda: self.loaded(run).splits[0])

    def sample(self, run: Run) -> None:
        """Likelihoods by the flow, under the exact score and under the learned one."""
        arrays = {}
        with jax.enable_x64(True):
            for name, process in processes().items():
                exact = gaussian_denoiser(jnp.asarray(MEAN), jnp.asarray(VARIANCE**0.5), process=process)
                found = density.flow_log_prob(
                    jax.random.key(0), jnp.asarray(POINT), exact, solver="dopri5", tolerance=1e-9
                )
                arrays[f"flow/{name}"] = np.asarray(found.log_p)
        split = self.loaded(run).splits[0]
        arrays["learned"] = run.model.log_prob(split.test, "input")
        for name, x in split.ood.items():
            arrays[f"learned/{name}"] = run.model.log_prob(x, "input")
        write_arrays(run.folder / "likelihoods.npz", arrays)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Every figure with its closed form as <name>/exact."""
        arrays = read_arrays(run.folder / "likelihoods.npz")
        found: dict[str, float | None] = {}
        for name, process in processes().items():
            found[f"log_p/{name}"] = float(arrays[f"flow/{name}"][0])
            found[f"log_p/{name}/exact"] = float(density.flow_of_gaussian(process, POINT, MEAN, VARIANCE)[0])
        rng = np.random.default_rng(run.seed)
        for d, square in MOVED:
            x = rng.standard_normal((2, self.samples, d))
            x[1] += np.sqrt(square / d)
            found |= self._detect(f"moved_{d}_{square:g}", x, density.moved(d, square))
        for d, variance in SCALED:
            x = rng.standard_normal((2, self.samples, d)) * np.array([1, np.sqrt(variance)])[:, None, None]
            found |= self._detect(f"scaled_{d}_{variance:g}", x, density.scaled(d, variance))
        split = self.loaded(run).splits[0]
        true = self.data.log_density(split.test)  # type: ignore[attr-defined]
        found["learned/error"] = float(np.abs(arrays["learned"] - true).mean())
        found["learned/bias"] = float((arrays["learned"] - true).mean())
        found["learned/rank"] = float(spearmanr(arrays["learned"], true)[0])  # type: ignore[arg-type]
        for name in split.ood:
            found[f"learned/auroc/{name}"] = density.auroc(arrays["learned"], arrays[f"learned/{name}"])
        return found

    def _detect(self, name: str, x: np.ndarray, exact: dict[str, float]) -> dict[str, float | None]:
        """Scores of the log density of N(0, I) on known x[0] and unknown x[1], and of typicality."""
        known, unknown = (-0.5 * (part**2).sum(1) for part in x)
        scores = density.detection(known, unknown)._asdict()
        found: dict[str, float | None] = {f"{key}/{name}": scores[key] for key in exact}
        found |= {f"{key}/{name}/exact": value for key, value in exact.items()}
        typical = [density.typicality(part, known) for part in (known, unknown)]
        return found | {f"typicality/{name}": density.auroc(*typical)}

    def report(self, run: Run) -> None:
        """Tables beside the closed forms, and the learned density against the true one."""
        results, rows = run.results, []
        for name in [n for n in results if f"{n}/exact" in results]:
            typical = results.get(name.replace("auroc", "typicality")) if name.startswith("auroc") else None
            numbers = [results[name], results[f"{name}/exact"], typical]
            rows.append([name, *(f"{v:.7g}" if v is not None and name.startswith("log_p") else v for v in numbers)])
        run.table("closed_forms", ["quantity", "found", "exact", "AUROC of typicality"], rows, "Beside closed forms")
        learned = [[n.removeprefix("learned/"), v] for n, v in results.items() if n.startswith("learned")]
        run.table("learned", ["of the learned density", "value"], learned, "Learned from samples, on fresh samples")
        arrays, split = read_arrays(run.folder / "likelihoods.npz"), self.loaded(run).splits[0]
        pairs = {}
        for name, x in {"known": split.test, **split.ood}.items():
            found = arrays["learned" if name == "known" else f"learned/{name}"]
            pairs[name] = self.data.log_density(x), found  # type: ignore[attr-defined]
        what = "Learned against true log density of fresh known and unknown features, nats."
        run.figure("learned", figures.against(pairs), what)
