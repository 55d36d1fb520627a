"""Golden vectors of bus/wire, read and written by dsat.py, and the session against a daemon of a few lines."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import dsat
import zmq

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = json.loads((HERE / "../../bus/wire/testdata/golden.json").read_text())
KINDS = {name: getattr(dsat, name) for name in (
    "HELLO WELCOME CREDIT DATA OUT DONE FAIL PROGRESS EMIT ACCEPTED CANCEL ROUTES DRAIN PING PONG BYE ERROR CALL REPLY TOPIC LISTEN TALLY".split())}
FIELDS = [f for f in dsat.Record._fields if f not in ("kind", "body")]


def wanted(r):
    body = bytes.fromhex(r.get("body", ""))
    if "outputs" in r:
        body = dsat.pack_outputs([(o.get("port", 0), o.get("codec", 0), bytes.fromhex(o.get("payload", o.get("body", ""))))
                                  for o in r["outputs"]])
    return dsat.Record(kind=KINDS[r["kind"]], body=body, **{f: r.get(f, 0) for f in FIELDS})


class Golden(unittest.TestCase):
    def test_frames_are_read_and_written(self):
        for f in GOLDEN["frames"]:
            with self.subTest(f["name"]):
                frame, records = bytes.fromhex(f["hex"]), [wanted(r) for r in f["records"]]
                self.assertEqual(dsat.parse(frame), records)
                self.assertEqual(dsat.pack(records), frame)

    def test_bad_frames_are_refused(self):
        for f in GOLDEN["refused"]:
            with self.subTest(f["name"]), self.assertRaises(dsat.WireError):
                dsat.parse(bytes.fromhex(f["hex"]))

    def test_frames_stay_within_the_limits(self):
        records = [dsat.Record(dsat.EMIT, n=i, body=bytes(i % 3000)) for i in range(1, 3000)]
        back, sizes = [], []
        for frame in dsat.frames(records):
            sizes.append(len(frame))
            back += dsat.parse(frame)
        self.assertEqual(back, records)
        self.assertLessEqual(max(sizes), dsat.MAX_FRAME)


class Daemon:
    """A ROUTER and one child."""

    def __init__(self, test, program, **more):
        self.test, self.dir = test, tempfile.TemporaryDirectory()
        self.address = "ipc://%s/bus.sock" % self.dir.name
        self.context = zmq.Context()
        self.bind()
        path = pathlib.Path(self.dir.name, "satellite.py")
        path.write_text(textwrap.dedent(program))
        env = dict(os.environ, PYTHONPATH=str(HERE), DSAT_BUS=self.address, DSAT_TOKEN="t", DSAT_NAME="cpu", DSAT_WID="1",
                   DSAT_INCARNATION="4294967297", **more)
        self.child = subprocess.Popen([sys.executable, str(path)], env=env, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        test.addCleanup(self.close)
        self.records, self.peer = [], None

    def bind(self):
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.RCVTIMEO, 20000)
        self.socket.bind(self.address)

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.socket.close(linger=0)
        self.context.term()
        self.dir.cleanup()

    def read(self):
        while not self.records:
            self.peer, frame = self.socket.recv_multipart()
            self.records = dsat.parse(frame)
        return self.records.pop(0)

    def send(self, *records):
        self.socket.send_multipart([self.peer, dsat.pack([r._replace(epoch=1) for r in records])])

    def welcome(self, **more):
        hello = self.read()
        self.test.assertEqual(hello.kind, dsat.HELLO)
        body = dict(epoch=1, in_hand=32, bytes=1 << 20, emit_messages=4, emit_bytes=1 << 20, accepted=0, routes=["csv", "alarm"],
                    deadline_ms=0, max_body=1 << 20, **{"from": ["clock"]})
        body.update(more)
        self.send(dsat.Record(dsat.WELCOME, body=json.dumps(body).encode()))
        return json.loads(hello.body)

    def ends(self, bye=True):
        if bye:
            self.test.assertEqual(self.read().kind, dsat.BYE)
            self.send(dsat.Record(dsat.BYE))
        return self.child.wait(20)


WORKER = """
    import dsat

    def work(m):
        if m.text() == "fail":
            raise ValueError("no")
        if m.text() == "poison":
            raise dsat.Permanent("never")
        if m.text() == "two":
            return (v for v in ("a", dsat.To("alarm", {"x": m.source})))
        if m.text() == "long":
            import time
            while not m.cancelled():
                time.sleep(0.001)
        if m.text() in ("new", "old"):
            return dsat.To({"new": "new", "old": "csv"}[m.text()], m.source)
        if m.text().startswith("call"):
            try:
                found = dsat.call("price", m.text(), deadline=20, lasting=m.text() == "call lasting", session=3 * (m.text() == "call lasting"))
                return ",".join(r.codec + ":" + r.text() for r in found)
            except dsat.CallError as e:
                return "%s %s %s %d" % (e.state, e.step, e.reason, e.task)
        if m.text() == "other":
            dsat.call("prize", 1)
        if m.text() == "session":
            return m.session
        if m.text() == "pid":
            import os
            return os.getpid()

    dsat.run(work)
    """

WAITER = """
    import dsat, sys

    def work(m):
        if m.text() == "one":
            m.progress()
            sys.stdin.readline()
            return "%s %s" % (m.text(), m.cancelled())
        return m.text()

    dsat.run(work)
    """

SOURCE = """
    import dsat, itertools, time

    def ticks():
        for i in itertools.count():
            if i == 6:
                time.sleep(3600)
            yield {"i": i}

    dsat.source(ticks())
    """


def data(n, payload, **more):
    return dsat.Record(dsat.DATA, n=n, body=payload.encode(), codec=1, **more)


class Session(unittest.TestCase):
    def test_a_worker_answers_in_ranges_with_outputs_and_failures(self):
        d = Daemon(self, WORKER)
        hello = d.welcome()
        self.assertEqual((hello["step"], hello["wid"], hello["incarnation"], hello["token"]), ("cpu", 1, "4294967297", "t"))
        d.send(data(3, "x"), data(7, "x"), data(9, "fail"), data(11, "poison"), data(12, "two"))
        done = set()
        while not done >= {3, 7}:
            r = d.read()
            self.assertEqual(r.kind, dsat.DONE)
            done |= {n for n in (3, 7) if r.n <= n <= max(r.n, r.m)}
        r = d.read()
        self.assertEqual((r.kind, r.flags, r.n, r.body), (dsat.FAIL, 1, 9, b"ValueError: no"))
        r = d.read()
        self.assertEqual((r.kind, r.flags, r.n), (dsat.FAIL, 0, 11))
        r = d.read()
        self.assertEqual((r.kind, r.n), (dsat.DONE, 12))
        self.assertEqual(dsat.unpack_outputs(r.body), [(dsat.ALL_LINKS, 1, b"a"), (1, 2, b'{"x":"clock"}')])
        d.send(dsat.Record(dsat.DRAIN))
        self.assertEqual(d.read().kind, dsat.BYE)
        d.send(dsat.Record(dsat.BYE))
        d.child.send_signal(signal.SIGTERM)
        self.assertEqual(d.child.wait(20), 0)

    def test_sigterm_finishes_what_is_in_hand(self):
        d = Daemon(self, WORKER)
        d.welcome()
        d.send(data(1, "x"))
        self.assertEqual(d.read().kind, dsat.DONE)
        d.child.send_signal(signal.SIGTERM)
        r = d.read()
        self.assertEqual((r.kind, r.n), (dsat.CREDIT, 0)) if r.kind == dsat.CREDIT else d.records.insert(0, r)
        self.assertEqual(d.ends(), 0)

    def test_a_source_keeps_to_its_window_and_ends_on_drain(self):
        d = Daemon(self, SOURCE)
        d.welcome()
        self.assertEqual([d.read().n for _ in range(4)], [1, 2, 3, 4])
        d.send(dsat.Record(dsat.ACCEPTED, n=4))
        self.assertEqual([d.read().n for _ in range(2)], [5, 6])
        d.send(dsat.Record(dsat.DRAIN), dsat.Record(dsat.ACCEPTED, n=6))
        self.assertEqual(d.read().kind, dsat.BYE)
        d.send(dsat.Record(dsat.BYE))
        d.child.send_signal(signal.SIGTERM)
        self.assertEqual(d.child.wait(20), 0)

    def test_a_source_repeats_what_is_not_accepted_to_a_new_daemon(self):
        d = Daemon(self, SOURCE)
        d.welcome()
        self.assertEqual([d.read().n for _ in range(4)], [1, 2, 3, 4])
        d.socket.close(linger=0)
        d.bind()
        d.welcome(accepted=2, epoch=5)
        records = [d.read() for _ in range(4)]
        self.assertEqual([r.n for r in records], [3, 4, 5, 6])
        self.assertEqual({r.epoch for r in records}, {5})

    def test_a_busy_worker_answers_pings_and_hears_of_cancel(self):
        d = Daemon(self, WORKER)
        d.welcome()
        d.send(data(1, "long"), data(2, "x"), data(3, "pid"), dsat.Record(dsat.PING, n=8))
        r = d.read()
        self.assertEqual((r.kind, r.n), (dsat.PONG, 8))
        d.send(dsat.Record(dsat.CANCEL, n=2), dsat.Record(dsat.CANCEL, n=1))
        r = d.read()
        self.assertEqual((r.kind, r.n), (dsat.DONE, 1))     # ignored, and the worker goes on

    def test_routes_take_the_place_of_those_of_welcome(self):
        d = Daemon(self, WORKER)
        d.welcome()
        d.send(dsat.Record(dsat.ROUTES, n=1, body=json.dumps({"routes": ["", "alarm", "new"], "from": ["", "b"]}).encode()))
        d.send(data(1, "new", port=1), data(2, "new", port=0), data(3, "old"))
        r = d.read()
        self.assertEqual((r.kind, r.n, dsat.unpack_outputs(r.body)), (dsat.DONE, 1, [(2, 1, b"b")]))
        r = d.read()
        self.assertEqual((r.kind, r.n, dsat.unpack_outputs(r.body)), (dsat.DONE, 2, [(2, 1, b"")]))
        r = d.read()
        self.assertEqual((r.kind, r.flags, r.n), (dsat.FAIL, 0, 3))
        self.assertIn(b"the links are alarm, new", r.body)

    def test_calls_are_answered_given_up_and_lost(self):
        d = Daemon(self, WORKER)
        d.welcome(calls=["", "price"], call_messages=2, call_bytes=1 << 20)
        d.send(data(5, "call lasting"))
        r = d.read()
        self.assertEqual((r.kind, r.flags, r.port, r.codec, r.n, r.m, r.id, r.body), (dsat.CALL, dsat.LASTING, 1, 1, 1, 5, 3, b"call lasting"))
        self.assertTrue(10e9 < r.time <= 20e9)
        d.send(dsat.Record(dsat.REPLY, n=1, flags=dsat.MORE, codec=1, body=b"a"), dsat.Record(dsat.REPLY, n=1, flags=dsat.MORE, codec=2, body=b"7"),
               dsat.Record(dsat.REPLY, n=1, id=9))
        r = d.read()
        self.assertEqual((r.kind, r.n, dsat.unpack_outputs(r.body)), (dsat.DONE, 5, [(dsat.ALL_LINKS, 1, b"text:a,json:7")]))
        for end, state in enumerate(("failed", "expired", "lost", "refused"), 1):
            d.send(data(5 + end, "call"))
            r = d.read()
            self.assertEqual((r.kind, r.flags, r.n, r.m), (dsat.CALL, 0, 1 + end, 5 + end))
            d.send(dsat.Record(dsat.REPLY, n=r.n, m=end, id=9, body=b"why"))
            self.assertEqual(dsat.unpack_outputs(d.read().body), [(dsat.ALL_LINKS, 1, b"%s price why 9" % state.encode())])
        d.send(data(20, "other"))
        r = d.read()
        self.assertEqual((r.kind, r.flags), (dsat.FAIL, 0))
        self.assertIn(b"names price", r.body)
        d.send(data(21, "call"))
        self.assertEqual((d.read().kind, d.send(dsat.Record(dsat.CANCEL, n=21))), (dsat.CALL, None))
        self.assertEqual({(r.kind, r.n) for r in (d.read(), d.read())}, {(dsat.CANCEL, 6), (dsat.DONE, 21)})
        d.send(dsat.Record(dsat.REPLY, n=6), data(22, "call"))      # the answer crossed
        self.assertEqual((d.read().kind, d.socket.close(linger=0)), (dsat.CALL, None))
        d.bind()
        d.welcome(calls=["price"], call_messages=2, call_bytes=1 << 20)
        d.send(data(1, "call"))
        r = d.read()
        self.assertEqual((r.kind, r.n, r.m, r.port), (dsat.CALL, 1, 1, 0))

    def test_a_handler_sees_the_session(self):
        d = Daemon(self, WORKER)
        self.assertTrue(d.welcome()["topics"])
        d.send(dsat.Record(dsat.TOPIC, n=2, body=b'{"session":"abc"}'), data(1, "session"), data(2, "session"))
        self.assertEqual([dsat.unpack_outputs(d.read().body) for _ in range(2)], [[(dsat.ALL_LINKS, 1, b"")], [(dsat.ALL_LINKS, 1, b"abc")]])

    def test_a_worker_goes_on_with_what_it_has_in_hand(self):
        for held in (True, False):
            with self.subTest(held=held):
                d = Daemon(self, WAITER)
                d.welcome()
                d.send(data(7, "one"), data(8, "not begun"))
                self.assertEqual(d.read().kind, dsat.PROGRESS)      # it has begun
                d.socket.close(linger=0)
                d.bind()
                hello = d.welcome(epoch=2, held=["1.7 3"] if held else [])
                self.assertEqual(hello["holds"], ["1.7"])
                d.send(data(5, "x"))
                d.child.stdin.write(b"go\n")
                d.child.stdin.flush()
                if held:
                    r = d.read()
                    self.assertEqual((r.kind, r.epoch, r.n, r.m), (dsat.DONE, 2, 3, 0))
                    self.assertEqual(dsat.unpack_outputs(r.body), [(dsat.ALL_LINKS, 1, b"one False")])
                r = d.read()
                self.assertEqual((r.kind, r.n, dsat.unpack_outputs(r.body)), (dsat.DONE, 5, [(dsat.ALL_LINKS, 1, b"x")]))

    def test_what_was_done_while_dsatd_was_away_is_answered_to_the_next(self):
        for links in (["csv", "alarm"], ["alarm", "csv"]):
            with self.subTest(links=links):
                d = Daemon(self, WAITER)
                d.welcome()
                d.send(data(7, "one"))
                self.assertEqual(d.read().kind, dsat.PROGRESS)
                d.socket.close(linger=0)
                d.child.stdin.write(b"go\n")
                d.child.stdin.flush()
                time.sleep(0.2 * (links[0] == "csv"))   # it is done before the end of the connection is seen, or after it
                d.bind()
                d.welcome(epoch=2, held=["1.7 3"], routes=links)
                r = d.read()
                self.assertEqual((r.kind, r.epoch, r.n), (dsat.DONE if links[0] == "csv" else dsat.FAIL, 2, 3))

    def test_hello_again(self):
        d = Daemon(self, WORKER)
        d.welcome()
        d.send(dsat.Record(dsat.ERROR, n=dsat.HELLO_AGAIN))
        d.welcome()
        d.send(data(1, "pid"))
        self.assertEqual(dsat.unpack_outputs(d.read().body), [(dsat.ALL_LINKS, 2, b"%d" % d.child.pid)])

    def test_a_wrong_token_ends_it(self):
        d = Daemon(self, WORKER)
        d.read()
        d.send(dsat.Record(dsat.ERROR, n=2, body=b"wrong token"))
        self.assertEqual(d.ends(bye=False), 1)


FEED = """
    import dsat, sys

    def lines():
        for line in sys.stdin:
            yield dsat.Emit("wished", id=7) if line == "wish\\n" else line.strip()

    dsat.source(lines())
    """


class Direct(unittest.TestCase):
    """Links past dsatd, against sockets of our own at the other end."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.context = zmq.Context()
        self.addCleanup(lambda: self.context.destroy(linger=0))

    def socket(self, kind):
        s = self.context.socket(kind)
        s.setsockopt(zmq.RCVTIMEO, 20000)
        self.addCleanup(s.close, 0)
        return s

    def bound(self, name):
        s = self.socket(zmq.PULL)
        s.bind("ipc://%s/%s" % (self.dir.name, name))
        return s, "0 3 ipc://%s/%s" % (self.dir.name, name)

    def receiver(self, **more):
        d = Daemon(self, WORKER, DSAT_DIRECT=self.dir.name)
        hello = d.welcome(take=True, session=77, **more)
        self.assertTrue(hello["direct"])
        r = d.read()
        self.assertEqual((r.kind, r.body), (dsat.LISTEN, b"ipc://%s/in" % self.dir.name.encode()))
        self.push = self.socket(zmq.PUSH)
        self.push.connect(r.body.decode())
        return d, lambda *records: self.push.send(dsat.pack(records))

    def test_a_worker_takes_emits_and_counts_what_came_directly(self):
        d, push = self.receiver()
        emit = lambda n, text, m=1, **more: dsat.Record(dsat.EMIT, epoch=1, n=n, m=m, id=5, codec=1, body=text.encode(), **more)
        push(emit(1, "x"), emit(2, "two"))
        push(emit(5, "x"), emit(6, "fail"))     # 3 and 4 are missing
        push(emit(1, "old", m=2))               # another connection of the same sender
        push(dsat.Record(dsat.BYE))             # of somebody strange
        seen, told = [], {}
        while len(seen) < 4 or told.get("received") != 5:
            r = d.read()
            if r.kind == dsat.TALLY:
                self.assertEqual(r.flags, dsat.RECEIVED)
                told = {"received": r.n, "missed": r.m}
                continue
            self.assertEqual(r.kind, dsat.EMIT)
            seen.append((r.n, r.port, r.body))
            d.send(dsat.Record(dsat.ACCEPTED, n=r.n))
        self.assertEqual(told, {"received": 5, "missed": 2})
        # "two" went along both links, its second output along one; "old" along one.
        self.assertEqual(seen, [(1, 0, b"a"), (2, 1, b"a"), (3, 1, b'{"x":"clock"}'), (4, 0, b"clock")])

    def test_a_drained_receiver_finishes_and_then_says_bye(self):
        d, push = self.receiver()
        emits = [dsat.Record(dsat.EMIT, epoch=1, n=n, m=1, id=5, body=b"x") for n in range(1, 301)]
        push(*emits[:150])
        r = d.read()
        self.assertEqual(r.kind, dsat.TALLY)    # the connection is there
        d.send(dsat.Record(dsat.DRAIN))
        push(*emits[150:])
        while r.n < 300:                        # as long as the sender stays, so does the receiver
            r = d.read()
            self.assertEqual(r.kind, dsat.TALLY)
        last = r
        self.push.close()
        while r.kind == dsat.TALLY:
            last, r = r, d.read()
        self.assertEqual((r.kind, last.n, last.m), (dsat.BYE, 300, 0))
        d.send(dsat.Record(dsat.BYE))
        d.child.send_signal(signal.SIGTERM)
        self.assertEqual(d.child.wait(20), 0)

    def read_directly(self, pull, count):
        records = []
        while len(records) < count:
            records += dsat.parse(pull.recv())
        return records

    def test_a_source_sends_past_dsatd_and_is_rerouted(self):
        one, first = self.bound("one")
        two, second = self.bound("two")
        d = Daemon(self, FEED)
        d.welcome(session=9, routes=["csv"], direct=[first])
        d.child.stdin.write(b"a\nb\n")
        d.child.stdin.flush()
        records = self.read_directly(one, 2)
        self.assertEqual([(r.kind, r.n, r.port, r.id, r.epoch, r.body) for r in records],
                         [(dsat.EMIT, 1, 3, 9, 1, b"a"), (dsat.EMIT, 2, 3, 9, 1, b"b")])
        r = d.read()
        while r.n < 2:
            r = d.read()
        self.assertEqual((r.kind, r.flags, r.port, r.n, r.m), (dsat.TALLY, 0, 0, 2, 2))
        d.child.stdin.write(b"wish\n")          # a queue has to see to that
        d.child.stdin.flush()
        r = d.read()
        self.assertEqual((r.kind, r.n, r.port, r.id, r.body), (dsat.EMIT, 1, dsat.ALL_LINKS, 7, b"wished"))
        d.send(dsat.Record(dsat.ACCEPTED, n=1))
        d.send(dsat.Record(dsat.ROUTES, n=1, body=json.dumps({"routes": ["csv"], "direct": [second]}).encode()),
               dsat.Record(dsat.PING, n=1))
        self.assertEqual(d.read().kind, dsat.PONG)
        d.child.stdin.write(b"c\n")
        d.child.stdin.flush()
        r = self.read_directly(two, 1)[0]
        self.assertEqual((r.n, r.m > records[0].m, r.body), (1, True, b"c"))
        d.send(dsat.Record(dsat.ROUTES, n=2, body=b'{"routes":["csv"]}'), dsat.Record(dsat.PING, n=2))
        r = d.read()
        while r.kind == dsat.TALLY:
            r = d.read()
        self.assertEqual(r.kind, dsat.PONG)
        d.child.stdin.write(b"d\n")
        d.child.stdin.close()
        r = d.read()
        while r.kind == dsat.TALLY:
            r = d.read()
        self.assertEqual((r.kind, r.n, r.body), (dsat.EMIT, 2, b"d"))

    def test_what_waits_for_nobody_goes_by_dsatd(self):
        d = Daemon(self, FEED)
        d.welcome(routes=["csv"], direct=["0 3 ipc://%s/nobody" % self.dir.name])
        d.child.stdin.write(b"a\nb\n")
        d.child.stdin.close()
        d.send(dsat.Record(dsat.PING, n=1))
        self.assertEqual(d.read().kind, dsat.PONG)
        d.send(dsat.Record(dsat.ROUTES, n=1, body=b'{"routes":["csv"]}'))
        self.assertEqual([(r.kind, r.n, r.body) for r in (d.read(), d.read())], [(dsat.EMIT, 1, b"a"), (dsat.EMIT, 2, b"b")])
        d.send(dsat.Record(dsat.ACCEPTED, n=2))
        self.assertEqual(d.ends(), 0)

    def test_numbers_begin_anew_in_a_new_session(self):
        one, first = self.bound("one")
        d = Daemon(self, FEED)
        d.welcome(session=9, routes=["csv"], direct=[first])
        d.child.stdin.write(b"a\n")
        d.child.stdin.flush()
        before = self.read_directly(one, 1)[0]
        d.socket.close(linger=0)
        d.bind()
        d.records.clear()
        d.welcome(session=1, epoch=2, routes=["csv"], direct=[first])
        d.child.stdin.write(b"b\n")
        d.child.stdin.flush()
        after = self.read_directly(one, 1)[0]
        self.assertEqual((after.n, after.id, after.epoch, after.body), (1, 1, 2, b"b"))
        self.assertNotEqual(after.m, before.m)


