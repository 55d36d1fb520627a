package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/web/control"
)

const journalHelp = `Durable queues stand on a log on disk, and each retained stream (dsatctl streams) has one of its own. Bare, and with stats, this prints
their quantities: files and bytes, what waits to be on disk, how many records one fdatasync commits and how long it takes, and what was
found when they were opened.

verify reads all of them and checks every checksum, while the daemon works. With a DIRECTORY it reads that one itself, and needs no
daemon: a backup, the state directory of a dsatd that is down, or one log of either. Nothing is changed. It exits with 1 when anything
is damaged. Files that are damaged are kept in aside, below their log, as they were found; only you remove them.

backup copies all that is committed at that moment to a new directory on the daemon's machine, while the daemon works: journal, and a
directory in streams for each stream. Put in the place of those in the state directory of a dsatd that is down, they are what it goes
on with. Complete files become hard links where that is possible.`

func (t *tool) journalCommand() *cobra.Command {
	stats := func(cmd *cobra.Command, _ []string) error { return t.journalStats(cmd.Context()) }
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Print, verify or back up what is on disk: durable queues and streams",
		Long:  journalHelp,
		Args:  t.noSuchCommand,
		RunE:  stats,
	}
	cmd.AddCommand(
		&cobra.Command{Use: "stats", Short: "Print the quantities of the logs", Args: cobra.NoArgs, RunE: stats},
		&cobra.Command{
			Use: "verify [DIRECTORY]", Short: "Read all of the logs and check them",
			Example: "  dsatctl journal verify\n  dsatctl journal verify /backup/monday",
			Args:    cobra.MaximumNArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return t.journalVerify(cmd.Context(), args) },
		},
		&cobra.Command{
			Use: "backup DIRECTORY", Short: "Copy the logs to a new directory",
			Example: "  dsatctl journal backup /backup/monday && dsatctl journal verify /backup/monday",
			Args:    cobra.ExactArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return t.journalBackup(cmd.Context(), args[0]) },
		},
	)
	return cmd
}

func (t *tool) journalStats(ctx context.Context) error {
	return answered(ctx, t, (*control.Client).Journal, journalText)
}

func journalText(j *control.Journal) string {
	var b strings.Builder
	if j.Dir != "" {
		quantities(&b, j)
	}
	for i := range j.Streams {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		quantities(&b, &j.Streams[i])
	}
	return b.String()
}

// quantities prints one log.
func quantities(b *strings.Builder, j *control.Journal) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-11s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	if j.Stream != "" {
		line("stream", "%s", j.Stream)
	}
	line("directory", "%s", j.Dir)
	line("on disk", "%s in %s files; records %s to %s, the first %s let go", size(j.Bytes), grouped(j.Segments), grouped(j.Oldest), grouped(j.Committed), grouped(max(j.Oldest, 1)-1))
	line("waiting", "%s, %s records", size(j.Pending), grouped(j.Last-j.Committed))
	line("written", "%s records, %s, in %s groups", grouped(j.Records), size(int64(j.Written)), grouped(j.Groups))
	if j.Groups > 0 {
		line("a group", "%.1f records in the mean, %s in the largest batch", float64(j.Records)/float64(j.Groups), grouped(int(j.Largest)))
	}
	if j.Syncs > 0 {
		line("a sync", "%s in the mean, half of them within %s, 99 %% within %s", brief(j.SyncMean), brief(j.SyncP50), brief(j.SyncP99))
	}
	line("removed", "%s files", grouped(j.Released))
	line("failures", "%s", grouped(j.Failures))
	if j.Fault != "" {
		line("STOPPED", "%s", j.Fault)
	}
	if f := j.Found; f != nil {
		line("at start", "%s records in %s files, %s of them not proven to be on disk; %s bytes cut, lost %s", grouped(f.Records), grouped(f.Segments), grouped(f.Tail), grouped(f.Torn), grouped(f.Lost))
		damages(b, f.Damage, f.Strange)
	}
}

// brief is a short duration in seconds as people say it.
func brief(seconds float64) string {
	if seconds < 1e-3 {
		return fmt.Sprintf("%.0fus", seconds*1e6)
	}
	return fmt.Sprintf("%.3gms", seconds*1e3)
}

func damages(b *strings.Builder, all []control.JournalDamage, strange []string) {
	for _, d := range all {
		kept := ""
		if d.Aside != "" {
			kept = "; kept as " + d.Aside
		}
		fmt.Fprintf(b, "damaged: %s\n", printable(fmt.Sprintf("%s at %d, %d bytes after record %d, %s records lost: %s%s",
			d.Segment, d.Offset, d.Bytes, d.After, grouped(d.Records), d.Reason, kept)))
	}
	for _, name := range strange {
		fmt.Fprintf(b, "does not belong there: %s\n", printable(name))
	}
}

