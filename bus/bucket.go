package bus

import "github.com/dsat/dsat/topology"

// bucket lets through so many per time, and up to burst at once after a rest. Times are nanoseconds. It is the virtual
// scheduling form of a token bucket (ITU-T I.371, annex A): one number, no fractions of tokens.
type bucket struct {
	every int64 // from one to the next; 0: there is no limit
	burst int64
	full  int64 // when the bucket is full again
}

func newBucket(r topology.Rate, burst int) bucket {
	if r.N <= 0 {
		return bucket{}
	}
	return bucket{every: max(int64(r.Per)/int64(r.N), 1), burst: int64(max(burst, 1))}
}

// available is how many may pass now.
func (b *bucket) available(now int64) int {
	if b.every == 0 {
		return 1 << 30
	}
	return int(max(0, b.burst-(max(b.full, now)-now+b.every-1)/b.every))
}

// take lets n pass.
func (b *bucket) take(now int64, n int) {
	if b.every > 0 {
		b.full = max(b.full, now) + int64(n)*b.every
	}
}

// next is when one may pass.
func (b *bucket) next() int64 { return b.full - (b.burst-1)*b.every }

// budget bounds retries to a share of the first attempts, and so many per time beside.
type budget struct {
	share   float64
	saved   float64 // retries that first attempts have paid for
	firsts  uint64  // first attempts so far
	counted uint64  // of these, in saved
	beside  bucket
	dry     int64 // when it was last found empty
}

// A budget saves no more than that for bad times: it is to follow the load, and not to remember last week's.
const (
	mostSaved  = 1000
	besideSecs = 10
)

func newBudget(b topology.Budget) budget {
	burst := 0
	if b.Rate.N > 0 {
		burst = int(min(max(int64(b.Rate.N)*besideSecs*1e9/int64(b.Rate.Per), 1), 1<<30))
	}
	return budget{share: b.Share, beside: newBucket(b.Rate, burst)}
}

// take pays for one retry, if it can.
func (b *budget) take(now int64) bool {
	b.saved = min(b.saved+b.share*float64(b.firsts-b.counted), mostSaved)
	b.counted = b.firsts
	switch {
	case b.saved >= 1:
		b.saved--
	case b.beside.available(now) > 0:
		b.beside.take(now, 1)
	default:
		b.dry = now
		return false
	}
	return true
}
