package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/satellites/builtin"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// load reads the topology.
func load(files []string) (*topology.Topology, error) {
	files, err := findFiles(files)
	if err != nil {
		return nil, err
	}
	return topology.Load(files, loadOptions())
}

// findFiles is the files that were named, or the one that is found.
func findFiles(files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	file, err := topology.Find(dir)
	if err != nil {
		return nil, err
	}
	return []string{file}, nil
}

// loadOptions tells topology what is built in.
func loadOptions() topology.Options {
	return topology.Options{
		Getenv:   os.LookupEnv,
		Builtins: builtin.Names(), Limits: supervisor.LimitsAvailable, Condition: bus.CheckExpression,
		BuiltinOptions: func(name string, options map[string]any) error {
			if b, ok := builtin.Find(name); ok {
				return b.Check(options)
			}
			return nil
		},
	}
}

func check(args []string) int {
	fs := flags("check", "[--effective] FILE...")
	effective := fs.Bool("effective", false, "print the topology with every default")
	files, code, ok := parse(fs, args)
	if !ok {
		return code
	}
	t, err := load(files)
	if err != nil {
		complain(err)
		return exitConfig
	}
	for _, note := range t.Notes {
		fmt.Fprintln(os.Stderr, "note:", note)
	}
	for _, m := range supervisor.Missing(t) {
		fmt.Fprintln(os.Stderr, "note:", m)
	}
	if *effective {
		_, _ = os.Stdout.Write(t.Effective())
		return exitOK
	}
	instances := 0
	for _, s := range t.Satellites {
		instances += s.Instances
	}
	fmt.Printf("%s: ok, %d satellites, %d processes\n", t.Files[0], len(t.Satellites), instances)
	return exitOK
}

// fromDSAT is the topology of a DSAT 0.6.
func fromDSAT(vertex string) ([]byte, error) {
	text, err := os.ReadFile(vertex)
	if err != nil {
		return nil, fmt.Errorf("cannot read the links of DSAT: %w", err)
	}
	return topology.FromDSAT(text, filepath.Dir(vertex), os.ReadFile)
}

func initialise(args []string) int {
	fs := flags("init", "[--from-dsat VERTEX.JSON] [FILE]")
	vertex := fs.String("from-dsat", "", "write the topology of a DSAT 0.6: its vertex.json, and the file of Circus that this names")
	files, code, ok := parse(fs, args)
	if !ok {
		return code
	}
	file := "dsat.toml"
	if len(files) > 0 {
		file = files[0]
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		complain(err)
		return exitFailed
	}
	text := topology.Sample(filepath.Dir(abs))
	if *vertex != "" {
		if text, err = fromDSAT(*vertex); err != nil {
			complain(err)
			return exitFailed
		}
	}
	// O_EXCL: a topology somebody wrote is never overwritten.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		err = errors.New("it is there already; name another file")
	}
	if err != nil {
		complain(fmt.Errorf("cannot write %s: %w", file, err))
		return exitFailed
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		complain(fmt.Errorf("cannot write %s: %w", file, err))
		return exitFailed
	}
	fmt.Printf("wrote %s; run it: dsatd start %s\n", file, file)
	return exitOK
}

func graph(args []string) int {
	fs := flags("graph", "[--format text|dot|mermaid] FILE...")
	format := fs.String("format", "text", "text, dot (Graphviz) or mermaid")
	files, code, ok := parse(fs, args)
	if !ok {
		return code
	}
	t, err := load(files)
	if err != nil {
		complain(err)
		return exitConfig
	}
	text, err := t.Graph(*format)
	if err != nil {
		complain(err)
		return exitUsage
	}
	fmt.Print(text)
	return exitOK
}

func schema([]string) int {
	_, _ = os.Stdout.Write(topology.Schema())
	return exitOK
}

// builtinGC keeps small what is many: a built-in's live heap is a few hundred KiB, which Go would let grow to 4 MiB between
// two collections (etc/probe.toml: 5 MiB less in all).
const builtinGC = 20

func plugin(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: dsatd plugin NAME")
		return exitUsage
	}
	if b, ok := builtin.Find(args[0]); ok {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(builtinGC)
		}
		if err := b.Main(); err != nil {
			complain(fmt.Errorf("cannot go on as %s: %w", b.Name, err))
			return exitFailed
		}
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "dsatd: there is no built-in satellite %q\n", args[0])
	return exitUsage
}

func versions() control.Version {
	v := control.OwnVersion()
	v.ZeroMQ = bus.Version()
	return v
}