class Interpreter(unittest.TestCase):
    def test_no_interpreter_with_pyzmq(self):
        with tempfile.TemporaryDirectory() as d:
            # Hidden from the second interpreter, too: it must say so instead of trying for ever.
            pathlib.Path(d, "zmq.py").write_text("raise ImportError('hidden')")
            out = subprocess.run([sys.executable, "-c", "import dsat"], capture_output=True, text=True, timeout=20, check=False,
                                 env=dict(os.environ, PYTHONPATH="%s:%s" % (d, HERE), DSAT_BUS="ipc:///nowhere"))
        self.assertEqual(out.returncode, 1)
        self.assertIn("apt install python3-zmq", out.stderr)

    def test_any_python3_can_start_a_satellite(self):
        others = {os.path.join(d, "python3") for d in os.environ["PATH"].split(":")} - {sys.executable, "/bin/python3"}
        for python in sorted(p for p in others if os.access(p, os.X_OK)):
            with self.subTest(python):
                code = "import dsat, zmq, sys; print(sys.executable, sys.argv)"
                out = subprocess.run([python, "-c", code, "arg"], capture_output=True, text=True, timeout=20, check=False,
                                     env=dict(os.environ, PYTHONPATH=str(HERE), DSAT_BUS="ipc:///nowhere"))
                self.assertEqual(out.returncode, 0, out.stderr)
                self.assertIn("'-c', 'arg'", out.stdout)


if __name__ == "__main__":
    unittest.main()
