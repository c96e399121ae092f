#!/bin/bash
# From a fresh machine to a tested repository: set-up, then the whole suite, or what pytest is told.
#   bash runs/test.sh [tests/test_gpt.py -k cache ...]
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run pytest "$@"
