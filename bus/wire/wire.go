// Package wire is the protocol between dsatd and satellites, as pure codecs: no sockets, no clocks, no goroutines. This
// comment is the specification; testdata/golden.json holds vectors that every implementation tests itself against.
//
// # Layout
//
// All numbers are little-endian and naturally aligned. A frame is a batch of records in one ZeroMQ message part or one
// message of the plugin stream:
//
//	frame header, 16 bytes
//	 0 u32 magic    0x54415344, the bytes "DSAT"
//	 4 u8  version  1
//	 5 u8  flags    0
//	 6 u16 zero     0
//	 8 u32 length   of the whole frame in bytes, this header included
//	12 u32 count    of records, 1 to 1,024
//
//	record header, 48 bytes, at offsets divisible by 8; Python: struct.Struct("<IBBHIHHQQQq")
//	 0 u32 length   of the body in bytes, padding excluded
//	 4 u8  kind
//	 5 u8  flags    by kind, else 0
//	 6 u16 port     by kind, else 0
//	 8 u32 epoch    of the daemon's run; every record of a session carries the epoch of its WELCOME (HELLO: 0)
//	12 u16 codec    of the payload: 0 raw, 1 text, 2 json, 3 cbor, 4 struct; else 0
//	14 u16 hops     DATA: steps the message has passed; else 0
//	16 u64 n        by kind, else 0
//	24 u64 m        by kind, else 0
//	32 u64 id       by kind, else 0
//	40 i64 time     by kind, else 0
//	48 body, then zero bytes up to the next multiple of 8
//
// A frame is at most 64 KiB long, unless it holds exactly one record, whose body may have up to 16 MiB. The shape of a
// frame is checked whole before its first record is used: a frame is taken or refused, never half.
//
// # Kinds
//
// D is the daemon, P its peer, a satellite's process.
//
//	 1 HELLO     P>D  body: JSON Hello. First record of a session, once.
//	 2 WELCOME   D>P  body: JSON Welcome. Epoch is set from here on.
//	 3 CREDIT    D>P  n messages, m bytes: the window of EMITs not yet accepted, absolute; 0: emit nothing for now.
//	             P>D  n messages, m bytes: the worker wants to hold no more than that, absolute (0: pause).
//	 4 DATA      D>P  a message to handle. n dispatch number, m task, id message (the same in every redelivery), time of
//	                  admission in Unix nanoseconds, hops, codec, port: index in Welcome.From (0xFFFF: from outside),
//	                  flags: attempts before this one (255: or more). Body: payload.
//	 5 OUT       P>D  one output of the hop n, staged: counts with its DONE, is forgotten with its FAIL. port, codec, body.
//	 6 DONE      P>D  hop n is done. Body: its outputs (below), after those staged. Without a body and with m > n: all
//	                  hops from n to m that this session holds; else m is 0.
//	 7 FAIL      P>D  hop n failed. flags bit 0: worth another attempt. Body: reason, UTF-8.
//	 8 PROGRESS  P>D  hop n is alive: its deadline starts anew; where the step has a heartbeat, that does, and the deadline goes on.
//	 9 EMIT      P>D  a new message of a source. n: sequence within this incarnation, from 1, without gaps. port: index in
//	                  Welcome.Routes, or 0xFFFF: all links. codec; id: the source's own number for it or 0; time: when
//	                  it was made, Unix nanoseconds, or 0. flags: priority, 0 to 9, the highest first where the queue has
//	                  levels. m: ms until it may be given to a worker, in the lower 32 bits, and ms in which its task must
//	                  have ended, in the upper 32; 0: at once, and no limit. Body: payload. An id other than 0 is taken once
//	                  within the window of a queue that has one, whichever instance of the step emits it.
//	10 ACCEPTED  D>P  all EMITs up to n are admitted, with all their links; they may be forgotten.
//	11 CANCEL    D>P  hop n is not wanted any more, for its step was removed or its task was cancelled. An answer to it is ignored.
//	             P>D  nobody waits for the REPLY to CALL n any more. The task ends, unless the CALL was lasting. No REPLY follows,
//	                  but one may be on its way.
//	12 ROUTES    D>P  body: JSON Routes, in place of those of WELCOME: the topology has changed. n: their version. Alone in its
//	                  frame. In a session a port never comes to mean another link: new links get new ports, a link that is
//	                  gone keeps its place under the name "". What was said under the old links is understood.
//	13 DRAIN     D>P  emit nothing new, finish what is in hand, wait for ACCEPTED, say BYE.
//	14 PING           n: any number; either side, from WELCOME to BYE.
//	15 PONG           the answer, same n.
//	16 BYE            P>D: all in hand is answered, nothing more will come. D>P: the answer to it. After it the session is over.
//	17 ERROR     D>P  n: a code (ErrHelloAgain ...). Body: one sentence, UTF-8. After HELLO_AGAIN (1) the peer says HELLO again on
//	                  the same connection and repeats its unaccepted EMITs; after any other the session is over.
//
//	18 CALL      P>D  a message to a step whose answer the peer waits for. n: number of the call in this session, from 1, without
//	                  gaps. port: index in Welcome.Calls. codec. m: dispatch number of the hop that is being handled with it, or 0;
//	                  the message has passed one step more than that one then. id: number of a conversation with that step, chosen
//	                  by the peer, or 0. time: ns until its deadline; 0: Welcome.CallMS. flags bit 0: lasting, the task goes on
//	                  when nobody waits for it any more. Body: payload.
//	19 REPLY     D>P  n: of the CALL. flags bit 0: an output of a last step, and more is to follow. port: 0, codec, body: payload.
//	                  Else the end, once for each CALL: m: 0 done, 1 failed, 2 expired, 3 the conversation's instance is gone,
//	                  4 refused. id: the task, or 0 when it was not begun. Body: why, UTF-8.
//	20 TOPIC     D>P  what is known of dispatch n beyond its DATA, which follows. Body: JSON Topic. Only to peers whose HELLO
//	                  says topics.
//	21 LISTEN    P>D  the peer takes what comes along direct links (below). Body: the endpoint, which is "ipc://" DSAT_DIRECT "/in".
//	22 TALLY     P>D  what direct links have carried since WELCOME. flags bit 0: n messages received, m missed by gaps in the senders'
//	                  sequences. Else: n messages sent along the link port, m bytes of their payloads.
//
// Outputs in the body of DONE follow each other, each at an offset divisible by 8:
//
//	0 u32 length  of the payload, padding excluded
//	4 u16 port    index in Welcome.Routes, or 0xFFFF: all links
//	6 u16 codec
//	8 payload, then zero bytes up to the next multiple of 8
//
// A DONE whose outputs would not fit a frame of 64 KiB sends them one by one as OUT before it.
//
// # Order and credit
//
// The daemon never sends a peer more than Welcome.InHand unanswered DATA nor more than Welcome.Bytes of their bodies (one message
// larger than that travels alone). A source never has more than Welcome.EmitMessages EMITs nor Welcome.EmitBytes of their bodies
// unaccepted (again: one larger message alone). While a queue below it is full, the daemon just accepts nothing.
// A peer never has more than Welcome.CallMessages CALLs without the end of their REPLY, nor Welcome.CallBytes of their bodies (again:
// one larger alone); a daemon without Welcome.Calls knows none of the kinds above 17.
// DONE and FAIL are never refused for lack of room. A worker handles in the order of delivery: its first Concurrency unanswered
// hops count as running. Answers may come in any order.
//
// A peer that was connected to a daemon before says in HELLO which dispatches of that one it has begun and not answered. Those that WELCOME
// names it answers in this session, by the numbers given there, as if they had come as DATA; they count as delivered before any DATA. The
// answers to the others are not asked for, and what it has not begun it forgets.
//
// # Direct links
//
// A peer that is told to take (WELCOME, ROUTES) binds a ZeroMQ PULL in the directory DSAT_DIRECT and says LISTEN. Peers before it are told
// its endpoint and connect a PUSH to it. What they emit or put out along that link they send there, in frames of EMIT: n: sequence
// within the connection, from 1; m: number of the connection, of which there may be two to one receiver for a moment; id: Welcome.Session; epoch; port: what the receiver knows the sender's step by (ORIGIN);
// codec; body. Nothing answers it. Several receivers are served in turn, frame by frame. A link that is not in Direct goes by the daemon, so
// a peer with direct links names each other link in a record of its own, and means all links by 0xFFFF. When an endpoint is not named any
// more the sender sends what it has for it, and closes; what it has sent to nobody goes by the daemon, when no receiver is left. A receiver that is
// drained waits until all have closed, and nothing has come for 50 ms; one that wants nothing more (CREDIT 0) is not named any more.
//
// A PING is answered at once by whoever reads, whatever handlers are busy with. The daemon sends one when somebody wants to know, and
// no second one before the answer. That processes end it is told by the kernel, not by silence.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Sizes and limits in bytes and records.
const (
	Magic        = 0x54415344
	Version      = 1
	FrameHeader  = 16
	RecordHeader = 48
	OutputHeader = 8
	MaxFrame     = 64 << 10 // of a frame with several records
	MaxRecords   = 1024     // in one frame
	MaxBody      = 16 << 20 // of one record that has a frame to itself
	MaxMessage   = FrameHeader + RecordHeader + MaxBody
	AllLinks     = 0xFFFF // a port: every output link; in DATA: from outside
	MostPriority = 9      // in flags of EMIT
)

