package bus

import (
	"testing"
	"time"
)

func TestStrangersAreToldSparingly(t *testing.T) {
	var s strangers
	start := int64(time.Hour)
	told := 0
	for n := range int64(10_000) {
		if s.meet(start + n) {
			told++
		}
	}
	if told != toldASecond {
		t.Errorf("%d of 10,000 in a moment were told, want %d", told, toldASecond)
	}
	end := start + int64(time.Second)
	if untold, due := s.rest(end - 1); untold != 0 || due != end {
		t.Errorf("%d are told too early, the end is %d", untold, due)
	}
	if untold, due := s.rest(end); untold != 10_000-toldASecond || due != 0 {
		t.Errorf("at the end %d are told, and more at %d", untold, due)
	}
	if !s.meet(end) {
		t.Error("the next second tells nobody")
	}
	if untold, due := s.rest(end + int64(time.Minute)); untold != 0 || due != 0 {
		t.Errorf("%d are left, %d", untold, due)
	}
}
