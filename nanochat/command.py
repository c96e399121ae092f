"""Shared by all commands: the entry point, which turns errors into one line, and the parsing of arguments.

Nothing heavy is imported here: `--help` and a mistyped flag must not wait for torch.
"""

import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import tyro

from nanochat.errors import UserError

T = TypeVar("T")
_OUT_OF_MEMORY = "out of memory: lower --batch-size, --seq-len or --image-size, or use --model=nano"
# Errors of the operating system that a user can fix.
MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG)


def _print_no_more() -> None:
    """Discard unwritten standard output, which would fail again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry_point(main: Callable[..., None]) -> Callable[..., None]:
    """Make `main` a command: an error that the user can fix becomes one line on stderr and exit code 2."""

    @wraps(main)
    def command(*args, **kwargs) -> None:
        try:
            main(*args, **kwargs)
            sys.stdout.flush()
        except UserError as error:
            message = str(error)
        except BrokenPipeError:  # the reader of the output has closed it
            _print_no_more()
            sys.exit(1)
        except OSError as error:
            if error.errno not in MENDABLE:
                raise
            _print_no_more()
            message = f"{error.filename or 'the output'}: {error.strerror}"
        except MemoryError:
            message = _OUT_OF_MEMORY
        except RuntimeError as error:
            # that of torch, which is not imported here because it takes seconds
            if type(error).__name__ == "OutOfMemoryError":
                first_line = str(error).splitlines()[0]
                message = f"out of memory on the GPU: lower --batch-size or --seq-len ({first_line})"
            elif "allocate memory" in str(error) or "can't allocate" in str(error):
                message = _OUT_OF_MEMORY
            else:
                raise
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        else:
            return
        print(f"error: {message}", file=sys.stderr, flush=True)
        dist = sys.modules.get("torch.distributed")
        if dist is not None and dist.is_initialized():
            os._exit(2)  # other ranks wait in a collective: exiting at once lets torchrun stop them
        sys.exit(2)

    return command


def _settings(config_class: Any) -> Iterator[tuple[str, Any, bool]]:
    """(name, type, whether it is positional) of the fields of a dataclass, of dataclasses in it, or of a union's."""
    if not _is_dataclass(config_class):
        for part in get_args(config_class):
            yield from _settings(part)
        return
    marked = get_type_hints(config_class, include_extras=True)
    for name, kind in get_type_hints(config_class).items():
        if _is_dataclass(kind):
            yield from _settings(kind)
        else:
            yield name, kind, tyro.conf.Positional in getattr(marked[name], "__metadata__", ())


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _switches(config_class: Any) -> set[str]:
    """The flags of all boolean settings, with `-`."""
    return {"--" + name.replace("_", "-") for name, kind, _ in _settings(config_class) if kind is bool}


def plain_switches(arguments: Sequence[str], switches: set[str]) -> list[str]:
    """`--flag=True` and `--flag True` as `--flag`, `--flag=False` and `--flag False` as `--no-flag`.

    `switches`: such flags, with `-`. Other arguments, and all after `--`, stay as they are. Raises UserError for a
    switch with another value.
    """
    plain: list[str] = []
    end = arguments.index("--") if "--" in arguments else len(arguments)
    waiting = list(arguments[:end])
    while waiting:
        argument = waiting.pop(0)
        flag, equals, value = argument.partition("=")
        flag = flag.replace("_", "-")
        if flag in switches and not equals and waiting and waiting[0] in ("True", "False"):
            value = waiting.pop(0)
        if flag in switches and value in ("True", "False"):
            argument = flag if value == "True" else "--no-" + flag.removeprefix("--")
        elif flag in switches and equals:
            raise UserError(f"{argument}: give True or False")
        plain.append(argument)
    return plain + list(arguments[end:])


def _program() -> str:
    """The command that started this program, without its folder: `nano-ocr`."""
    path = Path(sys.argv[0])
    main = getattr(sys.modules["__main__"], "__spec__", None)  # None unless it was started with `python -m`
    if main is None or path.suffix != ".py":
        return path.name
    return f"python -m {main.name.removesuffix('.__main__')}"


