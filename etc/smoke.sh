#!/bin/sh
# The main job, short and for real: start etc/probe.toml, kill -9 a satellite, restart one, send a message, scrape, end.
# Everything lives in a temporary directory; the port is the kernel's choice. Fails at the first thing that is not as it must be.
set -eu
dir=$(mktemp -d)
ctl="bin/dsatctl --run-dir $dir/run"
daemon=
finish() {
	code=$?
	[ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
	[ "$code" -eq 0 ] || { echo "smoke: failed; the daemon said:"; cat "$dir/log"; }
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT

# The topology's own data goes beside a copy of it; port 9556 may be taken on this machine, so the plain program is left out.
mkdir -p "$dir/etc" "$dir/satellites"
cp etc/alarm.py "$dir/etc/"
cp -r satellites/python "$dir/satellites/"
sed '/^\[satellite.site\]/,$d' etc/probe.toml >"$dir/etc/probe.toml"

bin/dsatd check "$dir/etc/probe.toml"
bin/dsatd start --run-dir "$dir/run" --state-dir "$dir/state" --http 127.0.0.1:0 "$dir/etc/probe.toml" 2>"$dir/log" &
daemon=$!

# until COMMAND...: until it succeeds, 30 s at most.
until_ok() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 300 ] || { echo "smoke: this did not come: $*"; return 1; }
		sleep 0.1
	done
}
has() { $ctl $2 | grep -q "$1"; }
replaced() { now=$(pid_of cpu); [ -n "$now" ] && [ "$now" != "$old" ]; }
pid_of() { $ctl status --json | sed -n "s/.*\"name\":\"$1\"[^]]*\"wid\":0,\"state\":\"running\",\"pid\":\([0-9]*\).*/\1/p"; }

until_ok has ' ready ' status
old=$(pid_of cpu)
echo "smoke: killing cpu:0 (pid $old)"
kill -KILL "$old"
until_ok replaced
echo "smoke: replaced by pid $(pid_of cpu)"
$ctl restart csv
test "$($ctl send --wait load1 '{"load1":1.25,}')" = "load 1.25 is fine"
until_ok test -s "$dir/etc/data/probe/cpu.csv"
http=$($ctl status --json | sed -n 's/.*"http":"\([^"]*\)".*/\1/p')
bin/dsatctl --run-dir "$dir/run" status
until_ok has ' balanced' status
if command -v curl >/dev/null; then
	curl -fsS "http://$http/metrics" | grep '^dsat_ledger_balanced 1'
	curl -fsS "http://$http/livez"
fi
$ctl down
wait "$daemon"
daemon=
head -3 "$dir/etc/data/probe/cpu.csv"
echo "smoke: ok"
