# Sourced by the other scripts: change to the repository, find or install uv, and install the packages of uv.lock to .venv.
#
# Needs Python 3 and network access. If uv is missing, pip installs it for the user; if pip refuses (a Python managed by
# the system) or is missing too, uv is installed to .uv/ in the repository.
# With `needs=reading` set, only the packages for reading are installed, otherwise all. Packages are never removed.
# Messages go to standard error.
# shellcheck shell=bash

fail() {
    echo "error: $*" >&2
    exit 2
}

# Find uv, and put its folder on PATH.
find_uv() {
    local folder
    if command -v uv > /dev/null; then return 0; fi
    for folder in "$PWD/.uv/bin" "${HOME:-}/.local/bin" "$(python3 -m site --user-base 2> /dev/null)/bin"; do
        if [ -x "$folder/uv" ]; then
            PATH="$folder:$PATH"
            return 0
        fi
    done
    return 1
}

# Three ways to get uv, each for those who cannot go the one before.
install_for_user() {
    python3 -m pip install --user --retries 2 uv
}

install_in_environment() {
    python3 -m venv .uv && .uv/bin/python -m pip install --retries 2 uv
}

install_in_folder() {
    local pip=(-m pip)
    if ! python3 -m pip --version; then # as in Debian: run one from PyPI, straight from its file
        python3 -c '
import hashlib, json, urllib.parse, urllib.request
index = "https://pypi.org/pypi/pip/json"
with urllib.request.urlopen(index, timeout=60) as answer:
    wheel = next(file for file in json.load(answer)["urls"] if file["filename"].endswith(".whl"))
with urllib.request.urlopen(urllib.parse.urljoin(index, wheel["url"]), timeout=60) as answer:
    content = answer.read()
if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
    raise SystemExit("the download of pip is damaged")
with open(".uv/pip.whl", "wb") as file:
    file.write(content)' || return 1
        pip=(.uv/pip.whl/pip)
    fi
    python3 "${pip[@]}" install --retries 2 --upgrade --target .uv uv
}

get_uv() {
    local way
    command -v python3 > /dev/null || fail "Python 3 is missing: install it (Debian: apt-get install python3)"
    echo "Getting uv, which installs everything else" >&2
    for way in install_for_user install_in_environment install_in_folder; do
        if "$way" >> .uv/install.log 2>&1 && find_uv; then return 0; fi
    done
    fail "uv cannot be installed: is the network there? $(tail -n 1 .uv/install.log) (.uv/install.log)"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
unset VIRTUAL_ENV # uv would warn that it takes the repository's own
mkdir -p .uv
find_uv || get_uv
sync=(sync --quiet --inexact)
parts="all packages (reading, training, serving, tests)" size="3.5 GB on Linux, where torch brings CUDA, 0.5 GB elsewhere"
if [ "${needs:-}" = reading ]; then
    sync+=(--no-default-groups)
    parts="what reading needs" size="0.1 GB"
fi
if ! uv "${sync[@]}" --check > .uv/sync.log 2>&1; then
    echo "Installing $parts into .venv; to download, unless uv has them: $size" >&2
    uv "${sync[@]}" 2> .uv/sync.log ||
        fail "the packages of uv.lock cannot be installed: is the network there? $(head -n 1 .uv/sync.log) (.uv/sync.log)"
fi
