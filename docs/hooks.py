"""Pages of the manual that stand elsewhere or are made: READMEs, examples, and the reference from the registry.

mkdocs calls `on_files` and `on_page_markdown`. A link in a page that is shown here leads to the page, one to a file of the
checkout to that file as a page of its own.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "RELEASING.md": "releasing.md",
    "benchmarks/README.md": "benchmarks.md",
    **{f"plugins/{name}/README.md": f"domains/{name}.md" for name in sorted(p.name for p in (ROOT / "plugins").iterdir())},
}
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")
ROOMS = ("chain", "diffusion", "discrete", "smc", "steer", "nn", "metrics", "train", "model", "experiment", "testing", "parallel")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/."""
    sources = {path: (ROOT / path).read_text() for path in ELSEWHERE if (ROOT / path).exists()}
    pages = {ELSEWHERE[path]: linked(text, path, pages_of(files)) for path, text in sources.items()}
    examples = sorted((ROOT / "examples").glob("*.py"))
    pages |= {f"examples/{path.stem}.md": as_page(path) for path in examples}
    pages["examples.md"] = "# Examples\n\nEach is run by the tests.\n\n" + "".join(
        f"- [{path.name}](examples/{path.stem}.md): {first_line(path)}\n" for path in examples
    )
    pages |= reference()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
    for text, path in ((text, path) for path, text in sources.items()):
        for _, target in LINK.findall(text):
            where = ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(path), target.split("#")[0]))
            name = str(where.relative_to(ROOT)) if where.is_file() and ROOT in where.parents else ""
            if name.endswith((".png", ".svg")) and not name.startswith("docs/") and not files.get_file_from_path(name):
                files.append(File.generated(config, name, abs_src_path=str(where)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links of pages in docs/ that leave it to where they are shown."""
    if page.file.generated_by is not None:
        return markdown
    return linked(markdown, f"docs/{page.file.src_uri}", pages_of(files))


def pages_of(files: Files) -> dict[str, str]:
    """Path in the checkout -> page."""
    own = {f"docs/{file.src_uri}": file.src_uri for file in files if file.generated_by is None}
    examples = {f"examples/{path.name}": f"examples/{path.stem}.md" for path in (ROOT / "examples").glob("*.py")}
    books = {f"examples/{path.name}": f"examples/{path.name}" for path in (ROOT / "examples").glob("*.ipynb")}
    return own | ELSEWHERE | examples | books


def linked(text: str, path: str, pages: dict[str, str]) -> str:
    """The text of the file `path` of the checkout with links as they are on the site."""
    here = posixpath.dirname(pages.get(path, ""))

    def lead(match: re.Match[str]) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        file, _, anchor = target.partition("#")
        source = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        page = pages.get(source, source if source.endswith((".png", ".svg")) else None)
        if page is None:  # no page shows it: say where it lies
            return label if label.startswith("!") else f"{label[1:-1]} (`{source}`)"
        return f"{label}({posixpath.relpath(page, here or '.')}{'#' + anchor if anchor else ''})"

    return LINK.sub(lead, text)


def first_line(path: Path) -> str:
    """What a script says that it does."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def as_page(path: Path) -> str:
    """A script as a page."""
    return f"# {path.name}\n\n{first_line(path)}\n\n```python\n{path.read_text()}```\n"


def reference() -> dict[str, str]:
    """What the command line, the registry and the faces tell of themselves."""
    from genkit.cli import main
    from genkit.kinds import KINDS
    from genkit.plugin import registry

    def told(*words: str) -> str:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            code = main([*words, "--help"])
        if code:
            raise RuntimeError(f"genkit {' '.join(words)} --help ends with {code}")
        return f"```text\n{text.getvalue().rstrip()}\n```\n"

    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    items = {kind: list(registry().items(kind)) for kind in KINDS}
    pages = {"reference/commands.md": f"# Command line\n\n{told()}\n" + "".join(
        f"## {item.short}\n\n{told(item.short)}\n" for item in items["commands"]
    )}  # fmt: skip
    pages["reference/experiments.md"] = "# Experiments\n\nEach with its presets `tiny`, `default` and `paper`.\n\n" + "".join(
        f"- [`{item.name}`](experiments/{item.name}.md): {item.summary}\n" for item in items["experiments"]
    )
    for item in items["experiments"]:
        kind = registry().load("experiments", item.name)
        about, results = inspect.getdoc(kind) or "", inspect.getdoc(kind.evaluate) or ""
        pages[f"reference/experiments/{item.name}.md"] = (
            f"# {item.name}\n\n{about}\n\n## Results\n\n{marked(results)}\n\n## Presets\n\n"
            f"{presets(item.name)}\n\n## Options\n\n{told('run', item.name)}"
        )
    pages["reference/components.md"] = "# Components\n\nWhat can be chosen by name, by kind.\n\n" + "".join(
        f"## {kind}\n\n| name | |\n|---|---|\n" + "".join(f"| `{i.name}` | {cell(i.summary)} |\n" for i in some) + "\n"
        for kind, some in items.items()
        if some
    )
    pages["reference/python.md"] = "# Python\n\nThe faces of the rooms.\n\n" + "".join(
        f"- [genkit.{room}](python/{room}.md)\n" for room in ROOMS
    )
    for room in ROOMS:
        pages[f"reference/python/{room}.md"] = (
            f"# genkit.{room}\n\n::: genkit.{room}\n    options:\n      show_root_heading: false\n"
        )
    return pages


def presets(name: str) -> str:
    """The options that are not the same in all presets."""
    from genkit.experiment import config
    from genkit.experiment.config import flat

    columns = {preset: flat(config(name, preset)) for preset in ("tiny", "default", "paper")}
    rows = [
        (option, [str(column.get(option, "")) for column in columns.values()])
        for option in dict.fromkeys(option for column in columns.values() for option in column)
    ]
    text = "".join(
        f"| `{option}` | {' | '.join(cell(value) for value in values)} |\n" for option, values in rows if len({*values}) > 1
    )
    return f"| | {' | '.join(columns)} |\n|---|---|---|---|\n{text}" if text else "All presets are the same."


def marked(text: str) -> str:
    """A docstring in which names of results, such as rmse/<variable>/6h, are shown as they are."""
    return re.sub(r"(?<![`\w])((?:[\w@]+/)*<[\w. ]+>(?:/[\w<>]+)*)", r"`\1`", text)


def cell(text: str) -> str:
    """Text in a table."""
    return text.replace("|", "\\|")
