package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// watchEvery is the time between two looks.
const watchEvery = 2 * time.Second

// watched adds --watch to a command that prints a view: the view again and again, until it is interrupted; on a terminal in its place.
func (t *tool) watched(cmd *cobra.Command, look func(context.Context, []string) error) *cobra.Command {
	watch := false
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "again every 2 seconds, until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for {
			if watch && t.terminal && !t.json {
				if _, err := t.out.WriteString("\x1b[H\x1b[2J"); err != nil {
					return err
				}
			}
			err := t.lookOnce(cmd.Context(), args, look)
			if watch && cmd.Context().Err() != nil {
				err, watch = nil, false // interrupted, as it shall be
			}
			if err != nil || !watch {
				return err
			}
			if err := t.out.Flush(); err != nil {
				return err
			}
			select {
			case <-time.After(watchEvery):
			case <-cmd.Context().Done():
				return nil
			}
		}
	}
	return cmd
}

func (t *tool) lookOnce(ctx context.Context, args []string, look func(context.Context, []string) error) error {
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	return look(ctx, args)
}
