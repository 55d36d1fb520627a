package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	subject = "work"
	group   = "workers"
	window  = 4096 // what is on its way at most, as dsat's own sources have it
)

func (c *client) nats() (*nats.Conn, error) {
	return nats.Connect("nats://"+c.address(), nats.RetryOnFailedConnect(false), nats.ReconnectBufSize(-1), nats.MaxReconnects(0))
}

// natsPublish counts what was handed to the server: core NATS acknowledges nothing.
func natsPublish(c *client) error {
	conn, err := c.nats()
	if err != nil {
		return err
	}
	defer conn.Close()
	return c.publish(func(payload []byte) error {
		c.done.Add(1)
		return conn.Publish(subject, payload)
	}, conn.Flush)
}

func natsConsume(c *client) error {
	conn, err := c.nats()
	if err != nil {
		return err
	}
	defer conn.Close()
	handle, end := c.handled()
	sub, err := conn.QueueSubscribe(subject, group, func(m *nats.Msg) { handle(m.Data) })
	if err != nil {
		return err
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), conn.Flush()); err != nil {
		return err
	}
	<-c.stop
	return end()
}

func (c *client) jet(opts ...jetstream.JetStreamOpt) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := c.nats()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, opts...)
	return conn, js, err
}

const patience = 10 * time.Second

// jetSetup makes a stream in files that is a work queue (a message leaves it when it is acknowledged), and its consumer.
func jetSetup(c *client) error {
	conn, js, err := c.jet()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORK", Subjects: []string{subject}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy})
	if err != nil {
		return err
	}
	_, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: group, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: window * 4, AckWait: time.Minute})
	return err
}

// jetPublish keeps a window of messages on their way and counts those that are acknowledged.
func jetPublish(c *client) error {
	conn, js, err := c.jet(jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return err
	}
	defer conn.Close()
	acks := make(chan jetstream.PubAckFuture, window)
	failed := make(chan error, 1)
	go func() {
		for f := range acks {
			select {
			case <-f.Ok():
				c.done.Add(1)
			case err := <-f.Err():
				failed <- err
				return
			}
		}
	}()
	err = c.publish(func(payload []byte) error {
		f, err := js.PublishAsync(subject, payload, jetstream.WithStallWait(patience))
		if err != nil {
			return err
		}
		select {
		case acks <- f:
			return nil
		case err := <-failed:
			return fmt.Errorf("not acknowledged: %w", err)
		}
	}, func() error { return nil })
	close(acks)
	return err
}

// jetPublishSync has one message on its way, and keeps the time to its acknowledgement.
func jetPublishSync(c *client) error {
	conn, js, err := c.jet()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := context.Background()
	payload := make([]byte, c.size)
	p, times := newPacer(), newTimes()
	for len(c.stop) == 0 {
		begin := p.now()
		if _, err := js.Publish(ctx, subject, payload); err != nil {
			return err
		}
		end := p.now()
		times.add(end, end-begin)
		c.done.Add(1)
		p.until(end + int64(200*time.Microsecond))
	}
	return times.write(c.out)
}

func jetConsume(c *client) error {
	conn, js, err := c.jet()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	consumer, err := js.Consumer(ctx, "WORK", group)
	if err != nil {
		return err
	}
	handle, end := c.handled()
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		if m.Ack() == nil {
			handle(m.Data())
		}
	}, jetstream.PullMaxMessages(window))
	if err != nil {
		return err
	}
	<-c.stop
	consuming.Stop()
	return end()
}
