"""`genkit weather-graph`: build, validate and describe graphs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import DataError, UsageError
from genkit.kinds import Dataset
from genkit_weather.datasets import QGNature
from genkit_weather.graphs.mesh import Mesh

USAGE = """usage: genkit weather-graph build [--data NAME] [--mesh.kind KIND] [--out FILE] [--picture FILE] [options]
       genkit weather-graph validate FILE [--data NAME]
       genkit weather-graph info FILE [--picture FILE]

build     make the graph of a data set and write it (.npz, or a folder of torch files); --help shows the options
validate  list what is wrong with a graph, with a data set also whether it belongs to that
info      print the sizes of a graph"""


@dataclass(frozen=True)
class Build:
    """Build the graph of a data set; a graph with isolated nodes is refused."""

    data: Dataset = field(default_factory=QGNature)
    """Data set whose grid is connected."""
    mesh: Mesh = field(default_factory=Mesh)
    """The mesh."""
    out: Path = Path("graph.npz")
    """File to write; a name without .npz is a folder of torch files."""
    picture: Path | None = None
    """Also draw the graph into this PNG file."""

    def run(self) -> None:
        """Do it."""
        from genkit_weather.graphs.store import save

        data = self.data.load()
        start = time.perf_counter()
        graph = self.mesh.over(data)
        seconds = time.perf_counter() - start
        save(graph, self.out, "npz" if self.out.suffix == ".npz" else "torch")
        describe(graph)
        print(f"built in {seconds:.2f} s, written to {self.out}")
        draw(graph, self.picture)


@dataclass(frozen=True)
class Validate:
    """Check a graph."""

    data: Dataset | None = None
    """Data set that the graph should belong to."""


@dataclass(frozen=True)
class Info:
    """Describe a graph."""

    picture: Path | None = None
    """Also draw the graph into this PNG file."""


@dataclass(frozen=True)
class WeatherGraph:
    """Build, validate and describe graphs."""

    action: Any
    path: Path | None = None

    @classmethod
    def parse(cls, words: list[str]) -> WeatherGraph:
        """Parse ``build [options]``, ``validate FILE [options]`` or ``info FILE [options]``."""
        actions = {"build": Build, "validate": Validate, "info": Info}
        if not words or words[0] in ("-h", "--help"):
            print(USAGE)
            raise SystemExit(0)
        name, rest = words[0], words[1:]
        if name not in actions:
            raise UsageError(f"unknown action {name!r}; expected one of {', '.join(actions)}")
        from genkit.experiment import parse

        path = None
        if name != "build" and not {"-h", "--help"} & set(rest):
            if not rest or rest[0].startswith("-"):
                raise UsageError(f"weather-graph {name} needs the file of a graph")
            path, rest = Path(rest[0]), rest[1:]
        return cls(parse(actions[name](), rest, "default", "weather", f"genkit weather-graph {name}")[0], path)

    def run(self) -> int:
        """Do it; 1 for a graph that is not sound."""
        if isinstance(self.action, Build):
            self.action.run()
            return 0
        from genkit_weather.graphs.check import problems
        from genkit_weather.graphs.store import load

        graph = load(self.path)  # type: ignore[arg-type]
        if isinstance(self.action, Info):
            describe(graph)
            draw(graph, self.action.picture)
            return 0
        wrong = problems(graph)
        if self.action.data is not None:
            try:
                fitting(graph, self.action.data.load())
            except DataError as error:
                wrong.append(str(error))
        for line in wrong:
            print(line)
        print(f"{self.path}: " + (f"{len(wrong)} problems" if wrong else "sound"))
        return int(bool(wrong))


def fitting(graph: Any, data: Any) -> Any:
    """The graph, or a DataError where it is not of this data set's grid."""
    from genkit_weather.graphs.check import check_grid
    from genkit_weather.graphs.graph import fingerprint
    from genkit_weather.graphs.mesh import grid_nodes
    from genkit_weather.graphs.spherical import to_sphere

    sphere = graph.kind.startswith("tri")
    inside, outside = grid_nodes(data, sphere)
    if sphere:
        inside, outside = to_sphere(*inside.T), to_sphere(*outside.T)
    return check_grid(graph, len(inside), len(outside), fingerprint(inside, outside), data.source)


def describe(graph: Any) -> None:
    """Print the sizes."""
    print(f"{graph.kind or 'graph'}: {graph.nodes} grid nodes, {graph.boundary} boundary nodes")
    for level, (nodes, edges) in enumerate(zip(graph.mesh, graph.m2m, strict=True)):
        print(f"  level {level}: {len(nodes)} nodes, {len(edges)} edges")
    for level, (up, down) in enumerate(zip(graph.up, graph.down, strict=True)):
        print(f"  between levels {level} and {level + 1}: {len(up)} edges up, {len(down)} down")
    print(f"  grid to mesh: {len(graph.g2m)} edges; mesh to grid: {len(graph.m2g)} edges")


def draw(graph: Any, path: Path | None) -> None:
    """Write the picture, if one is wanted."""
    if path is None:
        return
    from genkit_weather.graphs.picture import picture

    picture(graph).savefig(path, dpi=110)
    print(f"drawn into {path}")
