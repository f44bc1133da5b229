#!/usr/bin/env bash
# What to run first on a machine with one NVIDIA GPU, in about 25 minutes:
#
#     tests/gpu/first-run.sh [STAGE]...
#
# The stages are 1 to 5; without arguments, all of them run. The output of each stage goes to $OUT/stage-N.txt, where OUT is
# results/gpu/DATE by default. A stage that fails does not stop the others. Exit code: 0 if all stages passed, 1 if one failed, 5 if
# there is no GPU, 2 if a stage does not exist.
set -uo pipefail
cd "$(dirname "$0")/../.."

BACKENDS=${BACKENDS:-"pytorch jax keras-on-jax keras-on-torch"}
PYTHON=${PYTHON:-python}
OUT=${OUT:-results/gpu/$(date +%Y-%m-%d)}
export SAMEBENCH_CACHE_DIR="${SAMEBENCH_CACHE_DIR:-$(mktemp -d)}"
samebench() { "$PYTHON" -m harness "$@"; }

available() {
    samebench list backends --json |
        "$PYTHON" -c 'import json, sys; print(*[b["name"] for b in json.load(sys.stdin)["backends"] if b["status"] == "available"])'
}

usable() { # the chosen backends that are installed here
    local installed
    installed=" $(available) "
    for backend in $BACKENDS; do [[ $installed == *" $backend "* ]] && echo "$backend"; done
}

stage1() { # the machine, and whether each precision is really used (1 min)
    nvidia-smi --query-gpu=name,uuid,driver_version,memory.total,clocks.max.sm,power.limit --format=csv
    samebench doctor || return 1
    local failed=0
    for backend in $(usable); do
        "$PYTHON" -m pytest -q tests/gpu tests/backends --backend "$backend" -k "gpu or products or device or nothing_pending" || failed=1
    done
    return $failed
}

stage2() { # every rule, on every backend (8 min)
    local failed=0 process processes=()
    for backend in $(usable); do
        samebench check "$backend" --device gpu >"$OUT/check-$backend.txt" 2>&1 &
        processes+=("$!")
    done
    for process in "${processes[@]}"; do wait "$process" || failed=1; done
    tail -n 3 "$OUT"/check-*.txt
    samebench check pytorch --device gpu --mode compiled >"$OUT/check-pytorch-compiled.txt" 2>&1 || failed=1
    tail -n 3 "$OUT/check-pytorch-compiled.txt"
    return $failed
}

stage3() { # trainings with certificates on the GPU (5 min)
    local failed=0 options=()
    for backend in $(usable); do options+=(--backend "$backend"); done
    samebench run "${options[@]}" --device gpu --task scratch-cnn --seeds 3 --out "$OUT/digits" || failed=1
    samebench run "${options[@]}" --device gpu --task scratch-cnn --model cifar-resnet --dataset synthetic:32x32x3 --out "$OUT/cifar-resnet" || failed=1
    samebench run "${options[@]}" --device gpu --task scratch-cnn --model mobilenet-v2 --dataset synthetic:64x64x3 --out "$OUT/mobilenet-v2" || failed=1
    return $failed
}

stage4() { # the speed of each backend beside programs written by hand (5 min)
    local options=()
    for backend in $(usable); do options+=(--backend "$backend"); done
    samebench bench-overhead "${options[@]}" --task two-block-cnn --task cifar-resnet --format json -o "$OUT/overhead.json"
    local code=$?
    samebench bench-overhead "${options[@]}" --task two-block-cnn --pairs 6
    return $code
}

stage5() { # TF32, bfloat16, the CPU of this machine, and a GPU without enough memory (4 min)
    local failed=0 options=()
    for backend in $(usable); do options+=(--backend "$backend"); done
    for precision in tf32 bfloat16; do
        samebench run "${options[@]}" --device gpu --precision "$precision" --task scratch-cnn --out "$OUT/$precision" || failed=1
    done
    samebench run "${options[@]}" --device cpu --task scratch-cnn --out "$OUT/cpu" || failed=1
    samebench run --backend pytorch --device gpu --no-parity --task scratch-cnn --model vgg16 --dataset synthetic:224x224x3 \
        --set scratch-cnn.batch_size=4096 --set scratch-cnn.train_limit=4096 --out "$OUT/out-of-memory"
    samebench report "$OUT/out-of-memory" --format json | grep -q '"status": "oom"' || failed=1
    return $failed
}

stages=("${@:-1 2 3 4 5}")
for stage in ${stages[*]}; do
    [[ $stage =~ ^[1-5]$ ]] || { echo "there is no stage $stage; the stages are 1 to 5" >&2; exit 2; }
done
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "there is no NVIDIA GPU here: nvidia-smi finds none" >&2
    exit 5
fi

mkdir -p "$OUT"
failed=()
for stage in ${stages[*]}; do
    echo "== stage $stage, $(date +%H:%M:%S)"
    "stage$stage" 2>&1 | tee "$OUT/stage-$stage.txt"
    [[ ${PIPESTATUS[0]} == 0 ]] || failed+=("$stage")
done
if ((${#failed[@]})); then
    echo "failed: stage ${failed[*]}; the output is in $OUT" >&2
    exit 1
fi
echo "all stages passed; the output is in $OUT"