// Kind is what a record says.
type Kind uint8

// The closed set of Kind.
const (
	Hello Kind = iota + 1
	Welcome
	Credit
	Data
	Out
	Done
	Fail
	Progress
	Emit
	Accepted
	Cancel
	Routes
	Drain
	Ping
	Pong
	Bye
	Error
	Call
	Reply
	Topic
	Listen
	Tally
	kinds
)

var kindNames = [kinds]string{"", "HELLO", "WELCOME", "CREDIT", "DATA", "OUT", "DONE", "FAIL", "PROGRESS", "EMIT", "ACCEPTED",
	"CANCEL", "ROUTES", "DRAIN", "PING", "PONG", "BYE", "ERROR", "CALL", "REPLY", "TOPIC", "LISTEN", "TALLY"}

// String is the name in capitals.
func (k Kind) String() string {
	if k > 0 && k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("KIND(%d)", uint8(k))
}

// FlagRetry in the flags of FAIL: another attempt may succeed.
const FlagRetry = 1

// FlagLasting in the flags of CALL: the task goes on when nobody waits for it any more.
const FlagLasting = 1

// FlagMore in the flags of REPLY: it is an output, and not the end.
const FlagMore = 1

// The ends of a call, in m of REPLY.
const (
	EndDone    = 0
	EndFailed  = 1
	EndExpired = 2 // its deadline came first
	EndLost    = 3 // the instance that its conversation was with is gone
	EndRefused = 4 // it was not begun
)

