"""The lists that name the same things twice, and what an editable install lets one import."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))


def lines(name):
    """The lines of a requirements file, with the files that it includes."""
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            yield from lines(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield line


def test_requirements_name_every_plugin():
    assert list(lines("requirements.txt")) == ["-e .", "-e plugins/weather"]
    assert {f"-e plugins/{name}" for name in PLUGINS} | {"-e ."} == set(lines("requirements-all.txt"))


def test_pip_and_uv_install_the_same_tools():
    extras, group = set(), set()
    tables = {"genkit-jax": PROJECT["project"]} | {
        f"genkit-{name}": tomllib.loads((ROOT / f"plugins/{name}/pyproject.toml").read_text())["project"]
        for name in PLUGINS
    }
    local = set()
    for line in PROJECT["dependency-groups"]["dev"]:
        name, _, listed = line.partition("[")
        if name not in tables:
            group.add(line)
            continue
        local.add(name)
        for extra in filter(None, listed.rstrip("]").split(",")):
            extras |= set(tables[name]["optional-dependencies"][extra])
    assert local == set(tables)
    assert group | extras == {line for line in lines("requirements-dev.txt") if not line.startswith("-e ")}


def test_checkers_know_every_plugin():
    packages = {f"genkit_{name}" for name in PLUGINS}
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == {"genkit"} | packages
    assert set(PROJECT["tool"]["ruff"]["lint"]["isort"]["known-first-party"]) >= {"genkit"} | packages
    assert set(PROJECT["tool"]["uv"]["sources"]) == {"genkit-jax"} | {f"genkit-{name}" for name in PLUGINS}
    assert set(PROJECT["tool"]["pyright"]["extraPaths"]) == {"."} | {f"plugins/{name}" for name in PLUGINS}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (forbidden,) = (c for c in contracts if c["type"] == "forbidden" and c["source_modules"] == ["genkit"])
    assert set(forbidden["forbidden_modules"]) == packages


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_has_the_licence_of_the_core(name):
    assert (ROOT / "plugins" / name / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_nothing_says_to_install_from_an_index_what_is_on_none():
    """`genkit` is another project there, and genkit-* could become a stranger's."""
    wrong = re.compile(r"\b(?:install|add)(?: +-\S+)* +['\"]?genkit(?:-\w+)?['\"]?(?:\[|[=<>~!]|\s|$)", re.M)
    assert wrong.search("pip install genkit") and wrong.search("pip install genkit-jax")
    assert wrong.search("pip install -U genkit[cuda]") and wrong.search("pip install 'genkit-weather[grib]'")
    assert not wrong.search("pip install -e 'plugins/weather[grib]'") and not wrong.search("then install it")
    texts = ["genkit", "plugins", "docs", "examples", "benchmarks", ".github"]
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.txt"), *(f for t in texts for f in (ROOT / t).rglob("*"))]
    for file in files:
        if file.suffix in {".py", ".md", ".txt", ".toml", ".yml", ".yaml", ".ipynb"}:
            assert not wrong.search(file.read_text()), file


def test_folders_beside_the_package_cannot_be_imported(tmp_path):
    code = (
        "import importlib.util as u\n"
        "for name in ['genkit', 'tests', 'plugins', 'docs', 'examples', 'benchmarks', 'conftest']:\n"
        "    spec = u.find_spec(name)\n"
        "    print(name, *(spec.submodule_search_locations or [spec.origin]) if spec else [])\n"
    )
    command = [sys.executable, "-I", "-c", code]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    found = dict(line.partition(" ")[::2] for line in out.splitlines())
    assert found.pop("genkit")
    # a package of others may have brought such a folder, and the environment may lie within the checkout
    own = {str(place) for name in found for place in (ROOT / name, ROOT / f"{name}.py")}
    assert [name for name, place in found.items() if place in own] == []


def test_networks_need_no_package_of_the_host():
    """A machine with a GPU may have jax and little else: `benchmarks/gpu.sh` runs there."""
    missing = "rdkit pymatgen grain blackjax tyro orbax safetensors pooch pytest".split()
    wanted = "benchmarks.gpu, benchmarks.noise, genkit_weather.lam, genkit_weather.networks, genkit_crystals.networks"
    code = f"import sys\nsys.modules.update(dict.fromkeys({missing}))\nimport {wanted}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
