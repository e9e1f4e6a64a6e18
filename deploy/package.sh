#!/usr/bin/env bash
# Builds the function for one architecture and lays out what `sam deploy` takes: a directory with the template and one file
# `bootstrap`, and the zip of that file. Called by `make package`.
# usage: package.sh arm64|x86_64 OUTPUT_DIRECTORY    (with cargo-zigbuild and zig on the PATH)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
arch=$1 out=$2
target_dir=${CARGO_TARGET_DIR:-$root/target}
# Amazon Linux 2023, on which provided.al2023 runs.
glibc=2.34
# The same link as `make build`: one unit, fixed addresses.
link=(-C lto=fat -C relocation-model=static)

case $arch in
arm64) cpu=aarch64 ;;
x86_64) cpu=x86_64 ;;
*) echo "package.sh: $arch: allowed are arm64 and x86_64" >&2; exit 64 ;;
esac

# The newest symbol of glibc that a file asks for.
newest_glibc() { objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -1; }
runs_on_al2023() { [ "$(printf '%s\n%s\n' "$(newest_glibc "$1")" "$glibc" | sort -V | tail -1)" = "$glibc" ]; }
has_target() { [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]; }

built=
if [ "$(uname -m)" = "$cpu" ] && command -v objdump >/dev/null; then
	# Everything but the link is there already after `make build`. A machine whose glibc is newer may need symbols that
	# Amazon Linux has not: then, as for the other architecture, zig links against the right version.
	(cd "$root" && cargo rustc --quiet --release --package lambda --bin bootstrap -- "${link[@]}")
	if runs_on_al2023 "$target_dir/release/bootstrap"; then
		built=$target_dir/release/bootstrap
	else
		echo "$arch: this machine's glibc is newer than Amazon Linux 2023's; building against $glibc" >&2
	fi
fi
if [ -z "$built" ]; then
	triple=$cpu-unknown-linux-gnu suffix=.$glibc
	if ! has_target "$triple"; then
		if has_target "$cpu-unknown-linux-musl"; then
			triple=$cpu-unknown-linux-musl suffix=
		elif command -v rustup >/dev/null && rustup target add "$triple" >/dev/null 2>&1; then
			:
		else
			echo "package.sh: $arch: the toolchain has no standard library for $triple: run 'rustup target add $triple'" >&2
			exit 69
		fi
	fi
	(cd "$root" && cargo-zigbuild rustc --release --package lambda --bin bootstrap --target "$triple$suffix" -- "${link[@]}")
	built=$target_dir/$triple/release/bootstrap
fi

rm -rf "${out:?}/$arch"
mkdir -p "$out/$arch"
install -m 0755 "$built" "$out/$arch/bootstrap"
cp "$root/template.yaml" "$out/$arch/template.yaml"
# The same input gives the same zip: no times, no owner. CloudFormation then sees no change where there is none.
python3 - "$out/$arch/bootstrap" "$out/spotward-$arch.zip" <<'PYTHON'
import pathlib, sys, zipfile
binary, archive = map(pathlib.Path, sys.argv[1:])
entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
entry.external_attr = 0o100755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
with zipfile.ZipFile(archive, "w", compresslevel=9) as package:
    package.writestr(entry, binary.read_bytes())
print(f"{archive}: {binary.stat().st_size} bytes, packed {archive.stat().st_size}")
PYTHON
