package rules

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sample = `{"host":"alpha","load1":4.25,"up":true,"disks":[{"name":"sda","used":81},{"name":"sdb","used":93}],"tags":["a","b"],"none":null}`

// on makes a message with a payload of JSON.
func on(body string) *Message {
	return &Message{From: "cpu", Step: "csv", Codec: "json", Task: func() string { return "7.1" }, Hops: 2, Attempts: 1, Size: len(body), Age: 1500 * time.Millisecond,
		Now: time.Unix(1_700_000_000, 0), Payload: func() (any, error) {
			var v any
			err := json.Unmarshal([]byte(body), &v)
			return v, err
		}}
}

func TestConditions(t *testing.T) {
	for text, want := range map[string]bool{
		`payload.load1 > 4`:                                   true,
		`payload.load1 > 4 && payload.host == "beta"`:         false,
		`payload["host"] startsWith "al"`:                     true,
		`payload?.missing?.deep == nil`:                       true,
		`payload.none == nil`:                                 true,
		`(payload.missing ?? 3) == 3`:                         true,
		`any(payload.disks, .used > 90)`:                      true,
		`all(payload.disks, #.used > 90)`:                     false,
		`count(payload.disks, .used > 80) == 2`:               true,
		`"a" in payload.tags`:                                 true,
		`payload.host matches "^al.*a$"`:                      true,
		`payload.host in ["alpha", "beta"]`:                   true,
		`from == "cpu" and step == "csv" and codec == "json"`: true,
		`hops == 2 && attempts == 1 && size > 10`:             true,
		`age > 1 && age < 2 && time == 1700000000`:            true,
		`task == "7.1"`:                                       true,
		`hash(payload.host, 10) == hash("alpha", 10)`:         true,
		`payload.up ? payload.load1 > 1 : false`:              true,
		`len(payload.tags) == 2 and payload.tags[1] == "b"`:   true,
		`lower("ABC") == "abc"`:                               true,
		`payload.up`:                                          true,
		`payload.load1 * 2 + 1 > 9.4`:                         true,
		`payload.tags[0] + payload.tags[1] == "ab"`:           true,
		`filter(payload.disks, .used > 90)[0].name == "sdb"`:  true,
	} {
		r, err := Compile(text, Bool)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := r.Match(on(sample))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestMessagesThatDoNotFitAreErrors(t *testing.T) {
	for text, body := range map[string]string{
		`payload.a.b > 1`:       `{}`,
		`payload.a > 1`:         `{"a":"x"}`,
		`payload.a`:             `{"a":1}`,
		`payload.load > 1`:      `not json`,
		`payload > 1`:           `[1]`,
		`any(payload.x, # > 1)`: `{"x":5}`,
		`any(payload.x, any(payload.x, any(payload.x, # > 1)))`:    `{"x":[` + strings.Repeat("0,", 500) + `0]}`,
		`all(payload.x, payload.s matches "(a|b|ab)*c" or # == 0)`: `{"s":"` + strings.Repeat("ab", 2000) + `","x":[` + strings.Repeat("0,", 500) + `0]}`,
		`all(payload.x, payload.x == payload.x)`:                   `{"x":[` + strings.Repeat("0,", 2000) + `0]}`,
	} {
		r, err := Compile(text, Bool)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := r.Match(on(body)); err == nil || got || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s on %.30s: %v, %v; want an error of one line", text, body, got, err)
		}
	}
}

func TestMistakesAreToldWhereTheyAre(t *testing.T) {
	for text, want := range map[string]struct {
		off  int
		text string
		hint string
	}{
		`lod > 4`:                            {0, "a message has no lod", "payload.lod"},
		`payload.a > 4 && hopps > 1`:         {17, "a message has no hopps", "did you mean hops?"},
		`chnged(payload.a)`:                  {0, "no function chnged", "did you mean changed?"},
		`one_in("x")`:                        {7, "whole number", "one_in(30)"},
		`one_in(0)`:                          {7, "whole number", ""},
		`every(30)`:                          {6, "duration", `every("30s")`},
		`every("x")`:                         {6, "duration", ""},
		`changed()`:                          {0, "wants 1 argument", ""},
		`size + 1`:                           {0, "true or false", "compare"},
		`step > 4`:                           {5, "mismatched", ""},
		`payload.a = 4`:                      {10, "cannot be read", "=="},
		`payload.a > `:                       {0, "cannot be read", ""},
		``:                                   {0, "empty", ""},
		`let x = 1; x > 0`:                   {0, "not a part", ""},
		`all(1..1000000, # > 0)`:             {5, "no ranges", ""},
		`payload.a matches payload.b`:        {26, "written down", ""},
		`payload.a matches "("`:              {18, "pattern", ""},
		`repeat("a", 1000) == ""`:            {0, "no function repeat", ""},
		`reduce(payload, # + #acc) > 1`:      {0, "no function reduce", ""},
		`"ä" == stap`:                        {8, "no stap", "did you mean step?"},
		strings.Repeat("(", 4000):            {0, "nested too deep", ""},
		strings.Repeat("!", 5000):            {0, "bytes", ""},
		strings.Repeat("! ", 2000):           {0, "nested", ""},
		strings.Repeat("1+", 1000) + "1 > 1": {0, "", ""},
		`payload.f()`:                        {0, "", ""},
		`__steps(payload, 1)`:                {0, "no function", ""},
	} {
		err := Check(text, Bool)
		var f *Fault
		if !errors.As(err, &f) {
			t.Errorf("%.40s: no fault: %v", text, err)
			continue
		}
		if want.text != "" && f.Off != want.off && want.off > 0 || !strings.Contains(f.Text, want.text) || !strings.Contains(f.Hint, want.hint) || strings.Contains(f.Text, "\n") {
			t.Errorf("%.40s: at %d %q (%q), want at %d %q (%q)", text, f.Off, f.Text, f.Hint, want.off, want.text, want.hint)
		}
	}
	if err := Check(`one_in(3)`, Key); err == nil || !strings.Contains(err.Error(), "remembers") {
		t.Errorf("a key with a memory: %v", err)
	}
}

// play evaluates a rule on numbered payloads, a second apart.
func play(t testing.TB, text string, bodies ...string) string {
	t.Helper()
	r, err := Compile(text, Bool)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, body := range bodies {
		m := on(body)
		m.Now = m.Now.Add(time.Duration(i) * time.Second)
		ok, err := r.Match(m)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", text, err)
		case ok:
			b.WriteByte('1')
		default:
			b.WriteByte('0')
		}
	}
	return b.String()
}

