"""The figures of a run, as Python gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A PNG file with its caption, which a notebook shows as the picture.

    What takes an `os.PathLike`, as `open` and `shutil.copy`, takes it; for the methods of a path there is `path`.
    """

    path: Path
    caption: str = ""

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


class Figures(dict[str, Figure]):
    """Figures by their names; a notebook shows all of them."""

    def _ipython_display_(self) -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        for figure in self.values():
            display(figure)
