#!/bin/bash
# From a fresh machine to the text of a picture or a PDF: install what reading needs, then `nano-ocr read` with the model
# of models/nano. Standard output has the text alone.
#   bash runs/read.sh data/images/receipt_000.png [more files and options of `nano-ocr read`]
set -euo pipefail
# shellcheck disable=SC2034 # setup.sh reads it
needs=reading
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run --no-sync nano-ocr read "$@"
