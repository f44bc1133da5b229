#!/usr/bin/env bash
# Makes the weights in bundled/, on the reference: harness/weights/make_bundled.sh. Then copy their hashes into bundled.py.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
run="$(mktemp -d)"
for pair in two-block-cnn-digits=digits two-block-cnn-digits04=digits:0-4; do
    name="${pair%%=*}" data="${pair#*=}"
    samebench run --task scratch-cnn --backend numpy --precision float64 --no-parity --dataset "$data" --out "$run/$name"
    cp "$run/$name"/cells/*/artifacts/weights.safetensors "$here/bundled/$name.safetensors"
done
sha256sum "$here"/bundled/*.safetensors
