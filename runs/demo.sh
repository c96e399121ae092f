#!/bin/bash
# Install the packages and overfit nano on ten documents, in both stages of training.
#   bash runs/demo.sh [--out DIR] [--data-dir DIR]      # folders relative to the repository's root
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run nano-ocr demo "$@"
