package topology

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// paceKind is a Rate of messages.
type paceKind struct{}

const mostPerTime = 1_000_000_000

func (paceKind) typ() string { return "number per time" }
func (paceKind) wants(*key) string {
	return `messages per second, minute or hour like "100/s", or "unlimited"`
}
func (t paceKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	text := v.(string)
	if text == "unlimited" {
		return Rate{}, true
	}
	number, per, _ := strings.Cut(text, "/")
	count, err := strconv.Atoi(number)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[per]
	if err != nil || unit == 0 || count < 1 || count > mostPerTime {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(text))
		return nil, false
	}
	return Rate{N: count, Per: unit}, true
}
func (paceKind) format(v any) string {
	l := v.(Rate)
	if l.N == 0 {
		return `"unlimited"`
	}
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[l.Per]
	return fmt.Sprintf(`"%d/%s"`, l.N, unit)
}
func (paceKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^(unlimited|[0-9]+/[smh])$`})
}
