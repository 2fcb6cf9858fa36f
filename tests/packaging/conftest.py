"""The built packages, made once a session."""

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


@dataclass(frozen=True)
class Built:
    """The files of a wheel and of a source distribution, and the wheel's metadata."""

    wheel: set[str]
    sdist: set[str]
    metadata: Message
    entry_points: str


def build(project: Path, target: Path) -> Built:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    return Built(names, sources, metadata, entry_points)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, Built]:
    """By the name of the distribution."""
    packages = [build(project, tmp_path_factory.mktemp("dist")) for project in PROJECTS]
    return {package.metadata["Name"]: package for package in packages}
