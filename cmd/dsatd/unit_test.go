package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unitSettings reads Section.Key of a unit file; a key that comes twice keeps both values, joined by a newline.
func unitSettings(t *testing.T, text string) map[string]string {
	t.Helper()
	settings, section := map[string]string{}, ""
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case !ok || section == "":
			t.Errorf("line %d is neither a section nor a setting: %q", n+1, line)
		default:
			key = section + "." + strings.TrimSpace(key)
			settings[key] = strings.TrimPrefix(settings[key]+"\n"+strings.TrimSpace(value), "\n")
		}
	}
	return settings
}

func TestUnits(t *testing.T) {
	for _, name := range []string{"dsatd.service", "dsatd@.service"} {
		text, err := os.ReadFile("../../etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got := unitSettings(t, string(text))
		for key, want := range map[string]string{
			"Service.Type":         "notify-reload",
			"Service.NotifyAccess": "main",
			"Service.KillMode":     "process", // else adoption has nobody to take back
			"Service.Restart":      "on-failure",
			"Service.Delegate":     "yes",
			// Where dsatd steps aside itself: systemd could start no other dsatd in a group that has given controllers away.
			"Service.DelegateSubgroup": "dsat-daemon",

			"Service.OOMPolicy": "continue", // one satellite out of memory is not the end of all

			"Service.RuntimeDirectoryPreserve": "yes",
			"Service.RestartPreventExitStatus": "2 78",
			"Service.ProtectSystem":            "",
			"Service.NoNewPrivileges":          "",
			"Install.WantedBy":                 "multi-user.target",
			"Service.MemoryDenyWriteExecute":   "",
			"Service.SystemCallFilter":         "",
			"Service.PrivateTmp":               "",
			"Service.RuntimeDirectoryMode":     "0700",
			"Service.TimeoutStopSec":           "90s",
			"Unit.StartLimitBurst":             "10",
			"Service.CapabilityBoundingSet":    "~CAP_SYS_MODULE CAP_SYS_BOOT CAP_SYS_RAWIO CAP_MAC_ADMIN",
			"Service.ExecReload":               "", // notify-reload sends SIGHUP itself
			"Service.ProtectProc":              "", // adoption reads /proc of processes of other users
		} {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], want)
			}
		}
		verifyUnit(t, name, string(text))
	}
}

// verifyUnit asks systemd. An older one does not know notify-reload and DelegateSubgroup, and nothing is installed where the unit will find it.
func verifyUnit(t *testing.T, name, text string) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here; the units were read by this test alone")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	text = strings.NewReplacer("/usr/local/bin/dsatd", self, "Type=notify-reload", "Type=notify", "DelegateSubgroup=dsat-daemon\n", "").Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify %s: %v\n%s", name, err, out)
	}
}
