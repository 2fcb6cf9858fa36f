"""Data sets: sizes, splits, distances that are known."""

import gzip
import os

import numpy as np
import pytest
from scipy.sparse.csgraph import shortest_path

from genkit.errors import DataError, UsageError
from genkit_latents.data import Points, check, graph_distances
from genkit_latents.datasets.digits import MNIST, Digits
from genkit_latents.datasets.events import Events
from genkit_latents.datasets.images import Images
from genkit_latents.datasets.karate import Karate
from genkit_latents.datasets.shapes import Shape
from genkit_latents.datasets.tree import Tree, distances
from genkit_latents.files import read_rows

real = pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA is not set")


def test_digits():
    data = Digits().load()
    assert data.train.shape == (1438, 64) and data.test.shape == (359, 64)
    assert data.train.min() == 0 and data.train.max() == 1 and set(data.test_labels) == set(range(10))
    np.testing.assert_array_equal(Digits().load().test, data.test)
    assert (Digits(seed=1).load().test[:5] != data.test[:5]).any()
    straight = np.linalg.norm(data.test[:9, None] - data.test[None, :9], axis=-1)
    assert (data.distances[:9, :9] >= straight - 1e-5).all()


def test_tree_distances():
    """Against shortest paths in the graph of edges."""
    parent = np.array([-1, 0, 0, 1, 1, 2])
    edges = np.zeros((6, 6))
    edges[np.arange(1, 6), parent[1:]] = 1
    np.testing.assert_array_equal(distances(parent), shortest_path(edges, directed=False))
    data = Tree().load()
    assert len(data.train) + len(data.test) == 635 and data.train.shape[1] == 50  # 127 nodes, 5 rows each
    both = np.concatenate([data.train, data.test])
    np.testing.assert_allclose(both.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(both.std(0), 1, rtol=1e-5)
    assert data.distances.max() == 12 and len(set(data.train_labels)) == 7


@pytest.mark.parametrize("kind", ["half_circle", "moons", "hole", "swiss_roll"])
def test_shapes(kind):
    data = Shape(kind, points=300).load()
    assert len(data.train) == 240 and data.distances.shape == (60, 60) and np.isfinite(data.distances).all()
    if kind == "hole":
        assert np.linalg.norm(data.train[:, :2], axis=1).min() > 0.199
    if kind == "swiss_roll":  # the plane is rolled without stretching: near points keep their distance
        chord = np.linalg.norm(data.test[:, None] - data.test[None], axis=-1)
        assert (data.distances >= chord - 1e-4).all()
        near = (chord < 0.1) & (chord > 0) & (data.distances < 0.2)
        np.testing.assert_allclose(data.distances[near], chord[near], rtol=0.05)


def test_graph_distances_join_parts():
    x = np.array([[0.0, 0], [1, 0], [2, 0], [10, 0], [11, 0], [12, 0]])
    np.testing.assert_allclose(graph_distances(x, 2), np.abs(x[:, :1] - x[:, 0]))


@real
def test_mnist():
    data = MNIST().load()
    assert data.train.shape == (8000, 784) and np.bincount(np.r_[data.train_labels, data.test_labels])[1] == 1135


@real
@pytest.mark.parametrize(("kind", "rows", "distinct"), [("volcano", 827, 267), ("flood", 4875, 4861)])
def test_events(kind, rows, distinct):
    data = Events(kind).load()
    x = np.concatenate([data.train, data.val, data.test])
    assert len(x) == rows and len(np.unique(x, axis=0)) == distinct
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    assert 0.42 <= np.linalg.norm(x.mean(0)).round(2) <= 0.48
    assert abs(len(data.train) - 0.8 * rows) < 1 and abs(len(data.val) - len(data.test)) <= 1


def test_events_that_a_user_brings(monkeypatch, tmp_path):
    """Earthquakes are read from the user's folder and counted; the angles are those of the table."""
    monkeypatch.setenv("GENKIT_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"manifolds/earthquake.csv is not in GENKIT_DATA; put .*quakes_all.csv"):
        Events("earthquake").load()
    file = tmp_path / "manifolds" / "earthquake.csv"
    file.parent.mkdir()
    lines = ["# header"] * 4 + ["-30.0,60.0"] * 6120
    file.write_text("\n".join(lines))
    data = Events("earthquake").load()
    assert [len(part) for part in (data.train, data.val, data.test)] == [4896, 612, 612]
    theta, phi = np.radians(60), np.radians(240)
    known = np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)
    np.testing.assert_allclose(data.test[0], known, atol=1e-7)
    file.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"\(6119, 2\) numbers after 4 lines; expected \(6120, 2\)"):
        Events("earthquake").load()


@real
def test_karate():
    data = Karate().load()
    assert data.train.shape == (34, 34) and data.distances.max() == 5 and (data.distances == 1).sum() == 156


