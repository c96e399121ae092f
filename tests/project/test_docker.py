"""The Dockerfile names existing files and a valid command; building it needs Docker."""

import json
import re
from pathlib import Path

from helpers.documented_commands import check_command

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text()


def test_copied_files_exist_and_are_in_the_build_context() -> None:
    sent = {line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", RECIPE, re.MULTILINE) for word in line.split()]
    assert copied and set(copied) == sent
    assert all((ROOT / name).exists() for name in copied)


def test_command_is_valid_and_does_not_run_as_root() -> None:
    (command,) = re.findall(r"^CMD (\[.*\])$", RECIPE, re.MULTILINE)
    check_command(json.loads(command))
    assert re.findall(r"^USER (\w+)$", RECIPE, re.MULTILINE) == ["reader"]
    compose = (ROOT / "compose.yaml").read_text()
    (port,) = re.findall(r"^EXPOSE (\d+)$", RECIPE, re.MULTILINE)
    assert f'"127.0.0.1:{port}:{port}"' in compose and f"127.0.0.1:{port}/ready" in RECIPE