def parse_args(config_class: type[T], description: str | None = None) -> T:
    """The dataclass `config_class`, or one of a union of them, filled from the command line.

    `--name=value`, `--name value`, `_` and `-` alike; a boolean is set by `--name` alone, `--name=True` or
    `--name True`, and unset by `--no-name` or `--name=False`. Raises UserError for invalid arguments.
    """
    if description:  # tyro joins lines; commands must stay on their own
        description = re.sub(r"\n(?=(?:uv run )?(?:python -m|torchrun) )", "\n\n", description)
    arguments = plain_switches(sys.argv[1:], _switches(config_class))
    framed = io.StringIO()
    try:
        with redirect_stderr(framed):
            return tyro.cli(config_class, prog=_program(), description=description, args=arguments)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        error: BaseException | None = stop
        # an error of the dataclass, which tyro also wraps
        while error is not None and not isinstance(error, UserError):
            error = error.__context__
        told = framed.getvalue(), arguments, config_class
        raise error or UserError(_missing(*told) or _nearest(*told)) from None


def _subcommands(config_class: Any) -> dict[str, Any]:
    """Name -> dataclass of a union whose members carry `tyro.conf.subcommand`; empty for a single dataclass."""
    found: dict[str, Any] = {}
    for part in get_args(config_class):
        kind, *marks = get_args(part) or (part,)
        names = [mark.name for mark in marks if getattr(mark, "name", None)]
        found |= {name: kind for name in names}
    return found


def _flags(config_class: Any) -> set[str]:
    """The flags of all settings that are not positional, with `_`."""
    return {"--help", *(f"--{name}" for name, _, positional in _settings(config_class) if not positional)}


def _required_places(config_class: Any) -> list[str]:
    """The names in capitals of a dataclass's positional arguments that have no default."""
    if not _is_dataclass(config_class):
        return []
    required = {field.name for field in fields(config_class) if field.default is field.default_factory is MISSING}
    return [name.upper() for name, _, positional in _settings(config_class) if positional and name in required]


def _missing(text: str, arguments: Sequence[str], config_class: Any) -> str:
    """One line that names missing required arguments; empty if the error is another one."""
    if not unframed(text).startswith("Missing from") or "Unrecognized" in text:
        return ""
    subcommands, first = _subcommands(config_class), arguments[0] if arguments else ""
    found = re.findall(r"^│ {5}(\S+)", text.partition("For full helptext")[0], re.MULTILINE)
    places = iter(_required_places(subcommands.get(first, config_class)))
    named = [next(places, "an argument") if name == "STR" else name for name in found]
    shown = f"{_program()} {first}" if first in subcommands else _program()
    return f"{' and '.join(named)} must be given; see {shown} --help" if named else ""


def _nearest(text: str, arguments: Sequence[str], config_class: Any) -> str:
    """One line for an error of tyro; for an unknown flag or subcommand, its name and the most similar known one."""
    said = unframed(text)
    if not said.startswith("Unrecognized"):
        return said
    program, subcommands = _program(), _subcommands(config_class)
    first = arguments[0] if arguments else ""
    if subcommands and first not in subcommands and not first.startswith("-"):
        near = difflib.get_close_matches(first, subcommands, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(subcommands)}"
        return f"no command called {first!r}: {hint}"
    command = subcommands.get(first, config_class)
    typed = {a: "--" + a.partition("=")[0].removeprefix("--").replace("-", "_") for a in arguments if a[:2] == "--"}
    switches = {"--no_" + flag.removeprefix("--").replace("-", "_") for flag in _switches(command)}
    known, told = _flags(command) | switches, re.split(r"[\s,;]+", said)
    unknown = next((a for a, flag in typed.items() if flag not in known and a in told), "")
    if not unknown:
        file = next((a for a in arguments if a[:1] == "-" and a in told and Path(a).exists()), "")
        return f"{file} looks like an option: give the file as ./{file}" if file else said
    near = difflib.get_close_matches(typed[unknown], sorted(known), 1)
    hint = f"did you mean {near[0]}? " if near else ""
    shown = f"{program} {first}" if first in subcommands else program
    return f"no option called {unknown}: {hint}see {shown} --help"


def unframed(text: str) -> str:
    """An error message of tyro as one line: the error, the allowed values, and how to get help."""
    lines = [line.strip(" │") for line in text.splitlines() if not line.startswith(("╭", "╰"))]
    said = re.sub(r"\.? ─+ ", "; ", " ".join(line for line in lines if line))
    for theirs, ours in (
        (r"Error parsing |Argument helptext: ", ""),
        (r"invalid literal for int\(\) with base 10: (.*?);", r"\1 is not a whole number;"),
        (r"could not convert string to float: (.*?);", r"\1 is not a number;"),
        (r"no type matching (\S+) could be instantiated from \[(.*?)\]\. Got errors: .*?;", r"\2 is not of \1;"),
        (r"Missing value for argument '(.*)'\. Expected 1 values", r"\1 needs a value"),
        (r"For full helptext, (run|see):? ", "see "),
    ):
        said = re.sub(theirs, ours, said)
    return said
