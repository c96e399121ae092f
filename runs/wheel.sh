#!/bin/bash
# Check the wheel as a user gets it: build it, install it in an empty environment, read the sample from another folder.
#   bash runs/wheel.sh
set -euo pipefail
# shellcheck disable=SC2034 # setup.sh reads it
needs=reading
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
uv build --quiet --out-dir "$work/dist"
uv export --quiet --frozen --no-default-groups --no-emit-project --no-hashes --output-file "$work/pins.txt" > /dev/null
uv venv --quiet "$work/env"
uv pip install --quiet --python "$work/env" --constraints "$work/pins.txt" "$work"/dist/*.whl
picture="$PWD/data/images/receipt_000.png"
cd "$work"
text="$(env/bin/nano-ocr read "$picture")"
grep -q "^JUNIPER & RYE$" <<< "$text" || fail "the installed wheel reads the sample as: $text"
echo "wheel: $(($(wc -c < dist/*.whl) / 1000000)) MB, source: $(($(wc -c < dist/*.tar.gz) / 1000000)) MB," \
    "environment: $(du -sm env | cut -f1) MB; it reads the sample"
