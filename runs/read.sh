#!/bin/bash
# Read an image or a PDF on a fresh machine: install what reading needs, then run `nano-ocr read` with the model in
# models/nano. Only the text goes to standard output.
#   bash runs/read.sh data/images/receipt_000.png [more files and options of `nano-ocr read`]
set -euo pipefail
# shellcheck disable=SC2034 # setup.sh reads it
needs=reading
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec uv run --no-sync nano-ocr read "$@"
