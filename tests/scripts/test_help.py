"""Every script answers --help with its purpose and its usage, and does nothing else."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("scripts", "dev") for path in sorted((ROOT / folder).rglob("*.py"))]
SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in FILES
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_of_a_script(script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", [f"/somewhere/{script}.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    output = capsys.readouterr()
    assert not stop.value.code and not output.err
    usage, _, rest = output.out.partition("\n")
    assert usage.startswith(f"usage: python -m {script} [-h]") and rest.split()


def test_all_scripts_are_tested() -> None:
    assert {"scripts.vis_tok_train", "dev.bench", "dev.invisible_font"} <= set(SCRIPTS)
