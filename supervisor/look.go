package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// What readiness and health look at. Each ends with its context, and an error is a clause that can follow "because".

// accepts: an address takes a connection.
func accepts(ctx context.Context, network, addr string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("%s does not accept: %w", addr, patience(ctx, err))
	}
	return c.Close()
}

// mostBody is how much of an answer is looked at.
const mostBody = 64 << 10

// responds: a URL answers with one of the codes (none: 200 to 399), and with a body that matches (nil: any).
func responds(ctx context.Context, url string, codes []int, body *regexp.Regexp) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "dsatd")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", url, patience(ctx, err))
	}
	defer answer.Body.Close()
	if good := answer.StatusCode >= 200 && answer.StatusCode < 400; len(codes) == 0 && !good || len(codes) > 0 && !slices.Contains(codes, answer.StatusCode) {
		return fmt.Errorf("%s answered %s", url, answer.Status)
	}
	if body == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostBody))
	if err != nil {
		return fmt.Errorf("%s did not finish its answer: %w", url, patience(ctx, err))
	}
	if !body.Match(text) {
		return fmt.Errorf("%s answered %s, with nothing that matches %q", url, answer.Status, body)
	}
	return nil
}

// serves: a server says SERVING by grpc.health.v1, as a whole or of one service.
func serves(ctx context.Context, addr, service string) error {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0))
	if err != nil {
		return fmt.Errorf("%s cannot be asked: %w", addr, err)
	}
	defer conn.Close()
	what := addr
	if service != "" {
		what += "/" + service
	}
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return fmt.Errorf("%s does not answer: %s", what, status.Convert(err).Message())
	}
	if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s is %s", what, s)
	}
	return nil
}

// patience is the reason without the layers around it; "no answer in time" when the context ran out.
func patience(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("not in time")
	}
	return inner(err)
}
