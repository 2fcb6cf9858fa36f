"""Figures of generated crystals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter

from genkit_crystals.protostructures import LAST, Protostructure, symbols

COLOURS = {
    "model": "#0b6e99", "discriminator": "#c2453d", "classifier": "#b9a03a", "both": "#3d3a8c",
    "table": "#d1812b", "templates": "#8a4f7d", "marginal": "#9aa5ad", "floor": "#4f8a3c",
}  # fmt: skip
PRIOR = 3  # crystals with an element that the prior of its ratio is worth
BOND = 1.15  # longest bond in units of the sum of covalent radii
SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def distances(results: Mapping[str, Any], meaning: Mapping[str, str]) -> Figure | None:
    """Bars of the Frechet distances by set, logarithmic, with the floor as a line; of those that there are."""
    titles = {"fwd": "Frechet Wrenformer distance", "fd": "Frechet distance of plain descriptors"}
    found = {way: [name for name in meaning if results.get(f"{way}/{name}") is not None] for way in titles}
    ways = {way: names for way, names in found.items() if names}
    if not ways:
        return None
    rows = [name for name in meaning if any(name in names for names in ways.values())]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    every = figure.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for axes, (way, names) in zip(every, ways.items(), strict=True):
        values = [results[f"{way}/{name}"] for name in names]
        errors = [2 * results[f"{way}_se/{name}"] for name in names]
        axes.barh(list(map(rows.index, names)), values, xerr=errors, color=[COLOURS[n] for n in names], height=0.65)
        if "floor" in names:
            axes.axvline(results[f"{way}/floor"], color=COLOURS["floor"], lw=1, ls="--")
        axes.set(xscale="log", title=titles[way])
        _plain(axes)
        axes.set_yticks(range(len(rows)), [meaning[n] for n in rows])
        axes.spines[["top", "right"]].set_visible(False)
    every[0].invert_yaxis()
    return figure


def distributions(
    sets: Mapping[str, Sequence[Protostructure]], train: Sequence[Protostructure], meaning: Mapping[str, str]
) -> Figure:
    """Cumulative atoms and orbits, kinds of elements, crystal systems."""
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    (atoms, orbits), (species, systems) = figure.subplots(2, 2)
    every = {"training": train, **{name: some for name, some in sets.items() if some}}
    colours = {"training": "black", **COLOURS}
    width = 0.8 / len(every)
    for i, (name, some) in enumerate(every.items()):
        label = meaning.get(name, "training crystals")
        line = {"color": colours[name], "lw": 2.2 if name == "training" else 1.4, "label": label}
        for axes, f in ((atoms, lambda c: c.atoms), (orbits, lambda c: sum(n for *_, n in c.orbits))):
            values = np.sort([f(c) for c in some])
            axes.step(values, np.arange(1, len(values) + 1) / len(values), where="post", **line)
        kinds = Counter(min(len(c.composition), 8) for c in some)
        places = np.array([np.searchsorted(LAST, c.group) for c in some])
        bar = {"width": width, "color": colours[name]}
        species.bar(np.arange(1, 9) + (i - len(every) / 2) * width, [kinds[k] / len(some) for k in range(1, 9)], **bar)
        share = np.bincount(places, minlength=7) / len(some)
        systems.bar(np.arange(7) + (i - len(every) / 2) * width, share, **bar)
    atoms.set(xscale="log", xlabel="atoms in the conventional cell", ylabel="share with at most so many")
    orbits.set(xscale="log", xlabel="orbits")
    for axes in (atoms, orbits):
        _plain(axes)
    species.set(xlabel="elements", ylabel="share of crystals")
    species.set_xticks(range(1, 9), [*map(str, range(1, 8)), "8+"])
    systems.set_xticks(range(7), SYSTEMS, rotation=30, ha="right")
    figure.legend(*orbits.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    for axes in (atoms, orbits, species, systems):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _plain(axes: Any) -> None:
    """Labels of a logarithmic axis as plain numbers: of short ones also between the powers of ten."""
    low, high = axes.get_xlim()
    between = (2, 3, 5) if high < 30 * low else (2, 5) if high < 300 * low else ()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, *between)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def spread(
    values: Mapping[str, np.ndarray], ends: Sequence[float], quantity: str, meaning: Mapping[str, str]
) -> Figure:
    """Quartiles, median, 5 and 95 % of a quantity by set, with lines at the ends of what is wanted."""
    figure = Figure(figsize=(7, 0.45 * len(values) + 1), layout="constrained")
    axes = figure.subplots()
    for i, (name, some) in enumerate(values.items()):
        low, first, middle, third, high = np.quantile(some, [0.05, 0.25, 0.5, 0.75, 0.95])
        axes.plot([low, high], [i, i], color=COLOURS[name], lw=1.2)
        axes.plot([first, third], [i, i], color=COLOURS[name], lw=7, solid_capstyle="butt")
        axes.plot(middle, i, "o", color="white", ms=4)
    for end in ends:
        axes.axvline(end, color="black", lw=1, ls="--")
    axes.set(xlabel=quantity)
    axes.set_yticks(range(len(values)), [meaning[name] for name in values])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def elements(found: Sequence[Protostructure], train: Sequence[Protostructure]) -> Figure:
    """Two periodic tables: share of crystals with the element, and log2 of its ratio to the training crystals.

    The ratio is shrunk: an element that a few samples could not show is no surprise (`shrunken_ratio`).
    """
    figure = Figure(figsize=(11, 7.4), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    counts = [np.bincount([z for c in some for z in c.composition], minlength=101) for some in (found, train)]
    share, truth = (count / max(len(some), 1) for count, some in zip(counts, (found, train), strict=True))
    ratio = shrunken_ratio(counts[0], counts[1], len(found), len(train))
    _table(figure, upper, np.where(share > 0, 100 * share, np.nan), "viridis", (0, None), "% of generated crystals")
    ratio = np.where((share > 0) | (truth > 0), np.log2(ratio), np.nan)
    _table(figure, lower, ratio, "RdBu_r", (-2, 2), "log2 of generated / training")
    return figure


def shrunken_ratio(count: np.ndarray, other: np.ndarray, n: int, m: int) -> np.ndarray:
    """Ratio of the share count / n to other / m: the posterior mean of the rate of a Poisson count.

    Its prior is a gamma law of mean 1, worth PRIOR expected crystals: what n crystals could hardly show has a ratio
    near 1. By (count + 1/2) / (n + 1) a rare element that none of them has would seem over-represented.
    """
    expected = n * other / max(m, 1)
    return (count + PRIOR) / (expected + PRIOR)


def _table(figure: Any, axes: Any, values: np.ndarray, colours: str, limits: Any, title: str) -> None:
    grid, cells = np.full((9, 18), np.nan), {}
    for z in range(1, 101):
        cells[z] = place(z)
        grid[cells[z]] = values[z]
    picture = axes.imshow(np.ma.masked_invalid(grid), cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    low, high = picture.get_clim()
    for z, (row, column) in cells.items():
        value = values[z]
        strong = value == value and (abs(value) > 1.3 if low < 0 else value < (low + high) / 2)
        axes.text(
            column, row, symbols()[z], ha="center", va="center", fontsize=9, color="white" if strong else "#333333"
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, label=title, shrink=0.85)


def place(z: int) -> tuple[int, int]:
    """Row and column of an element in the periodic table, lanthanides and actinides below it."""
    from pymatgen.core import Element

    if 57 <= z <= 71:
        return 7, z - 57 + 2
    if 89 <= z <= 103:
        return 8, z - 89 + 2
    e = Element.from_Z(z)
    return e.row - 1, e.group - 1


def cells(files: Sequence[Path]) -> Figure:
    """Unit cells of CIF files with bonds and axes, formula and space group, and a legend of the elements of all.

    Atoms are spheres in the usual colours, of radii that go with the covalent ones.
    """
    from genkit_crystals.protostructures import read_cif

    columns = min(len(files), 4)
    rows = -(-len(files) // columns)
    high = 3.2 * rows + 0.8
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - 0.3 / high))  # which forgets the titles of axes in space
    figure = Figure(figsize=(2.9 * columns, high), layout=layout)
    seen: set[int] = set()
    for i, file in enumerate(files):
        axes: Any = figure.add_subplot(rows, columns, i + 1, projection="3d")
        structure = read_cif(file)
        seen |= {site.specie.Z for site in structure}
        _cell(axes, structure)
        axes.set_title(f"{structure.composition.reduced_formula}, {_group(file)}", fontsize=10)
    wide = int(2.9 * columns / 1.4)  # an entry takes 1.4 inches
    figure.legend(handles=[_key(z) for z in sorted(seen)], loc="outside lower center", ncols=wide, frameon=False)
    return figure


def _group(file: Path) -> str:
    lines = file.read_text().splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("_symmetry_Int_Tables_number")), "?")


def _key(z: int) -> Any:
    """An entry of the legend."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from matplotlib.lines import Line2D

    look = {"markerfacecolor": jmol_colors[z], "markeredgecolor": "#333333", "markeredgewidth": 0.4}
    label = f"{symbols()[z]} {covalent_radii[z]:.2f} Å"
    return Line2D([], [], ls="", marker="o", markersize=4 + 4 * covalent_radii[z], label=label, **look)


