#!/bin/sh
# Memory that survives a reset in, a mounted folder for the agent's spool out. busybox will do, with
# util-linux' blkid and e2fsprogs.
#
#     pmem-spool.sh [DEVICE [FOLDER [OPTIONS]]]
#
#     DEVICE   /dev/pmem0: made by memmap=16M!ADDRESS, or by a device tree
#     FOLDER   /run/logmill-pmem: where it is mounted
#     OPTIONS  FOLDER.env: what is written for the agent's unit, SPOOL="--spool FOLDER ..."
#
# A device that holds nothing known gets a file system, with the label `logmill`. One that holds anything
# else, or is larger than 1 GiB, is left alone: it may be somebody's real non-volatile memory.
set -u
device=${1:-/dev/pmem0}
folder=${2:-/run/logmill-pmem}
options=${3:-$folder.env}

say() { echo "pmem-spool: $*" >&2; }
give_up() {
  say "$*"
  exit 1
}

rm -f "$options"
# Devices come when their modules have found them.
for module in nd_e820 of_pmem nd_pmem ext4; do modprobe -q $module 2>/dev/null; done
for _ in 1 2 3 4 5; do
  [ -b "$device" ] && break
  sleep 1
done
[ -b "$device" ] || give_up "Cannot spool to $device because it must be there: add memmap=16M!ADDRESS"

is_mounted() { grep -q "^[^ ]* $folder " /proc/mounts; }
mount_it() { mount -t ext4 -o noatime,nosuid,nodev,noexec "$device" "$folder" 2>/dev/null; }
make_it() {
  sectors=$(cat "/sys/class/block/${device##*/}/size")
  [ "$sectors" -le 2097152 ] ||
    give_up "Cannot use $device because it must have at most 1 GiB: it has $sectors sectors"
  # 1 MiB of journal: a reset may come within any write. Few files: the queue has some twenty.
  said=$(mkfs.ext4 -q -F -L logmill -b 1024 -J size=1 -N 256 -m 0 "$device" 2>&1) ||
    give_up "Cannot make a file system on $device: $said"
  say "$device has a new file system"
}
# Not from a cache, which remembers for a while what was there before.
known() { blkid -c /dev/null "$device" 2>/dev/null; }

mkdir -p "$folder" && chmod 700 "$folder"
if ! is_mounted; then
  case $(known) in
  *'LABEL="logmill"'*)
    # What a reset has torn the journal repairs; fsck what that can't.
    if ! mount_it; then
      e2fsck -p "$device" >/dev/null 2>&1
      if ! mount_it; then
        say "$device can't be repaired: what was in it is lost"
        make_it && mount_it
      fi
    fi
    ;;
  '')
    command -v blkid >/dev/null || give_up "Cannot look into $device because there must be blkid"
    make_it && mount_it
    ;;
  *) give_up "Cannot use $device because it must be empty, or this script's own: $(known)" ;;
  esac
  is_mounted || give_up "Cannot mount $device on $folder"
fi

# Some room is the file system's own, and a segment that is just being finished isn't counted.
kib=$(df -k "$folder" | awk 'NR == 2 { print $2 }')
bytes=$((kib * 1024 * 8 / 10))
[ "$bytes" -ge 1048576 ] || give_up "Cannot spool to $device because it must have 2 MiB: $kib KiB"
echo "SPOOL=\"--spool $folder --spool-eager --spool-bytes $bytes\"" >"$options"
