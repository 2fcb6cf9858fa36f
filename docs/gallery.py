"""The gallery of the manual: a small figure of the default run of each experiment of which a run was given.

    python docs/gallery.py RUN RUN ...

reads run folders and writes docs/images/gallery/NAME.png and docs/gallery.md. A run with other options than those of
the preset default is refused; an experiment that is not given keeps its figure.
"""

import io
import sys
from pathlib import Path

from PIL import Image

import genkit
from genkit.experiment.config import changed
from genkit.plugin import registry

FOLDER = Path(__file__).parent / "images" / "gallery"
WIDTHS = range(800, 400, -50)  # pixels: the first at which a picture is small enough
LARGEST = 150_000  # bytes
SHOWN = {  # where it is not the first figure after those of the training
    "crystals.wyckoffdiff": "cells",
    "crystals.property_guidance": "wanted",
    "inverse.ddsmc_gmm": "samples",
    "inverse.peer_table": "samples",
    "molecules.discriminator_guidance": "molecules_fadg_10",
    "molecules.property_guidance": "property",
    "molecules.protein_guidance": "property",
    "representations.double_descent": "descent",
    "representations.images": "usage",
    "representations.prototypes": "sphere",
    "weather.assimilation": "maps_t_sfc",
    "weather.cef": "plume",
    "weather.diffusion_lam": "maps_t_sfc",
}
NEEDS = {"inverse.ddsmc_images": "prior"}  # the option without which there is no run


def picture(folder: Path) -> str:
    """Copy the figure of a run; returns the name of its experiment."""
    run = genkit.load(folder)
    name, config = run.name, run.config
    other = [option for option in changed(config, "default") or () if option.partition(".")[0] != NEEDS.get(name)]
    if other:
        raise SystemExit(f"{folder}: {', '.join(other)} of {name} are not those of the preset default")
    files = sorted((folder / "figures").glob("*.png"), key=lambda path: path.stat().st_mtime)
    first = next(path.stem for path in files if path.stem != "training")
    image = Image.open(folder / "figures" / f"{SHOWN.get(name, first)}.png").convert("RGB")
    png = next((png for width in WIDTHS if len(png := small(image, width)) < LARGEST), None)
    if png is None:
        raise SystemExit(f"{folder}: the picture of {name} has more than {LARGEST} bytes also at {WIDTHS[-1]} pixels")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(png)
    return name


def small(image: Image.Image, width: int) -> bytes:
    """A picture as PNG, at most so wide and half again as high."""
    image, content = image.copy(), io.BytesIO()
    image.thumbnail((width, 1.5 * width), Image.Resampling.LANCZOS)
    image.quantize(128).save(content, "PNG", optimize=True)
    return content.getvalue()


def page() -> str:
    """All pictures, by plugin."""
    text = "# Gallery\n\nFigures of default runs, each with the command that makes it.\n"
    plugin, missing = "", []
    for item in registry().items("experiments"):
        if not (FOLDER / f"{item.name}.png").exists():
            missing.append(f"| `{item.name}` | {item.summary} |\n")
            continue
        if (here := item.name.split(".")[0]) != plugin:
            text, plugin = f"{text}\n## {here.capitalize()}\n", here
        command = f"genkit run {item.name}"
        if needs := NEEDS.get(item.name):
            command += f" --{needs} runs/{needs}"
        text += f"\n{item.summary[0].upper()}{item.summary[1:]}:\n\n```\n{command}\n```\n\n"
        text += f"![{item.summary}](images/gallery/{item.name}.png)\n"
    if missing:
        text += "\n## Not shown yet\n\n| experiment | |\n|---|---|\n" + "".join(missing)
    return text


if __name__ == "__main__":
    for one in sys.argv[1:]:
        print(picture(Path(one)))
    (Path(__file__).parent / "gallery.md").write_text(page())
