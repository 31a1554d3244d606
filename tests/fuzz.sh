#!/bin/sh
# Runs the fuzz targets, guided by coverage: `tests/fuzz.sh SECONDS [TARGET …]`, all of them if none is named, each for
# its part of the time. It needs only the stable toolchain and a C++ compiler (for libFuzzer itself).
#
# A run begins with the corpus of the repository. KEEP=1 adds to it what was learnt, minimised. An input that did harm
# is printed as a line of hex: add it to tests/fuzz/harm/TARGET.hex and mend the fault; `cargo test -p chorus-fuzz`
# then tries it for ever.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift

target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --locked -p chorus-fuzz --bin corpus
# With a target named, the flags are for what is tried, and not for build scripts and macros: these are shared.
RUSTFLAGS="$flags" CXXFLAGS="-O1" cargo build --quiet --locked -p chorus-fuzz --features engine --bin fuzz --target "$host"
fuzz=$target/$host/debug/fuzz
corpus=$target/debug/corpus

out=$target/fuzz
work=$out/inputs
rm -rf "$work" "$out/harm"
mkdir -p "$work" "$out/harm"
"$corpus" unpack "$work"
"$corpus" list >"$out/targets"
[ $# -gt 0 ] || set -- $(cut -d' ' -f1 "$out/targets")
each=$((seconds / $#))
[ "$each" -gt 0 ] || each=1

failed=0
for target in "$@"; do
    most=$(sed -n "s/^$target //p" "$out/targets")
    if CHORUS_FUZZ=$target nice "$fuzz" "$work/$target" -max_total_time="$each" -max_len="$most" -timeout=20 \
        -rss_limit_mb=2048 -artifact_prefix="$out/harm/$target-" -print_final_stats=1 >"$out/$target.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
        places=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$out/$target.log" | tail -1)
        echo "$target: $runs inputs, $places places"
    else
        failed=1
        echo "$target: harm done; see $out/$target.log"
        grep -vE '^#|^INFO|^	NEW' "$out/$target.log" | tail -40
        for file in "$out/harm/$target-"*; do
            [ -e "$file" ] && od -An -v -tx1 "$file" | tr -d ' \n' && echo
        done
    fi
    if [ -n "${KEEP:-}" ]; then
        mkdir -p "$work/.least"
        CHORUS_FUZZ=$target "$fuzz" -merge=1 -max_len="$most" "$work/.least" "$work/$target" >>"$out/$target.log" 2>&1
        rm -rf "${work:?}/$target"
        mv "$work/.least" "$work/$target"
    fi
done
[ -z "${KEEP:-}" ] || "$corpus" pack "$work"
exit $failed
