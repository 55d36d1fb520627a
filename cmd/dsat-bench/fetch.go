package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fetch brings peers' programs into a folder that is kept: nothing is installed, nobody has to be root.
type fetch struct {
	ctx   context.Context
	cache string
}

// fetchLimit is how long it may take to bring one peer.
const fetchLimit = 4 * time.Minute

// versionFile is in a peer's folder when the folder is complete.
const versionFile = "dsat-bench-version"

// keep makes the folder of a peer, once: fill puts its programs into a folder beside it, and says their version.
func (f *fetch) keep(name string, fill func(dir string) (version string, err error)) (kit, error) {
	dir := filepath.Join(f.cache, name)
	version, err := os.ReadFile(filepath.Join(dir, versionFile))
	if err == nil {
		return kit{root: dir, version: string(version)}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return kit{}, err
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return kit{}, err
	}
	fresh, err := os.MkdirTemp(f.cache, "new-"+name+"-")
	if err != nil {
		return kit{}, err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	had, err := fill(fresh)
	if err == nil {
		err = os.WriteFile(filepath.Join(fresh, versionFile), []byte(had), 0o644)
	}
	if err == nil {
		err = os.RemoveAll(dir) // one that is not complete
	}
	if err == nil {
		err = os.Rename(fresh, dir)
	}
	return kit{root: dir, version: had}, err
}

// output runs a program in a folder, and tells its last words when it fails.
func (f *fetch) output(dir string, c command) (string, error) {
	cmd := c.prepare(f.ctx)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w%s", strings.Join(c.argv, " "), err, lastLine(complaints.String()))
	}
	return string(out), err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}

// debian brings a package, and what it needs that this machine has not, and unpacks all into one folder. program is what must
// then be there; after does what is left to do.
func debian(name, program string, after ...func(f *fetch, root string) error) func(*fetch) (kit, error) {
	return func(f *fetch) (kit, error) {
		k, err := f.keep(name, func(dir string) (string, error) {
			version, err := f.unpack(dir, name)
			if err != nil {
				return "", err
			}
			if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
				return "", fmt.Errorf("the package %s %s has no %s", name, version, program)
			}
			for _, do := range after {
				if err := do(f, dir); err != nil {
					return "", err
				}
			}
			return version, nil
		})
		k.env = debianEnv(k.root)
		return k, err
	}
}

// debianEnv is the environment by which unpacked programs find each other, their libraries and their modules.
func debianEnv(root string) []string {
	libraries, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*")) // the pattern is a good one
	return []string{
		"PATH=" + filepath.Join(root, "usr/bin") + ":" + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + strings.Join(libraries, ":"),
		"PYTHONPATH=" + filepath.Join(root, "usr/lib/python3/dist-packages"),
	}
}

// program is the path of one of a package's programs.
func (k kit) program(name string) string { return filepath.Join(k.root, "usr/bin", name) }

func (f *fetch) unpack(dir, name string) (version string, err error) {
	depends, err := f.output(dir, command{argv: []string{"apt-cache", "depends", name}})
	if err != nil {
		return "", err
	}
	if version, err = f.download(dir, name); err != nil {
		return "", err
	}
	for _, other := range parseDepends(depends) {
		status, err := f.output(dir, command{argv: []string{"dpkg-query", "-W", "-f", "${db:Status-Status}", other}})
		if err == nil && status == "installed" {
			continue // dpkg-query fails for what it never heard of
		}
		if _, err := f.download(dir, other); err != nil {
			return "", err
		}
	}
	return version, nil
}

// download brings one package and unpacks it.
func (f *fetch) download(dir, name string) (version string, err error) {
	if _, err := f.output(dir, command{argv: []string{"apt-get", "download", name}}); err != nil {
		return "", fmt.Errorf("%w (without lists of packages `apt-get update` helps)", err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, name+"_*.deb")) // the pattern is a good one
	if len(files) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages", name, len(files))
	}
	if _, err := f.output(dir, command{argv: []string{"dpkg", "-x", files[0], dir}}); err != nil {
		return "", err
	}
	return debVersion(files[0]), os.Remove(files[0])
}

// parseDepends reads `apt-cache depends`: the libraries and modules a package cannot be without. What is virtual, an
// alternative, or for installations only (init scripts, users) is left out.
func parseDepends(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		name, found := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if found && (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "python3-")) {
			all = append(all, name)
		}
	}
	return all
}

// debVersion reads NAME_VERSION_ARCHITECTURE.deb, where the colon of an epoch is %3a.
func debVersion(path string) string {
	_, rest, _ := strings.Cut(filepath.Base(path), "_")
	version, _, _ := strings.Cut(rest, "_")
	return strings.ReplaceAll(version, "%3a", ":")
}

// goBuild builds a program of a module in a throw-away module, outside of this repository. `go install` would do, but also asks the
// proxy for the newest version, which not every proxy tells.
func goBuild(name, module, version, folder string) func(*fetch) (kit, error) {
	return func(f *fetch) (kit, error) {
		return f.keep(name, func(dir string) (string, error) {
			text := fmt.Sprintf("module throwaway\n\ngo 1.26\n\nrequire %s %s\n", module, version)
			if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
				return "", err
			}
			_, err := f.output(dir, command{argv: []string{"go", "build", "-mod=mod", "-o", name, module + folder}, env: []string{"GOFLAGS=", "GOWORK=off"}})
			return version, err
		})
	}
}
