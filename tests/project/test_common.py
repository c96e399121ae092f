"""Command lines: switches in every spelling, next to flags with values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

from nanochat.command import entry_point, parse_args
from nanochat.common import autodetect_device_type, choose_device
from nanochat.errors import UserError


@dataclass
class Limits:
    dry_run: bool = False
    tries: int = 1
    """how often"""

    def __post_init__(self) -> None:
        if self.tries < 0:
            raise UserError(f"--tries {self.tries}: give 0 or more")


@dataclass
class Copy:
    files: tyro.conf.Positional[tuple[str, ...]] = ()
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)
    over: bool = False
    keep_times: bool = True
    to: str = ""
    kind: Literal["small", "large"] = "small"
    wait: float | None = None


@dataclass
class List:
    long: bool = False


@dataclass
class Needy:
    file: tyro.conf.Positional[str]
    """what to copy"""
    out: Path
    """where to"""


COMMANDS: Any = Annotated[Copy, tyro.conf.subcommand("copy")] | Annotated[List, tyro.conf.subcommand("list")]
SWITCHES = {"over": False, "keep_times": True, "dry_run": False}  # and their defaults
ON, OFF = ("--{}", "--{}=True", "--{} True"), ("--no-{}", "--{}=False", "--{} False")
spelt = st.tuples(
    st.sampled_from([*SWITCHES]), st.sampled_from([*ON, *OFF]), st.booleans().map(lambda low: "_" if low else "-")
)
valued = st.tuples(st.just("to"), st.sampled_from(["True", "False", "over", "x"]), st.just(""))


def parse(patch: pytest.MonkeyPatch, command: Any, *arguments: str) -> Any:
    patch.setattr("sys.argv", ["command", *arguments])
    return parse_args(command)


@given(st.lists(st.text("abc/.", min_size=1, max_size=5), max_size=3), st.lists(spelt | valued, max_size=6))
def test_last_occurrence_of_a_switch_counts(files: list[str], flags: list[tuple[str, str, str]]) -> None:
    expected, to, typed = dict(SWITCHES), "", [*files]
    for name, spelling, low in flags:
        if name == "to":
            to = spelling
            typed += ["--to", spelling]
        else:
            expected[name] = spelling in ON
            typed += spelling.format(name.replace("_", low)).split()
    with pytest.MonkeyPatch.context() as patch:
        found = parse(patch, COMMANDS, "copy", *typed)
        assert (found.files, found.to) == (tuple(files), to)
        assert {"over": found.over, "keep_times": found.keep_times, "dry_run": found.limits.dry_run} == expected


def test_switch_does_not_take_a_file_as_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parse(monkeypatch, Copy, "--over", "a.png", "True", "--keep-times", "False")
    assert found.over and not found.keep_times and found.files == ("a.png", "True")
    assert parse(monkeypatch, COMMANDS, "list", "--long").long


WRONG = [  # arguments, and the words that the message must contain
    ("list --long=maybe", ["--long=maybe: give True or False"]),
    ("copy --over=maybe a.png", ["--over=maybe: give True or False"]),
    ("copy a.png --kind huge", ["'huge'", "'--kind'", "'small', 'large'"]),
    ("copy a.png --kind", ["--kind needs a value; see command copy --help"]),
    ("copy a.png --tries few", ["--tries: 'few' is not a whole number; --tries INT how often (default: 1)"]),
    ("copy a.png --wait long", ["--wait: 'long' is not of {None}|FLOAT;"]),
    ("copy a.png --tries -1", ["--tries -1: give 0 or more"]),
    ("copy a.png --colour red", ["no option called --colour: see", "copy --help"]),
    ("copy a.png --kin small", ["no option called --kin: did you mean --kind?", "copy --help"]),
    ("copy a.png --keep-time=True", ["no option called --keep-time=True: did you mean --keep_times?"]),
    ("copy a.png --treis=2", ["did you mean --tries?"]),
    ("copy a.png --hlep", ["did you mean --help?"]),
    ("copy --files=a.png", ["no option called --files=a.png: did you mean --tries?"]),  # files have no flag
    ("move a.png", ["no command called 'move': choose one of copy, list"]),
    ("lsit --long", ["no command called 'lsit': did you mean list?"]),
    ("", ["copy", "list"]),
]


@pytest.mark.parametrize("typed, words", WRONG)
def test_invalid_arguments_are_reported_in_one_line(
    typed: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        entry_point(parse)(monkeypatch, COMMANDS, *typed.split())
    output = capfd.readouterr()
    assert stop.value.code == 2 and not output.out
    assert output.err.startswith("error: ") and output.err.count("\n") == 1 and "│" not in output.err, output.err
    assert all(word in output.err for word in words), output.err


def test_missing_arguments_are_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^FILE and --out must be given; see command --help$"):
        parse(monkeypatch, Needy)
    with pytest.raises(UserError, match=r"^--out must be given; see command --help$"):
        parse(monkeypatch, Needy, "a.png")


def test_help_lists_one_spelling_of_a_switch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(monkeypatch, COMMANDS, "copy", "--help")
    output = capfd.readouterr()
    assert stop.value.code == 0 and not output.err and "╭" in output.out and "how often" in output.out


def test_missing_device_is_reported_in_one_line() -> None:
    assert choose_device().type == autodetect_device_type() and choose_device("cpu").type == "cpu"
    for name, words in (("cuda:99", "cannot be used here"), ("gpu", "choose cuda, mps or cpu"), ("meta", "no device")):
        with pytest.raises(UserError, match=words) as error:
            choose_device(name)
        assert name in str(error.value) and "\n" not in str(error.value)