def _cell(axes: Any, structure: Any) -> None:
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    lattice = structure.lattice.matrix
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    for a in corners:
        for b in corners:
            if (b - a).sum() == 1 and np.abs(b - a).sum() == 1:
                axes.plot(*zip(a @ lattice, b @ lattice, strict=True), color="#5d6b7a", lw=0.8)
    for vector, name, colour in zip(lattice, "abc", ("#c2453d", "#4f8a3c", "#0b6e99"), strict=True):
        axes.plot(*zip(np.zeros(3), vector, strict=True), color=colour, lw=1.8)
        axes.text(*(1.28 * vector), name, color=colour, fontsize=9, ha="center", va="center")  # beyond the atoms
    points, kinds = _shown(structure)
    for i, j in bonds(points, kinds):
        middle = (points[i] + points[j]) / 2
        for end, z in ((i, kinds[i]), (j, kinds[j])):
            axes.plot(*zip(points[end], middle, strict=True), color=jmol_colors[z] * 0.8, lw=2, solid_capstyle="round")
    size = np.linalg.norm(lattice.sum(0))
    area = (170 * covalent_radii[kinds] * 4 / size) ** 2 / 40
    axes.scatter(*points.T, s=area, c=jmol_colors[kinds], edgecolors="#333333", linewidths=0.4, depthshade=False)
    axes.set_box_aspect(np.ptp(corners @ lattice, 0))
    axes.set_axis_off()


def _shown(structure: Any) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 3) in A and atomic numbers (n,) of the atoms in a cell, those on its faces on all of them."""
    points, species = [], []
    for site in structure:
        base = site.frac_coords % 1
        shifts = [(0, 1) if x < 1e-3 else (0, -1) if x > 1 - 1e-3 else (0,) for x in base]
        for shift in np.array(np.meshgrid(*shifts)).reshape(3, -1).T:
            points.append((base + shift) @ structure.lattice.matrix)
            species.append(site.specie.Z)
    return np.array(points), np.array(species)


def bonds(points: np.ndarray, kinds: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of atoms that are nearer than BOND times the sum of their covalent radii.

    Two metals are bonded where there is nothing else: in salts their covalent radii are those of no ion.
    """
    from ase.data import covalent_radii
    from pymatgen.core import Element

    radii, metal = covalent_radii[kinds], np.array([Element.from_Z(int(z)).is_metal for z in kinds])
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    near = distance < BOND * (radii[:, None] + radii)
    near &= metal.all() | ~(metal[:, None] & metal)
    return [(int(i), int(j)) for i, j in np.argwhere(near) if i < j]