def test_wrong_data():
    with pytest.raises(UsageError, match="at least 10"):
        Shape(points=3).load()
    with pytest.raises(UsageError, match="test=1.5"):
        Digits(test=1.5).load()
    x, labels = np.zeros((4, 2), np.float32), np.zeros(4, int)
    broken = x.copy()
    broken[2, 1] = np.nan
    for points, says in [
        (Points(x, broken, "normal", "toy", labels, labels), "toy: test has a NaN in row 2"),
        (Points(x, x, "normal", "toy", labels, labels[1:]), "3 labels for 4 rows of test"),
        (Points(x, x, "normal", "toy", labels, labels, distances=np.zeros((3, 3))), "distances have shape"),
        (Points(x, x, "normal", "toy", labels), "train or test has labels, the other has none"),
        (Points(x, x[:, :1], "normal", "toy", labels, labels), r"test has shape \(4, 1\)"),
    ]:
        with pytest.raises(DataError, match=says):
            check(points)


def test_images_of_files(tmp_path):
    """The four idx files, one of them gzipped, and arrays with colours; what is missing or out of range is named."""
    rng = np.random.default_rng(0)
    x = {
        "train": rng.integers(256, size=(6, 4, 4), dtype=np.uint8),
        "t10k": rng.integers(256, size=(3, 4, 4), dtype=np.uint8),
    }
    for name, images in x.items():
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(len(images), dtype=np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            raw = head + array.tobytes()
            if name == "t10k" and array.ndim == 3:
                (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(raw))
            else:
                (tmp_path / f"{name}-{kind}-ubyte").write_bytes(raw)
    data = Images(tmp_path).load()
    np.testing.assert_array_equal(data.train, (x["train"] / 255).astype(np.float32).reshape(6, 16))
    assert data.image == (4, 4) and list(data.test_labels) == [0, 1, 2] and data.test.shape == (3, 16)
    colours = {"train": rng.random((5, 4, 4, 3)), "test": rng.random((2, 4, 4, 3))}
    labels = {f"{k}_labels": np.zeros((len(v), 1), int) for k, v in colours.items()}
    np.savez(tmp_path / "cifar.npz", **colours, **labels)
    assert Images(tmp_path / "cifar.npz").load().image == (4, 4, 3)
    np.savez(tmp_path / "far.npz", **{k: 255 * v for k, v in colours.items()}, **labels)
    np.savez(tmp_path / "none.npz", **colours)
    for name, says in (("far.npz", "outside"), ("none.npz", "train_labels"), ("", "expected the idx files")):
        if not name:
            (tmp_path / "train-labels-idx1-ubyte").unlink()
        with pytest.raises(DataError, match=says):
            Images(tmp_path / name).load()


def test_damaged_and_odd_arrays_are_refused_in_a_line(tmp_path):
    x, y = np.tile(np.arange(4, dtype=np.uint8) * 80, (6, 4, 1)), np.arange(6)
    file = tmp_path / "i.npz"

    def load(**changed):
        np.savez(file, **({"train": x, "train_labels": y, "test": x, "test_labels": y} | changed))
        return Images(file).load()

    assert load(train=x * 0).train.max() == 0 and load(train=x * 0).test.max() == np.float32(240 / 255)
    bits = (x > 0).astype(np.uint8)  # bytes, but black and white
    np.testing.assert_array_equal(load(train=bits, test=bits).train, bits.reshape(6, 16))
    for changed, says in (
        ({"train": x[:0], "train_labels": y[:0]}, r"shape \(0, 4, 4\)"), ({"train": x.astype(str)}, "holds <U3"),
        ({"train": np.zeros((6, 3, 8, 8), np.uint8)}, r"expected images \(n, h, w\)"),
        ({"train_labels": y + 0.5}, "train_labels must be"), ({"test_labels": y - 1}, "test_labels must be"),
        ({"train_labels": y.astype(str)}, "must be whole"), ({"train_labels": y * np.nan}, "must be whole"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=says):
            load(**changed)
    load()
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text", whole[:90] + bytes(60) + whole[150:]):
        file.write_bytes(content)
        with pytest.raises(DataError, match="it is no .npy or .npz file of arrays; expected a folder of idx"):
            Images(file).load()


def test_rows_of_tables_and_what_a_family_needs(tmp_path):
    file, x = tmp_path / "r.csv", np.arange(20.0).reshape(10, 2)
    for mark, head, between in (("\ufeff", "", ","), ("", "# by hand\na;b\n", ";"), ("", '"a"\t"b"\n', "\t")):
        file.write_text(mark + head + "\n".join(between.join(map(str, row)) for row in x), encoding="utf-8")
        np.testing.assert_array_equal(read_rows(file, "samples"), x)
    for text, says in (("", "no rows"), ("a,b\n", "no rows"), ("a,b\n1\n2\n", "2 columns in the first line, 1 in")):
        file.write_text(text)
        with pytest.raises(UsageError, match=says):
            read_rows(file, "samples")
    np.save(tmp_path / "n.npy", np.zeros((3, 0)))
    with pytest.raises(UsageError, match=r"an array \(3, 0\)"):
        read_rows(tmp_path / "n.npy", "samples")
    for value, family in ((2.0, "bernoulli"), (-1.0, "poisson"), (0.5, "negative_binomial")):
        with pytest.raises(DataError, match=f"which {family} needs"):
            check(Points(np.full((2, 1), value), np.zeros((2, 1)), family, "toy"))
