package main

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/nsqio/go-nsq"
)

func (c *client) producer() (*nsq.Producer, error) {
	p, err := nsq.NewProducer(c.address(), nsq.NewConfig())
	if err != nil {
		return nil, err
	}
	p.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	return p, p.Ping()
}

// nsqPublish keeps a window of messages on their way and counts those that are acknowledged.
func nsqPublish(c *client) error {
	p, err := c.producer()
	if err != nil {
		return err
	}
	defer p.Stop()
	answers := make(chan *nsq.ProducerTransaction, window)
	room := make(chan struct{}, window)
	failed := make(chan error, 1)
	go func() {
		for a := range answers {
			if a.Error != nil {
				select {
				case failed <- a.Error:
				default:
				}
			}
			c.done.Add(1)
			<-room
		}
	}()
	return c.publish(func(payload []byte) error {
		select {
		case room <- struct{}{}:
		case err := <-failed:
			return fmt.Errorf("not acknowledged: %w", err)
		}
		return p.PublishAsync(subject, payload, answers)
	}, func() error { return nil })
}

// nsqMultiPublish hands over a hundred at once, one batch after the other.
func nsqMultiPublish(c *client) error {
	p, err := c.producer()
	if err != nil {
		return err
	}
	defer p.Stop()
	const many = 100
	batch := make([][]byte, 0, many)
	return c.publish(func(payload []byte) error {
		if batch = append(batch, payload); len(batch) < many {
			return nil
		}
		err := p.MultiPublish(subject, batch)
		c.done.Add(many)
		batch = batch[:0]
		return err
	}, func() error { return nil })
}

func nsqConsume(c *client) error {
	config := nsq.NewConfig()
	config.MaxInFlight = 2500                     // the server's own limit by default
	config.OutputBufferTimeout = time.Millisecond // its default gathers for 250 ms, which would be all one sees of its latency
	consumer, err := nsq.NewConsumer(subject, group, config)
	if err != nil {
		return err
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	handle, end := c.handled()
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		handle(m.Body)
		return nil
	}))
	if err := consumer.ConnectToNSQD(c.address()); err != nil {
		return err
	}
	<-c.stop // what is in hand is the server's affair: to let go of it properly may take half a minute
	return end()
}
