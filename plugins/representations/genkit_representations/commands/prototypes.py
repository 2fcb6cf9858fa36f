"""`genkit prototypes`: how many prototypes of a checkpoint are different."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class Prototypes:
    """Count the different prototypes of a checkpoint: partial prototype collapse (arXiv 2410.14060).

    Reads .pth of the DINO family (with torch), .npy, .npz and .safetensors, or the folder of a model trained here.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The file, or a folder of a model."""
    eps: float = 0.025
    """Largest cosine distance of two that count as one."""
    rule: Literal["greedy", "components"] = "greedy"
    """Those within eps of a leader, or chains of neighbours within eps."""
    network: Literal["teacher", "student"] = "teacher"
    """Which network of a checkpoint."""
    out: Path | None = None
    """JSON file to write: prototypes, unique, histogram, eps, rule."""

    def run(self) -> None:
        """Read, count, print."""
        from genkit_representations.prototypes import collapse

        found = collapse(self._read(), None, self.eps, self.rule)
        print(f"{self.file}: {found.unique} of {found.prototypes} prototypes are different ({found.share:.1%})")
        print("prototypes in a group: groups")
        for size, count in found.redundancy.items():
            print(f"{size:21d}: {count}")
        if self.out is not None:
            page = {"prototypes": found.prototypes, "unique": found.unique, "histogram": found.redundancy,
                    "eps": self.eps, "rule": self.rule}  # fmt: skip
            self.out.write_text(json.dumps(page, indent=1))

    def _read(self) -> Any:
        from genkit_representations.prototypes import read_prototypes

        if not self.file.is_dir():
            return read_prototypes(self.file, self.network)
        from genkit.errors import UsageError
        from genkit.model import load

        model = load(self.file)
        if not hasattr(model, "prototypes"):
            raise UsageError(f"{self.file} holds a {type(model).__name__}, which has no prototypes")
        return model.prototypes(self.network)
