"""What a person types after a command: switches in every spelling, beside flags with values."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

from nanochat.common import UserError, autodetect_device_type, choose_device, parse_args


@dataclass
class Limits:
    dry_run: bool = False


@dataclass
class Copy:
    files: tyro.conf.Positional[tuple[str, ...]] = ()
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)
    over: bool = False
    keep_times: bool = True
    to: str = ""


@dataclass
class List:
    long: bool = False


COMMANDS: Any = Annotated[Copy, tyro.conf.subcommand("copy")] | Annotated[List, tyro.conf.subcommand("list")]
SWITCHES = {"over": False, "keep_times": True, "dry_run": False}  # and what each is by default
ON, OFF = ("--{}", "--{}=True", "--{} True"), ("--no-{}", "--{}=False", "--{} False")
spelt = st.tuples(
    st.sampled_from([*SWITCHES]), st.sampled_from([*ON, *OFF]), st.booleans().map(lambda low: "_" if low else "-")
)
valued = st.tuples(st.just("to"), st.sampled_from(["True", "False", "over", "x"]), st.just(""))


def parse(patch: pytest.MonkeyPatch, command: Any, *arguments: str) -> Any:
    patch.setattr("sys.argv", ["command", *arguments])
    return parse_args(command)


@given(st.lists(st.text("abc/.", min_size=1, max_size=5), max_size=3), st.lists(spelt | valued, max_size=6))
def test_the_last_of_each_switch_counts(files: list[str], flags: list[tuple[str, str, str]]) -> None:
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


def test_a_switch_takes_no_file_for_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parse(monkeypatch, Copy, "--over", "a.png", "True", "--keep-times", "False")
    assert found.over and not found.keep_times and found.files == ("a.png", "True")
    assert parse(monkeypatch, COMMANDS, "list", "--long").long


def test_a_switch_that_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse(monkeypatch, COMMANDS, "list", "--long=maybe")
    assert "maybe" in capsys.readouterr().err


def test_a_device_that_is_not_here_is_one_line() -> None:
    assert choose_device().type == autodetect_device_type() and choose_device("cpu").type == "cpu"
    for name, words in (("cuda:99", "cannot be used here"), ("gpu", "choose cuda, mps or cpu"), ("meta", "no device")):
        with pytest.raises(UserError, match=words) as error:
            choose_device(name)
        assert name in str(error.value) and "\n" not in str(error.value)
