"""Crystals of chosen space groups, scored group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Model
from genkit.metrics import frechet_of_samples
from genkit_crystals import evaluation
from genkit_crystals.data import Crystals
from genkit_crystals.experiments.base import CrystalStudy, sizes
from genkit_crystals.models import Encoder, WyckoffDiffusion, require_group
from genkit_crystals.protostructures import Protostructure, symbol

SCORES = ("validity", "novelty/prototype", "atoms_w1", "element_tv", "neutral")


@dataclass(frozen=True)
class SpaceGroupConditional(CrystalStudy):
    """Generate crystals of chosen space groups with WyckoffDiff and score each group beside four yardsticks.

    All samples have their group by construction; what is asked is whether they resemble the real crystals of that
    group, of which the data may have few. Distances are those of plain descriptors, to the training crystals of the
    group.
    """

    headline = "fd/model/*"

    space_groups: tuple[int, ...] = (225, 194, 139, 62, 12)
    """Their numbers, which share the samples equally."""
    samples: int = 500
    """Crystals to draw."""
    encoder: Model[Crystals, Encoder] | None = None
    """None: the scores by group need no encoder."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of crystals.wyckoffdiff, half as many samples."""
        own = {"tiny": {"space_groups": (62, 198)}, "paper": {"samples": 5000}}.get(name, {})
        return cls(model=WyckoffDiffusion.preset(name), **sizes(name) | {"encoder": None} | own)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not self.space_groups or any(not 1 <= g <= 230 for g in self.space_groups):
            raise UsageError(f"space_groups={self.space_groups}; expected numbers from 1 to 230")
        if self.group is not None or self.system is not None:
            raise UsageError("group and system are options of crystals.wyckoffdiff; here it is space_groups")
        if self.encoder is not None:
            raise UsageError("scores by group need no encoder; it is for crystals.wyckoffdiff")

    def prepare(self, run: Run) -> None:
        """Load the data and look for the groups in them."""
        super().prepare(run)
        for group in self.space_groups:
            require_group(group, self.crystals(run)[0].groups)

    def groups(self, run: Run, n: int, seed: int) -> np.ndarray:
        """The chosen groups in turn."""
        return np.resize(np.array(self.space_groups, np.int32), n)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores by group: <score>/<set>/<group>, where sets and scores are those of crystals.wyckoffdiff.

        fd: Frechet distance of descriptors to the training crystals of the group; train/<group>: how many those are.
        Also realised/label_match, realised/seconds, crystals_per_second/<set>, symmetry/<set>.
        """
        train, _ = self.crystals(run)
        results = self._realised(run) | self._drawing(run)
        groups, drawn = self.groups(run, self.samples, run.seed), self.drawn(run)
        every = evaluation.descriptors(train.crystals)
        members = np.array([c.group for c in train.crystals])
        for group in self.space_groups:
            real = [c for c in train.crystals if c.group == group]
            results[f"train/{group}"] = len(real)
            for name, found in drawn.items():
                # the floor has what was held out, the other sets what was asked for
                own = groups == group if name != "floor" else [c is not None and c.group == group for c in found]
                asked = [c for c, mine in zip(found, own, strict=True) if mine]
                full = [c for c in asked if c is not None]
                scores = evaluation.scores(full, max(len(asked), 1), train.crystals, real)
                results |= {f"{key}/{name}/{group}": scores.get(key) for key in SCORES}
                results[f"fd/{name}/{group}"] = _distance(every, members == group, full)
        return results

    def report(self, run: Run) -> None:
        """A table by group, elements, unit cells."""
        results, drawn = run.results, self.drawn(run)
        names = {g: f"{g} {symbol(g)}" for g in self.space_groups}
        rows = [
            [names[g], results[f"train/{g}"], *(results[f"fd/{one}/{g}"] for one in self.sets)]
            for g in self.space_groups
        ]
        caption = "Frechet distance of descriptors to the training crystals of the group"
        run.table("distances", ["group", "training", *self.sets.values()], rows, caption)
        shown = {"not empty": "validity", "new prototype": "novelty/prototype", "atoms W1": "atoms_w1"}
        shown |= {"element TV": "element_tv", "neutral": "neutral"}
        rows = [[names[g], *(results[f"{key}/model/{g}"] for key in shown.values())] for g in self.space_groups]
        run.table("model", ["group", *shown], rows, "The model's crystals by group")
        self._pictures(run, [c for c in drawn["model"] if c is not None])


def _distance(every: np.ndarray, own: np.ndarray, found: list[Protostructure]) -> float | None:
    """Frechet distance to the training crystals `own`, in units of the spread of all; None where there are too few."""
    if own.sum() < 2 or len(found) < 2:
        return None
    every, x = evaluation.standardised(every, evaluation.descriptors(found))
    return frechet_of_samples(x, every[own])
