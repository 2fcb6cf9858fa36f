"""Graphs: counts, connections, checks, files."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from genkit.errors import DataError, UsageError
from genkit_weather import graphs
from genkit_weather.graphs import Connection, Mesh, connect, spherical
from genkit_weather.graphs.check import check_grid


def grid(h, w, dx=1.0, dy=1.0):
    return np.stack(np.meshgrid(np.arange(w) * dx, np.arange(h) * dy), -1).reshape(-1, 2)


def counts(graph):
    return [len(e) for e in graph.m2m], [len(e) for e in graph.up], len(graph.m2g), len(graph.g2m)


def meps():
    x, y = np.linspace(-1059506.55, 1310493.45, 238), np.linspace(-1331732.45, 1338267.55, 268)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


@pytest.mark.parametrize(
    "places, shape, strict, hierarchical, multiscale",
    [
        (grid(27, 27), (27, 27), False, ([544, 40], [81], 2916, 949), 584),
        (grid(81, 81), (81, 81), False, ([5512, 544, 40], [729, 81], 26244, 9009), 6096),
        (meps(), (268, 238), True, ([51520, 5512, 544, 40], [6561, 729, 81], 255136, 100656), 57616),
    ],
    ids=["27", "81", "meps"],
)
def test_counts_of_the_classic_rule(places, shape, strict, hierarchical, multiscale):
    assert counts(Mesh("rect_hierarchical", strict=strict).build(places, shape)) == hierarchical
    flat = Mesh("rect_multiscale", strict=strict).build(places, shape)
    assert [len(e) for e in flat.m2m] == [multiscale] and not flat.up
    one = Mesh("rect_flat", strict=strict).build(places, shape)
    assert len(one.m2m[0]) == hierarchical[0][0]


def test_each_parent_has_nine_children_and_edges_point_from_sender_to_receiver():
    graph = Mesh("rect_hierarchical", strict=False).build(grid(27, 27), (27, 27))
    assert (np.bincount(graph.up[0].receivers) == 9).all()
    up, down = graph.up[0], graph.down[0]
    assert {*zip(up.senders, up.receivers, strict=True)} == {*zip(down.receivers, down.senders, strict=True)}
    places = [np.asarray(m) for m in graph.mesh]
    np.testing.assert_allclose(up.features[:, 1:], places[0][up.senders] - places[1][up.receivers], atol=1e-5)
    np.testing.assert_allclose(up.features[:, 0], np.linalg.norm(up.features[:, 1:], axis=1), rtol=1e-5)
    for edges in graph.sets.values():
        assert (np.diff(edges.receivers) >= 0).all()
        assert (np.diff(edges.senders[edges.by_sender]) >= 0).all()


def test_coarse_nodes_of_a_multiscale_mesh_lie_on_fine_ones():
    graph = Mesh("rect_multiscale", strict=False).build(grid(81, 81), (81, 81))
    lengths = graph.m2m[0].features[:, 0].astype(float) / graph.m2m[0].features[:, 0].min()
    assert set(np.round(lengths, 3)) == {1, 1.414, 3, 4.243, 9, 12.728}


def test_features_are_scaled_by_the_longest_mesh_edge_and_the_span():
    graph = graphs.normalised(Mesh("rect_hierarchical", strict=False).build(grid(27, 27, 2.0, 1.0), (27, 27)))
    assert max(e.features[:, 0].max() for e in graph.m2m) == pytest.approx(1)
    assert graph.mesh[0].max() == pytest.approx((1 - 1 / 18), rel=1e-5)  # half a cell of 52 / 9 from the border


@pytest.mark.parametrize("kind", ["rect_flat", "rect_multiscale", "rect_hierarchical"])
@pytest.mark.parametrize("shape", [(8, 9), (12, 70), (40, 40), (150, 130)])
def test_a_mesh_by_cells_fits_an_area_of_any_size_and_unit(kind, shape):
    one, other = (Mesh(kind, cells=3.0).build(grid(*shape, d, d), shape, spacing=d) for d in (1.0, 0.025))
    assert [len(m) for m in one.mesh] == [len(m) for m in other.mesh]
    assert one.levels > 1 or kind != "rect_hierarchical"
    few = Mesh(kind, cells=3.0, most=1000).build(grid(*shape), shape)
    assert len(few.mesh[0]) <= 1000


def test_a_mesh_by_cells_has_room_for_its_levels_and_neighbours():
    assert len(Mesh("rect_flat", cells=30.0).build(grid(20, 20)).mesh[0]) == 2 * 2
    for levels in (2, 3):
        deep = Mesh("rect_hierarchical", cells=5.0, levels=levels).build(grid(60, 60))
        assert [len(m) for m in deep.mesh] == [9**k for k in range(levels, 0, -1)]
    with pytest.raises(UsageError, match=r"729 nodes is more than most=100.*larger --mesh\.cells have no room"):
        Mesh("rect_multiscale", cells=3.0, most=100).build(grid(5, 900))
    with pytest.raises(UsageError, match=r"729 nodes is more than most=100.*give larger --mesh\.cells than that"):
        Mesh(most=100).build(grid(90, 90), (90, 90))


def test_too_many_mesh_nodes_are_refused():
    with pytest.raises(UsageError, match=r"10000 nodes is more than most=50.*0\.39 x 0\.39 apart.*--mesh\.most"):
        Mesh("rect_flat", distance=0.39, most=50).build(grid(40, 40))
    with pytest.raises(UsageError, match=r"162 nodes is more than most=100.*--mesh\.splits"):
        Mesh("tri_flat", splits=2, most=100).build(globe())


def test_archetypes_cover_anisotropic_and_irregular_grids():
    scattered = np.random.default_rng(0).uniform([0, 0], [40, 13], (5000, 2))
    for places in (grid(13, 40), scattered):
        for kind in ("rect_flat", "rect_multiscale", "rect_hierarchical"):
            graph = Mesh(kind, distance=1.2).build(places)
            assert np.bincount(graph.g2m.senders, minlength=len(places)).min() >= 1
    flat = Mesh("rect_flat", distance=3.0).build(grid(13, 40))
    assert len(flat.mesh[0]) == 13 * 4  # int(39 / 3) x int(12 / 3)
    levels = Mesh("rect_hierarchical", distance=1.2, refinement=2).build(grid(13, 40))
    assert [len(m) for m in levels.mesh] == [32 * 8, 16 * 4, 8 * 2]
    with pytest.raises(UsageError, match="do not fit"):
        Mesh("rect_flat", distance=50.0).build(grid(13, 40))


def test_containing_rectangle_gives_the_corners():
    mesh, points = grid(4, 5, 2.0, 3.0), np.array([[1.0, 1.0], [2.0, 4.0], [7.9, 8.9]])
    senders, receivers = connect.containing_rectangle(mesh, points, np.array([2.0, 3.0]))
    near = np.abs(mesh[None] - points[:, None]) < [2.0, 3.0]
    assert {*zip(receivers, senders, strict=True)} == {*map(tuple, np.argwhere(near.all(-1)))}
    assert list(np.bincount(receivers)) == [4, 2, 4]


def test_boundary_nodes_send_and_receive_nothing():
    whole = Mesh("rect_multiscale", strict=False).build(grid(27, 27), (27, 27))
    inside = (grid(27, 27) >= 3).all(1) & (grid(27, 27) < 24).all(1)
    cut = graphs.limited(whole, np.flatnonzero(inside), np.flatnonzero(~inside))
    direct = Mesh("rect_multiscale", strict=False).build(grid(27, 27)[inside], (27, 27), grid(27, 27)[~inside])
    assert (cut.nodes, cut.boundary) == (441, 288) and len(cut.m2g) == 4 * 441
    for one, two in ((cut.g2m, direct.g2m), (cut.m2m[0], direct.m2m[0])):
        np.testing.assert_array_equal(one.senders, two.senders)
        np.testing.assert_allclose(one.features, two.features, atol=1e-5)


def test_icosahedra_have_the_known_numbers_of_vertices_and_edges():
    meshes = spherical.refinements(6)
    assert [len(m.vertices) for m in meshes] == [12, 42, 162, 642, 2562, 10242, 40962]
    assert [len(m.edges[0]) for m in meshes] == [60 * 4**s for s in range(7)]
    np.testing.assert_allclose(np.linalg.norm(meshes[4].vertices, axis=1), 1)
    assert sum(len(m.edges[0]) for m in meshes) == 327660


def globe():
    lat, lon = np.linspace(-90, 90, 25), np.arange(48) * 7.5
    return np.stack(np.meshgrid(lat, lon, indexing="ij"), -1).reshape(-1, 2)


def test_global_meshes():
    graph = Mesh("tri_multiscale", splits=3).build(globe())
    assert counts(graph) == ([60 + 240 + 960 + 3840], [], 3 * len(globe()), len(graph.g2m))
    graph = Mesh("tri_hierarchical", splits=3, levels=3).build(globe())
    assert [len(m) for m in graph.mesh] == [642, 162, 42]
    # vertices that coincide have one edge up, those between two coarse ones have two
    assert [len(e) for e in graph.up] == [162 + 2 * 480, 42 + 2 * 120]


def test_edge_features_on_the_sphere_do_not_change_by_rotation_about_the_axis():
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-80, 80, 40), rng.uniform(-180, 180, 40)
    pairs = np.arange(20), np.arange(20, 40)
    one, two = (spherical.features(p, p, pairs) for p in (spherical.to_sphere(lat, lon + a) for a in (0.0, 77.0)))
    np.testing.assert_allclose(one, two, atol=1e-12)
    # a sender slightly to the north and one to the east of the receiver
    points = spherical.to_sphere(np.array([50.0, 50.01, 50.0]), np.array([30.0, 30.0, 30.01]))
    table = spherical.features(points, points, (np.array([1, 2]), np.array([0, 0])))
    np.testing.assert_allclose(table[0], [1, 0, 0, 1], atol=1e-3)
    np.testing.assert_allclose(table[1], np.cos(np.deg2rad(50)) * np.array([1, 0, 1, 0]), atol=1e-3)


def test_limited_area_on_the_sphere():
    lat, lon = np.meshgrid(np.linspace(50, 70, 30), np.linspace(0, 40, 30), indexing="ij")
    places = np.stack([lat, lon], -1)
    inside = places[6:-6, 6:-6].reshape(-1, 2)
    frame = np.ones((30, 30), bool)
    frame[6:-6, 6:-6] = False
    graph = Mesh("tri_multiscale", splits=5, levels=2).build(inside, boundary=places[frame])
    assert 12 < len(graph.mesh[0]) < 400 and len(graph.m2g) == 3 * len(inside)
    with pytest.raises(DataError, match="grid nodes lie in no triangle"):
        Mesh("tri_flat", splits=5).build(inside)


def test_isolated_nodes_are_named():
    with pytest.raises(DataError, match="12 of 729 times a grid node feeds no mesh node: 0, 3, 23, 26, 81"):
        Mesh("rect_multiscale").build(grid(27, 27), (27, 27))
    far = Mesh("rect_flat", distance=3.0, g2m=Connection("radius", 0.4), strict=False).build(grid(13, 13))
    assert any("mesh node hears no grid node" in line for line in graphs.problems(far))


def test_graphs_of_another_grid_are_refused():
    graph = Mesh("rect_flat", distance=3.0).build(grid(13, 13))
    same = graphs.fingerprint(grid(13, 13).astype(np.float32))
    assert check_grid(graph, 169, 0, same, "toy") is graph
    with pytest.raises(DataError, match="169 grid nodes and 0 boundary"):
        check_grid(graph, 170, 0, "", "toy")
    with pytest.raises(DataError, match="another grid"):
        check_grid(graph, 169, 0, graphs.fingerprint(grid(13, 13, 1.5)), "toy")


@pytest.mark.parametrize("format", ["npz", "torch"])
def test_files_give_back_the_graph(tmp_path, format):
    if format == "torch":
        pytest.importorskip("torch")
    graph = Mesh("rect_hierarchical", strict=False).build(grid(27, 27), (27, 27))
    path = tmp_path / ("g.npz" if format == "npz" else "g")
    graphs.save(graph, path, format)
    again = graphs.load(path)
    assert (again.nodes, again.boundary, again.kind, again.grid) == (729, 0, "rect_hierarchical", graph.grid)
    for name, edges in graph.sets.items():
        np.testing.assert_array_equal(again.sets[name].senders, edges.senders)
        np.testing.assert_array_equal(again.sets[name].features, edges.features)
    negative = graphs.load(path, negate=True)
    np.testing.assert_array_equal(negative.g2m.features[:, 1:], -graph.g2m.features[:, 1:])
    np.testing.assert_array_equal(negative.g2m.features[:, 0], graph.g2m.features[:, 0])


def test_joint_numbering_of_old_files_and_wrong_indices():
    graph = Mesh("rect_flat", distance=3.0).build(grid(13, 13))
    named = graphs.arrays(graph)
    moved = {**named, "g2m_edge_index": named["g2m_edge_index"] + [[16], [0]]}
    again = graphs.from_arrays(moved, nodes=169, meta={"legacy": True})
    np.testing.assert_array_equal(again.g2m.senders, graph.g2m.senders)
    with pytest.raises(UsageError, match="an edge has sender"):
        graphs.from_arrays(moved, nodes=169)
    with pytest.raises(DataError, match="no m2g_features"):
        graphs.from_arrays({k: v for k, v in named.items() if k != "m2g_features"})


def test_jraph_holds_all_nodes_and_edges():
    pytest.importorskip("jraph")
    graph = Mesh("rect_hierarchical", strict=False).build(grid(27, 27), (27, 27))
    whole = graphs.to_jraph(graph)
    assert whole.n_node[0] == 729 + 81 + 9 and whole.n_edge[0] == 949 + 2916 + 544 + 40 + 81 + 81
    assert whole.receivers.max() == 729 + 81 + 8


def test_command_describes_and_refuses(tmp_path, capsys):
    from genkit.cli.main import main

    path = str(tmp_path / "g.npz")
    options = ["--data", "l96", "--mesh.distance", "1"]
    assert main(["weather-graph", "validate", str(tmp_path / "none.npz")]) == 1
    assert main(["weather-graph", "build", *options]) == 2  # a ring of sites is a line
    graph = Mesh("rect_multiscale", distance=1.0).build(grid(9, 9))
    graphs.save(graph, path)
    assert main(["weather-graph", "validate", path]) == 0
    assert main(["weather-graph", "info", path, "--picture", str(tmp_path / "g.png")]) == 0
    assert (tmp_path / "g.png").stat().st_size > 10_000
    graphs.save(replace(graph, g2m=replace(graph.g2m, features=graph.g2m.features * np.nan)), path)
    assert main(["weather-graph", "validate", path]) == 1
    assert "g2m has features that are not finite" in capsys.readouterr().out


def test_building_needs_no_compiled_program():
    code = "import genkit_weather, sys; assert 'jax' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
