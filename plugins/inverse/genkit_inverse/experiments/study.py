"""What all studies of inverse problems share: their data, arrays that are kept, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genkit.experiment import Best, Estimate, Experiment, Run
from genkit.kinds import Dataset
from genkit_inverse.datasets import Digits
from genkit_inverse.images import Images


@dataclass(frozen=True)
class InverseStudy(Experiment):
    """Images, and a prior of them."""

    data: Dataset[Images] = field(default_factory=Digits)
    """The images."""

    def loaded(self, run: Run) -> Any:
        """The data."""
        return run.once("data", self.data.load)

    def shape(self) -> tuple[int, int, int]:
        """Of the images; they are read where the data set does not tell it."""
        return getattr(self.data, "shape", None) or self.data.load().shape

    def prepare(self, run: Run) -> None:
        """Load the data once, so that a missing file stops the run here."""
        self.loaded(run)


def table(
    run: Run,
    name: str,
    caption: str,
    rows: Sequence[str],
    columns: Mapping[str, str | tuple[str, str]],
    title: str = "samples of",
    best: Best | None = None,
    floor: Sequence[str] = (),
) -> None:
    """Results as a table: a row each name, a column each key with a place {} for it; of two the second is the error."""

    def entry(key: str | tuple[str, str], row: str) -> Any:
        found = [run.results.get(one.format(row)) for one in ([key] if isinstance(key, str) else key)]
        return Estimate(*found) if len(found) > 1 else found[0]

    cells = [[row, *(entry(key, row) for key in columns.values())] for row in rows]
    run.table(name, [title, *columns], cells, caption, best, floor=floor)
