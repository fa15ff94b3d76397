#!/bin/sh
# run.sh TARGET RUNS SECONDS: fuzzes one target from its corpus, seeds and cases.
# RUNS -1 or SECONDS 0 set no bound of that kind.
set -eu
target=$1
mkdir -p "corpus/$target" "artifacts/$target"
set -- "corpus/$target" -artifact_prefix="artifacts/$target/" -runs="$2" -max_total_time="$3"
for kept in "seeds/$target" "cases/$target"; do
    [ ! -d "$kept" ] || { folder=$1; shift; set -- "$folder" "$kept" "$@"; }
done
host=$(rustc -vV | sed -n 's/^host: //p')
# An input may start the whole sandbox: half a minute is no hang on a busy machine.
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" "$@" -max_len=4096 -timeout=30 -rss_limit_mb=2048 \
    -print_final_stats=1
