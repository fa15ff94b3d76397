# Runs the payments-directory connector on the files of demo/payments, twice,
# and shows the rows. The second run finds nothing new.
set -eu

folder=$(dirname "$0")
rm -rf "$OUT"
mkdir -p "$OUT"
cp -R "$folder/payments" "$folder/payments.json" "$OUT/"

run() {
    echo "\$ ow-host run payments_directory.wasm --config payments.json"
    "$OW_HOST" run "$WASM/payments_directory.wasm" --config "$OUT/payments.json"
    echo
}

run
run
echo "The rows:"
"$ROWS" "$OUT/payments.db" \
    'SELECT reference, created_at, amount, asset, type, status, file FROM payments ORDER BY reference'
echo
echo "The history of runs:"
"$ROWS" "$OUT/payments.db" \
    'SELECT run_id, run_type, status, rows, commits FROM _ow_runs ORDER BY started_at'
