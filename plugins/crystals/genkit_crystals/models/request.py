"""What can be asked of a trained model of crystals, and the files that its samples go to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import SIGNED
from genkit.model import Piece, Request
from genkit.workers import each
from genkit_crystals.chains import Drawn, Property, Steering, generate, restricted, steered
from genkit_crystals.models.conditions import Conditions
from genkit_crystals.protostructures import Protostructure, Realiser, settled

CHUNK = 250  # crystals drawn at a time
Method = Literal["alone", "discriminator", "classifier", "both"]


@dataclass(frozen=True)
class Draw(Conditions, Request):
    """Draw crystals: structures to a folder (`--out DIR/`), labels to a table (.csv) or an array (.npz).

    Each is called by its true space group, which has the one for which it was drawn. Where particles compete, log_w is
    the log-weight by which samples are of the law that was asked for.
    """

    formats: ClassVar[dict[str, str]] = {
        "": "genkit_crystals.models.writers:Folder",
        ".csv": "genkit_crystals.models.writers:Table",
        **Request.formats,
    }

    method: Method | None = None
    """alone, or corrected by the discriminator, steered by the classifier, both; by default all that is asked for and
    that the model has."""
    property: str | None = None
    """NAME=LOW..HIGH, such as band_gap=1.5..2.5 or energy=..-1, of the property that the model knows: any values."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""
    strides: int | None = None
    """Steps of the sampler; the model's own if not given."""
    realiser: Realiser = field(default_factory=Realiser)
    """How structures are made, for a folder."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.strength <= 0:
            raise UsageError(f"strength={self.strength}; expected above 0")
        if self.strides is not None and self.strides < 1:
            raise UsageError(f"strides={self.strides} is too few")
        if self.property is not None:
            Property.of(self.property)

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = CHUNK) -> Iterator[Piece]:
        """Pieces of `samples` (n,) text, labels, empty for one that is none; with `log_w` where particles competed."""
        seed = int(jax.random.randint(jax.random.fold_in(key, 0), (), 0, 2**31 - 1))
        groups = self.groups_of(model.groups, n, seed)
        drawn = self.drawn(model, jax.random.fold_in(key, 1), groups, chunk)
        for first in range(0, n, chunk):
            some = slice(first, first + chunk)
            weights = {} if drawn.log_w is None else {"log_w": drawn.log_w[some]}
            yield {"samples": labels(drawn.crystals[some])} | weights

    def drawn(self, model: Any, key: Any, groups: np.ndarray, chunk: int = CHUNK) -> Drawn:
        """Crystals of given space groups (n,), not yet called by their true ones."""
        model = model.extended(groups)
        sampler, steering = model.sampler(self.strides), self.steering(model)
        denoiser = restricted(model.denoiser, self.allowed) if self.allowed else model.denoiser
        denoiser, steering = jax.device_put((denoiser, steering))  # once for all chunks
        given = self.given
        if not steering.terms and given is None and self.formula is None and self.atoms is None:
            return generate(key, denoiser, sampler, groups, chunk, model.widths)
        found = steered(
            key, denoiser, groups, lambda slots: sampler if given is None else given.held(sampler, slots), steering,
            self.particles, max(1, chunk // self.particles), model.widths,
        )  # fmt: skip
        reached = [self.goal.reached(c) for c in found.crystals]
        crystals = [c if good else None for c, good in zip(found.crystals, reached, strict=True)]
        return Drawn(crystals, np.where(reached, np.asarray(found.log_w), -np.inf))

    def steering(self, model: Any) -> Steering:
        """What the particles compete for, by the method."""
        corrected, steered = self.asked(model)
        if not (corrected or steered):
            return Steering(self.goal)
        wanted = None if self.property is None else Property.of(self.property)
        classifier = None if model.classifier is None else model.classifier.within(wanted)
        said = (model.discriminator, float(corrected)), (classifier, steered * self.strength)
        terms, weights = zip(*(one for one in said if one[0] is not None), strict=True)  # all methods have one program
        return Steering(self.goal, terms, weights)

    def asked(self, model: Any) -> tuple[bool, bool]:
        """Whether the discriminator and the classifier are used; refuses what the model has not learned."""
        corrected = model.discriminator is not None if self.method is None else self.method in ("discriminator", "both")
        steered = self.property is not None if self.method is None else self.method in ("classifier", "both")
        path = "RUN" if model.origin is None else model.origin.folder
        if corrected and model.discriminator is None:
            raise UsageError(
                f"method={self.method}: the model has no discriminator; `genkit run crystals.discriminator_guidance "
                f"--generator {path}` trains one"
            )
        wanted = None if self.property is None else Property.of(self.property)
        if wanted is not None and not steered:
            raise UsageError(f"property={self.property}: method={self.method} does not steer; take classifier or both")
        known = None if model.classifier is None else model.classifier.name
        if steered and (known is None or (wanted is not None and wanted.name != known)):
            has = "knows no property" if known is None else f"knows {known} alone"
            raise UsageError(
                f"the model {has}; `genkit run crystals.property_guidance --generator {path} --wanted "
                f"{'NAME' if wanted is None else wanted.name}` trains it to know another, of the same data"
            )
        if steered and wanted is None:
            raise UsageError(f"method={self.method}: say which values, property={known}=LOW..HIGH")
        return corrected, steered

    def writer(self, path: Path, model: Any = None) -> Any:
        """The writer for a file or a folder."""
        made = super().writer(path, model)
        return replace(made, realiser=self.realiser) if path.suffix == "" else made


def labels(crystals: Sequence[Protostructure | None]) -> np.ndarray:
    """Labels (n,) of crystals by their true space groups; empty for None."""
    true = iter(each(settled, [c for c in crystals if c is not None], share=100))
    return np.array(["" if c is None else next(true).label for c in crystals])
