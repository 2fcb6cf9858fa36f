"""`genkit plugins`: what is installed, and what is broken and why."""

from __future__ import annotations

from dataclasses import dataclass

from genkit.kinds import KINDS, singular
from genkit.plugin import registry


@dataclass(frozen=True)
class Plugins:
    """List installed plugins; a broken one is shown with its reason and stops nothing else."""

    verbose: bool = False
    """Show what each plugin registers, and the traceback of broken ones."""

    def run(self) -> None:
        """Print a line each."""
        for one in registry().installed:
            if one.plugin is None:
                print(f"  {one.name:<12} {one.distribution:<22} broken: {one.error}")
                if self.verbose:
                    print(one.trace)
                continue
            counts = {kind: list(getattr(one.plugin, kind)) for kind in KINDS if getattr(one.plugin, kind)}
            what = ", ".join(f"{len(v)} {singular(k) if len(v) == 1 else k}" for k, v in counts.items())
            print(f"  {one.name:<12} {one.distribution:<22} {one.plugin.summary} ({what})")
            if self.verbose:
                for kind, items in counts.items():
                    print(f"    {kind}: {', '.join(items)}")
