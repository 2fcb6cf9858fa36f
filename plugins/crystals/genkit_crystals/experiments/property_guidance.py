"""Crystals of a diffusion model, steered to a property by a classifier of noisy crystals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.steer import Potential
from genkit_crystals.evaluation import PROPERTIES
from genkit_crystals.experiments.discriminator_guidance import DiscriminatorGuidance
from genkit_crystals.layout import Layout
from genkit_crystals.protostructure import Protostructure

ENERGY = "energy"


@dataclass(frozen=True)
class PropertyGuidance(DiscriminatorGuidance):
    """Steer WyckoffDiff to crystals with a property: by a classifier, a discriminator, and by both.

    The classifier's log p(yes | x_t) of noisy crystals, times `strength`, is the potential of particles that compete
    (twisted SMC, Wu et al. 2023, arXiv 2306.17775): of very many, the result is the model's law given yes, up to the
    classifier's error on data; a few come part of the way, further with a larger strength. The discriminator corrects
    the model meanwhile. Label files and structures are of both.
    """

    wanted: str = "electronegativity"
    """electronegativity (its spread over the atoms), atoms (in the conventional cell), species (kinds of elements),
    or energy of formation in eV per atom, where the data have it; for samples as the encoder says."""
    threshold: float | None = None
    """Yes is above this; if none the quantile below."""
    quantile: float = 0.75
    """Quantile of the training crystals that is the threshold."""
    below: bool = False
    """Yes is below the threshold."""
    strength: float = 1.0
    """Power of what is said of the property."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        known = [*PROPERTIES, ENERGY]
        if self.wanted not in known:
            raise UsageError(f"wanted={self.wanted!r}; known: {', '.join(known)}")
        if not 0 < self.quantile < 1 or self.strength <= 0:
            raise UsageError(f"quantile={self.quantile}, strength={self.strength}; expected a fraction, and above 0")

    @property
    def models(self) -> dict[str, str]:
        """The model alone, and by three potentials."""
        return super().models | {"classifier": "under a classifier", "both": "under both"}

    def values(self, run: Run) -> np.ndarray:
        """The property (n,) of the training crystals."""
        data = self.crystals(run)[0]
        if self.wanted != ENERGY:
            return run.once("values", lambda: self.measure(run, data.crystals))
        if not np.isfinite(data.energies).all():
            raise UsageError("wanted='energy': not all of the data have energies; try --data mp20, or another property")
        return data.energies

    def measure(self, run: Run, crystals: Sequence[Protostructure]) -> np.ndarray:
        """The property of any crystals; the energy as the encoder says."""
        if self.wanted == ENERGY:
            return self._encoder().energies(self.encoded(run), self.crystals(run)[0], crystals)
        return np.array([PROPERTIES[self.wanted](c) for c in crystals], float)

    def above(self, run: Run) -> float:
        """The threshold."""
        return float(np.quantile(self.values(run), self.quantile)) if self.threshold is None else self.threshold

    def yes(self, run: Run, values: np.ndarray) -> np.ndarray:
        """Which values are as wanted."""
        return values < self.above(run) if self.below else values > self.above(run)

    def prepare(self, run: Run) -> None:
        """Read the data; tell how many crystals have the property."""
        super().prepare(run)
        share, sign = float(self.yes(run, self.values(run)).mean()), "<" if self.below else ">"
        said = f"{share:.1%} of the training crystals have {self.wanted} {sign} {self.above(run):.4g}"
        run.say(said)
        if not 0 < share < 1:
            raise UsageError(f"{said}; take another threshold or quantile")

    def train(self, run: Run) -> None:
        """Train the denoiser, the encoder, the discriminator, and the classifier."""
        super().train(run)
        self.classifier(run)

    def classifier(self, run: Run) -> Callable[[Layout], Any]:
        """Log-odds of the property at noisy crystals."""

        def make() -> Callable[[Layout], Any]:
            every, yes = self.crystals(run)[0].crystals, self.yes(run, self.values(run))
            parts = ([c for c, mine in zip(every, yes, strict=True) if mine == kind] for kind in (True, False))
            return self.fitted(run, "classifier", *parts)

        return run.once("classifier", make)

    def log_potential(self, run: Run, name: str) -> Callable[[Layout], Any] | None:
        """That of one of the models."""
        if name == "model":
            return None
        log_odds, classifier, strength = self.log_odds(run), self.classifier(run), self.strength
        if name == "discriminator":
            return log_odds

        def make(slots: Layout) -> Any:
            log_p = jax.tree_util.Partial(_log_yes, classifier(slots))
            return (
                Potential((log_p,), (strength,))
                if name == "classifier"
                else Potential((log_odds(slots), log_p), (1.0, strength))
            )

        return make

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the samples, and of all sets yes/<set>, share with the property, and mean/<set>, its mean."""
        results = super().evaluate(run)
        for name, found in self.drawn(run).items():
            values = self.measure(run, [c for c in found if c is not None])
            results |= {f"yes/{name}": float(self.yes(run, values).mean()) if len(values) else None}
            results |= {f"mean/{name}": float(values.mean()) if len(values) else None}
        return results | {"threshold": self.above(run)}

    def report(self, run: Run) -> None:
        """The share of crystals as wanted; its distribution; all else of crystals.wyckoffdiff."""
        from genkit_crystals.figures import spread

        rows = [[text, run.results.get(f"yes/{k}"), run.results.get(f"mean/{k}")] for k, text in self.sets.items()]
        sign = "below" if self.below else "above"
        caption = f"Share of crystals whose {self.wanted} is {sign} {self.above(run):.4g}"
        run.table("wanted", ["crystals", "as wanted", f"mean {self.wanted}"], rows, caption)
        drawn = {name: [c for c in found if c is not None] for name, found in self.drawn(run).items()}
        found = {name: self.measure(run, some) for name, some in drawn.items() if some}
        caption = f"{self.wanted}: quartiles, median, 5 and 95 %. Yes is {sign} the line."
        run.figure("wanted", spread(found, self.above(run), self.wanted, self.sets), caption)
        super().report(run)


def _log_yes(log_odds: Any, x: Any, t: Any, cond: Any = None) -> Any:
    return jax.nn.log_sigmoid(log_odds(x, t, cond))
