"""Configurations: slots, presets, options of every type, files."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genkit
from genkit.cli.run import RunOptions
from genkit.diffusion import Heun
from genkit.errors import UsageError
from genkit.experiment import (
    Slot,
    config,
    differences,
    flat,
    labels,
    parse,
    preset_of,
    read_yaml,
    slots,
    with_options,
    write_yaml,
)
from genkit.experiment.config import changed, starting_preset
from genkit.kinds import Sampler


@pytest.fixture
def command(toy):
    """command("--number", "3"): the configuration, as the command line makes it."""

    def run(*words, preset="default"):
        return parse(preset_of(toy.Study, preset), list(words), preset, "toy", "genkit run toy.study", RunOptions)[0]

    return run


def test_slots(toy):
    found = {name: (slot.kind, slot.optional) for name, slot in slots(toy.Study).items()}
    assert found == {
        "sampler": ("samplers", False),
        "extra": ("samplers", True),
        "network": ("networks", False),
        "data": ("datasets", False),
    }


@pytest.mark.parametrize(
    "words, field, value",
    [
        (["--number", "3"], "number", 3),
        (["--number=3"], "number", 3),
        (["--rate", "1e-3"], "rate", 1e-3),
        (["--rate", "-1e-3"], "rate", -1e-3),
        (["--rate", "1", "--rate", "None"], "rate", None),
        (["--flag", "True"], "flag", True),
        (["--flag"], "flag", True),
        (["--flag", "--number", "3"], "flag", True),
        (["--flag", "False"], "flag", False),
        (["--label=-x"], "label", "-x"),
        (["--label", ""], "label", ""),
        (["--mode", "fail"], "mode", "fail"),
        (["--file", "a b/c"], "file", Path("a b/c")),
        (["--sizes", "3", "4", "5"], "sizes", (3, 4, 5)),
        (["--sizes"], "sizes", ()),
        (["--pairs", "1", "2", "3", "4"], "pairs", ((1, 2.0), (3, 4.0))),
        (["--weights", "b", "2", "c", "1e-3"], "weights", {"b": 2.0, "c": 1e-3}),
        (["--weights"], "weights", {}),
    ],
)
def test_options(command, words, field, value):
    assert getattr(command(*words), field) == value


def test_a_component_and_its_options(toy, command):
    made = command("--extra", "heun", "--extra.steps", "7", "--sampler.levels.low", "1e-4")
    from genkit.diffusion import Heun

    assert made.extra == Heun(steps=7)
    assert made.sampler == toy.Slow(levels=toy.Levels(low=1e-4))
    assert type(made) is toy.Study and type(made.sampler) is toy.Slow


def test_options_may_come_before_the_component_that_has_them(toy, command):
    assert command("--extra.steps", "7", "--extra=slow").extra == toy.Slow(steps=7)


def test_slots_in_slots(toy, command):
    made = command("--sampler", "corrected", "--sampler.base.steps", "9", "--sampler.inner", "toy.corrected")
    assert made.sampler == toy.Corrected(base=toy.Slow(steps=9), inner=toy.Corrected())
    assert flat(made)["sampler.inner.base"] == "toy.slow"


def test_the_last_name_wins_and_none_empties_a_slot(toy, command):
    assert command("--extra", "heun", "--extra", "slow").extra == toy.Slow()
    assert command("--extra", "slow", "--extra", "none").extra is None


def test_presets_reach_the_components(toy, command):
    assert command(preset="tiny").sampler.steps == 2
    assert command("--extra", "corrected", preset="tiny").extra.base.steps == 100  # its own default, not a slot's
    assert command("--extra", "slow", preset="tiny").extra.steps == 2
    assert config("toy.study", "tiny", {"sampler": "slow", "sampler.steps": 5}).sampler.steps == 5
    with pytest.raises(UsageError, match="no preset 'huge'; it has tiny and default"):
        config("toy.study", "huge")


def test_own_code_in_a_slot(command):
    assert command("--sampler", "toy_plugin:Slow", "--sampler.steps", "4").sampler.steps == 4


@pytest.mark.parametrize(
    "words, message",
    [
        (["--sampler", "none"], "--sampler none: this slot needs a component"),
        (["--sampler"], "--sampler needs a name"),
        (["--sampler", "--number"], "--sampler needs a name"),
        (["--sampler", "slw"], "unknown sampler 'slw'; did you mean 'slow'"),
        (["--sampler", "net"], "unknown sampler 'net'"),
        (["--sampler", "json:JSONDecoder"], "json:JSONDecoder is no Sampler"),
        (["--number=-1"], "number=-1 must not be negative"),
    ],
)
def test_wrong_components_and_values(command, words, message):
    with pytest.raises(UsageError, match=message) as caught:
        command(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--nmber", "3"], "--number"),
        (["--sampler.stps", "3"], "--sampler.steps"),
        (["--number", "1.5"], "invalid literal for int() with base 10: '1.5'"),
        (["--mode", "bad"], "invalid choice 'bad' for argument '--mode'"),
        (["--pairs", "1"], "--pairs"),
        (["--extra.steps", "3"], "--extra.steps"),
        (["3"], "3"),
    ],
)
def test_what_the_parser_refuses_ends_with_2(command, capsys, words, message):
    with pytest.raises(SystemExit) as left:
        command(*words)
    assert left.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_flags_of_a_run_need_no_value(toy):
    _, options = parse(toy.Study(), ["--resume", "--dry_run", "--out", "x"], "default", "toy", "", RunOptions)
    assert options.resume and options.dry_run and options.out == Path("x")


def test_an_option_that_every_run_has_is_refused(toy):
    @dataclasses.dataclass(frozen=True)
    class Seeded(toy.Study):
        seed: int = 0

    with pytest.raises(UsageError, match="^toy has --seed itself, so Seeded cannot: rename its field$"):
        parse(Seeded(), [], "default", "toy", "toy", RunOptions)


def test_help_names_the_components(command, capsys):
    with pytest.raises(SystemExit) as left:
        command("--help")
    out = capsys.readouterr().out
    assert left.value.code == 0
    offered = " ".join(out.replace("│", " ").split()).partition("--sampler ")[2]
    assert "heun | " in offered and "| slow | corrected | noise | module:Class" in offered
    assert "Double a number." in out and "--sampler.levels.low" in out and "what is doubled" in out
    assert "The rest of the help" not in out


def test_python(toy):
    sampler = toy.Corrected(strength=2.0)
    made = config("toy.study", options={"data.file": "p.npy"}, sampler=sampler, number=4, sizes=[7], weights={"z": 1})
    assert made == toy.Study(number=4, sizes=(7,), weights={"z": 1.0}, sampler=sampler, data=toy.Points(Path("p.npy")))
    assert config("toy.study", sampler=sampler, options={"sampler.strength": 3}).sampler.strength == 3.0
    assert config("toy.study", extra=None).extra is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"nmber": 3}, "toy.study: Unrecognized options: --nmber=3"),
        ({"number": 1.5}, "toy.study: Error parsing --number: invalid literal for int"),
        ({"mode": "bad"}, "toy.study: .*'bad'"),
        ({"sampler": "nope"}, "unknown sampler 'nope'"),
    ],
)
def test_python_errors_are_one_line(toy, capsys, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        config("toy.study", options=options)
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_a_component_for_a_field_that_takes_none(toy):
    with pytest.raises(UsageError, match="toy.study has no field 'smpler' that takes a component"):
        config("toy.study", smpler=toy.Slow())


def test_an_experiment_without_defaults(tmp_path, monkeypatch):
    (tmp_path / "bare_study.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Bare:\n    n: int\n    def evaluate(self, run): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="Bare cannot be made without values .*'n'.*; give each of its fields a"):
        config("bare_study:Bare")


# ---------------------------------------------------------------- files

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
numbers, whole = st.floats(-1e30, 1e30), st.integers(1 - 2**31, 2**31 - 1)
values = {
    "number": st.integers(0, 2**31 - 1),
    "rate": st.none() | numbers.map(abs),
    "flag": st.booleans(),
    "label": text,
    "mode": st.sampled_from(["good", "fail", "bug", "stop"]),
    "file": st.none() | text.map(Path),
    "sizes": st.lists(whole, max_size=3).map(tuple),
    "pairs": st.lists(st.tuples(whole, numbers), max_size=2).map(tuple),
    "weights": st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,9}", fullmatch=True), numbers, max_size=3),
}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries(values), st.integers(1, 9), numbers.map(abs), st.booleans())
def test_a_file_gives_back_the_configuration(toy, tmp_path, chosen, steps, strength, nested):
    base = toy.Slow(steps, toy.Levels(low=strength, spacing="linear"))
    sampler = toy.Corrected(base, toy.Slow(steps) if nested else None, strength) if nested else base
    before = toy.Study(**chosen, sampler=sampler, extra=base if nested else None)
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(before, "tiny", 3), encoding="utf-8")
    after, preset, seed = read_yaml(file)
    assert after == before
    assert (preset, seed) == ("tiny", 3)
    assert differences(before, after) == []
    assert [type(getattr(after, f.name)) for f in dataclasses.fields(after)] == [
        type(getattr(before, f.name)) for f in dataclasses.fields(before)
    ]


def test_a_number_in_a_file_may_be_written_by_hand(toy, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("experiment: toy.study\noptions:\n  rate: 1e-3\n  sizes: [1e0, 2]\n".replace("1e0", "1"))
    assert read_yaml(file)[0] == toy.Study(rate=1e-3, sizes=(1, 2))


def test_a_file_has_full_names(toy):
    text = write_yaml(toy.Study(extra=toy.Corrected()), "default", 0)
    assert "experiment: toy.study" in text
    assert "extra: toy.corrected" in text and "extra.base: toy.slow" in text and "extra.inner: none" in text


@pytest.mark.parametrize(
    "code",
    [
        "experiment: own-code:Study",
        "{experiment: toy.study, options: {data: 'own-code:Points'}}",
        "{experiment: toy.study, options: {data: ['own-code:Points']}}",
        "{experiment: toy.study, options: {'data=own-code:Points': 1}}",
        "{experiment: toy.study, options: {number: [1, '--data', 'own-code:Points']}}",
        "{experiment: toy.study, options: {weights: {'--data': 'own-code:Points'}}}",
        "{experiment: toy.study, options: {sampler: corrected, sampler.inner: 'own-code:Points'}}",
    ],
)
def test_a_file_that_runs_code_needs_trust(toy, tmp_path, monkeypatch, code):
    (tmp_path / "own-code.py").write_text("from pathlib import Path\nPath('executed').touch()\n")
    file = tmp_path / "config.yaml"
    file.write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="runs code of its own .*own-code:.*; give --trust if you trust it"):
        read_yaml(file)
    assert not Path("executed").exists()


def test_with_trust_a_file_runs_code(toy, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("{experiment: 'toy_plugin:Study', options: {data: 'toy_plugin:Points', label: 'a:b'}}")
    assert read_yaml(file, trust=True)[0] == toy.Study(label="a:b")


def test_a_text_with_a_colon_is_no_code(toy, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(toy.Study(label="a:b", file=Path("c:d")), "default", 0))
    assert read_yaml(file)[0] == toy.Study(label="a:b", file=Path("c:d"))


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "does not exist; expected a config.yaml of a run"),
        ("a: [", "config.yaml is not YAML as genkit writes it .*: take it from a copy"),
        ("", "is no genkit config"),
        ("options: {}", "is no genkit config .*experiment"),
        ("- 1", "is no genkit config .it holds a list"),
        ("experiment: toy.study\nnumber: 3", "has the key 'number' beside .*; options stand below options:"),
        ("experiment: toy.study\noptions: {nmber: 1}", "toy.study: Unrecognized options"),
        ("experiment: toy.study\noptions: [1]", "is no genkit config"),
        ("experiment: 3", "unknown experiment '3'"),
        ("experiment: toy.study\nseed: x", "is no genkit config"),
        ("experiment: !!python/object/apply:os.system [ls]", "is not YAML as genkit writes it"),
        ("a: &x [1]\nb: [*x, *x]", r"is not YAML as genkit writes it \(it has the alias \*x\)"),
        ("[" * 3000, "nested more than 100 levels deep"),
        ("a: 2020-99-99", "is not YAML as genkit writes it"),
        ("a: " + "x" * 8_000_001, "has 8,000,004 bytes, expected at most 8,000,000"),
        ("experiment: toy.studi", "unknown experiment 'toy.studi'; did you mean 'toy.study'"),
    ],
)
def test_wrong_files(toy, tmp_path, content, message):
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)


def test_differences_name_the_field(toy):
    a, b = toy.Study(), toy.Study(number=2, sampler=toy.Corrected())
    assert differences(a, a) == []
    found = differences(a, b)
    assert "number: 1 -> 2" in found and "sampler: toy.slow -> toy.corrected" in found
    assert "sampler.steps: 100 -> None" in found


def test_a_chosen_component_suggests_options_below_the_users_own(toy, command, monkeypatch):
    monkeypatch.setattr(toy.Points, "suggests", {"number": 55, "nowhere": 1}, raising=False)
    monkeypatch.setattr(toy.Points, "published", {"number": 66}, raising=False)
    assert command().number != 55
    assert command("--data", "points").number == 55
    assert command("--data", "points", "--number", "3").number == 3
    assert command("--data", "points", preset="tiny").number not in (55, 66)
    monkeypatch.setattr(toy.Study, "preset", classmethod(lambda cls, name: cls()))
    monkeypatch.setattr(toy.Points, "preset", classmethod(lambda cls, name: cls()), raising=False)
    assert command("--data", "points", preset="paper").number == 66


def test_none_for_a_plain_option(command):
    assert command("--rate", "none").rate is None


@dataclasses.dataclass(frozen=True)
class Several:
    """Takes several samplers."""

    samplers: tuple[Sampler, ...] = (Heun(), Heun(steps=5))


def test_a_slot_for_several_components(toy):
    def command(*words):
        return parse(Several(), list(words), "default", "toy", "several")[0]

    assert slots(Several) == {"samplers": Slot("samplers", many=True)}
    assert command("--samplers.1.steps", "7").samplers == (Heun(), Heun(steps=7))
    made = command("--samplers", "slow", "heun", "slow", "--samplers.2.levels.low", "1e-4", "--samplers.0.steps=3")
    assert made.samplers == (toy.Slow(3), Heun(), toy.Slow(levels=toy.Levels(low=1e-4)))
    assert flat(made)["samplers"] == ["toy.slow", "core.heun", "toy.slow"]
    assert with_options(Several(), flat(made), own="toy") == made
    assert differences(Several(), made)[0].startswith("samplers: ['core.heun', 'core.heun'] -> ['toy.slow'")
    for words, message in (("--samplers", "needs a name"), ("--samplers none", "needs a component")):
        with pytest.raises(UsageError, match=message):
            command(*words.split())
    with pytest.raises(SystemExit):
        command("--samplers", "slow", "--samplers.1.steps", "2")


def test_components_of_one_class_are_told_apart_by_their_options(toy):
    slow = [toy.Slow(), Heun(), toy.Slow(levels=toy.Levels(spacing="linear")), toy.Slow(7)]
    assert labels("samplers", slow) == ["slow_steps100_log", "heun", "slow_steps100_linear", "slow_steps7_log"]
    with pytest.raises(UsageError, match="heun among the samplers more than once"):
        labels("samplers", [Heun(), Heun()])


@pytest.mark.parametrize("words, flag", [
    ("--flag", True), ("--flag true", True), ("--flag=TRUE", True), ("--flag false", False), ("--flag=False", False),
    ("--flag --label true", True),
])  # fmt: skip
def test_switches_are_written_in_any_case(command, words, flag):
    made = command(*words.split())
    assert made.flag is flag and made.label == ("true" if "label" in words else "x")


def test_a_configuration_with_slots(toy, monkeypatch):
    class Slotted:
        """Without room for more than its fields."""

        number: int = 1

        def evaluate(self, run): ...

    slotted = dataclasses.dataclass(frozen=True, slots=True)(Slotted)
    monkeypatch.setattr(toy, "Slotted", slotted, raising=False)
    made = config("toy_plugin:Slotted", number=2)
    assert made == slotted(2) and starting_preset(made) == "default"


def test_a_copy_says_from_which_preset_it_differs_least(toy, tmp_path):
    made = config("toy.study", "tiny", {"label": "<y>"})
    run = genkit.run(dataclasses.replace(made, flag=True), out=tmp_path / "a")
    content = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert content["preset"] == genkit.load(run.folder).preset == "tiny" and content["changed"] == ["flag", "label"]
    page = (run.folder / "report.html").read_text()
    assert "preset tiny</dd><dt>changed</dt><dd>flag True, label &lt;y&gt;</dd>" in page
    assert starting_preset(toy.Study()) == "default" and starting_preset(dataclasses.replace(made)) == "tiny"
    assert changed(made, "default") == ["number", "label", "sampler.steps"] and changed(made, "paper") is None
    # of another component, what it does not come with
    other = config("toy.study", options={"sampler": "corrected", "sampler.strength": 0.1, "sampler.base.steps": 100})
    assert changed(other, "default") == ["sampler", "sampler.strength"]
    # what was given is not guessed
    assert starting_preset(config("toy.study", "tiny", {"number": 1, "sampler.steps": 100})) == "tiny"
