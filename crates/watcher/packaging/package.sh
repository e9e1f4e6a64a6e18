#!/usr/bin/env bash
# Builds the watcher for both architectures and lays out what an owner uploads and pastes. Called by `make watcher-package`.
# usage: package.sh OUTPUT_DIRECTORY    (with cargo-zigbuild and zig on the PATH)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$1
target_dir=${CARGO_TARGET_DIR:-$root/target}
version=$(cargo metadata --no-deps --format-version 1 --manifest-path "$root/Cargo.toml" |
	python3 -c 'import json,sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"]=="watcher"))')

has_target() { [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]; }

mkdir -p "$out"
declare -A sums=([x86_64]=none [aarch64]=none)
for arch in x86_64 aarch64; do
	# Static musl runs everywhere. Without its target a dynamic file for glibc 2.17 and later runs nearly everywhere.
	if has_target "$arch-unknown-linux-musl"; then
		triple=$arch-unknown-linux-musl suffix=
	elif has_target "$arch-unknown-linux-gnu"; then
		triple=$arch-unknown-linux-gnu suffix=.2.17
	else
		echo "$arch: this toolchain has neither $arch-unknown-linux-musl nor $arch-unknown-linux-gnu; left out" >&2
		continue
	fi
	cargo zigbuild --quiet --manifest-path "$root/Cargo.toml" --profile watcher --package watcher --target "$triple$suffix"
	tree=$(mktemp -d)
	install -D -m 0755 "$target_dir/$triple/watcher/spotward-watcher" "$tree/usr/local/bin/spotward-watcher"
	for unit in spotward-watcher.service spot-interruption.path spot-interruption.target; do
		install -D -m 0644 "$here/systemd/$unit" "$tree/etc/systemd/system/$unit"
	done
	file=spotward-watcher-$version-$arch.tar.gz
	# The same input gives the same file: sorted, no owner, no times.
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u+rwX,go+rX,go-w -C "$tree" -cf - \
		usr/local/bin/spotward-watcher etc/systemd/system/{spotward-watcher.service,spot-interruption.path,spot-interruption.target} |
		gzip -n -9 >"$out/$file"
	rm -r "$tree"
	sums[$arch]=$(sha256sum "$out/$file" | cut -d' ' -f1)
	echo "$file: $triple$suffix, $(stat -c %s "$target_dir/$triple/watcher/spotward-watcher") bytes, packed $(stat -c %s "$out/$file")"
done
(cd "$out" && sha256sum spotward-watcher-"$version"-*.tar.gz >SHA256SUMS)
# What is left to fill in belongs to the owner: topic, bucket, region and the suffix of its partition.
sed -e "s/@VERSION@/$version/g" -e "s/@SHA256_X86_64@/${sums[x86_64]}/" -e "s/@SHA256_AARCH64@/${sums[aarch64]}/" \
	"$here/user-data.sh" >"$out/user-data.sh"
cp "$here/iam-policy.json" "$out/"
echo "in $out: archives for your bucket, user-data.sh and iam-policy.json to fill in"
