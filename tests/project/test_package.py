"""The installed package: it reads by itself, has no user files, and has wheels for every supported platform."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pypdfium2
import pytest
from helpers.drawn_files import LOCKED
from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

import nanochat
from nanochat.errors import UserError, extra

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
PACKAGED = ("nanochat", "models", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", ".gitignore")
LARGEST = 30_000_000  # bytes of the wheel

Machine = tuple[str, str, str, list[str]]
MACHINES: dict[str, Machine] = {  # sys_platform, platform_system, platform_machine, the wheels' platforms
    "Linux x86-64": (
        "linux",
        "Linux",
        "x86_64",
        [*(f"manylinux_2_{n}_x86_64" for n in range(28, 4, -1)), "manylinux2014_x86_64"],
    ),
    "Linux arm64": (
        "linux",
        "Linux",
        "aarch64",
        [*(f"manylinux_2_{n}_aarch64" for n in range(28, 16, -1)), "manylinux2014_aarch64"],
    ),
    "macOS arm64": ("darwin", "Darwin", "arm64", list(mac_platforms((14, 0), "arm64"))),
    "Windows": ("win32", "Windows", "AMD64", ["win_amd64"]),
}
PYTHONS = ((3, 11), (3, 12), (3, 13))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of a checkout in which a user has worked."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in ("scans/letter.png", "report.pdf", "secret.txt", "out/a.txt", "models/mine/model.safetensors",
                 ".env", "data/mine.png", "scripts/own.py", "tests/own.py"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", "dist"], cwd=folder, check=True)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_wheel_is_one_package_with_the_weights(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    information = f"nano_deepseek_ocr-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {"nanochat", information}
    files = [path for name in ("nano", "lines") for path in (ROOT / "models" / name).glob("*")]
    reads = {str(path.relative_to(ROOT)) for path in files} - {"models/nano/deepencoder.safetensors"}
    assert {name for name in names if "/models/" in name} == {f"nanochat/{name}" for name in reads}
    assert {"LICENSE", "LICENSE.DejaVu", "LICENSE.words"} <= {
        name.split("/")[-1] for name in names if name.startswith(f"{information}/licenses/")
    }
    assert wheel.stat().st_size < LARGEST


def test_source_distribution_has_no_user_files(built: Path):
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names} == {*PACKAGED, "PKG-INFO"}
    assert {name.split("/")[1] for name in names if name.startswith("models/")} == {"nano", "lines"}
    assert "models/nano/deepencoder.safetensors" not in names


# Runs commands of the unpacked wheel without the packages of extras, and prints the result of each.
BASE_ALONE = """
import contextlib, io, json, sys
hidden, wheel, commands = json.loads(sys.argv[1])
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
sys.path.insert(0, wheel)
import nanochat
from nanochat.cli import main
assert nanochat.__file__.startswith(wheel), nanochat.__file__
found = []
for command in commands:
    sys.argv = ["nano-ocr", *command]
    code, said = 0, io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    found.append((code, said.getvalue()))
