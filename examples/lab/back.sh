#!/bin/sh
# Every row of "Back in order, in real processes" in docs/performance.md, on this machine: how long a replica that was away takes to be back, by
# what, and what that costs. About ten minutes; PRIME is the program. Rows want a machine that does nothing else.
set -eu
PRIME=${PRIME:-prime}
cd "$(dirname "$0")"

# Each run prints the load, the events, how each replica came back, and for a restart how it went through its log.
row() {
	echo "== $*"
	report=$("$PRIME" lab "$@" 2>/dev/null) || {
		echo "$report"
		echo "failed: $PRIME lab $*" >&2
		exit 1
	}
	echo "$report" | grep -E 'throughput|agreed|lost|^ +at |back in order|went through'
}

# Away for 1 s and for 30 s, under the load of the demo.
row --script away.txt --duration 14s
row --script away30.txt --duration 130s

# Away until nobody holds what it missed: a state of 4 MiB, and one of 256 MiB.
for size in 4MiB 256MiB; do
	row --script gone.txt --duration 120s --rate 1000 --history 64 --checkpoint 400 --app store --state $size
done

# Started again after kill -9: a log of about 64 MiB from its beginning, and one that is shortened at an image of the core.
row --event "at 60s kill r4; at 61s restart r4" --duration 75s --rate 1000 --checkpoint 1000000
row --event "at 60s kill r4; at 61s restart r4" --duration 75s --rate 1000 --checkpoint 500
