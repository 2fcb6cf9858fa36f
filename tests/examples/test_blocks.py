"""What the pages say to type is there: commands are parsed, imports and names resolved. Nothing is run."""

import ast
import importlib
import inspect
import re
import shlex
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from genkit.cli import main
from genkit.experiment import config, preset_of, walk, write_yaml
from genkit.kinds import KINDS
from genkit.model import Request
from genkit.plugin import registry

ROOT = Path(__file__).parents[2]
GLOBS = ("*.md", "docs/**/*.md", "plugins/*/README.md", "benchmarks/*.md")
FILES = {path for pattern in GLOBS for path in ROOT.glob(pattern)}
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(FILES) if path.name != "CHANGELOG.md"}
BLOCK = re.compile(r"^```(\w*)(?: title=\"([\w./]+)\")?\n(.*?)^```$", re.M | re.S)
MENTIONED = re.compile(r"`--([a-z_]\w*(?:\.\w+)*)")
LINE, MENTION = re.compile(r"(?:^|&& |srun )(?:\w+=\S+ )*genkit (.*)", re.M), re.compile(r"`genkit\s([^`]+)`")
MEANT = {  # by the beginning of a command, where a word of it stands for another
    "run NAME": "run core.mixture",
    "run weather.X": "run weather.diffusion_lam",
    "run config.yaml": "run runs/x/config.yaml",
    "data fetch NAME": "data fetch inverse.digits",
    "show runs/weather.diffusion_lam/20261129-073032-0": "show runs/x/config.yaml",
    "sample --": "sample runs/x --",
    "import FORMAT": "import adm",
    "export MODEL --to FORMAT": "export MODEL --to npz",
}
OTHERS = {"debug", "fields", "from", "help", "smoke", "strict", "to"}  # of all commands, renamed, of other programs
OWN = """

from dataclasses import dataclass


@dataclass(frozen=True)
class MyData:
    def load(self): ...


MyGraph = MyData
"""


def executed(page):
    """Whether the blocks of a page are run as they are by `test_pages`."""
    return page == "docs/extend.md" or page.startswith("docs/tutorials/")


def blocks(page, *languages):
    """(title, text) of the blocks of a page in some languages."""
    return [(title, text) for language, title, text in BLOCK.findall(PAGES[page]) if language in languages]


def commands(page):
    """The words of each command of genkit in the blocks of a page and in its text."""
    told = "" if executed(page) else "\n".join(text for _, text in blocks(page, "", "sh")).replace("\\\n", " ")
    found = LINE.findall(told) + MENTION.findall(BLOCK.sub("", PAGES[page]))
    for line in found:
        for start, meant in MEANT.items():
            line = meant + line.removeprefix(start) if line.startswith(start) else line
        yield shlex.split(line, comments=True)


