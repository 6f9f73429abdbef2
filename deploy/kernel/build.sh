#!/bin/bash
# build.sh [FOLDER]: Debian's linux-source-6.12 with printk-persist.patch, built with tiny.config into
# FOLDER/bzImage: the kernel of record.sh. Takes 10 minutes and 2 GB. As root it installs what it needs.
set -euo pipefail
version=6.12
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-build}")
mkdir -p "$out"
cd "$out"

if [ "$(id -u)" = 0 ]; then
	apt-get install -y -qq --no-install-recommends gcc make libc6-dev flex bison bc libelf-dev xz-utils patch
fi
if [ ! -d "linux-source-$version" ]; then
	apt-get download -qq "linux-source-$version"
	dpkg-deb --fsys-tarfile linux-source-"$version"_*.deb |
		tar -xO "./usr/src/linux-source-$version.tar.xz" | tar -xJ
	patch -d "linux-source-$version" -p1 <"$here/printk-persist.patch"
fi
cd "linux-source-$version"

make -s tinyconfig
scripts/kconfig/merge_config.sh -m .config "$here/tiny.config" >/dev/null
make -s olddefconfig
# What depends on something that is off is left out without a word.
for option in $(grep -o '^CONFIG_[A-Z0-9_]*=y' "$here/tiny.config"); do
	grep -qx "$option" .config || { echo "Cannot build: this kernel has no $option" >&2; exit 1; }
done
# The kernel's first line, and with it recordings, shouldn't say who built it where.
export KBUILD_BUILD_USER=logmill KBUILD_BUILD_HOST=localhost
nice -n 19 make -s -j"$(nproc)" bzImage
cp arch/x86/boot/bzImage "$out/bzImage"
make -s kernelversion
