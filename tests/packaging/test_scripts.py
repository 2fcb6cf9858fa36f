"""Scripts beside the package, for those who work on it."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_a_gradient_that_is_no_number_is_missed():
    """Wherever it stands among the results."""
    as_on_cpu = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))["as_on_cpu"]
    assert not as_on_cpu("both", lambda x: (x, 2 * x), jnp.ones(3)).missed
    for f in (lambda x: (x, x * jnp.nan), lambda x: (x * jnp.nan, x)):
        row = as_on_cpu("one", f, jnp.ones(3))
        assert np.isnan(row.value) and row.missed


def test_a_picture_that_stays_too_large_is_refused_in_a_line(tmp_path, monkeypatch):
    picture = runpy.run_path(str(ROOT / "docs" / "gallery.py"))["picture"]
    scope = {"FOLDER": tmp_path / "gallery", "changed": lambda *_: (), "LARGEST": 100, "WIDTHS": range(20, 10, -5)}
    scope["genkit"] = SimpleNamespace(load=lambda folder: SimpleNamespace(name="core.mixture", config=None))
    for name, value in scope.items():
        monkeypatch.setitem(picture.__globals__, name, value)
    (tmp_path / "figures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 20, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "figures" / "samples.png")
    with pytest.raises(SystemExit, match="picture of core.mixture has more than 100 bytes also at 15 pixels"):
        picture(tmp_path)
    assert not list(tmp_path.glob("gallery/*"))
    monkeypatch.setitem(picture.__globals__, "LARGEST", 10_000)
    assert picture(tmp_path) == "core.mixture" and (tmp_path / "gallery" / "core.mixture.png").exists()
