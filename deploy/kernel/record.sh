#!/bin/bash
# record.sh KERNEL [FOLDER]: boots a kernel that build.sh made in an emulated PC, lets it die, and
# writes what the next boots found into FOLDER: the tests' recordings. Needs qemu-system-x86,
# busybox-static and cpio. Takes two minutes.
#
# | boot | dies by | found by the next |
# |------|---------|-------------------|
# | 1 | a panic | after_panic.kmsg, panic/ |
# | 2 | the reset button, while it writes lines | after_reset.kmsg, reset/ |
# | 3 | a panic, with many bits flipped in pmsg's zone | damaged/pmsg-ramoops-0 |
# | 4 | the reset button, with few bits flipped in the panic's record | damaged/dmesg-ramoops-0 |
# | 5 | the reset button, with pages of the ring overwritten | after_garbling.kmsg |
set -euo pipefail
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool >/dev/null || { echo "Cannot record because there must be a $tool" >&2; exit 1; }
done
kernel=$(realpath "${1:?a kernel, as build.sh makes it}")
out=$(realpath -m "${2:-recorded}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
rm -f "$out/guest.log"
mkdir -p "$out" "$work/root/bin" "$work/root/dev"
cd "$work"

cp /bin/busybox root/bin/
install -m 755 "$here/guest.sh" root/init
mknod root/dev/console c 5 1
(cd root && find . | cpio -o -H newc --quiet) | gzip >initrd.gz

# Both regions are inside of -m: outside of it there is nothing to keep anything.
cmdline='console=ttyS0 earlyprintk=ttyS0,115200 nokaslr panic=1 printk.devkmsg=on'
cmdline+=' printk_persist=2M@0x6000000'
cmdline+=' memmap=1M$0x7000000 ramoops.mem_address=0x7000000 ramoops.mem_size=0x80000'
cmdline+=' ramoops.record_size=0x20000 ramoops.console_size=0x10000 ramoops.pmsg_size=0x10000'
cmdline+=' ramoops.ftrace_size=0 ramoops.ecc=1'

mkfifo monitor.in monitor.out
cat monitor.out >/dev/null &
timeout 300 qemu-system-x86_64 -accel tcg -cpu max -M pc -m 128 -nodefaults -no-user-config \
	-display none -kernel "$kernel" -initrd initrd.gz -append "$cmdline" \
	-serial "file:$out/console.log" -serial "file:$out/guest.log" \
	-chardev pipe,id=monitor,path=monitor -mon chardev=monitor,mode=readline &
qemu=$!
exec 3>monitor.in
resets=0
while kill -0 $qemu 2>/dev/null; do
	sleep 0.1
	wanted=$(grep -cs '^reset me' "$out/guest.log" || true)
	if [ "${wanted:-0}" -gt $resets ]; then
		resets=$wanted
		echo system_reset >&3
	fi
	if grep -qs '^done' "$out/guest.log"; then
		echo quit >&3
		break
	fi
done
wait $qemu || true

# -----BEGIN NAME, base64, -----END
awk -v out="$out" '
	/^-----BEGIN / { name = out "/" $2; folder = name; sub("/[^/]*$", "", folder)
		system("mkdir -p " folder); decode = "base64 -d >" name; next }
	/^-----END/ { close(decode); decode = ""; next }
	decode { print | decode }
	!decode { print }' <(tr -d '\r' <"$out/guest.log") >"$out/said.txt"
grep -q '^done' "$out/said.txt" || { echo "the guest didn't come to its end: see $out" >&2; exit 1; }

wrote=$(sed -n 's/^wrote //p' "$out/said.txt" | tail -1)
found=$(sed -n 's/.*;app: line \([0-9]*\)$/\1/p' "$out/after_reset.kmsg" | tail -1)
echo "written before the reset: line $wrote. The last one in the ring after it: line $found"
grep -h 'records of earlier boots' "$out/console.log"
echo "marked as lost after the ring was damaged: $(grep -c 'a record is lost' "$out/after_garbling.kmsg")"
