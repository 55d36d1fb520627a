package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const editHelp = `Give a message in quarantine another payload: the argument itself, the content of a file with @FILE, stdin with -, or what
$VISUAL or $EDITOR makes of the present one. What json, cbor and struct say is edited as JSON and brought back into the codec
of the message. The evidence notes that it was edited. With --retry it goes back into its queue at once.

--codec says how the new payload is written when it is not in the message's own codec: json for a message of cbor.`

func (t *tool) editCommand() *cobra.Command {
	codec, again := "", false
	cmd := &cobra.Command{
		Use:     "edit ID [PAYLOAD|@FILE|-]",
		Short:   "Give a message another payload",
		Long:    editHelp,
		Example: "  dsatctl quarantine edit 7.42 --retry\n  dsatctl quarantine edit 7.42 '{\"load1\": 0.5}' --codec json",
		Args:    between("ID", "PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.edit(cmd.Context(), args, codec, again)
		},
	}
	cmd.Flags().StringVar(&codec, "codec", "", "codec of the new payload (default: the message's)")
	cmd.Flags().BoolVar(&again, "retry", false, "put it back into its queue afterwards")
	return cmd
}

// between wants the first argument and takes the second.
func between(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 1 {
			return exactly(first)(cmd, args)
		}
		return exactly([]string{first, second}[:min(len(args), 2)]...)(cmd, args)
	}
}

func (t *tool) edit(ctx context.Context, args []string, codec string, again bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	id := args[0]
	var payload []byte
	if len(args) > 1 {
		payload, err = t.payload(args[1])
	} else {
		payload, codec, err = t.editor(ctx, id, codec)
	}
	if err != nil {
		return err
	}
	limited, cancel := t.limit(ctx, 0)
	defer cancel()
	edited, err := client.QuarantineEdit(limited, id, codec, payload)
	if err != nil {
		return err
	}
	if !t.json {
		if _, err := fmt.Fprintf(t.out, "edited %s, now %s bytes%s\n", printable(edited.ID), grouped(edited.Size), inCodec(edited.Codec)); err != nil {
			return err
		}
	}
	if !again {
		return nil
	}
	return t.quarantineOne(ctx, client, id, control.Aside{}, "put back", (*control.Client).QuarantineRetry)
}

// editor lets the user's editor change the payload and returns it with its codec.
func (t *tool) editor(ctx context.Context, id, codec string) ([]byte, string, error) {
	if codec != "" {
		return nil, "", usageError("cannot use --codec with an editor: what it edits is in the message's codec, or in JSON")
	}
	socket, err := t.socketPath()
	if err != nil {
		return nil, "", err
	}
	limited, cancel := t.limit(ctx, 0)
	defer cancel()
	m, err := control.Dial(socket).QuarantineGet(limited, id)
	if err != nil {
		return nil, "", err
	}
	before, codec, suffix, err := editable(m)
	if err != nil {
		return nil, "", err
	}
	after, err := t.inEditor(ctx, before, suffix)
	switch {
	case err != nil:
		return nil, "", err
	case bytes.Equal(before, after):
		return nil, "", errors.New("cannot edit: nothing was changed, so nothing is done")
	case len(bytes.TrimSpace(after)) == 0:
		return nil, "", errors.New("cannot edit: the file is empty, so nothing is done; an empty payload is given as an argument: ''")
	}
	return after, codec, nil
}

// editable is the payload as a text, the codec that text is in, and the suffix that tells an editor.
func editable(m *control.Quarantined) (before []byte, codec, suffix string, err error) {
	body := m.Payload
	if body == nil {
		body = &control.Body{}
	}
	text := m.Codec == "text" || m.Codec == "raw"
	if text && body.Base64 == nil && utf8.ValidString(body.Text) {
		return []byte(body.Text), m.Codec, ".txt", nil
	}
	var indented bytes.Buffer
	var failed struct{ Error, Base64 *string }
	if text || body.JSON == nil || json.Unmarshal(body.JSON, &failed) == nil && failed.Error != nil && failed.Base64 != nil || json.Indent(&indented, body.JSON, "", "  ") != nil {
		return nil, "", "", fmt.Errorf("cannot edit message %s as a text: its payload is not one, nor can it be read as %s; give the new payload as @FILE", m.ID, m.Codec)
	}
	return append(indented.Bytes(), '\n'), "json", ".json", nil
}

// inEditor runs the user's editor on a file with the text, which only the user can read.
func (t *tool) inEditor(ctx context.Context, text []byte, suffix string) ([]byte, error) {
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		return nil, errors.New("cannot edit: neither $VISUAL nor $EDITOR is set; give the new payload as an argument, @FILE or -")
	}
	dir, err := os.MkdirTemp("", "dsatctl")
	if err != nil {
		return nil, fmt.Errorf("cannot edit: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "payload"+suffix)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("cannot edit: %w", err)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "sh", file) // it may have flags, as with git
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.in, t.ends.out, t.errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot edit: %s: %w", editor, err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot edit: %w", err)
	}
	return after, nil
}
