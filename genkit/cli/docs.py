"""`genkit docs`: the manual in a browser."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path

import genkit
from genkit.errors import GenkitError


@dataclass(frozen=True)
class Docs:
    """Open the manual where it has been built, in the checkout that is installed."""

    def run(self) -> None:
        """Print its path and open it where a browser is."""
        root = Path(genkit.__file__).resolve().parents[1]
        page = root / "site" / "index.html"
        if not (root / "mkdocs.yml").is_file():
            raise GenkitError(f"{root} has no manual to build; it is read from a checkout of genkit")
        if not page.is_file():
            raise GenkitError(
                f"the manual is not built; in {root}: python -m pip install -r requirements-docs.txt && mkdocs build"
            )
        print(page)
        webbrowser.open(page.as_uri())
