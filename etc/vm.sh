#!/bin/sh
# Runs a command on a machine of its own: Debian's kernel under qemu, with control groups of version 2 that have all their
# controllers, which a container or an older machine does not have. Its files are this machine's, read through 9p and never
# written: what the command writes is kept in the machine's memory and gone with it. The command runs as root, in the directory
# this script is called from, with this PATH; its exit code is this script's.
#
#     sh etc/vm.sh COMMAND ARG...      (etc/vmtest.sh is what `make vm` runs there)
#
# VM_MEMORY (default 4G), VM_CPUS (default: this machine's), VM_KERNEL_PACKAGE (default: what linux-image-amd64 depends on), VM_LIMIT
# (default 1800, seconds until the machine is ended).
set -eu
say() { echo "vm: $*" >&2; }
die() { say "$*"; exit 125; }
[ $# -gt 0 ] || die "say what is to be run: sh etc/vm.sh COMMAND ARG..."
[ "$(uname -m)" = x86_64 ] || die "this works on x86_64 only; here is $(uname -m)"
command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is not here: apt-get install --no-install-recommends qemu-system-x86"
command -v busybox >/dev/null || die "busybox is not here: apt-get install busybox-static"
command -v cpio >/dev/null || die "cpio is not here: apt-get install cpio"
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/.cache/vm
mkdir -p "$cache"

# The kernel: downloaded and unpacked, never installed on this machine.
if ! ls "$cache"/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
	command -v apt-get >/dev/null || die "there is no apt-get here: unpack a Debian linux-image package into $cache/kernel"
	package=${VM_KERNEL_PACKAGE:-$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -1)}
	[ -n "$package" ] || die "apt knows no package linux-image-amd64; try apt-get update"
	say "downloading $package (once, about 70 MB)"
	rm -rf "$cache/kernel" "$cache/deb"
	mkdir -p "$cache/deb" "$cache/kernel.new"
	(cd "$cache/deb" && apt-get download -qq "$package" >/dev/null 2>&1) || die "cannot download $package: try apt-get update"
	dpkg-deb -x "$cache"/deb/*.deb "$cache/kernel.new"
	rm -rf "$cache/deb"
	mv "$cache/kernel.new" "$cache/kernel"
fi
kernel=$(ls "$cache"/kernel/boot/vmlinuz-* | head -1)
version=${kernel##*/vmlinuz-}

# What the machine starts with: busybox, the modules between it and this machine's files, and etc/vminit.sh.
work=$(mktemp -d "${TMPDIR:-/tmp}/dsat-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/ram/bin" "$work/ram/modules"
cp "$(command -v busybox)" "$work/ram/bin/busybox"
cp "$root/etc/vminit.sh" "$work/ram/init"
chmod 755 "$work/ram/init"
# need MODULE...: each after those it depends on, as it says itself (the package has no list of that).
need() {
	for module in "$@"; do
		[ ! -e "$work/ram/modules/$module.ko" ] || continue
		file=$(find "$cache/kernel" -name "$module.ko" | head -1)
		[ -n "$file" ] || continue # it is in the kernel itself
		# shellcheck disable=SC2046
		(need $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '))
		cp "$file" "$work/ram/modules/"
		echo "$module" >>"$work/ram/modules/order"
	done
}
need virtio_pci virtio_console virtio_blk 9pnet_virtio 9p overlay
(
	printf 'cd %s\n' "'$(pwd)'"
	for name in PATH HOME GOPATH GOCACHE GOMODCACHE GOPROXY GOFLAGS; do
		value=$(printenv "$name") || continue
		printf "export %s='%s'\n" "$name" "$value"
	done
	printf 'exec'
	for word in "$@"; do
		printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
	done
	printf '\n'
) >"$work/ram/job"
(cd "$work/ram" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/ram.gz"

# A /dev/kvm without vmx or svm is one that runs kernels made for it only (pvm, as in some sandboxes): Debian's hangs there.
speed="-accel kvm -cpu host"
if ! { [ -r /dev/kvm ] && [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; }; then
	speed="-accel tcg,thread=multi -cpu max"
	say "no /dev/kvm of use to this user is here: the processor is emulated, which is ten times slower"
fi
truncate -s 512M "$work/disk" # /dev/vda: a disk for what limits disks
code=0
# shellcheck disable=SC2086
timeout "${VM_LIMIT:-1800}" qemu-system-x86_64 $speed -machine q35 -m "${VM_MEMORY:-4G}" -smp "${VM_CPUS:-$(nproc)}" \
	-kernel "$kernel" -initrd "$work/ram.gz" -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all" \
	-nodefaults -no-user-config -display none -no-reboot \
	-serial "file:$cache/console.log" \
	-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
	-drive "file=$work/disk,if=virtio,format=raw,cache=none" \
	-device virtio-serial -chardev stdio,id=out,signal=off -device virtconsole,chardev=out \
	-chardev "file,id=end,path=$work/end" -device virtserialport,chardev=end,name=end </dev/null || code=$?
[ "$code" -ne 124 ] || die "ended after ${VM_LIMIT:-1800} s; the kernel's messages are in $cache/console.log"
[ -s "$work/end" ] || die "the machine ($version) ended before the command did (qemu: $code); the kernel's messages are in $cache/console.log"
exit "$(cat "$work/end")"