// FlagReceived in the flags of TALLY: it is of what was received.
const FlagReceived = 1

// The codes in n of ERROR.
const (
	ErrHelloAgain = 1 // the daemon does not know this connection: say HELLO
	ErrToken      = 2 // wrong token, or an incarnation that is over
	ErrProtocol   = 3 // what came makes no sense; the sentence says what
	ErrVersion    = 4 // another version of this protocol
)

// Codec says how a payload is written.
type Codec uint16

// The closed set of Codec.
const (
	Raw Codec = iota
	Text
	JSON
	CBOR
	Struct
	codecs
)

var codecNames = [codecs]string{"raw", "text", "json", "cbor", "struct"}

// String is the name used in topologies and by dsatctl.
func (c Codec) String() string {
	if c < codecs {
		return codecNames[c]
	}
	return fmt.Sprintf("codec(%d)", uint16(c))
}

// ParseCodec reads a codec's name; "" is raw.
func ParseCodec(name string) (Codec, error) {
	for i, n := range codecNames {
		if n == name || name == "" {
			return Codec(i), nil
		}
	}
	return 0, fmt.Errorf("cannot use codec %q: want one of %v", name, codecNames)
}

// Header is a record's header without its length, which is that of the body.
type Header struct {
	Kind  Kind
	Flags uint8
	Port  uint16
	Epoch uint32
	Codec Codec
	Hops  uint16
	N     uint64
	M     uint64
	ID    uint64
	Time  int64
}

