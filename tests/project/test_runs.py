"""The scripts in runs/: they find or install uv, work from any folder, and call valid commands.

Each runs in a copy of runs/ whose path contains a space, with a PATH of a few system tools and fakes of uv and Python.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.documented_commands import check_command

from scripts.demo import settings

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "chmod", "dirname", "head", "mkdir", "tail", "tee")
UV = """#!/bin/bash
printf '%s\\n' "--uv--" "$@" >> "{log}"
if [ "$1 $2 $3" = "run python -c" ]; then echo 2; fi
if [ "${{!#}}" = --check ]; then exit {missing}; fi
"""
# A Python whose pip fails; virtual environments get one that installs a fake uv.
MANAGED_PYTHON = """#!/bin/bash
case "$2 $3" in
    "pip install") echo "error: externally-managed-environment" >&2; exit 1 ;;
    "venv .uv")
        mkdir -p .uv/bin
        printf '#!/bin/bash\\ncp "{uv}" .uv/bin/uv\\n' > .uv/bin/python
        chmod +x .uv/bin/python ;;
    *) exit 1 ;;
esac
"""
SYNC = ["sync", "--quiet", "--inexact"]
OFFLINE_PYTHON = '#!/bin/bash\necho "ERROR: No matching distribution found for uv" >&2\nexit 1\n'


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Machine:
    """A machine without uv, with a copy of the scripts of the repository."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.bin, self.log = folder / "a repository", folder / "bin", folder / "uv.log"
        shutil.copytree(ROOT / "runs", self.repository / "runs")
        self.uv = write_script(folder / "uv", UV.format(log=self.log, missing=1))
        self.bin.mkdir()
        for tool in (*TOOLS, "cp"):
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} here"))

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script from another folder."""
        variables = {"PATH": str(self.bin), "HOME": str(self.repository.parent), **variables}
        command = [str(self.bin / "bash"), str(self.repository / "runs" / script), *arguments]
        return subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, timeout=60)

    def commands(self) -> list[list[str]]:
        """The arguments of all calls of uv, except its check of installed packages."""
        calls = [call.splitlines() for call in self.log.read_text().split("--uv--\n")[1:]]
        return [call for call in calls if call[-1] != "--check"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_demo_syncs_and_runs_from_any_folder(machine: Machine):
    shutil.copy(machine.uv, machine.bin / "uv")
    found = machine.run("demo.sh", "--out", "a folder")
    assert found.returncode == 0, found.stderr
    assert machine.commands() == [SYNC, ["run", "nano-ocr", "demo", "--out", "a folder"]]
    check_command(["uv", *machine.commands()[1]])


def test_test_script_runs_the_suite(machine: Machine):
    shutil.copy(machine.uv, machine.bin / "uv")
    machine.run("test.sh", "-x")
    assert machine.commands()[-1] == ["run", "--no-sync", "pytest", "-x"]
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec bash runs/test.sh"


def test_uv_is_installed_in_a_private_folder_if_pip_refuses(machine: Machine):
    write_script(machine.bin / "python3", MANAGED_PYTHON.format(uv=machine.uv))
    found = machine.run("test.sh")
    assert found.returncode == 0, found.stderr
    assert os.access(machine.repository / ".uv/bin/uv", os.X_OK)
    assert machine.commands() == [SYNC, ["run", "--no-sync", "pytest"]]


@pytest.mark.parametrize(
    ("python", "reason"), [(None, "Python 3 is missing"), (OFFLINE_PYTHON, "is the network there? ERROR: No matching")]
)
def test_missing_programs_are_reported_in_one_line(machine: Machine, python: str | None, reason: str):
    if python:
        write_script(machine.bin / "python3", python)
    found = machine.run("demo.sh")
    assert found.returncode == 2
    *before, line = found.stderr.splitlines()
    assert line.startswith("error: ") and reason in line
    assert before in ([], ["Getting uv, which installs everything else"])


def test_failed_sync_is_reported_in_one_line(machine: Machine):
    write_script(machine.bin / "uv", '#!/bin/bash\nprintf "error: no route\\n  cause: 1\\n  cause: 2\\n" >&2\nexit 1\n')
    found = machine.run("demo.sh")
    assert found.returncode == 2
    _, line = found.stderr.splitlines()
    assert "uv.lock cannot be installed" in line and "no route" in line


def flags_of(commands: list[list[str]]) -> list[dict[str, str]]:
    """--name=value of each command that trains or reads."""
    return [dict(part.split("=", 1) for part in command if "=" in part) for command in commands if "-m" in command]


def test_cpu_script_trains_with_the_settings_of_the_demo(machine: Machine):
    shutil.copy(machine.uv, machine.bin / "uv")
    machine.run("cpu.sh", OUT="out")
    commands = flags_of(machine.commands())
    assert len(commands) >= 2
    for number, flags in zip((1, 2), commands):
        expected = settings(number, Path("out"), Path("data"))
        del expected["save_every"]  # only for resuming
        assert {name: flags[f"--{name}"] for name in expected} == {name: str(value) for name, value in expected.items()}


def test_read_script_installs_only_what_reading_needs(machine: Machine):
    """It removes nothing from a full environment, and `uv run` does not install the rest."""
    shutil.copy(machine.uv, machine.bin / "uv")
    found = machine.run("read.sh", "a page.png", "--format", "md")
    reads = ["run", "--no-sync", "nano-ocr", "read", "a page.png", "--format", "md"]
    assert machine.commands() == [[*SYNC, "--no-default-groups"], reads]
    assert "Installing what reading needs" in found.stderr and not found.stdout


def test_nothing_is_installed_or_printed_if_all_is_present(machine: Machine):
    write_script(machine.bin / "uv", UV.format(log=machine.log, missing=0))
    found = machine.run("read.sh", "a page.png")
    assert machine.commands() == [["run", "--no-sync", "nano-ocr", "read", "a page.png"]]
    assert not found.stderr


def test_nano_script_trains_both_stages_from_scratch(machine: Machine):
    shutil.copy(machine.uv, machine.bin / "uv")
    found = machine.run("nano.sh", OUT="out/a folder", STEPS1="70", LAST="30", STEPS2="50")
    assert found.returncode == 0, found.stderr
    steps = [command for command in machine.commands() if "-m" in command]
    for command in steps:
        check_command(["uv", *command])
    assert [command[command.index("-m") + 1] for command in steps] == [
        *("scripts.vis_tok_train", "scripts.export") * 4,
        "scripts.export",
        *("scripts.vis_tok_train", "scripts.export") * 2,
        *("scripts.vis_mid_train", "scripts.export", "dev.seeing_plots", "scripts.vision_eval", "scripts.vision_eval"),
    ]
    flags = flags_of(machine.commands())
    first, reads, leg1, after1, leg2, after2, leg3, after3, mean = flags[:9]
    frozen, after_frozen, thawed, _, second, stage2, _, score, pages_score = flags[9:]
    assert reads["--checkpoint"] == f"{first['--checkpoint_dir']}/step_70.pt"
    assert leg1["--deepencoder"] == leg1["--gpt"] == reads["--out"]
    assert leg2["--deepencoder"] == leg2["--gpt"] == after1["--out"]
    assert leg3["--deepencoder"] == leg3["--gpt"] == after2["--out"]
    assert len({leg["--seed"] for leg in (leg1, leg2, leg3)}) == 3
    assert after3["--checkpoint"] == f"{leg3['--checkpoint_dir']}/step_30.pt"
    assert {mean["--checkpoint"], mean["--average_with"]} == {after2["--out"], after3["--out"]}
    assert frozen["--deepencoder"] == frozen["--gpt"] == mean["--out"]
    assert (
        thawed["--deepencoder"] == thawed["--gpt"] == after_frozen["--out"]
        and pages_score["--model"] == "out/a folder/nano-pages"
    )
    assert second["--resume_from_deepencoder"] == f"{leg3['--checkpoint_dir']}/deepencoder_30.pt"
    assert len({one["--checkpoint_dir"] for one in (first, leg1, leg2, leg3, second)}) == 5
    assert stage2["--checkpoint"] == f"{second['--checkpoint_dir']}/step_50.pt" and score["--model"] == stage2["--out"]


@pytest.mark.parametrize("script", ["cpu.sh", "speedrun.sh"])
def test_training_scripts_use_existing_flags(machine: Machine, script: str):
    shutil.copy(machine.uv, machine.bin / "uv")
    (machine.repository / ".env").write_text("WANDB_API_KEY=secret\n")
    found = machine.run(script, RUN="first", DATA="data", OUT="out/a folder")
    assert found.returncode == 0, found.stderr
    trained = [command for command in machine.commands() if "-m" in command]
    assert [part for command in trained for part in command if part.startswith("scripts.")] == [
        "scripts.vis_tok_train",
        "scripts.vis_mid_train",
        "scripts.vision_sample",
    ]
    for command in trained:
        check_command(["uv", *command])
    # each step reads the output of the one before
    flags = [
        dict(part.split("=", 1) for part in command if part.startswith("--") and "=" in part) for command in trained
    ]
    first, second, sample = flags
    assert second["--resume_from_deepencoder"] == f"{first['--checkpoint_dir']}/deepencoder_{first['--steps']}.pt"
    assert sample["--checkpoint"] == f"{second['--checkpoint_dir']}/step_{second['--steps']}.pt"
    assert first["--checkpoint_dir"] != second["--checkpoint_dir"]
