#!/usr/bin/env bash
# Copy the live page's npm packages into flq/master/live/static/vendor/: the versions of package.json, with the checksums
# of package-lock.json. docs/page.md says when to run this.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
target="${1:-$here/../../flq/master/live/static/vendor}"

case "$target" in
    -h | --help)
        echo "scripts/page/vendor.sh [FOLDER]     (default: flq/master/live/static/vendor)"
        exit 0
        ;;
esac

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work"
(cd "$work" && npm ci --omit=dev >/dev/null)
mkdir -p "$target"
cp "$work/node_modules/uplot/dist/uPlot.iife.min.js" "$work/node_modules/uplot/dist/uPlot.min.css" "$target"
cp "$work/node_modules/uplot/LICENSE" "$target/uPlot.LICENSE"
(cd "$target" && LC_ALL=C sha256sum -- uPlot* >SHA256SUMS)
