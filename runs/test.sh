#!/bin/bash
# Test the repository on a fresh machine: install everything, then run the whole suite, or pytest with these arguments.
#   bash runs/test.sh [tests/model/test_gpt.py -k cache ...]
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run --no-sync pytest "$@"
