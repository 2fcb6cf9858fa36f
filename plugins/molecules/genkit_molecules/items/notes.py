"""What of a file is not used, or not as it stands there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Places = Mapping[str, tuple[int, ...]]
SHOWN = 5  # places that are named in a line


@dataclass(frozen=True)
class Notes:
    """Entries of a source by reason, with their numbers, from 1: those left out, and those used but changed."""

    dropped: Places = field(default_factory=dict)
    changed: Places = field(default_factory=dict)
    unit: str = "line"
    """what the numbers count"""

    def lines(self) -> Iterator[str]:
        """One line a reason, the most frequent one first."""
        for what in ("dropped", "changed"):
            for why, places in sorted(getattr(self, what).items(), key=lambda item: -len(item[1])):
                more = ", ..." * (len(places) > SHOWN)
                yield f"{what}: {len(places)} ({why}; {self.unit} {', '.join(map(str, places[:SHOWN]))}{more})"


def gathered(notes: Iterable[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    """Numbers by reason."""
    found = defaultdict(list)
    for why, number in notes:
        found[why].append(number)
    return {why: tuple(numbers) for why, numbers in found.items()}
