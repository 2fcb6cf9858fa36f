"""The registry: names, and plugins that are broken."""

from typing import Literal

import pytest

from genkit.cli.main import main
from genkit.diffusion import PROCESSES, SAMPLERS
from genkit.errors import GenkitError, UsageError
from genkit.experiment.slots import Slot
from genkit.kinds import KINDS
from genkit.plugin import Installed, Item, Plugin, Registry, registry
from genkit.steer import METHODS
from genkit.testing import check_plugin
from genkit.testing.plugins import _check_exchange

A = Plugin("a", "", samplers={"fast": ("a:Fast", ""), "heun": ("a:Heun", "")}, networks={"net": ("a:Net", "")})
B = Plugin("b", "", samplers={"fast": ("b:Fast", ""), "slow": ("b:Slow", "")})
CORE = Plugin("core", "", samplers={"heun": ("core:Heun", ""), "fast": ("core:Fast", "")})
GOOD = """
from genkit.plugin import Plugin
class Thing:
    def load(self): ...
plugin = Plugin(name={name!r}, summary="fine", datasets={{"thing": ({module!r} + ":Thing", "a thing")}})
"""


@pytest.fixture
def three():
    return Registry([Installed(p.name, f"{p.name} 1.0", p) for p in (B, A, CORE)])


def good(name):
    return GOOD.format(name=name, module=f"{name}_plugin")


def test_items_are_listed_core_first_with_full_names(three):
    names = [item.name for item in three.items("samplers")]
    assert names == ["core.heun", "core.fast", "a.fast", "a.heun", "b.fast", "b.slow"]


@pytest.mark.parametrize(
    "name, own, found",
    [("a.fast", "b", "a.fast"), ("heun", "a", "a.heun"), ("heun", "b", "core.heun"), ("fast", None, "core.fast")],
)
def test_a_short_name_is_the_own_plugins_then_the_cores(three, name, own, found):
    assert three.find("samplers", name, own).name == found


def test_a_short_name_is_never_that_of_a_third_plugin(three):
    with pytest.raises(UsageError, match=r"unknown sampler 'slow'; did you mean 'b.slow'\?"):
        three.find("samplers", "slow", "a")


@pytest.mark.parametrize("name, near", [("heum", "heun"), ("a.fats", "a.fast"), ("b.slw", "b.slow")])
def test_a_wrong_name_gets_the_nearest(three, name, near):
    with pytest.raises(UsageError, match=f"did you mean {near!r}"):
        three.find("samplers", name, "a")


def test_a_name_like_no_other_gets_them_all(three):
    with pytest.raises(UsageError, match="known: a.net$"):
        three.find("networks", "zzzzzz")
    with pytest.raises(UsageError, match="known: none$"):
        three.find("loggers", "zzzzzz")


def test_module_and_class_is_a_name(three, install):
    install("own", good("own"))
    assert three.find("datasets", "own_plugin:Thing").target == "own_plugin:Thing"
    assert three.load("datasets", "own_plugin:Thing").__name__ == "Thing"


