"""The run folder on a disk that refuses, and under two processes."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genkit.errors import GenkitError, UsageError
from genkit.experiment import Status
from genkit.experiment.folder import claim
from genkit.files import read_json, write, write_json


def refuse(number):
    def raising(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return raising


@pytest.fixture
def still(monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *_: "20260102-030405")


def test_two_claims_in_one_second(tmp_path, still):
    first, second, third = (claim("toy.study", 7, tmp_path) for _ in range(3))
    assert first == tmp_path / "toy.study" / "20260102-030405-7"
    assert [second.name, third.name] == ["20260102-030405-7-2", "20260102-030405-7-3"]
    assert first.is_dir() and second.is_dir()


def test_claims_of_several_processes_differ(tmp_path):
    code = "import time, sys; time.strftime = lambda *_: 'now'\nfrom genkit.experiment.folder import claim\n"
    code += "from pathlib import Path\nprint(*[claim('x', 0, Path(sys.argv[1])) for _ in range(20)], sep='\\n')"
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [line for process in running for line in process.communicate()[0].split()]
    assert len(folders) == len(set(folders)) == 40


def test_own_code_makes_a_legal_folder_name(tmp_path, still):
    assert claim("a.b:Study", 0, tmp_path).parent.name == "a.b.Study"


def test_a_claim_in_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", refuse(errno.EROFS))
    with pytest.raises(GenkitError, match="cannot make the run folder .*Read-only file system; choose another --out"):
        claim("toy", 0, tmp_path)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    file = tmp_path / "deep" / "a.txt"
    write(file, "one")
    write(file, b"two")
    assert file.read_text() == "two" and os.listdir(file.parent) == ["a.txt"]


@pytest.mark.parametrize("where", [(Path, "write_bytes"), (os, "replace")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path, monkeypatch, where, number):
    file = tmp_path / "a.txt"
    write(file, "old")
    monkeypatch.setattr(*where, refuse(number))
    with pytest.raises(GenkitError) as caught:
        write(file, "new")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"cannot write {file}: {os.strerror(number)}; make room")
    assert "\n" not in str(caught.value)
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_half_a_file_is_removed(tmp_path, monkeypatch):
    def half(self, content):
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(GenkitError, match="No space left"):
        write(tmp_path / "a.txt", "long")
    assert os.listdir(tmp_path) == []


def test_a_refusal_to_clean_up_hides_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", refuse(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", refuse(errno.EROFS))
    with pytest.raises(GenkitError, match="cannot write .*Read-only"):
        write(tmp_path / "a.txt", "x")


def test_json(tmp_path):
    file = tmp_path / "a.json"
    assert read_json(file, {"x": 1}) == {"x": 1}
    write_json(file, {"b": 1.5, "a": None, "p": Path("q")})
    assert json.loads(file.read_text()) == {"b": 1.5, "a": None, "p": "q"} == read_json(file, {})
    file.write_text('{"half": ')
    with pytest.raises(GenkitError, match="a.json is not JSON"):
        read_json(file, {})


def test_a_status_is_kept(tmp_path):
    status = Status(tmp_path)
    status.take()
    status.set("running")
    status.finish("train", 1.234)
    again = Status(tmp_path)
    assert again.done == ["train"] and again.content["seconds"] == {"train": 1.23}
    assert again.content["state"] == "running" and again.content["pid"] == os.getpid()
    assert again.content["host"] == socket.gethostname()


HOLD = """
import sys, time
from pathlib import Path
from genkit.experiment.folder import Status
status = Status(Path(sys.argv[1]))
status.take()
status.set("running")
print("taken", flush=True)
time.sleep(60)
"""


def test_a_run_in_use_is_refused_until_its_process_has_gone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(UsageError, match=f"is in use by process {other.pid} on .*; wait for it or stop it"):
            Status(tmp_path).take()
    finally:
        other.kill()
        other.communicate()
    status = Status(tmp_path)
    assert status.content["state"] == "running"
    status.take()
    assert status.content["pid"] == os.getpid()
    status.release()


def test_one_of_two_takes_a_run_read_at_the_same_instant(tmp_path):
    one, two = Status(tmp_path), Status(tmp_path)
    one.take()
    with pytest.raises(UsageError, match="is in use"):
        two.take()
    one.set("running")
    one.finish("train", 1.0)
    one.release()
    two.take()  # and sees what the other has done
    assert two.done == ["train"]
    two.release()
