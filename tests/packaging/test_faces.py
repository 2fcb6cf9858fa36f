"""A room is entered by its face: what is imported from it stands in `__all__` of its `__init__`, and nothing deeper.

import-linter sees modules alone, and a face may give a function the name of its module (`genkit.diffusion.sample`).
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {folder.name: folder for folder in [ROOT / "genkit", *ROOT.glob("plugins/*/genkit_*")] if folder.is_dir()}


def dotted(package, file):
    """The name of a module."""
    parts = (package, *file.relative_to(PACKAGES[package]).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {dotted(name, file): file for name, folder in PACKAGES.items() for file in folder.rglob("*.py")}


def listed(file):
    """`__all__` of a face; None where there is none."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return None


# A package just below the top is a room; one inside a room is one of its own where it has a face.
FACES = {
    name: listed(file) or []
    for name, file in MODULES.items()
    if file.name == "__init__.py" and (name.count(".") == 1 or (name.count(".") > 1 and listed(file)))
}


def within(module, room):
    return module == room or module.startswith(f"{room}.")


def past_faces(text, importer):
    """What a source imports from a room that it is not in, other than names of its face."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{importer}: relative import"
            names = [(str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        else:
            continue
        for module, name in names:
            if name and f"{module}.{name}" in FACES:
                module, name = f"{module}.{name}", None  # `from genkit import metrics`
            room = max((r for r in FACES if within(module, r) and not within(importer, r)), key=len, default=None)
            if room and (module != room or (name and name not in FACES[room])):
                yield f"{module}.{name}" if name else module


def test_the_rule_itself():
    def found(line, importer="genkit.bench.x"):
        return list(past_faces(line, importer))

    assert found("from genkit.diffusion import Heun, sample") == []
    assert found("from genkit.diffusion.samplers import Heun\nfrom genkit import metrics\nimport genkit.chain") == []
    assert found("from genkit.diffusion.samplers.heun import Heun") == ["genkit.diffusion.samplers.heun.Heun"]
    assert found("from genkit.diffusion import heun_step") == ["genkit.diffusion.heun_step"]
    assert found("def f():\n    from genkit.train.fit import fit") == ["genkit.train.fit.fit"]
    assert found("import genkit.chain.engine") == ["genkit.chain.engine"]
    assert found("from genkit.bench.rows import Row\nfrom genkit.files import write") == []
    assert found("from genkit.diffusion.process import VP", "genkit.diffusion.loss") == []
    assert found("from genkit.diffusion.samplers.table import Table", "genkit.diffusion.sample") != []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_rooms_are_entered_by_their_faces(package):
    wrong = {name: list(past_faces(MODULES[name].read_text(), name)) for name in MODULES if within(name, package)}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_scripts_and_pages_use_what_is_public():
    scripts = [
        (file, file.read_text()) for folder in ("examples", "benchmarks") for file in (ROOT / folder).rglob("*.py")
    ]
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    for page in pages:
        scripts += [(page, code) for code in re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(), re.M | re.S)]
    wrong = [(str(file), found) for file, code in scripts if (found := list(past_faces(code, "")))]
    assert wrong == []
