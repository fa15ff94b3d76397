# Fails when a file of the contract changed and its version did not.
#
# wit/contract.lock holds the version and the SHA-256 of the WIT files of each
# published state. To change the contract: raise the version in wit/types.wit,
# then run `sh wit/check-version.sh --update`.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^package ow:connector@\(.*\);$/\1/p' types.wit)
digest=$(cat types.wit storage.wit state.wit report.wit connector.wit world.wit | sha256sum | cut -d' ' -f1)

if [ "${1:-}" = --update ]; then
    if grep -q "^$version " contract.lock 2>/dev/null; then
        echo "error: version $version is locked already; raise the version in wit/types.wit" >&2
        exit 1
    fi
    echo "$version $digest" >>contract.lock
    exit 0
fi

locked=$(sed -n "s/^$version //p" contract.lock)
if [ -z "$locked" ]; then
    echo "error: version $version of the contract is not locked; run 'sh wit/check-version.sh --update'" >&2
    exit 1
fi
if [ "$locked" != "$digest" ]; then
    echo "error: the WIT files changed, but their version is still $version" >&2
    echo "hint: raise the version in wit/types.wit, then run 'sh wit/check-version.sh --update'" >&2
    exit 1
fi
echo "the contract $version is as it was locked"
