#!/bin/bash
# Style, formatting and types: ruff and mypy over the whole repository.
#   bash runs/lint.sh
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
uv run ruff check .
uv run ruff format --check .
uv run mypy
