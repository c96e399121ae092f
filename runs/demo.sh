#!/bin/bash
# From a fresh machine to a model that reads ten documents: set-up, then both stages of training with the nano size.
#   bash runs/demo.sh [--out DIR] [--data-dir DIR]      # folders from the repository's root
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run nano-ocr demo "$@"
