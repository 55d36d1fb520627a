//go:build race

package supervisor

const raceEnabled = true // everything takes ten times as long
