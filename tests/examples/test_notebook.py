"""The notebook runs from a clean kernel, shows what a person wants to see, and so does its page."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def notebooks():
    """docs/notebooks.py."""
    for needed in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(needed)
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def executed(notebooks):
    return notebooks.executed(ROOT / "examples" / "first_run.ipynb")


@pytest.fixture(scope="module")
def cells(executed):
    """Code cells of the executed notebook: what each holds -> its outputs."""
    return {cell.source: cell.outputs for cell in executed.cells if cell.cell_type == "code"}


def shown(cells, source):
    """The outputs of the cell that begins with this."""
    (found,) = (outputs for text, outputs in cells.items() if text.startswith(source))
    return found


@pytest.mark.slow
def test_progress_is_shown_where_it_is_wanted(cells):
    html = "".join(one.data.get("text/html", "") for one in shown(cells, "import jax"))
    assert "<progress value='600' max='600'>" in html and "denoiser: done in" in html and "report.html" in html
    assert [one.output_type for one in shown(cells, "config = ")] == ["execute_result"]


@pytest.mark.slow
def test_objects_show_themselves(cells):
    (run,) = cells["run"]
    assert (
        "energy_distance/model" in run.data["text/html"] and "Run(core.mixture, seed 0, done" in run.data["text/plain"]
    )
    (figure,) = shown(cells, "run.figures")
    assert len(figure.data["image/png"]) > 10_000
    (model,) = shown(cells, "model = ")
    assert "fingerprint" in model.data["text/html"] and "Diffusion(core.mixture" in model.data["text/plain"]


@pytest.mark.slow
def test_an_error_is_one_frame_and_one_line(cells):
    (error,) = shown(cells, "genkit.config(")
    assert error.ename == "UsageError" and "did you mean" in error.evalue
    assert error.traceback == [
        'line 1: genkit.config("core.mixture", sampler="hoin")\n', f"UsageError: {error.evalue}"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_page_shows_all_of_it(notebooks, executed, cells):
    page = notebooks.page(executed)
    assert page.startswith("# A first run\n") and "/tmp/" not in page
    for cell in executed.cells:
        assert cell.source in page
    assert "<div><progress value='600' max='600'>" in page and "<b>core.mixture</b>" in page
    (picture,) = re.findall('<img alt="Figure.*? src="data:image/png;base64,([A-Za-z0-9+/=]+)">', page)
    assert picture == "".join(shown(cells, "run.figures")[0].data["image/png"].split())
    assert "````text\nArray(" in page  # of the denoiser
    assert 'line 1: genkit.config("core.mixture", sampler="hoin")\n' in page


def test_what_a_machine_warns_of_is_on_no_page(notebooks):
    nbformat = pytest.importorskip("nbformat")
    told = [nbformat.v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr")]
    cells = [nbformat.v4.new_markdown_cell("# x"), nbformat.v4.new_code_cell("1", outputs=told)]
    text = notebooks.page(nbformat.v4.new_notebook(cells=cells))
    assert text == "# x\n\n````python\n1\n````\n\n````text\nstdout\n````\n"


def test_outputs_of_every_kind(notebooks):
    def output(kind, **more):
        return SimpleNamespace(output_type=kind, **more)

    assert notebooks.shown(output("stream", text="a ```b\n")) == "````text\na ```b\n````"
    assert (
        notebooks.shown(output("error", traceback=["\x1b[31mline 1\x1b[0m", "E: x"])) == "````text\nline 1\nE: x\n````"
    )
    html = notebooks.shown(output("display_data", data={"text/html": "<b>x</b>", "text/plain": "x"}))
    assert html == "<div><b>x</b></div>"
    picture = notebooks.shown(output("display_data", data={"image/png": "AA\nBB\n", "text/plain": "'<x>'"}))
    assert picture == '<img alt="&#x27;&lt;x&gt;&#x27;" src="data:image/png;base64,AABB">'
