"""What the wheels and the source distributions hold."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))


def contents(name):
    """Distribution, its folder, its import package, the top level of its wheel."""
    if name == "core":
        return "genkit-jax", ROOT, "genkit", {"genkit", "_genkit_jax.py"}
    return f"genkit-{name}", ROOT / "plugins" / name, f"genkit_{name}", {f"genkit_{name}"}


@pytest.mark.parametrize("name", ["core", *PLUGINS])
def test_wheel_holds_the_package_and_nothing_beside_it(built, name):
    distribution, folder, package, top = contents(name)
    files = built[distribution].wheel
    assert {f.partition("/")[0] for f in files if ".dist-info/" not in f} == top
    assert f"{package}/py.typed" in files
    sources = {path for path in (folder / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(folder)) for path in sources} == {f for f in files if f.startswith(f"{package}/")}
    assert any(re.fullmatch(r"[^/]+\.dist-info/licenses/LICENSE", f) for f in files)


@pytest.mark.parametrize("name", ["core", *PLUGINS])
def test_source_distribution_holds_what_the_wheel_is_built_from(built, name):
    distribution, _, _, top = contents(name)
    tops = {f.partition("/")[0] for f in built[distribution].sdist}
    assert top | {"pyproject.toml", "README.md", "LICENSE"} <= tops
    assert not tops & {"tests", "plugins", "docs", "benchmarks", "examples", "conftest.py", "uv.lock"}


@pytest.mark.parametrize("name", ["core", *PLUGINS])
def test_entry_points_and_requirements(built, name):
    distribution, _, package, _ = contents(name)
    target = "genkit.core" if name == "core" else package
    assert f"[genkit.plugins]\n{name} = {target}:plugin" in built[distribution].entry_points
    required = built[distribution].metadata.get_all("Requires-Dist", [])
    names = {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in required}
    assert "genkit" not in names, "that name on the index is another project"
    assert ("genkit-jax" in names) == (name != "core")


def test_console_script_starts_outside_the_package(built):
    assert "[console_scripts]\ngenkit = _genkit_jax:main" in built["genkit-jax"].entry_points


def test_one_version(built):
    versions = {package.metadata["Version"] for package in built.values()}
    (cited,) = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert versions == {cited}
