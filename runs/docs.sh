#!/bin/bash
# Build the documentation site from docs/ into site/; a broken link is an error. It fetches nothing once installed.
#   bash runs/docs.sh
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
NO_MKDOCS_2_WARNING=1 uv run --no-sync mkdocs build --strict --quiet
echo "site/index.html"
