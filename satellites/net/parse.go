package net

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Counters of one interface since it came up.
type Counters struct{ Rx, Tx Direction }

// Direction is one way of it.
type Direction struct{ Bytes, Packets, Errors, Drops uint64 }

// fieldsOfDev is the number of counters in a line: 8 for receiving, 8 for sending.
const fieldsOfDev = 16

// ParseDev reads /proc/net/dev: two lines of heading, then "name: counter counter ...".
func ParseDev(text []byte) (map[string]Counters, error) {
	all := map[string]Counters{}
	for line := range bytes.Lines(text) {
		// An alias such as "eth0:1" has a colon of its own: the last one ends the name.
		i := bytes.LastIndexByte(line, ':')
		if i < 0 {
			continue
		}
		name := string(bytes.TrimSpace(line[:i]))
		fields := bytes.Fields(line[i+1:])
		if len(fields) < fieldsOfDev {
			return nil, fmt.Errorf("cannot read /proc/net/dev: %q has %d counters, want %d", name, len(fields), fieldsOfDev)
		}
		var c [fieldsOfDev]uint64
		for i := range c {
			v, err := strconv.ParseUint(string(fields[i]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read /proc/net/dev: %q of %q is no counter", fields[i], name)
			}
			c[i] = v
		}
		all[name] = Counters{
			Rx: Direction{Bytes: c[0], Packets: c[1], Errors: c[2], Drops: c[3]},
			Tx: Direction{Bytes: c[8], Packets: c[9], Errors: c[10], Drops: c[11]},
		}
	}
	return all, nil
}

// rate is units per second, two decimals; 0 when the counter was reset or no time passed.
func rate(now, before uint64, passed time.Duration) float64 {
	if now < before || passed <= 0 {
		return 0
	}
	return math.Round(float64(now-before)/passed.Seconds()*100) / 100
}
