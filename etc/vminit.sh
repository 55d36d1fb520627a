#!/bin/busybox sh
# The first process of the machine that etc/vm.sh makes: mounts the other machine's files below a layer of memory, and what a
# Linux system has beside files, runs /job there and tells its exit code.
b=/bin/busybox
export PATH=/bin
$b --install -s /bin
mkdir -p /proc /sys /dev /host /layer /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
	insmod "/modules/$module.ko" || echo "vm: cannot load $module"
done </modules/order
finish() {
	for port in /sys/class/virtio-ports/*; do
		[ "$(cat "$port/name")" != end ] || echo "$1" >"/dev/${port##*/}"
	done
	sync
	poweroff -f
}
fail() {
	echo "vm: $*" >/dev/hvc0
	finish 125
}
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host || fail "cannot mount the other machine's files"
mount -t tmpfs -o size=75% layer /layer
mkdir /layer/up /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/up,workdir=/layer/work all /root || fail "cannot lay memory over the other machine's files"
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm /root/run
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t tmpfs run /root/run
mount -t cgroup2 -o nsdelegate cgroup2 /root/sys/fs/cgroup || fail "this kernel has no control groups of version 2"
ip link set lo up
hostname vm
cp /job /root/run/job
# Its own session, so that what is left of it is not ours; all it says goes to the other machine's terminal.
chroot /root /bin/sh /run/job </dev/null >/dev/hvc0 2>&1
finish $?