def test_own_code_lies_beside_the_user(three, tmp_path, monkeypatch):
    import sys

    (tmp_path / "beside_the_user.py").write_text("class Mine:\n    def load(self): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert three.load("datasets", "beside_the_user:Mine").__name__ == "Mine"


@pytest.mark.parametrize(
    "name, words",
    [
        ("no_such_module:X", "no_such_module:X cannot be loaded: ModuleNotFoundError"),
        ("json:Nothing", "json:Nothing cannot be loaded: AttributeError"),
        ("json:JSONDecoder", r"json:JSONDecoder is no Dataset; expected a class with load\(\)"),
        ("json:dumps", "json:dumps is no Dataset"),
    ],
)
def test_wrong_own_code(three, name, words):
    with pytest.raises(UsageError, match=words):
        three.load("datasets", name)


def test_a_registered_component_that_cannot_be_imported_is_not_the_users_mistake(toy):
    with pytest.raises(GenkitError, match="toy.gone cannot be loaded: ModuleNotFoundError") as caught:
        registry().load("datasets", "toy.gone")
    assert not isinstance(caught.value, UsageError)


def test_the_name_of_a_class(toy):
    assert registry().name_of("samplers", toy.Slow) == "toy.slow"
    assert registry().name_of("samplers", toy.Levels) == "toy_plugin:Levels"


def test_the_name_of_a_class_that_is_registered_where_it_is_exported():
    from genkit.diffusion import Heun

    assert registry().name_of("samplers", Heun) == "core.heun"


@pytest.mark.parametrize(
    "source, reason",
    [
        ("raise RuntimeError('no luck\\nat all')", "RuntimeError: no luck"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def plugin(:", "SyntaxError"),
        ("plugin = 3", "is a int, not a genkit.plugin.Plugin"),
        (good("bad").replace("summary", "api=99, summary"), "it speaks plugin api 99, this genkit speaks 2"),
        (good("bad").replace("summary", "api=99, spells={}, summary"), "it speaks plugin api 99, this genkit speaks 2"),
        (good("bad").replace("summary", "spells={}, summary"), "unexpected keyword argument 'spells'"),
        (good("other"), "its entry point is named 'bad' but the plugin 'other'"),
        ("", "AttributeError"),
        ("raise BaseException", "BaseException: "),
    ],
)
def test_a_broken_plugin_is_shown_and_stops_nothing(install, source, reason):
    install("bad", source)
    install("fine", good("fine"))
    states = {one.name: one for one in registry().installed}
    assert reason in states["bad"].error and "\n" not in states["bad"].error
    assert "Traceback" in states["bad"].trace
    assert set(registry().plugins) == {"core", "fine"}
    assert registry().load("datasets", "fine.thing").__name__ == "Thing"
    with pytest.raises(GenkitError, match="dataset 'bad.thing': the plugin 'bad' is broken"):
        registry().find("datasets", "bad.thing")


def test_a_name_claimed_twice_is_broken_in_both(install):
    install("twin", good("twin"), dist="first")
    install("twin", good("twin"), dist="second")
    twins = [one for one in registry().installed if one.name == "twin"]
    assert [t.plugin for t in twins] == [None, None]
    assert "claimed by second 1.0" in twins[0].error and "claimed by first 1.0" in twins[1].error
    assert set(registry().plugins) == {"core"}


def test_an_entry_point_found_twice_is_one_plugin(install, monkeypatch):
    import sys

    folder = install("twice", good("twice"))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    registry.cache_clear()
    assert "twice" in registry().plugins


def test_an_environment_variable_restricts_plugins(install, monkeypatch):
    install("one", good("one"))
    install("two", good("two"))
    assert set(registry().plugins) == {"core", "one", "two"}
    monkeypatch.setenv("GENKIT_PLUGINS", "two")
    registry.cache_clear()
    assert set(registry().plugins) == {"core", "two"}


def plain(name, body):
    return f"from genkit.plugin import Plugin\nplugin = Plugin(name={name!r}, summary='one', {body})"


def test_no_plugin_takes_a_command_of_the_core_or_of_another(install):
    install("aaa", plain("aaa", "commands={'own': ('x:Y', 'own')}"))
    install("bbb", plain("bbb", "commands={'own': ('x:Z', 'taken')}"))
    install("ccc", plain("ccc", "commands={'run': ('x:Y', 'run')}"))
    found = {one.name: one for one in registry().installed}
    assert found["aaa"].plugin and found["core"].plugin
    assert found["bbb"].error == "its command 'own' is one of 'aaa' already; it needs another name"
    assert found["ccc"].error == "its command 'run' is one of 'core' already; it needs another name"
    assert registry().find("commands", "run").target == "genkit.cli.run:Run"


@pytest.mark.parametrize("kind, listed", [("samplers", SAMPLERS), ("processes", PROCESSES), ("methods", METHODS)])
def test_the_core_registers_all_that_it_has(kind, listed):
    names = [item.name for item in registry().items(kind) if item.plugin == "core"]
    assert {registry().load(kind, name) for name in names} == set(listed) and len(names) == len(listed)


def test_no_plugin_takes_the_name_of_the_core(install):
    install("core", plain("core", ""), dist="stranger")
    found = [one for one in registry().installed if one.name == "core"]
    assert [bool(one.plugin) for one in found].count(True) == 1 and registry().find("commands", "run")
    assert "also claimed by genkit-jax" in next(one.error for one in found if one.plugin is None)


def test_an_import_that_exits_is_shown_as_broken(install, capsys):
    """By the plugin, on the error stream of `genkit list`; one that exits where a component lies ends no command."""
    install("bad", "raise SystemExit('gone')")
    install("worse", "import sys\nsys.exit(3)")
    assert [f"{one.name}: {one.error}" for one in registry().broken] == [
        "bad: SystemExit: gone",
        "worse: SystemExit: 3",
    ]
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert "core.mixture" in out and err == (
        "genkit: broken plugins, left out: bad (SystemExit: gone); worse (SystemExit: 3); "
        "`genkit plugins --verbose` shows more\n"
    )
    folder = install("late", plain("late", "datasets={'points': ('late_exits:Points', 'points')}"))
    (folder / "late_exits.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(GenkitError, match="late.points cannot be loaded: its module exits while it is imported"):
        registry().load("datasets", "late.points")


def test_nothing_is_said_where_no_plugin_is_broken(install, capsys):
    install("fine", good("fine"))
    assert main(["list", "datasets"]) == 0
    assert capsys.readouterr() == ("  fine.thing  a thing\n", "")


def test_plugins_of_the_first_api_still_work(install):
    install("old", plain("old", "api=1, datasets={'points': ('x:Y', 'points')}"))
    item = registry().find("datasets", "points", "old")
    assert (item.plugin, item.short, item.exchange, item.called("old"), item.called("core")) == (
        "old", "points", "", "points", "old.points"
    )  # fmt: skip


def test_the_third_text_is_what_the_annotations_say(toy, monkeypatch):
    numbers = ("toy_plugin:Numbers", "numbers", "toy_plugin:Points")
    monkeypatch.setitem(toy.plugin.datasets, "numbers", numbers)
    with pytest.raises(AssertionError, match="with 'toy_plugin:Points', but the annotations of Numbers.load say 'toy_"):
        _check_exchange("toy.numbers", "datasets", toy.Numbers)
    monkeypatch.setattr(toy.Numbers, "load", lambda self: None)
    with pytest.raises(AssertionError, match="the annotations of Numbers.load say nothing; annotate it"):
        _check_exchange("toy.numbers", "datasets", toy.Numbers)


@pytest.mark.parametrize("third", ["", "int", "builtins:int"])
def test_a_network_that_says_nothing_is_told_what_to_say(third):
    class Plain:
        def build(self, rngs, size): ...

    item = Item("acme.plain", "acme:Plain", "two layers", third)
    expected = (
        "--network acme.plain does not fit: .*Plain.build has no annotations .*, expected 'int'; write them, and "
    )
    with pytest.raises(UsageError, match=expected + "'int' as the third text where it is registered$"):
        Slot("networks", exchange=(int,)).check("network", item, Plain, "core")


def test_a_network_that_knows_more_words_than_it_is_told_fits():
    class Heads:
        def build(self, rngs, head: Literal["one", "two", "three"]): ...

    item = Item("acme.heads", "acme:Heads", "heads")
    Slot("networks", exchange=(Literal["two", "one"],)).check("network", item, Heads, "core")
    with pytest.raises(UsageError, match="does not fit: it exchanges"):
        Slot("networks", exchange=(Literal["one", "four"],)).check("network", item, Heads, "core")


def test_what_the_core_registers():
    check_plugin("core")


def test_networks_of_one_whole_number_are_called_alike():
    """Each is offered where another one is; what the types of sizes do not tell apart must work."""
    import jax
    from jax import ShapeDtypeStruct as Shape

    from genkit.nn import Net

    names = [item.name for item in registry().items("networks") if item.exchange == "int"]
    assert "core.mlp" in names
    for name in names:
        net = Net(registry().load("networks", name)(), (4,))
        out = jax.eval_shape(net, net.shapes(), Shape((3, 4), "float32"), Shape((3,), "float32"), None)
        assert out.shape == (3, 4), name


@pytest.mark.parametrize("kind", KINDS)
def test_everything_this_checkout_registers_can_be_loaded(kind):
    found = registry()
    assert not found.broken
    for item in found.items(kind):
        assert found.name_of(kind, found.load(kind, item.name)) == item.name
