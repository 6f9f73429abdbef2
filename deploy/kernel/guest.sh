#!/bin/busybox sh
# The emulated machine's only program. Each boot says on ttyS1 what it found, and then dies in its own
# way (see record.sh).
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t pstore pstore /sys/fs/pstore
exec </dev/console >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost -echo

say_file() { # NAME PATH
	echo "-----BEGIN $1"
	base64 "$2"
	echo "-----END"
}

say_ring() { # NAME
	timeout 1 cat /dev/kmsg >/ring 2>/dev/null
	say_file "$1" /ring
}

say_pstore() { # FOLDER
	for file in /sys/fs/pstore/*; do
		[ -f "$file" ] && say_file "$1/${file##*/}" "$file"
	done
}

write_lines() { # NAME FIRST LAST
	number=$2
	while [ "$number" -le "$3" ]; do
		echo "<14>$1: line $number" >/dev/kmsg
		number=$((number + 1))
	done
}

write_odd_lines() {
	printf '<12>app: caf\303\251 \001\377 b\\x\tq\n' >/dev/kmsg
	printf '<11>app: one record\nof two lines\n' >/dev/kmsg
	printf '<13>app: the same twice\n' >/dev/kmsg
	printf '<13>app: the same twice\n' >/dev/kmsg
}

# As record.sh lays ramoops out: three records of 0x20000 bytes, the console, pmsg.
dmesg_zone=0x7000000
pmsg_zone=0x7070000

flip() { # ADDRESS COUNT: a bit in each of so many bytes
	at=$(($1))
	while [ $at -lt $(($1 + $2)) ]; do
		busybox devmem $at 8 $(($(busybox devmem $at 8) ^ 4))
		at=$((at + 1))
	done
}

# RAM that the kernel was told to leave alone is 0 at power-on.
counter=0x70f0000
boot=$(($(busybox devmem $counter) + 1))
busybox devmem $counter 32 $boot
echo "boot $boot $(uname -r)"
echo "boot_id $boot $(cat /proc/sys/kernel/random/boot_id)"

case $boot in
1)
	write_lines app 1 100
	write_odd_lines
	printf '<6>app: written to pmsg\n<3>app: and an error\n' >/dev/pmsg0
	say_ring before_panic.kmsg
	write_lines app 101 120
	echo c >/proc/sysrq-trigger
	;;
2)
	say_ring after_panic.kmsg
	say_pstore panic
	rm /sys/fs/pstore/*
	number=0
	while :; do
		number=$((number + 1))
		echo "<14>app: line $number" >/dev/kmsg
		echo "app: pmsg line $number" >/dev/pmsg0
		# What is said here was written before: it has to be found after the reset.
		echo "wrote $number"
		[ $number = 200 ] && echo "reset me"
	done
	;;
3)
	say_ring after_reset.kmsg
	say_pstore reset
	rm /sys/fs/pstore/*
	write_lines app 1 20
	for number in $(seq 40); do
		echo "app: pmsg line $number" >/dev/pmsg0
	done
	# More than error correction can repair, as in memory that was without refresh for too long.
	flip $((pmsg_zone + 200)) 40
	echo c >/proc/sysrq-trigger
	;;
4)
	say_file damaged/pmsg-ramoops-0 /sys/fs/pstore/pmsg-ramoops-0
	# What it can repair.
	flip $((dmesg_zone + 100)) 3
	echo "reset me"
	sleep 60
	;;
5)
	say_file damaged/dmesg-ramoops-0 /sys/fs/pstore/dmesg-ramoops-0
	# A page of each of what the kernel reads at its start: descriptors, their infos, and text.
	base=$(sed 's/.*printk_persist=[^@]*@\([^ ]*\).*/\1/' /proc/cmdline)
	for page in 2 55 228; do
		dd if=/dev/urandom of=/dev/mem bs=4096 seek=$((base / 4096 + page)) count=1 conv=notrunc
	done
	echo "reset me"
	sleep 60
	;;
*)
	say_ring after_garbling.kmsg
	echo "done"
	sleep 60
	;;
esac
