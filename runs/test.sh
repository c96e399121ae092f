#!/bin/bash
# From a fresh machine to a tested repository: install everything, then the whole suite, or what pytest is told.
#   bash runs/test.sh [tests/model/test_gpt.py -k cache ...]
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run --no-sync pytest "$@"