print(json.dumps(found))
"""
IMPORTED_AS = {"opencv-python-headless": "cv2", "pillow": "PIL", "pillow-heif": "pillow_heif",
               "prometheus-client": "prometheus_client", "huggingface-hub": "huggingface_hub",
               "python-multipart": "python_multipart"}  # fmt: skip
NEEDS_AN_EXTRA = {
    ("serve",): "nano-deepseek-ocr[serve]",
    ("batch", "scans", "--out", "read"): "nano-deepseek-ocr[archives]",
    ("score", "report.pdf"): "nano-deepseek-ocr[train]",
    ("demo",): "git clone --depth 1 https://github.com/nano-deepseek-ocr/nano-deepseek-ocr",
}


def modules(requirements: list[str]) -> set[str]:
    """The modules that requirements are imported as."""
    names = {re.split(r"[>\[]", requirement)[0] for requirement in requirements}
    return {IMPORTED_AS.get(name, name) for name in names}


def test_wheel_reads_without_extras_and_other_commands_name_them(wheel: Path, tmp_path: Path):
    """In a folder that has its own package `scripts`, as many projects do."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "project/scripts").mkdir(parents=True)
    (tmp_path / "project/scripts/__init__.py").touch()
    shutil.copy(LOCKED, tmp_path / "project/report.pdf")
    extras = [requirement for found in PROJECT["optional-dependencies"].values() for requirement in found]
    hidden = sorted(modules(extras) - modules(PROJECT["dependencies"]))
    assert {"fastapi", "faker", "ray", "matplotlib", "pyarrow"} <= set(hidden)
    read = ["read", str(ROOT / "data/images/receipt_000.png"), "--out", "read", "--format", "pdf", "--overlay"]
    given = json.dumps([hidden, str(tmp_path / "site"), [read, *map(list, NEEDS_AN_EXTRA)]])
    result = subprocess.run(
        [sys.executable, "-c", BASE_ALONE, given], cwd=tmp_path / "project", capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    (code, said), *others = json.loads(result.stdout.splitlines()[-1])
    assert code == 0, said
    (searchable,) = (tmp_path / "project/read").glob("*.pdf")
    assert "JUNIPER" in pypdfium2.PdfDocument(searchable)[0].get_textpage().get_text_bounded()
    for (code, said), named in zip(others, NEEDS_AN_EXTRA.values(), strict=True):
        assert code == 2 and said.startswith("error: ") and said.count("\n") == 1 and named in said, said


def test_missing_module_of_the_package_is_a_bug():
    with pytest.raises(ModuleNotFoundError), extra("train"):
        import nanochat.no_such_module  # noqa: F401
    with pytest.raises(UserError, match=r'no_such_package is not installed: .*"nano-deepseek-ocr\[train\]"'):
        with extra("train"):
            import no_such_package.part  # noqa: F401


def test_version_is_defined_once():
    assert nanochat.__version__ == PROJECT["version"]


def chosen(dependencies: list[dict], environment: dict[str, str]) -> list[dict]:
    """The packages of uv.lock that a machine needs for `dependencies`, including indirect ones."""
    seen: dict[tuple, dict] = {}
    waiting = list(dependencies)
    while waiting:
        wanted = waiting.pop()
        if "marker" in wanted and not Marker(wanted["marker"]).evaluate({**environment, "extra": ""}):
            continue
        for package in LOCK:
            if package["name"] != wanted["name"] or wanted.get("version", package["version"]) != package["version"]:
                continue
            parts = [("", package.get("dependencies", []))]
            parts += [(name, package["optional-dependencies"][name]) for name in wanted.get("extra", [])]
            for part, needs in parts:
                key = package["name"], package["version"], part
                if key not in seen:
                    seen[key] = package
                    waiting += needs
    return list({(name, version): package for (name, version, _), package in seen.items()}.values())


def fetched(machine: str, python: tuple[int, int], group: str = "") -> dict[str, int | None]:
    """Package of uv.lock that reading and `group` need -> bytes of its wheel for a machine; None if it has none."""
    system, platform, architecture, platforms = MACHINES[machine]
    version = ".".join(map(str, python))
    environment = {"python_version": version, "python_full_version": f"{version}.9", "sys_platform": system,
                   "platform_system": platform, "platform_machine": architecture, "implementation_name": "cpython",
                   "platform_python_implementation": "CPython"}  # fmt: skip
    (project,) = (package for package in LOCK if package["name"] == PROJECT["name"])
    packages = chosen(project["dependencies"] + project["dev-dependencies"].get(group, []), environment)
    tags = {*cpython_tags(python, platforms=platforms), *compatible_tags(python, platforms=platforms)}
    sizes = {}
    for package in packages:
        fit = [wheel["size"] for wheel in package.get("wheels", [])
               if tags & parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]]  # fmt: skip
        sizes[package["name"]] = min(fit) if fit else None
    return sizes


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_file_has_wheels_for_reading(machine: str, python: tuple[int, int]):
    sizes = fetched(machine, python)
    assert {"onnxruntime", "numpy"} <= set(sizes) and "torch" not in sizes
    assert [name for name, size in sizes.items() if size is None] == []


def test_supported_python_versions_are_tested():
    named = [f"{major}.{minor}" for major, minor in PYTHONS]
    promised = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if "Python ::" in text]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert promised == named and f"python: {json.dumps(named)}" in workflow
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_documented_download_size():
    """In GB, by the sizes in uv.lock: everything, and what reading needs."""
    script = (ROOT / "runs/setup.sh").read_text()
    ((linux, elsewhere),) = re.findall(r"([\d.]+) GB on Linux, where torch brings CUDA, ([\d.]+) GB", script)
    (reading,) = re.findall(r'"what reading needs" size="([\d.]+) GB"', script)
    told = {("dev", "Linux x86-64"): (linux, 0.15), ("dev", "Windows"): (elsewhere, 0.15)}
    told |= {("", machine): (reading, 0.06) for machine in MACHINES}
    for (group, machine), (gigabytes, margin) in told.items():
        size = sum(size or 0 for size in fetched(machine, (3, 12), group).values())
        assert size / 1e9 == pytest.approx(float(gigabytes), abs=margin), (group, machine)


def test_make_lists_its_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    listed = re.findall(r"^([a-z]+):.* ## .+$", text, re.MULTILINE)
    assert sorted(listed) == sorted(targets.split()) and {"setup", "read", "test", "lint", "docs", "bench"} <= {*listed}
    assert listed[0] == "help", "plain `make` lists them"
    assert all((ROOT / script).is_file() for script in re.findall(r"runs/\w+\.sh", text))
