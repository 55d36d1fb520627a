package control

import (
	"runtime"
	"runtime/debug"
)

// release is set by the linker only: -ldflags "-X github.com/dsat/dsat/web/control.release=v1.2.3".
var release string

// OwnVersion is the version of the program that calls it: what the linker was told, the module's when it was installed as one, else the commit it was
// built from, shortened to 12 digits, with "-dirty" when files were changed; "unknown" when neither was recorded.
func OwnVersion() Version {
	v := Version{Version: "unknown", Go: runtime.Version()}
	if release != "" {
		v.Version = release
		return v
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
		return v
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if commit != "" {
		v.Version = commit + dirty
	}
	return v
}