def requests(kind):
    """All that can be asked of models that are sampled; listed at once, as parsing makes further classes."""
    found = [one for sub in kind.__subclasses__() for one in ((sub.__module__, sub), *requests(sub))]
    return [(module.partition(".")[0].removeprefix("genkit_"), one) for module, one in found]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files of Python that pages show, where commands are parsed and do nothing."""
    sources = {name: text for page in PAGES for name, text in sources_of(page)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("desk"))
        patch.syspath_prepend(Path.cwd())
        for name, text in sources.items():
            patch.delitem(sys.modules, name, raising=False)
            Path(f"{name}.py").write_text(text + OWN * (name == "my_module"))
        Path("runs/x").mkdir(parents=True)
        Path("runs/x/config.yaml").write_text(write_yaml(config("core.mixture"), "default", 0))
        for item in registry().items("commands"):
            patch.setattr(registry().load("commands", item.name), "run", lambda self: 0)
        patch.setattr("genkit.experiment.check_restored", lambda *_: None)
        patch.setattr("genkit.model.located", lambda path: True)
        items = registry().items("experiments")
        studies = {item.name: preset_of(registry().load("experiments", item.name), "default") for item in items}
        importlib.import_module("genkit_molecules.models.request")  # which its models import when they are asked
        yield SimpleNamespace(patch=patch, studies=studies, requests=requests(Request), understood=set())
        for name in sources:
            sys.modules.pop(name, None)


def sources_of(page):
    """(module, text) of the files that a page shows: by their title, or by their first line."""
    for title, text in blocks(page, "python"):
        if name := re.match(r"(?:# )?(\w+)\.py", title or text):
            yield name[1], text


def worlds(words, desk, page):
    """What the path of a model or of a run may lead to: patches of genkit, first those that a page is about."""
    known = {}
    if words[0] in ("run", "sweep") and words[1] in desk.studies:
        for option in walk(desk.studies[words[1]]):
            if option.slot and option.slot.kind == "models" and f"--{option.key}" in words:
                path = words[words.index(f"--{option.key}") + 1]
                offered = option.slot.offered(words[1].partition(".")[0])[0].name
                recipe = option.value or preset_of(registry().load("models", offered), "default")
                known[path] = replace(recipe, restore=Path(path).absolute(), fingerprint="0")
    desk.patch.setattr("genkit.model.recipe_of", lambda path, trust=False: known[str(path)])
    if words[0] == "sample":
        for plugin, request in sorted(desk.requests, key=lambda one: one[0] not in PAGES[page]):
            model = SimpleNamespace(request=request, origin=SimpleNamespace(name=f"{plugin}.model"))
            desk.patch.setattr("genkit.model.load", lambda *_, model=model: model)
            yield
    elif words[0] == "evaluate":
        for name, study in desk.studies.items():
            run = SimpleNamespace(name=name, config=study)
            desk.patch.setattr("genkit.experiment.load", lambda *_, run=run, **__: run)
            yield
    else:
        yield


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))])
def test_commands_are_understood(page, desk, capsys):
    """By the parser of each, with all options and values; those about a model by that of any."""
    offered = {item.short for item in registry().items("commands")}
    for words in commands(page):
        if len(words) == 1:
            assert {*words} <= {*offered, "--help"}, words
        elif shlex.join(words) not in desk.understood:
            assert any(main(words) == 0 for _ in worlds(words, desk, page)), capsys.readouterr().err[-2000:]
            desk.understood.add(shlex.join(words))


@pytest.mark.parametrize(
    "line", ["run core.mixture --samplr heun", "run core.mixture --sampler heum", "sample runs/x --n a"]
)
def test_what_is_not_there_is_noticed(line, desk):
    """Names of options, names of components, values."""
    words = shlex.split(line)
    assert not any(main(words) == 0 for _ in worlds(words, desk, "README.md"))


def test_options_are_there(desk):
    """Each --option that a page mentions is one of a study, a component, a request or a command."""
    components = (registry().load(kind, item.name) for kind in KINDS for item in registry().items(kind))
    modules = [module for name, module in sys.modules.items() if name.startswith("genkit.cli.")]
    others = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    classes = [*components, *others, *(request for _, request in desk.requests)]
    known = {field.name for one in classes if is_dataclass(one) for field in fields(one)} | OTHERS
    known |= {part for study in desk.studies.values() for option in walk(study) for part in option.key.split(".")}
    found = {(page, option) for page, text in PAGES.items() for option in MENTIONED.findall(text)}
    gone = {(page, option) for page, option in found if not {*option.split(".")} <= known}
    assert gone == set()


def told(target):
    """Names of the arguments that something takes; None where it takes any."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(one.kind is one.VAR_KEYWORD for one in parameters) else {one.name for one in parameters}


def found(node, names):
    """What an expression of names and attributes stands for; None where that is only known when it is run."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = found(node.value, names)
        if inspect.ismodule(owner) or inspect.isclass(owner):
            return getattr(owner, node.attr)
    return None


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_names_of_python_are_there(page, desk):
    """What blocks import, the attributes of modules and classes, and the arguments that calls of these name."""
    names = {}
    for _, text in blocks(page, "python"):
        tree = compile(text, page, "exec", ast.PyCF_ONLY_AST)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module([*imports], []), page, "exec"), names)
        for node in ast.walk(tree):
            target = found(node.func if isinstance(node, ast.Call) else node, names)
            if isinstance(node, ast.Call) and target is not None and (taken := told(target)) is not None:
                assert {word.arg for word in node.keywords if word.arg} <= taken, ast.unparse(node)
