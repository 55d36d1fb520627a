package topology

import "time"

// Breaker is when a step that fails is given nothing for a while, and what becomes of its messages meanwhile.
type Breaker struct {
	Then        BreakerThen
	Fallback    string        // a satellite; "" where Then is another than BreakerFallback
	Consecutive int           // failures in a row that open it
	Ratio       float64       // or this share of failures ...
	Samples     int           // ... among at least so many answers ...
	Window      time.Duration // ... within this time
	Open        time.Duration // how long it stays open the first time; doubled each time it opens again before it was closed
	Max         time.Duration // the longest it stays open
	Close       int           // trials that have to be done before it closes
}

// BreakerThen is what becomes of messages while a breaker is open.
type BreakerThen string

// The closed set of BreakerThen.
const (
	BreakerOff        BreakerThen = "off"  // there is none (default)
	BreakerHold       BreakerThen = "hold" // they wait
	BreakerQuarantine BreakerThen = "quarantine"
	BreakerFail       BreakerThen = "fail"     // they end at once, as dropped
	BreakerFallback   BreakerThen = "fallback" // another step gets them
)

// Budget bounds the retries of a step after FAIL: beyond it they stay held.
type Budget struct {
	Share float64 // of the first attempts
	Rate  Rate    // and so many beside
}

// Dedup is how long the id of a message is remembered, so that it is let in once.
type Dedup struct {
	Window time.Duration // 0: ids do not matter
	Max    int           // ids remembered at most
}

// Rate is a number per time.
type Rate struct {
	N   int // 0: no limit
	Per time.Duration
}