// Record is one record. Body is a view into the frame it was read from.
type Record struct {
	Header
	Body []byte
}

// Output is one output in the body of a DONE. Payload is a view.
type Output struct {
	Port    uint16
	Codec   Codec
	Payload []byte
}

// Errors of Parse. All mean that the peer does not speak this protocol.
var (
	ErrShort   = errors.New("cannot read frame: shorter than its header says")
	ErrMagic   = errors.New("cannot read frame: it does not begin with DSAT")
	ErrLength  = errors.New("cannot read frame: lengths do not add up")
	ErrTooBig  = errors.New("cannot read frame: larger than 64 KiB or 1,024 records")
	ErrPadding = errors.New("cannot read frame: reserved bytes are not zero")
	ErrKind    = errors.New("cannot read frame: unknown kind of record")
	ErrOutputs = errors.New("cannot read frame: outputs of a DONE do not add up")
	ErrOther   = errors.New("cannot read frame: another version of the protocol")
)

func padded(n int) int { return (n + 7) &^ 7 }

// RecordSize is what a record with a body of n bytes takes in a frame.
func RecordSize(n int) int { return RecordHeader + padded(n) }

var le = binary.LittleEndian

// ID numbers tasks and messages: the daemon's epoch in the upper 24 bits, a counter in the lower 40.
type ID uint64

// NewID joins the two halves.
func NewID(epoch uint32, counter uint64) ID { return ID(uint64(epoch)<<40 | counter&(1<<40-1)) }

// String is "epoch.counter".
func (id ID) String() string {
	return strconv.FormatUint(uint64(id)>>40, 10) + "." + strconv.FormatUint(uint64(id)&(1<<40-1), 10)
}

// Spans reads m of an EMIT: how long it is to be delayed, and how long its task may take; 0: not, and for ever.
func Spans(m uint64) (delay, limit time.Duration) {
	return time.Duration(uint32(m)) * time.Millisecond, time.Duration(m>>32) * time.Millisecond
}

// NewSpans is m of an EMIT. Each is at most 2^32-1 ms, which is 49 days, and rounded up to a millisecond.
func NewSpans(delay, limit time.Duration) uint64 {
	return milliseconds(limit)<<32 | milliseconds(delay)
}

func milliseconds(d time.Duration) uint64 {
	return min(uint64(max(d, 0)+time.Millisecond-1)/uint64(time.Millisecond), math.MaxUint32)
}

// ParseID reads "epoch.counter", or the whole number, as files have it where a point would make it a fraction.
func ParseID(s string) (ID, error) {
	e, c, pointed := strings.Cut(s, ".")
	if whole, err := strconv.ParseUint(s, 10, 64); !pointed && err == nil {
		return ID(whole), nil
	}
	epoch, err1 := strconv.ParseUint(e, 10, 24)
	counter, err2 := strconv.ParseUint(c, 10, 40)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("cannot read %q as a task or message: want EPOCH.NUMBER, as in 7.42", s)
	}
	return NewID(uint32(epoch), counter), nil
}