func TestFunctionsWithMemory(t *testing.T) {
	a, b := `{"s":"a","h":"x","n":1}`, `{"s":"b","h":"y","n":2}`
	for _, c := range []struct {
		text   string
		bodies []string
		want   string
	}{
		{`one_in(3)`, []string{a, a, a, a, a, a, a}, "1001001"},
		{`one_in(2, payload.h)`, []string{a, b, a, b, a}, "11001"},
		{`payload.s == "b" && one_in(2)`, []string{a, b, a, b, b}, "01001"},
		{`every("3s")`, []string{a, a, a, a, a, a, a}, "1001001"},
		{`every("3s", payload.h)`, []string{a, b, a, a, b}, "11011"},
		{`changed(payload.s)`, []string{a, a, b, b, a}, "10101"},
		{`changed(payload.s, payload.h)`, []string{a, b, a, b}, "1100"},
		{`payload.n > (last(payload.n) ?? 0)`, []string{a, b, a, b, b}, "11010"},
		{`rate("4s") > 0.8`, []string{a, a, a, a, a}, "00011"},
		{`changed(payload.s) or changed(payload.n)`, []string{a, a, b}, "111"},
	} {
		if got := play(t, c.text, c.bodies...); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestMemoryIsBoundedAndGoesOver(t *testing.T) {
	r, err := Compile(`changed(payload.v, payload.k) or one_in(5) or every("1h")`, Bool)
	if err != nil {
		t.Fatal(err)
	}
	m := on("")
	for i := range 3 * maxKeys {
		m.Payload = func() (any, error) { return map[string]any{"k": float64(i), "v": "x"}, nil }
		if ok, err := r.Match(m); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	if n := len(r.cells[0].byKey); n != maxKeys {
		t.Errorf("%d keys are remembered", n)
	}
	next, err := Compile(r.Text(), Bool)
	if err != nil {
		t.Fatal(err)
	}
	next.Restore(m.Now, r.Memory(m.Now))
	if a, b := len(next.Memory(m.Now)), len(r.Memory(m.Now)); a != b || a < maxKeys {
		t.Errorf("%d cells went over, of %d", a, b)
	}
	m.Payload = func() (any, error) { return map[string]any{"k": float64(3*maxKeys - 1), "v": "x"}, nil }
	a, _ := r.Match(m)
	b, _ := next.Match(m)
	if a != b {
		t.Errorf("the next daemon says %v, this one %v", b, a)
	}
	next.Restore(m.Now, []Cell{{Place: 9}, {Place: -1}, {Place: 0, Name: "one_in"}})
}

func TestSumsAreForEver(t *testing.T) {
	// Fixed for ever: messages that wait during an upgrade are placed by them.
	if a, b := Sum("alpha"), Sum(1.0); a != 0xad85c02597a74902 || b != 0x95b843f160e4a969 {
		t.Errorf("%#x %#x", a, b)
	}
	if Sum(1) != Sum(1.0) || Sum("1") == Sum(1) || Sum(nil) == Sum(false) || Sum([]any{"a", "b"}) == Sum([]any{"ab"}) {
		t.Error("sums do not tell values apart")
	}
}

func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.Float64Range(0, 100).Draw(t, "percent")
		begin := rapid.Uint64().Draw(t, "begin")
		const n = 20_000
		hit := 0
		for i := range uint64(n) {
			in := Share(begin+i, percent)
			if in {
				hit++
			}
			if in != Share(begin+i, percent) || in && !Share(begin+i, percent+1) {
				t.Fatal("a share is not stable")
			}
		}
		if got := 100 * float64(hit) / n; got < percent-2 || got > percent+2 {
			t.Fatalf("%v %% of ids, want %v", got, percent)
		}
	})
}

func TestOneInIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "n")
		total := rapid.IntRange(0, 500).Draw(t, "total")
		c := &cell{}
		hit := 0
		for range total {
			if c.oneIn(uint64(n)) {
				hit++
			}
		}
		if want := (total + n - 1) / n; hit != want {
			t.Fatalf("%d of %d, want %d", hit, total, want)
		}
	})
}

func FuzzRules(f *testing.F) {
	for _, text := range []string{`payload.load1 > 4`, `any(payload.x, .y > 1)`, `one_in(3)`, `changed(payload, from)`, `hash(payload, 7) == 1`, `payload.a + payload.b == "x"`,
		`payload matches "a*"`, `every("1s") && rate("2s") > 1`, `filter(payload, # in payload)[0] == last(payload)`, `(((`, `payload[0][1]["a"]?.b`, `string(payload) == ""`,
		`sum(payload.x) > min(1, 2)`, `"` + "\x00" + `" == from`, `not not not true`, `payload[1:2] == payload`} {
		f.Add(text, sample)
		f.Add(text, `[1,[2,"x"],{"x":[{"y":1}]}]`)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		if len(body) > 1<<14 {
			return
		}
		for _, want := range []Want{Bool, Key} {
			r, err := Compile(text, want)
			if err != nil {
				var fault *Fault
				if !errors.As(err, &fault) || fault.Off < 0 || fault.Off > len(text) {
					t.Fatalf("%q: %#v", text, err)
				}
				continue
			}
			begin := time.Now()
			for range 2 {
				if want == Bool {
					_, _ = r.Match(on(body))
				} else {
					_, _, _ = r.Hash(on(body))
				}
			}
			if d := time.Since(begin); d > 2*time.Second {
				t.Fatalf("%q took %v", text, d)
			}
		}
	})
}

func BenchmarkRule(b *testing.B) {
	for _, text := range []string{`payload.load1 > 4`, `from == "cpu"`, `payload.load1 > 4 && one_in(30)`, `any(payload.disks, .used > 90)`} {
		b.Run(text, func(b *testing.B) {
			r, err := Compile(text, Bool)
			if err != nil {
				b.Fatal(err)
			}
			m := on(sample)
			v, _ := m.Payload()
			m.Payload = func() (any, error) { return v, nil }
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.Match(m)
			}
		})
	}
}
