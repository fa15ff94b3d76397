#!/bin/sh
# Cargo's rustc wrapper for the fuzz targets: coverage is recorded in our own
# code and in the parsers that hostile bytes reach. The rest, most of all the
# compiler of WebAssembly, would drown it and double the time of a build.
rustc=$1
shift
previous=
for argument; do
    if [ "$previous" = --crate-name ]; then
        case $argument in
        ow_* | serde_json | http | url | idna | percent_encoding | form_urlencoded | base64 | wasmparser | \
            rustls_pki_types)
            exec "$rustc" "$@" ;;
        esac
        [ -f "fuzz_targets/$argument.rs" ] && exec "$rustc" "$@"
    fi
    previous=$argument
done
count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    case $argument in
    -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
    *) set -- "$@" "$argument" ;;
    esac
    count=$((count - 1))
done
exec "$rustc" "$@"
