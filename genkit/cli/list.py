"""`genkit list`: what is registered."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from genkit.errors import UsageError
from genkit.kinds import KINDS
from genkit.plugin import registry


@dataclass(frozen=True)
class List:
    """List experiments, or the components of another kind."""

    kind: str = "experiments"

    @classmethod
    def parse(cls, words: list[str]) -> List:
        """Parse ``[KIND]``, by hand so that listing is instant."""
        if words in (["-h"], ["--help"]):
            print(f"usage: genkit list [KIND]\n\nKIND: all, {', '.join(KINDS)}; experiments if not given")
            raise SystemExit(0)
        if len(words) > 1:
            raise UsageError(f"list takes one kind, got {' '.join(words)}")
        return cls(*words)

    def run(self) -> None:
        """Print a line each."""
        if self.kind not in (*KINDS, "all"):
            raise UsageError(f"unknown kind {self.kind!r}; expected one of {', '.join(KINDS)} or all")
        for kind in KINDS if self.kind == "all" else [self.kind]:
            items = list(registry().items(kind))
            if self.kind == "all" and items:
                print(f"{kind}:")
            width = max((len(item.name) for item in items), default=0)
            for item in items:
                print(f"  {item.name:<{width}}  {item.summary}")
        if broken := registry().broken:
            names = "; ".join(f"{one.name} ({one.error})" for one in broken)
            print(f"genkit: broken plugins, left out: {names}; `genkit plugins --verbose` shows more", file=sys.stderr)
