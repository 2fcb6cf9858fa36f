"""Pages of the manual that stand elsewhere or are made: READMEs, examples, a notebook, and the reference.

mkdocs calls `on_files` and `on_page_markdown`. A link to a file that has a page leads there; of one that has none the
path is told.
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
from notebooks import executed, page

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "RELEASING.md": "releasing.md",
    "benchmarks/README.md": "benchmarks.md",
}
INSTEAD = {f"plugins/{name}/README.md": f"domains/{name}.md" for name in PLUGINS}  # what they point to
SCRIPTS, BOOKS = (sorted((ROOT / "examples").glob(f"*.{ending}")) for ending in ("py", "ipynb"))
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")
INTERNAL = {"genkit.cli", "genkit.programs"}  # rooms that are used by the command line alone


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/."""
    sources = {path: (ROOT / path).read_text() for path in ELSEWHERE}
    where = pages_of(files)
    pages = {ELSEWHERE[path]: linked(text, path, where) for path, text in sources.items()}
    pages |= examples() | commands() | experiments() | components() | faces()
    for path in BOOKS:
        pages[f"examples/{path.stem}.md"] = page(executed(path))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    pictures = {
        name for path, text in sources.items() for name in targets(text, path) if name.endswith((".png", ".svg"))
    }
    for name in sorted(pictures):
        if not name.startswith("docs/"):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links of pages in docs/ that leave it to where they are shown."""
    made = page.file.generated_by is not None
    return markdown if made else linked(markdown, f"docs/{page.file.src_uri}", pages_of(files))


# Links


def pages_of(files: Files) -> dict[str, str]:
    """Path in the checkout -> page."""
    own = {f"docs/{file.src_uri}": file.src_uri for file in files if file.generated_by is None}
    shown = {f"examples/{path.name}": f"examples/{path.stem}.md" for path in [*SCRIPTS, *BOOKS]}
    return own | ELSEWHERE | INSTEAD | shown


def targets(text: str, path: str) -> list[str]:
    """Files of the checkout to which the file `path` links."""
    links = (target for _, target in LINK.findall(text) if "://" not in target and not target.startswith("#"))
    return [name for name in (resolved(path, target) for target in links) if (ROOT / name).is_file()]


def resolved(path: str, target: str) -> str:
    """A link of the file `path` as a path in the checkout."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target.partition("#")[0]))


def linked(text: str, path: str, pages: dict[str, str]) -> str:
    """The text of the file `path` of the checkout with links as they are on the site."""
    here = posixpath.dirname(pages[path])

    def lead(match: re.Match[str]) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        source, anchor = resolved(path, target), target.partition("#")[2]
        page = pages.get(source, source if source.endswith((".png", ".svg")) else None)
        if page is None:
            return f"{label[1:-1]} (`{source}`)"
        return f"{label}({posixpath.relpath(page, here or '.')}{'#' + anchor if anchor else ''})"

    return LINK.sub(lead, text)


# What is made


def examples() -> dict[str, str]:
    """Scripts as pages, and a page that lists them."""
    pages, listing = {}, "# Examples\n\nEach is run by the tests.\n\n"
    for path in SCRIPTS:
        text = path.read_text()
        says = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
        listing += f"- [{path.name}](examples/{path.stem}.md): {says}\n"
        pages[f"examples/{path.stem}.md"] = f"# {path.name}\n\n{says}\n\n```python\n{text}```\n"
    return {**pages, "examples.md": listing}


def told(*words: str) -> str:
    """What `genkit WORDS --help` prints."""
    from genkit.cli import main

    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    with contextlib.redirect_stdout(io.StringIO()) as text:
        code = main([*words, "--help"])
    if code:
        raise RuntimeError(f"genkit {' '.join(words)} --help ends with {code}")
    return f"```text\n{text.getvalue().rstrip()}\n```\n"


def items(kind: str) -> list[Any]:
    """What is registered."""
    from genkit.plugin import registry

    return list(registry().items(kind))


def commands() -> dict[str, str]:
    """The command line, on one page."""
    text = "".join(f"## {item.short}\n\n{told(item.short)}\n" for item in items("commands"))
    return {"reference/commands.md": f"# Command line\n\n{told()}\n{text}"}


def experiments() -> dict[str, str]:
    """A page for each experiment: what it is, its results, presets and options."""
    from genkit.plugin import registry

    pages, listing = {}, "# Experiments\n\nEach has the presets `tiny`, `default` and `paper`.\n\n"
    for item in items("experiments"):
        kind = registry().load("experiments", item.name)
        about, results = inspect.getdoc(kind), marked(inspect.getdoc(kind.evaluate) or "")
        listing += f"- [`{item.name}`](experiments/{item.name}.md): {item.summary}\n"
        pages[f"reference/experiments/{item.name}.md"] = (
            f"# {item.name}\n\n{about}\n\n## Results\n\n{results}\n\n## Presets\n\n{presets(item.name)}\n\n"
            f"## Options\n\n{told('run', item.name)}"
        )
    return {**pages, "reference/experiments.md": listing}


def presets(name: str) -> str:
    """The options that are not the same in all presets."""
    from genkit.experiment import config
    from genkit.experiment.config import flat

    columns = {preset: flat(config(name, preset)) for preset in ("tiny", "default", "paper")}
    options = dict.fromkeys(option for column in columns.values() for option in column)
    rows = {option: [cell(str(column.get(option, ""))) for column in columns.values()] for option in options}
    differ = {option: values for option, values in rows.items() if len({*values}) > 1}
    if not differ:
        return "All are the same."
    text = "".join(f"| `{option}` | {' | '.join(values)} |\n" for option, values in differ.items())
    return f"| | {' | '.join(columns)} |\n|---|---|---|---|\n{text}"


def components() -> dict[str, str]:
    """All that can be chosen by name, by kind."""
    from genkit.kinds import KINDS

    text = "# Components\n\nWhat can be chosen by name, by kind.\n"
    for kind in KINDS:
        rows = "".join(f"| `{item.name}` | {cell(item.summary)} |\n" for item in items(kind))
        text += f"\n## {kind}\n\n| name | |\n|---|---|\n{rows}"
    return {"reference/components.md": text}


def faces() -> dict[str, str]:
    """A page for each room, with what its face lists."""
    rooms = {f"genkit.{path.parent.name}" for path in ROOT.glob("genkit/*/__init__.py")} - INTERNAL
    inside = {".".join(path.parts[-3:-1]) for path in ROOT.glob("plugins/*/genkit_*/*/__init__.py")}
    pages, listing = {}, "# Python\n\nThe faces of the rooms, of the core and of the plugins.\n\n"
    for room in [*sorted(rooms), *sorted(inside)]:
        pages[f"reference/python/{room}.md"] = f"# {room}\n\n::: {room}\n    options:\n      show_root_heading: false\n"
        listing += f"- [{room}](python/{room}.md)\n"
    return {**pages, "reference/python.md": listing}


def marked(text: str) -> str:
    """A docstring in which names of results, such as rmse/<variable>/6h, are shown as they are."""
    return re.sub(r"(?<![`\w])((?:[\w@]+/)*<[\w. ]+>(?:/[\w<>]+)*)", r"`\1`", text)


def cell(text: str) -> str:
    """Text in a table."""
    return text.replace("|", "\\|")
