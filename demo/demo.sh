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
}

run
echo
run
echo
echo "\$ ow-host state show --config payments.json"
"$OW_HOST" state show --config "$OUT/payments.json"
echo
if command -v sqlite3 >/dev/null; then
    echo "\$ sqlite3 payments.db 'SELECT * FROM payments'"
    sqlite3 -header -column "$OUT/payments.db" \
        'SELECT reference, created_at, amount, asset, type, status, file FROM payments ORDER BY reference'
elif command -v python3 >/dev/null; then
    echo "\$ python3: SELECT * FROM payments"
    python3 - "$OUT/payments.db" <<'PYTHON'
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute(
    "SELECT reference, created_at, amount, asset, type, status, file FROM payments ORDER BY reference")
print("  ".join(column[0] for column in rows.description))
for row in rows:
    print("  ".join(str(value) for value in row))
PYTHON
else
    echo "the rows are in $OUT/payments.db, table payments; open it with any SQLite program"
fi
