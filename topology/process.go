package topology

import (
	"math"
	"syscall"
	"time"
)

// Process is what the kernel is told about a process before its program is executed. The zero value is "as dsatd itself".
type Process struct {
	User         string   // name or number; "" is dsatd's own
	Group        string   // name or number; "" is the user's own
	Groups       []string // supplementary, names or numbers; nil: those of the user
	Umask        *uint32
	Nice         *int // -20 to 19
	OOMScoreAdj  *int // -1000 to 1000
	Rlimits      Rlimits
	CPUAffinity  []int    // numbers of processors; nil: all
	NoNewPrivs   bool     //
	Capabilities []string // the only ones it can ever have, as "net_admin"; nil: what the kernel gives its user
}

// Rlimits holds the limits that are set, by the kernel's numbers (RLIMIT_CPU is 0). RlimitName tells their names.
type Rlimits [16]*Rlimit

// Rlimit is one limit in the kernel's own unit: bytes, seconds, microseconds or a number of things.
type Rlimit struct{ Soft, Hard uint64 }

// Unlimited is a Rlimit without limit.
const Unlimited = math.MaxUint64

// StopSignal is one of a sequence: sent so long after the stop began.
type StopSignal struct {
	Signal syscall.Signal
	After  time.Duration
}

// rlimitUnit is what a limit counts.
type rlimitUnit uint8

const (
	unitCount rlimitUnit = iota
	unitBytes
	unitSeconds
	unitMicroseconds
)

type rlimitWord struct {
	name string
	unit rlimitUnit
	doc  string
}

// rlimitWords are the limits in the order of the kernel's numbers.
func rlimitWords() [len(Rlimits{})]rlimitWord {
	return [len(Rlimits{})]rlimitWord{
		{"cpu", unitSeconds, "Processor time; then XCPU, at the hard limit KILL."},
		{"fsize", unitBytes, "Size of a file it writes."},
		{"data", unitBytes, "Private memory."},
		{"stack", unitBytes, "Stack of its first thread; its arguments and environment have a quarter of it."},
		{"core", unitBytes, "Size of a core dump; 0: none."},
		{"rss", unitBytes, "Nothing on today's Linux."},
		{"nproc", unitCount, "Processes and threads of its user, of all satellites together."},
		{"nofile", unitCount, "Open files."},
		{"memlock", unitBytes, "Memory kept from being swapped out."},
		{"as", unitBytes, "Address space."},
		{"locks", unitCount, "File locks; nothing on today's Linux."},
		{"sigpending", unitCount, "Signals that wait, of all processes of its user."},
		{"msgqueue", unitBytes, "POSIX message queues of its user."},
		{"nice", unitCount, "It may make itself as nice as 20 less this number."},
		{"rtprio", unitCount, "The highest real-time priority it may take."},
		{"rttime", unitMicroseconds, "Processor time under real-time scheduling without a blocking call."},
	}
}

// RlimitName is the name of a limit by the kernel's number: "nofile" for 7.
func RlimitName(resource int) string { return rlimitWords()[resource].name }

// CapabilityNames are the capabilities in the order of the kernel's numbers: the first is "chown".
func CapabilityNames() []string {
	return []string{
		"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
		"net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
		"sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
		"audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
		"perfmon", "bpf", "checkpoint_restore",
	}
}
