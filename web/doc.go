// Package web is every door of dsatd: the HTTP API, health, metrics, events and the status page, one mux served on a unix
// socket and, when asked, on a TCP listener. The words of the API are web/control's; this package speaks them.
//
// Who may do what is decided by the door and the route's access level. The unix socket is 0600 and asks the kernel who is
// calling: the daemon's own user and root may do everything. The TCP listener is loopback only and may read and send
// messages, never operate processes; requests of a foreign Host or Origin are refused, so that a web page cannot use the
// visitor's browser as a way in.
package web