// journalVerify lets the daemon read its logs, or reads those of a directory itself.
func (t *tool) journalVerify(ctx context.Context, args []string) error {
	v, err := t.readLogs(ctx, args)
	if err != nil {
		return err
	}
	if !t.json {
		if _, err := t.out.WriteString(journalVerdictText(v)); err != nil {
			return err
		}
	}
	if !v.Sound() {
		return &toldError{exitFailed}
	}
	return nil
}

func (t *tool) readLogs(ctx context.Context, args []string) (*control.JournalVerdict, error) {
	if len(args) == 1 {
		v, err := verifyDirectory(ctx, args[0])
		if err == nil && t.json {
			err = json.NewEncoder(t.out).Encode(v)
		}
		return v, err
	}
	client, err := t.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	return client.JournalVerify(ctx)
}

// verifyDirectory reads one log, or all of a backup or a state directory.
func verifyDirectory(ctx context.Context, dir string) (*control.JournalVerdict, error) {
	if !isDirectory(filepath.Join(dir, "journal")) && !isDirectory(filepath.Join(dir, "streams")) {
		return verifyLog(ctx, dir)
	}
	v := new(control.JournalVerdict)
	if at := filepath.Join(dir, "journal"); isDirectory(at) {
		var err error
		if v, err = verifyLog(ctx, at); err != nil {
			return nil, err
		}
	}
	logs, err := os.ReadDir(filepath.Join(dir, "streams"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, l := range logs {
		s, err := verifyLog(ctx, filepath.Join(dir, "streams", l.Name()))
		if err != nil {
			return nil, err
		}
		if s.Stream, err = url.PathUnescape(l.Name()); err != nil {
			s.Stream = l.Name()
		}
		v.Streams = append(v.Streams, *s)
	}
	return v, nil
}

func isDirectory(path string) bool {
	at, err := os.Stat(path)
	return err == nil && at.IsDir()
}

// verifyLog says what the package says in the words of the API; the names are the same.
func verifyLog(ctx context.Context, dir string) (*control.JournalVerdict, error) {
	v, err := journal.Verify(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := new(control.JournalVerdict)
	return out, json.Unmarshal(text, out)
}

func journalVerdictText(v *control.JournalVerdict) string {
	var b strings.Builder
	lost := uint64(0)
	if v.Dir != "" {
		logVerdict(&b, v)
		lost = v.Lost
	}
	for i := range v.Streams {
		logVerdict(&b, &v.Streams[i])
		lost += v.Streams[i].Lost
	}
	if v.Sound() {
		b.WriteString("all of it is sound\n")
	} else {
		fmt.Fprintf(&b, "%s records that were promised are lost\n", grouped(lost))
	}
	return b.String()
}

// logVerdict prints what was found in one log.
func logVerdict(b *strings.Builder, v *control.JournalVerdict) {
	fmt.Fprintf(b, "%s: %s records (%s to %s), %s in %s files\n", printable(v.Dir), grouped(v.Records), grouped(v.First), grouped(v.Last), size(v.Bytes), grouped(v.Segments))
	if v.Tail > 0 {
		fmt.Fprintf(b, "behind the last sync that is proven are %s whole records: the next start takes them\n", grouped(v.Tail))
	}
	if v.Torn > 0 {
		fmt.Fprintf(b, "behind the last batch are %s bytes of which nobody was told that they are on disk\n", grouped(v.Torn))
	}
	damages(b, v.Damage, v.Strange)
	for _, d := range v.Padding {
		fmt.Fprintf(b, "changed, harmless: %s\n", printable(fmt.Sprintf("%s at %d: %s", d.Segment, d.Offset, d.Reason)))
	}
	for _, name := range v.Aside {
		fmt.Fprintf(b, "kept aside: %s\n", printable(name))
	}
}

func (t *tool) journalBackup(ctx context.Context, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	ask := func(c *control.Client, ctx context.Context) (*control.JournalCopy, error) {
		return c.JournalBackup(ctx, to)
	}
	return answered(ctx, t, ask, func(c *control.JournalCopy) string {
		for _, c := range append([]control.JournalCopy{*c}, c.Streams...) {
			if c.Dir != "" {
				t.note("%s has all records up to %s: %s in %s files, %s of them hard links", c.Dir, grouped(c.Last), size(c.Bytes), grouped(c.Segments), grouped(c.Linked))
			}
		}
		return ""
	})
}
