package web

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

//go:embed page.html
var pageText string

// The page shows the newest events and the first reasons only; the API has all.
const (
	pageEvents  = 40
	pageReasons = 5
)

// pageView is what page.html draws.
type pageView struct {
	control.Status
	Reasons []string        // why not ready
	Events  []control.Event // newest first
	Nonce   string          // by which the browser knows the page's own script
}

// page answers GET / with the status, drawn here; its script fetches it again every second.
func (s *Server) page() func(http.ResponseWriter, *http.Request) error {
	t := template.Must(template.New("page").Funcs(template.FuncMap{
		"age":   func(at time.Time) string { return ageOf(time.Since(at)) },
		"clock": func(at time.Time) string { return clockOf(at, time.Now()) },
		"sum":   func(a, b int) int { return a + b },
	}).Parse(pageText))
	return func(w http.ResponseWriter, r *http.Request) error {
		view := pageView{Status: s.currentStatus(r.Context()), Reasons: shorten(s.readiness().Why, pageReasons), Nonce: rand.Text()}
		view.Events = s.hub.Newest(pageEvents)
		slices.Reverse(view.Events)
		var body bytes.Buffer
		if err := t.Execute(&body, view); err != nil {
			return fmt.Errorf("cannot draw the page: %w", err)
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; script-src 'nonce-"+view.Nonce+"'")
		h.Set("Referrer-Policy", "no-referrer")
		write(w, http.StatusOK, "text/html; charset=utf-8", body.Bytes())
		return nil
	}
}

// shorten keeps the first most reasons and tells how many more there are.
func shorten(why []string, most int) []string {
	if len(why) <= most {
		return why
	}
	return append(slices.Clone(why[:most]), fmt.Sprintf("and %d more: see readiness", len(why)-most))
}

// ageOf writes a time span in its two greatest units.
func ageOf(d time.Duration) string {
	switch d = max(d, 0).Truncate(time.Second); {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return strings.TrimSuffix(d.String(), "0s")
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// clockOf writes the time of day, with the date when that was not today.
func clockOf(at, now time.Time) string {
	at = at.Local()
	if at.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return at.Format("15:04:05.000")
	}
	return at.Format("2006-01-02 15:04:05")
}
