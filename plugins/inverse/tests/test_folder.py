"""Own images as a data set."""

import weakref

import numpy as np
import pytest
from PIL import Image

import genkit
from genkit.errors import DataError, UsageError
from genkit_inverse.datasets import Folder

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (10, 8, 12, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures: PNG, JPEG, arrays; one below, and a hidden one."""
    (tmp_path / "below").mkdir()
    for i, image in enumerate(COLOURS[:8]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    Image.fromarray(COLOURS[8]).save(tmp_path / "below" / "8.JPG", quality=95)
    np.save(tmp_path / "9.npy", COLOURS[9])
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder(folder):
    data = Folder(path=str(folder), size=4, colour=True, test=0.2).load()
    assert [len(x) for x in (data.train, data.val, data.test)] == [7, 1, 2] and data.shape == (4, 4, 3)
    means = np.sort(np.concatenate([data.train, data.val, data.test]).mean((1, 2, 3)))
    middle = COLOURS[:, :, 2:10] / 127.5 - 1  # the middle square, each cell the mean of four
    np.testing.assert_allclose(means, np.sort(middle.mean((1, 2, 3))), atol=0.02)
    np.testing.assert_array_equal(data.test, Folder(path=str(folder), size=4, colour=True, test=0.2).load().test)


def test_grey_and_sizes_that_do_not_divide(tmp_path):
    ramp = np.broadcast_to(np.arange(30.0)[:, None] / 30, (5, 30, 30)).copy()
    np.save(tmp_path / "many.npy", ramp)
    data = Folder(path=str(tmp_path / "many.npy"), size=7).load()
    assert data.shape == (7, 7, 1)
    expected = 2 * (np.arange(7) + 0.5) * (30 / 7) / 30 - 1 / 30 - 1  # the mean of a ramp over a cell, of its own grid
    np.testing.assert_allclose(data.train[0, :, 3, 0], expected, atol=5e-3)
    Image.fromarray(np.full((8, 8, 3), [255, 0, 0], np.uint8)).save(tmp_path / "red.png")
    np.save(tmp_path / "many.npy", np.zeros((3, 8, 8)))
    data = Folder(path=str(tmp_path), size=8).load()
    assert max(x.max() for x in (data.train, data.val, data.test)) == pytest.approx(2 * 0.299 - 1)


def test_patches_of_large_images(folder):
    data = Folder(path=str(folder), size=5, patches=6, colour=True).load()
    assert data.train.shape == (48, 5, 5, 3) and len(data.val) == len(data.test) == 6
    whole = np.concatenate([COLOURS[:8], COLOURS[9:]]) / 127.5 - 1  # without the JPEG
    windows = np.lib.stride_tricks.sliding_window_view(whole, (5, 5), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
    gaps = np.abs(windows.reshape(-1, 1, 5, 5, 3) - data.train[None, ::8]).max((2, 3, 4))
    assert (gaps.min(0) < 1e-6).sum() >= 4  # squares of the pictures as they are
    own = [np.abs(windows.reshape(9, -1, 1, 5, 5, 3) - x[None, :6]).max((3, 4, 5)).min(1) < 1e-6
           for x in (data.val, data.test)]  # fmt: skip
    assert not (own[0].any(1) & own[1].any(1)).any()  # images of their own


@pytest.mark.parametrize(
    ("options", "says"),
    [({"path": "none"}, "none does not exist; give the folder"),
     ({"size": 9}, "png is 8 x 12 in grey; expected at least"),
     ({"size": 1}, "size=1"), ({"val": 0.6, "test": 0.4}, "together below 1"), ({"white": 0.0}, "white=0"),
     ({"val": 0.5, "test": 0.49}, "none is left for training")],
)  # fmt: skip
def test_what_is_refused(folder, options, says):
    with pytest.raises((UsageError, DataError), match=says):
        Folder(**{"path": str(folder), "size": 4, **options}).load()


@pytest.mark.parametrize(
    ("array", "says"),
    [(np.full((8, 8), np.nan), "NaN"), (np.full((8, 8), 3.0), "from 3 to 3; expected 0 to 1"),
     (np.zeros((8, 8, 2, 2)), "shape"), (np.zeros((8, 8), complex), "complex"), (np.array(["a"]), "expected numbers")],
)  # fmt: skip
def test_arrays_that_are_refused(folder, array, says):
    np.save(folder / "a.npy", array)
    with pytest.raises(DataError, match=says):
        Folder(path=str(folder), size=4).load()


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="has no images"):
        Folder(path=str(tmp_path)).load()
    Image.fromarray(COLOURS[0]).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="has 1 images; expected at least 3"):
        Folder(path=str(tmp_path), size=4).load()


def test_the_priors_data_by_name(folder):
    config = genkit.config("inverse.digits_prior", "tiny", {"data": "images", "data.path": str(folder), "data.size": 6})
    assert config.data.load().shape == (6, 6, 1)
    (folder / "0.png").unlink()
    (folder / "0.png").write_text("no picture")
    assert config.plan()["images"] == "6 x 6 x 1"  # no image is read


def test_one_image_at_a_time_is_kept_whole(folder, monkeypatch):
    """What is drawn of an image does not depend on the others, and none is left when the next is read."""
    whole = []

    def picture(path):
        assert not any(one() is not None for one in whole)
        image = np.arange(192.0).reshape(8, 8, 3) / 192
        whole.append(weakref.ref(image))
        return image

    monkeypatch.setattr("genkit_inverse.datasets.images.read_picture", picture)
    data = Folder(path=str(folder), size=4, patches=2, colour=True).load()
    assert len(whole) == 9 and len(data.train) == 16
