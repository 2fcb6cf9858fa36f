"""Plugins that exist for the length of a test."""

import sys
from pathlib import Path

import pytest

from genkit.plugin import registry


@pytest.fixture
def install(tmp_path_factory, monkeypatch):
    """install(name, source): a module `<name>_plugin` with its distribution, as pip would leave them."""
    modules = []

    def put(name, source, dist=None):
        folder, module = tmp_path_factory.mktemp("site"), f"{name}_plugin"
        (folder / f"{module}.py").write_text(source)
        info = folder / f"{dist or name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist or name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[genkit.plugins]\n{name} = {module}:plugin\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("GENKIT_PLUGINS", "core," + ",".join({*(m.removesuffix("_plugin") for m in modules), name}))
        modules.append(module)
        registry.cache_clear()
        return folder

    yield put
    registry.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def toy(install):
    """The plugin `toy` of toy_plugin.py, installed; the value is its module."""
    import importlib

    install("toy", (Path(__file__).parent / "toy_plugin.py").read_text())
    return importlib.import_module("toy_plugin")
