// Package conformance holds the C client to the specification: what it reads and writes is compared with package wire.
package conformance

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

// judge is the program that says what the C code makes of its input.
type judge struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startJudge(t *testing.T) *judge {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	bin := filepath.Join(t.TempDir(), "judge")
	args := []string{"-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-I..", "-o", bin, "testdata/judge.c", "../wire.c", "../json.c"}
	// With the sanitizers, where the compiler has their libraries, a step beyond the input ends the program.
	if out, err := exec.Command("gcc", append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, args...)...).CombinedOutput(); err != nil {
		t.Logf("without sanitizers: %v\n%s", err, out)
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			t.Fatalf("cannot build the judge: %v\n%s", err, out)
		}
	}
	cmd := exec.Command(bin)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the judge: %v", err)
		}
	})
	return &judge{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

func (j *judge) ask(t *testing.T, letter string, input []byte) string {
	t.Helper()
	// The answer may be longer than a pipe holds, the question too: somebody has to read meanwhile.
	go func() { _, _ = fmt.Fprintf(j.in, "%s %x\n", letter, input) }()
	line, err := j.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s %x: the judge has ended: %v", letter, input, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// verdict is what package wire makes of a frame, in the judge's words.
func verdict(frame []byte) string {
	r, err := wire.Parse(frame)
	if err != nil {
		return "wrong"
	}
	var b strings.Builder
	var rec wire.Record
	for r.Next(&rec) {
		fmt.Fprintf(&b, "%v %d %d %d %d %d %d %d %d %d %x|", rec.Kind, rec.Flags, rec.Port, rec.Epoch, uint16(rec.Codec), rec.Hops, rec.N, rec.M, rec.ID, rec.Time, rec.Body)
	}
	return fmt.Sprintf("%s%x", b.String(), frame)
}

func golden(t *testing.T) (frames [][]byte) {
	t.Helper()
	raw, err := os.ReadFile("../../../bus/wire/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Frames, Refused []struct{ Hex string } }
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range append(vectors.Frames, vectors.Refused...) {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, b)
	}
	if len(frames) < 10 {
		t.Fatalf("only %d vectors", len(frames))
	}
	return frames
}

// Both implementations say the same of every golden vector, and of vectors in which bytes were changed, cut or added.
func TestFrames(t *testing.T) {
	j := startJudge(t)
	rng := rand.New(rand.NewPCG(1, 2))
	refused, taken := 0, 0
	check := func(frame []byte) {
		t.Helper()
		want := verdict(frame)
		if got := j.ask(t, "f", frame); got != want {
			t.Fatalf("%x:\nC:  %s\nGo: %s", frame, got, want)
		}
		if want == "wrong" {
			refused++
		} else {
			taken++
		}
	}
	vectors := golden(t)
	for _, v := range vectors {
		check(v)
	}
	for range 4000 {
		frame := bytes.Clone(vectors[rng.IntN(len(vectors))])
		for range 1 + rng.IntN(3) {
			frame = damage(rng, frame)
		}
		check(frame)
	}
	if refused < 100 || taken < 100 {
		t.Errorf("%d refused, %d taken: nothing was compared", refused, taken)
	}
}

func damage(rng *rand.Rand, frame []byte) []byte {
	if len(frame) == 0 {
		return append(frame, byte(rng.Uint32()))
	}
	at := rng.IntN(len(frame))
	switch rng.IntN(5) {
	case 0:
		return frame[:at]
	case 1:
		return append(frame, make([]byte, rng.IntN(64))...)
	case 2:
		frame[at] = 0
	case 3:
		frame[at] ^= 1 << rng.IntN(8)
	default:
		frame[at] = byte(rng.Uint32())
	}
	return frame
}

// The reader of JSON takes what encoding/json takes, and finds the same.
func TestJSON(t *testing.T) {
	j := startJudge(t)
	for text, want := range map[string]string{
		`{}`:                                   "object -1",
		`{"n":7}`:                              "object 7",
		` { "s" : [ "a" , "b-1" ] } `:          "object -1 x61 x622d31",
		`{"s":[]}`:                             "object -1",
		`{"s":["a\u0062\"\\\n","é","\u00e9"]}`: "object -1 x6162225c0a xc3a9 xc3a9",
		`{"x":{"n":3,"s":["no"]},"n":4}`:       "object 4",
		`{"n":1,"n":2}`:                        "object 2",
		`{"n":1.5}`:                            "object -1",
		`{"n":-12,"nn":3}`:                     "object -12",
		`{"n":99999999999999999999}`:           "object -1",
		`{"s":[1,{"n":5}],"n":[]}`:             "object -1",
		`{"n":true,"s":null}`:                  "object -1",
		``:                                     "wrong",
		`[]`:                                   "wrong",
		`{"n":1`:                               "wrong",
		`{"n":1}x`:                             "wrong",
		`{"n":01x}`:                            "wrong",
		`{n:1}`:                                "wrong",
		`{"n":"\u12"}`:                         "wrong",
		`{"n":"a`:                              "wrong",
		`{"n":` + strings.Repeat("[", 1000):    "wrong",
	} {
		if got := j.ask(t, "j", []byte(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	// Whatever is damaged does not lead beyond the text: the sanitizers would say so.
	rng := rand.New(rand.NewPCG(3, 4))
	seed := []byte(`{"epoch":7,"s":["csv","al\u0061rm",""],"n":60000,"x":{"a":[1,2.5e3,true,null,"\n"]}}`)
	for range 4000 {
		text := bytes.Clone(seed)
		for range 1 + rng.IntN(4) {
			text = damage(rng, text)
		}
		if got := j.ask(t, "j", text); got == "wrong" && json.Valid(text) && text[0] == '{' && len(text) < 2*len(seed) {
			t.Fatalf("%q is refused", text)
		}
	}
}
