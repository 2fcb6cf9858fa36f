"""The choice of a mesh: the configuration from which a graph is built."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.errors import UsageError
from genkit_weather.area import EARTH, frame_of, interior_of, one_plane, unit_vectors
from genkit_weather.data import DEGREE, WeatherData
from genkit_weather.graphs import rectangular, spherical
from genkit_weather.graphs.check import checked
from genkit_weather.graphs.connect import Connection
from genkit_weather.graphs.graph import Graph

Kind = Literal["rect_flat", "rect_multiscale", "rect_hierarchical", "tri_flat", "tri_multiscale", "tri_hierarchical"]


@dataclass(frozen=True)
class Mesh:
    """A mesh and its connection to the grid.

    The defaults of `g2m` and `m2g` are those of the rule: classic, all grid nodes within 0.67 of the mesh spacing and
    the 4 nearest mesh nodes; with a `distance`, within 0.51 of the diagonal of a mesh cell and 4; on the sphere,
    within 0.6 of the longest edge and the corners of the triangle.
    """

    kind: Kind = "rect_multiscale"
    """rect: lattices in the plane; tri: triangles on the sphere, from latitude and longitude. flat: one length of
    edges; multiscale: longer edges too, between the same nodes; hierarchical: levels"""
    distance: float | None = None
    """rect: spacing of the finest mesh nodes in km, or in cells where the data have no coordinates"""
    cells: float | None = None
    """rect without a distance: spacing of the finest mesh nodes in cells of the grid; less where a small area would
    have no room for the levels, more where `most` asks for it. Without either: 3^k nodes a side, the classic rule"""
    most: int = 50_000
    """nodes of the finest level; a mesh of more is refused, as it often is a mistake in units"""
    refinement: int = 3
    """rect with a distance or cells: nodes a side of a level over those of the next"""
    splits: int = 4
    """tri: times the icosahedron is refined"""
    levels: int | None = None
    """use so many levels at most, finest first; with cells there is room for them all"""
    g2m: Connection = Connection()
    """from the grid to the mesh"""
    m2g: Connection = Connection()
    """from the mesh to the grid; a node is joined to what it receives from"""
    boundary_radius: float = 1.8
    """tri: reach of boundary nodes over the longest edge of the finest level"""
    strict: bool = True
    """refuse a graph with isolated nodes"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.refinement < 2 or self.splits < 0 or (self.distance is not None and self.distance <= 0):
            raise UsageError(
                f"a mesh needs refinement >= 2, splits >= 0, distance > 0; got {self.refinement}, {self.splits}, "
                f"{self.distance}"
            )
        if self.most < 1 or (self.cells is not None and self.cells <= 0):
            raise UsageError(f"a mesh needs cells > 0 and most >= 1; got {self.cells} and {self.most}")
        if self.splits > 9:
            raise UsageError(f"splits={self.splits} is more than 9: 2.6 million nodes; refine the mesh less often")
        if self.levels is not None and self.levels < 1:
            raise UsageError(f"levels={self.levels} is too few; expected at least 1, or none for all")

    def build(
        self,
        places: np.ndarray,
        shape: tuple[int, int] | None = None,
        boundary: np.ndarray | None = None,
        spacing: float = 1.0,
    ) -> Graph:
        """The graph over grid nodes at `places` (n, 2): x and y for rect, latitude and longitude in degrees for tri.

        Args:
            places: of the nodes that are forecast.
            shape: cells of the whole grid along its sides, which the classic rule needs.
            boundary: (b, 2) places of nodes that only send.
            spacing: of the grid, by which `cells` are measured.

        Raises:
            UsageError: no such mesh over this area, or one of too many nodes.
            DataError: isolated nodes, in a strict mesh.
        """
        places = np.asarray(places, np.float64)
        boundary = None if boundary is None or not len(boundary) else np.asarray(boundary, np.float64)
        graph = (
            self._triangular(places, boundary)
            if self.kind.startswith("tri")
            else self._flat(places, shape, boundary, spacing)
        )
        self._refuse_more(len(graph.mesh[0]), "refine it less often (--mesh.splits)")
        return checked(graph) if self.strict else graph

    def _triangular(self, places: np.ndarray, boundary: np.ndarray | None) -> Graph:
        g2m = self.g2m.or_rule(Connection("relative_radius", 0.6))
        m2g = self.m2g.or_rule(Connection("containing_triangle"))
        points = spherical.to_sphere(*places.T)
        outside = None if boundary is None else spherical.to_sphere(*boundary.T)
        return spherical.assemble(
            self.splits,
            self.levels,
            self.kind,
            points,
            outside,
            g2m,
            m2g,
            self.boundary_radius,  # type: ignore[arg-type]
        )

    def _refuse_more(self, nodes: int, remedy: str) -> None:
        if nodes > self.most:
            raise UsageError(f"a mesh of {nodes} nodes is more than most={self.most}; {remedy} or raise --mesh.most")

    def _flat(
        self, places: np.ndarray, shape: tuple[int, int] | None, boundary: np.ndarray | None, spacing: float
    ) -> Graph:
        everywhere = places if boundary is None else np.concatenate([places, boundary])
        one = self.kind == "rect_flat"
        if self.distance is None and self.cells is None:
            if shape is None:
                raise UsageError("the classic mesh needs a grid of rows and columns; give the mesh a distance")
            lattices = rectangular.classic(everywhere, shape, 1 if one else self.levels)
            unit, reach = float(lattices[0].spacing.max()), 0.67
        else:
            distance = self.distance or self._by_cells(everywhere, spacing)
            lattices = rectangular.archetype(everywhere, distance, self.refinement, self.levels, one)
            unit, reach = float(np.hypot(*lattices[0].spacing)), 0.51
            if self.distance is None:  # on a small area mesh nodes may lie closer than those of the grid
                unit = max(unit, math.sqrt(2) * spacing)
        (nx, ny), (dx, dy) = lattices[0].counts, lattices[0].spacing
        if self.distance is not None:
            remedy = "choose a larger --mesh.distance"
        elif self.cells is None:
            remedy = "give larger --mesh.cells than that"
        else:
            remedy = "larger --mesh.cells have no room for the levels on the shorter side; ask for fewer --mesh.levels"
        self._refuse_more(nx * ny, f"its nodes are {dx:.4g} x {dy:.4g} apart: {remedy}")
        g2m = self.g2m.or_rule(Connection("relative_radius", reach))
        m2g = self.m2g.or_rule(Connection("nearest", k=4))
        hierarchical = self.kind == "rect_hierarchical"
        return rectangular.assemble(lattices, hierarchical, places, boundary, g2m, m2g, unit, self.kind)

    def _by_cells(self, places: np.ndarray, spacing: float) -> float:
        """The distance that `cells` ask for, fitted to the area."""
        extent = rectangular.box(places)[1]
        levels = self.levels or (2 if self.kind == "rect_hierarchical" else 1)
        side = 2 if self.kind == "rect_flat" else self.refinement**levels  # the classic m2g takes 4 nodes
        wanted = max(float(self.cells or 0) * spacing, math.sqrt(extent.prod() / self.most))
        return min(wanted, float(extent.min()) / side)

    def over(self, data: WeatherData) -> Graph:
        """The graph of a data set: its interior cells row by row; the boundary is its frame, or points of a host."""
        inside, outside = grid_nodes(data, sphere=self.kind.startswith("tri"))
        return self.build(inside, data.grid, outside, data.spacing or 1.0)


