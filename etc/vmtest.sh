#!/bin/sh
# What etc/vm.sh runs for `make vm`: the tests of control groups, where there are all controllers. In the topmost group, as in a
# container; in one below that was delegated, as under systemd, where dsatd has to step aside; and as a user to whom one was given.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.cache/vm/bin
top=/sys/fs/cgroup
stories='TestStories/^(limits|groups|processes|ends|rest)$' # none with Python and ZeroMQ, or with a pause of its own: without KVM they are too slow
room='Group|Limit|Forest|Starv|Heir'
failed=
check() {
	echo "--- $1"
	shift
	"$@" || failed=1
}
story() { cd cmd && exec "$bin/cmd.test" -binaries "$bin" -test.timeout 20m -test.parallel 1 -test.run "${VM_STORIES:-$stories}" ${VM_VERBOSE:+-test.v}; }
tests() { cd supervisor && exec "$bin/supervisor.test" -test.timeout 20m -test.short -test.run "${VM_TESTS:-$room}" -trees 500 ${VM_VERBOSE:+-test.v}; }
# within GROUP WHAT: in a new group below the topmost one, delegated as systemd does it; the user's is his own instead.
within() {
	mkdir "$top/$1"
	if [ "$2" = user ]; then
		chown 65534 "$top/$1" "$top/$1/cgroup.procs" "$top/$1/cgroup.subtree_control" "$top/$1/cgroup.threads"
	else
		python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.delegate", b"1")' "$top/$1"
	fi
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$top/$1" sh "$0" "$2"
}
case ${1:-} in
story) story ;;
user) HOME=/tmp exec setpriv --reuid 65534 --regid 65534 --clear-groups sh "$0" story ;;
tests) tests ;;
esac
for c in $(cat $top/cgroup.controllers); do echo "+$c" >$top/cgroup.subtree_control; done
echo "$(uname -r): $(cat $top/cgroup.controllers)"
case ${VM_PART:-all} in all | top)
	check "the topmost group: package supervisor" sh "$0" tests
	check "the topmost group: stories" sh "$0" story
esac
case ${VM_PART:-all} in all | service)
	check "a delegated group: package supervisor" within service-tests tests
	check "a delegated group: stories" within service-stories story
esac
case ${VM_PART:-all} in all | user)
	check "a user's group: stories" within user user
esac
[ -z "$failed" ] || { echo "failed"; exit 1; }
echo "ok"
