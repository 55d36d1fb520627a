//go:build race

package bus

// raceEnabled: everything takes ten times as long.
const raceEnabled = true
