package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageText string

// page answers GET / with the status, which the page then keeps fresh by itself.
func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if err := t.Execute(&body, s.currentStatus(r.Context())); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
	_, err = w.Write(body.Bytes())
	return err
}
