"""The pages of the manual that one follows: what they tell to type is run, in small."""

import re
import shlex
from pathlib import Path

import pytest

from genkit.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "extend.md", *sorted((DOCS / "tutorials").glob("*.md"))]
BLOCK = re.compile(r"^```(python|sh)(?: title=\"([\w./]+)\")?\n(.*?)^```$", re.M | re.S)


SMALL = {"molecules.ardm": ["--steps", "300"]}  # valid molecules need a little more than `tiny` trains


def small(line):
    """The words of a command, with few samples, and where it trains with the preset that is made for trying."""
    words = shlex.split(line, comments=True)[1:]
    if "--n" in words:
        words[words.index("--n") + 1] = "2"
    return [*words, "--preset", "tiny", *SMALL.get(words[1], [])] if words[0] == "run" else words


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch):
    """Blocks with a title are files, others of Python go on from each other, `sh` are commands of genkit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names, blocks = {"__name__": "page"}, BLOCK.findall(page.read_text())
    assert blocks
    for language, title, text in blocks:
        if title:
            Path(title).parent.mkdir(parents=True, exist_ok=True)
            Path(title).write_text(text)
        elif language == "python":
            exec(compile(text, str(page), "exec"), names)
        else:
            for line in text.replace("\\\n", " ").splitlines():
                assert line.startswith("genkit "), line
                assert main(small(line)) == 0, line


OTHERS = {  # what pip and Python say
    "externally-managed-environment", "No matching distribution found for genkit-jax",
    "module 'genkit' has no attribute", "No module named 'genkit.",
}  # fmt: skip


def test_errors_are_quoted_as_they_are():
    """Each message of the page of troubles is one of the code, but for what others say."""
    root = DOCS.parent
    files = [root / "_genkit_jax.py", *(file for one in ("genkit", "plugins") for file in (root / one).rglob("*.py"))]
    code = "\n".join(file.read_text() for file in files if "tests" not in file.parts)
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # texts over several lines
    page = (DOCS / "troubleshooting.md").read_text().partition("## Results")[0]
    rows = re.findall(r"^\| (.*?) \|", page, re.M)
    quoted = {text for row in rows for text in re.findall(r"`([^`]+ [^`]+)`", row) if not text.startswith("genkit ")}
    missing = {text for text in quoted - OTHERS for part in text.split("...") if part.strip(" :`") not in code}
    assert len(quoted) > 12 and missing == set()
