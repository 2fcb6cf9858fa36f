"""The notebook runs from a clean kernel, and shows what a person wants to see."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_run.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Code cells of the executed notebook: what each holds -> its outputs."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


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