def grid_nodes(data: WeatherData, sphere: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) of the cells that are forecast and (b, 2) of the boundary, in common coordinates.

    Two data sets in the plane share x and y; where one has none, or those of another projection, both are projected
    about the middle of the area.
    """
    if data.around is None:
        places = coordinates(data, sphere)
        return interior_of(places, data.frame).reshape(-1, 2), frame_of(places, data.frame)
    other = data.around.data
    shared = one_plane(data.crs, other.crs) and all(one.x is not None and one.y is not None for one in (data, other))
    if sphere or shared:
        inside, outside = coordinates(data, sphere), coordinates(other, sphere)
    else:
        inside, outside = projected(data, other)
    return inside.reshape(-1, 2), outside.reshape(-1, 2)[data.around.points]


def projected(area: WeatherData, other: WeatherData) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 2) km of both, in the azimuthal equidistant projection about the mean place of the area."""
    both = [unit_vectors(*np.moveaxis(coordinates(one, sphere=True), -1, 0)) for one in (area, other)]
    centre = both[0].mean((0, 1))
    centre /= np.linalg.norm(centre)
    east = np.cross([0.0, 0.0, 1.0], centre)
    east = np.array([0.0, 1.0, 0.0]) if np.linalg.norm(east) < 1e-9 else east / np.linalg.norm(east)
    plane = np.stack([east, np.cross(centre, east)], -1)

    def project(points: np.ndarray) -> np.ndarray:
        flat, angle = points @ plane, np.arccos(np.clip(points @ centre, -1, 1))
        return EARTH * flat / np.maximum(np.sinc(angle / np.pi), 1e-12)[..., None]

    return project(both[0]), project(both[1])


def coordinates(data: WeatherData, sphere: bool = False) -> np.ndarray:
    """(H, W, 2) x and y in km, in cells where the data have no coordinates; or latitude and longitude in degrees."""
    if sphere:
        if data.lat is None or data.lon is None:
            raise UsageError(f"{data.source} has no latitudes and longitudes; choose a rect mesh")
        return np.stack([data.lat, data.lon], -1).astype(np.float64)
    if data.x is not None and data.y is not None:
        return np.stack(np.meshgrid(data.x, data.y), -1).astype(np.float64)
    if data.lat is not None and data.lon is not None:
        lat, lon = np.asarray(data.lat, np.float64), np.asarray(data.lon, np.float64)
        return DEGREE * np.stack([lon * np.cos(np.deg2rad(lat.mean())), lat], -1)
    return np.stack(np.meshgrid(*(np.arange(size, dtype=np.float64) for size in data.grid[::-1])), -1)
