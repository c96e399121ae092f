#!/bin/bash
# From a fresh machine to the text of a picture or a PDF: set-up, then `nano-ocr read` with the model of models/nano.
#   bash runs/read.sh data/images/receipt_000.png [more files and options of `nano-ocr read`]
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run nano-ocr read "$@"
