"""The manual is found where it is built, and its absence is one line."""

import webbrowser

import genkit
from genkit.cli import main


def test_the_manual_opens(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(genkit, "__file__", str(tmp_path / "genkit" / "__init__.py"))
    assert main(["docs"]) == 1 and "no manual to build" in capsys.readouterr().err
    (tmp_path / "mkdocs.yml").touch()
    assert main(["docs"]) == 1 and "mkdocs build" in capsys.readouterr().err
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").touch()
    assert main(["docs"]) == 0 and opened == [(tmp_path / "site" / "index.html").as_uri()]
