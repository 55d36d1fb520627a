"""Satellites in Python: a function becomes a worker or a source of dsatd.

    import dsat

    def work(m):                      # called for each message, one at a time
        load = m.json()["load1"]
        if load > 4:
            return {"alarm": load}    # None, bytes, str, or what JSON can write; or yield several

    dsat.run(work)

A message is acknowledged, together with what it gave rise to, when the function returned. An exception gives it back: it is
tried again, unless it is dsat.Permanent. A message may come again after a crash, with the same m.id.
`yield dsat.To("csv", value)` sends along one link only. A source is an iterable: dsat.source(generator()); what it yields may
carry wishes: dsat.Emit(value, step="csv", id=77, delay=1.5, ttl=60, priority=5), where the step may be left out too.
`dsat.call("price", {"item": 7}, deadline=2.0)` asks a step that `calls` of the topology names, and waits for its answer.
Where a queue's delivery is direct, and the other side can, messages pass from process to process without dsatd, at most once; such a
message has no id and no task (0), and one that carries wishes goes by dsatd all the same.

In the topology: speaks = "bus", command = "python3 alarm.py", and env = { PYTHONPATH = "the directory of this file" }.
Needs pyzmq (Debian: python3-zmq). If the interpreter that runs has none, Debian's own /usr/bin/python3 takes its place.
This file is an implementation of bus/wire by its specification alone.
"""
import collections
import json
import math
import os
import signal
import struct
import sys
import threading
import time
import traceback

try:
    import zmq
    from zmq.utils.monitor import recv_monitor_message
except ImportError as missing:
    _DEBIAN = "/usr/bin/python3"
    if os.path.exists(_DEBIAN) and "DSAT_REEXEC" not in os.environ and "DSAT_BUS" in os.environ:
        os.environ["DSAT_REEXEC"] = "1"
        os.execv(_DEBIAN, [_DEBIAN] + getattr(sys, "orig_argv", [None] + sys.argv)[1:])
    sys.exit("cannot reach the bus: no pyzmq in %s (%s); apt install python3-zmq" % (sys.executable, missing))

FRAME = struct.Struct("<IBBHII")            # magic version flags zero length count
RECORD = struct.Struct("<IBBHIHHQQQq")      # length kind flags port epoch codec hops n m id time
OUTPUT = struct.Struct("<IHH")              # length port codec
MAGIC, VERSION, MAX_FRAME, MAX_RECORDS, MAX_BODY, ALL_LINKS = 0x54415344, 1, 65536, 1024, 16 << 20, 0xFFFF
(HELLO, WELCOME, CREDIT, DATA, OUT, DONE, FAIL, PROGRESS, EMIT, ACCEPTED, CANCEL, ROUTES, DRAIN, PING, PONG, BYE,
 ERROR, CALL, REPLY, TOPIC, LISTEN, TALLY) = range(1, 23)
CODECS = ["raw", "text", "json", "cbor", "struct"]
PATIENCE = 30.0                             # seconds that we outlive the daemon
GRACE = 2.0                                 # seconds after a deadline that dsatd has to say so
HELLO_AGAIN = 1
MORE, LASTING, RECEIVED = 1, 1, 1           # flags of REPLY, of CALL, of TALLY
JAM = 1 << 20                               # bytes of one direct link that may wait for room
ROOM = 4 << 20                              # bytes from other satellites that may wait for the handler
PIPE_FRAMES = 16                            # that libzmq keeps for each other satellite, on either side
QUIET = 0.05                                # seconds without a word or a connection, until a worker that is drained believes that there is no more
TALLY_EVERY = 0.1                           # seconds
RECENT, RECENT_BYTES = 1024, 1 << 20        # answers that are kept after they were sent
SENDERS = 4096                              # that a receiver remembers
ENDS = ["done", "failed", "expired", "lost", "refused"]     # by m of REPLY

Record = collections.namedtuple("Record", "kind flags port epoch codec hops n m id time body", defaults=(0,) * 9 + (b"",))

class Permanent(Exception):
    """Raised by a handler: the message is not worth another attempt."""

class WireError(Exception):
    """The other side does not speak the protocol."""

class CallError(Exception):
    """The end of a call that is not done. state: failed (a message of its task was not done), expired (its deadline came first; nothing
    of it is begun any more), lost (the instance that its session was with is gone), refused (nothing was sent), or disconnected
    (the session with dsatd is over: whether it was done is not known)."""

    def __init__(self, step, state, reason, task=0):
        super().__init__("the call of %s is %s: %s" % (step, state, reason))
        self.step, self.state, self.reason, self.task = step, state, reason, task

class _Stop(BaseException):
    """Interrupts a source that is to stop."""

To = collections.namedtuple("To", "step value")     # a value for one link only
# A value of a source with wishes: an id of its own (a whole number, taken once where a queue has a window for that), seconds before it is
# given to a worker, seconds in which its task must have ended, and 0 to 9, the highest first where a queue has levels.
Emit = collections.namedtuple("Emit", "value step id delay ttl priority", defaults=("", 0, 0, 0, 0))


def wishes(value):
    """The flags, m and id of an EMIT."""
    if not isinstance(value, Emit):
        return 0, 0, 0
    delay, ttl = (min(max(math.ceil(s * 1000), 0), 0xFFFFFFFF) for s in (value.delay, value.ttl))
    return min(max(int(value.priority), 0), 9), ttl << 32 | delay, int(value.id) & 0xFFFFFFFFFFFFFFFF

class Result(collections.namedtuple("Result", "payload codec")):
    """An output of a last step: the answer to a call."""

    def json(self):
        return json.loads(self.payload)

    def text(self):
        return self.payload.decode()

class Message(collections.namedtuple("Message", "payload codec id task source attempt hops time session", defaults=("",))):
    """payload is bytes; source the step it came from ("": outside); attempt counts from 1; time is Unix seconds; session the name of the
    one it belongs to, all of whose messages come to this process, in order ("": none)."""

    _unwanted = staticmethod(lambda: False)
    _alive = staticmethod(lambda: None)

    def progress(self):
        """Tells dsatd that the message is alive: its heartbeat, or else its deadline, starts anew. Any thread may."""
        self._alive()

    def cancelled(self):
        """Whether the answer will be ignored: its step was removed, or dsatd was killed and the next one does not know it, as it does
        those of durable queues. A long handler may look, and return."""
        return self._unwanted()

    def json(self):
        return json.loads(self.payload)

    def text(self):
        return self.payload.decode()

def _padded(n):
    return (n + 7) & ~7

def pack(records):
    """Records -> the bytes of one frame. The caller minds the limits."""
    parts, size = [b""], FRAME.size
    for r in records:
        body = bytes(r.body) + bytes(_padded(len(r.body)) - len(r.body))
        parts.append(RECORD.pack(len(r.body), *r[:-1]))
        parts.append(body)
        size += RECORD.size + len(body)
    parts[0] = FRAME.pack(MAGIC, VERSION, 0, 0, size, len(records))
    return b"".join(parts)

def frames(records):
    """Records -> frames within the limits."""
    batch, size = [], FRAME.size
    for r in records:
        n = RECORD.size + _padded(len(r.body))
        if batch and (len(batch) == MAX_RECORDS or size + n > MAX_FRAME):
            yield pack(batch)
            batch, size = [], FRAME.size
        batch.append(r)
        size += n
    if batch:
        yield pack(batch)

def parse(frame):
    """The bytes of one frame -> records; WireError unless the whole frame is well-formed."""
    if len(frame) < FRAME.size + RECORD.size:
        raise WireError("short")
    magic, version, flags, zero, length, count = FRAME.unpack_from(frame)
    if magic != MAGIC or version != VERSION or flags or zero or length != len(frame) or not count:
        raise WireError("frame header")
    if count > MAX_RECORDS or (count > 1 and length > MAX_FRAME):
        raise WireError("too big")
    records, at = [], FRAME.size
    for _ in range(count):
        if at + RECORD.size > length:
            raise WireError("lengths")
        size, *head = RECORD.unpack_from(frame, at)
        start, at = at + RECORD.size, at + RECORD.size + _padded(size)
        if size > MAX_BODY or at > length or any(frame[start + size:at]) or not HELLO <= head[0] <= TALLY:
            raise WireError("record")
        records.append(Record(*head, frame[start:start + size]))
        if head[0] == DONE:
            unpack_outputs(records[-1].body)
    if at != length:
        raise WireError("lengths")
    return records

def pack_outputs(outputs):
    """[(port, codec, payload)] -> the body of DONE."""
    return b"".join(OUTPUT.pack(len(p), port, codec) + p + bytes(_padded(len(p)) - len(p)) for port, codec, p in outputs)

def unpack_outputs(body):
    """The body of DONE -> [(port, codec, payload)]."""
    outputs, at = [], 0
    while at < len(body):
        if at + OUTPUT.size > len(body):
            raise WireError("outputs")
        size, port, codec = OUTPUT.unpack_from(body, at)
        start, at = at + OUTPUT.size, at + OUTPUT.size + _padded(size)
        if at > len(body) or any(body[start + size:at]):
            raise WireError("outputs")
        outputs.append((port, codec, body[start:start + size]))
    return outputs

def encode(value):
    """A value -> (codec, payload)."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return 0, bytes(value)
    if isinstance(value, str):
        return 1, value.encode()
    return 2, json.dumps(value, separators=(",", ":")).encode()

class _Line:
    """One other satellite at the end of a direct link."""

    def __init__(self, context, endpoint, number):
        self.endpoint, self.number, self.sent = endpoint, number, 0     # number of the connection; sequence of the last message
        self.push = context.socket(zmq.PUSH)
        for option, value in ((zmq.SNDHWM, PIPE_FRAMES), (zmq.LINGER, int(PATIENCE * 1000)), (zmq.IMMEDIATE, 1)):
            self.push.setsockopt(option, value)
        self.push.connect(endpoint)

class _Road:
    """A direct link: what is emitted along it goes to other satellites without passing dsatd, at most once."""

    def __init__(self, port):
        self.port, self.origin = port, 0        # our number of the link, the receivers' number of us
        self.lines = []
        self.waiting, self.bytes = collections.deque(), 0       # (codec, payload)
        self.sent = self.carried = self.told = 0        # messages, bytes of their payloads; messages in a TALLY

    def jammed(self):
        return self.bytes > JAM

    def add(self, codec, payload):
        self.waiting.append((codec, payload))
        self.bytes += len(payload)

    def take(self):
        """What fits a frame, oldest first."""
        batch, size = [], FRAME.size
        while self.waiting and len(batch) < MAX_RECORDS:
            n = len(self.waiting[0][1])
            size += RECORD.size + _padded(n)
            if batch and size > MAX_FRAME:
                break
            batch.append(self.waiting.popleft())
            self.bytes -= n
        return batch

    def give_back(self, batch):
        self.waiting.extendleft(reversed(batch))
        self.bytes += sum(len(p) for _, p in batch)

class _Direct:
    """Links that do not pass dsatd. All but forward is for the thread of the sockets; bus.changed is held where nothing else is said."""

    def __init__(self, bus):
        self.bus = bus
        self.roads = {}                         # by port
        self.all = {}                           # likewise, with those of before: they may come back, and TALLYs go on counting
        self.detour = collections.deque()       # (port, codec, payload) of links that are direct no more: nobody was sent it
        self.made = 0                           # connections
        self.stuck = []                         # sockets without room
        self.dir = os.environ.get("DSAT_DIRECT")
        self.pull = None                        # where other satellites send to
        self.callers, self.connections = None, 0        # its monitor, and what it says
        self.heard = self.tallied = 0.0
        self.waiting = self.in_hand = 0         # bytes for the handler, messages not answered
        self.received = self.missed = 0
        self.told = (0, 0)                      # of them
        self.senders = {}                       # (epoch, session, connection) -> sequence of the last message

    def begin(self):
        """A new session: what is sent from now on is counted in it, and numbered anew."""
        for port, road in self.all.items():     # of a link that is not, nobody can be told
            road.sent, road.carried, road.told = road.sent - road.told if port in self.roads else 0, 0, 0
            for line in road.lines:
                self.made += 1
                line.number, line.sent = self.made, 0
        self.received, self.missed, self.told = self.received - self.told[0], self.missed - self.told[1], (0, 0)

    def pave(self, context, links):
        """Goes over to the links of a WELCOME or ROUTES, each "PORT ORIGIN ENDPOINT": first the new ones, then away with the old."""
        named = {}
        for link in links:
            port, origin, endpoint = link.split(" ", 2)
            named.setdefault(int(port), (int(origin), []))[1].append(endpoint)
        for port, (origin, endpoints) in named.items():
            road = self.roads[port] = self.all.setdefault(port, _Road(port))
            road.origin = origin
            for endpoint in endpoints:
                if all(line.endpoint != endpoint for line in road.lines):
                    self.made += 1
                    road.lines.append(_Line(context, endpoint, self.made))
        for port, road in list(self.roads.items()):
            keep = named.get(port, (0, ()))[1]
            for line in [x for x in road.lines if x.endpoint not in keep]:
                road.lines.remove(line)
                line.push.close()               # what it has goes out: its linger
            if port not in named:
                del self.roads[port]
                self.detour.extend((port, codec, payload) for codec, payload in road.waiting)
                road.waiting.clear()
                road.bytes = 0

    def listen(self, context, take):
        """Lets other satellites send to us, and returns what says where."""
        if not take or not self.dir or self.bus.is_source:
            return []
        endpoint = "ipc://%s/in" % self.dir
        if self.pull is None:
            self.pull = context.socket(zmq.PULL)
            self.pull.setsockopt(zmq.RCVHWM, PIPE_FRAMES)
            self.pull.setsockopt(zmq.LINGER, 0)
            self.callers = self.pull.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
            try:
                self.pull.bind(endpoint)
            except zmq.ZMQError:                # all goes by dsatd then
                self.close_pull()
                return []
        return [Record(LISTEN, body=endpoint.encode())]

    def travel(self):
        """Sends what can be sent. The lock is not held."""
        self.stuck = []
        for road in self.roads.values():        # only this thread changes it
            while road.waiting:
                line = next((x for x in road.lines if x.push.getsockopt(zmq.EVENTS) & zmq.POLLOUT), None)
                if line is None:
                    self.stuck += [x.push for x in road.lines]
                    break
                with self.bus.changed:
                    batch = road.take()
                try:
                    line.push.send(self.frame(road, line, batch), zmq.NOBLOCK)
                except zmq.Again:
                    with self.bus.changed:
                        road.give_back(batch)
                    continue
                road.lines.remove(line)         # the next frame goes to the next one
                road.lines.append(line)
                with self.bus.changed:
                    line.sent += len(batch)
                    road.sent += len(batch)
                    road.carried += sum(len(p) for _, p in batch)
                    self.bus.changed.notify_all()

    def frame(self, road, line, batch):
        """Numbered for one receiver, which finds by the numbers whether some are missing."""
        parts, size, n = [b""], FRAME.size, line.sent
        for codec, payload in batch:
            n += 1
            pad = _padded(len(payload)) - len(payload)
            parts += RECORD.pack(len(payload), EMIT, 0, road.origin, self.bus.epoch, codec, 0, n, line.number, self.bus.own, 0), payload, bytes(pad)
            size += RECORD.size + len(payload) + pad
        parts[0] = FRAME.pack(MAGIC, VERSION, 0, 0, size, len(batch))
        return b"".join(parts)

    def watched(self):
        """The sockets from which something may come that is wanted."""
        return ([self.callers] if self.callers is not None else []) + ([self.pull] if self.room() else [])

    def room(self):
        return self.pull is not None and self.waiting < ROOM

    def receive(self):
        """Takes what others have sent, as far as there is room. The lock is not held."""
        while self.callers is not None and self.callers.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self.connections += 1 if recv_monitor_message(self.callers)["event"] == zmq.EVENT_ACCEPTED else -1
            self.heard = time.monotonic()       # who goes has said all
        while self.room():
            try:
                frame = self.pull.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.heard = time.monotonic()
            try:
                records = [r for r in parse(frame) if r.kind == EMIT]
            except WireError:                   # whoever it was, he is no satellite
                continue
            with self.bus.changed:
                self.admit(records)
                self.bus.changed.notify_all()

    def admit(self, records):
        if not records:
            return
        sender, now = (records[0].epoch, records[0].id, records[0].m), time.time_ns()
        if sender not in self.senders and len(self.senders) >= SENDERS:     # the oldest half is of lives that are over
            for old in list(self.senders)[:SENDERS // 2]:
                del self.senders[old]
        last = self.senders.get(sender, 0)
        for r in records:
            self.missed += max(r.n - last - 1, 0)
            last = r.n
            self.waiting += len(r.body)
            self.bus.inbox.append((None, now, r))
        self.senders[sender] = last
        self.in_hand += len(records)
        self.received += len(records)

    def tally(self, again):
        """Records that say how much was carried, when that is news and the time has come, or again is set."""
        if not again and time.monotonic() - self.tallied < TALLY_EVERY:
            return []
        self.tallied, news = time.monotonic(), []
        for road in self.all.values():
            if road.told != road.sent:
                news.append(Record(TALLY, port=road.port, n=road.sent, m=road.carried))
                road.told = road.sent
        if self.told != (self.received, self.missed):
            news.append(Record(TALLY, flags=RECEIVED, n=self.received, m=self.missed))
            self.told = (self.received, self.missed)
        return news

    def untold(self):
        return self.told != (self.received, self.missed) or any(r.told != r.sent for r in self.all.values())

    def done(self):
        """Whether all is where it shall be."""
        return not (any(r.waiting for r in self.roads.values()) or self.detour or self.in_hand
                    or self.pull is not None and (self.connections or time.monotonic() - self.heard < QUIET))

    def close(self):
        """What was sent goes out first."""
        for road in self.roads.values():
            for line in road.lines:
                line.push.close()
        if self.pull is not None:
            self.close_pull()

    def close_pull(self):
        self.pull.disable_monitor()
        self.callers.close(linger=0)
        self.pull.close()
        self.pull = self.callers = None

class _Hand:
    """A message that a handler has begun, until its answer is sent: in this session, or in the next one if that goes on with it."""

    def __init__(self, session, place, epoch, n):
        self.name = "%d.%d" % (epoch, n)        # as the daemon knows it that dispatched it
        self.session, self.place, self.n = session, place, n
        self.wanted = True

    def hold(self, session, n):
        self.session, self.n, self.place = session, n, -2       # its answer is no neighbour of others

class _Bus:
    """One thread owns the socket; the main thread runs the user's code. They share deques and one condition."""

    def __init__(self, is_source):
        env = os.environ
        self.hello = {"step": env["DSAT_NAME"], "wid": int(env["DSAT_WID"]), "incarnation": env["DSAT_INCARNATION"],
                      "token": env["DSAT_TOKEN"], "pid": os.getpid(), "concurrency": 1, "source": is_source, "topics": True, "direct": True, "sdk": "python-1"}
        self.is_source = is_source
        self.changed = threading.Condition()
        self.inbox = collections.deque()        # (session, place, Record); what came directly: (None, its time, Record)
        self.direct, self.own = _Direct(self), 0        # own: number of the session in what goes along direct links
        self.hands = []                         # begun, and not answered
        self.answers = collections.deque()      # (hand, Record, [Record of OUT], the session and links these are of)
        self.recent, self.recent_bytes = collections.deque(), 0         # answers that were sent, and may have got lost with dsatd
        self.alive = collections.deque()        # hands that show progress
        self.fresh = collections.deque()        # EMITs to send
        self.unaccepted = collections.deque()   # EMITs sent and not accepted
        self.session = self.epoch = self.emitted = self.accepted = self.bytes = 0
        self.window = (0, 0)
        self.routes, self.sources, self.max_body = [], [], MAX_BODY
        self.callees, self.call_window = [], (0, 0)
        self.calls, self.called, self.call_bytes = {}, 0, 0     # open ones by number: [step, size, results, end or None]
        self.say = collections.deque()          # CALL and CANCEL, of this session
        self.handling = None                    # the hand of the message the handler is at; None: a direct one
        self.in_hand = self.place = 0
        self.topics = {}                        # sessions of messages, by dispatch number
        self.gone = set()                       # hops cancelled before they began
        self.draining = self.stopping = self.finished = self.bye = self.over = self.welcome = self.woken = False
        self.interruptible = self.nudged = self.paused = False
        self.alone = time.monotonic()           # since when there is no session; None: there is one
        self.wake_out, self.wake_in = os.pipe()
        os.set_blocking(self.wake_out, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.terminate)
        self.thread = threading.Thread(target=self.guard, daemon=True)
        self.thread.start()

    def wake(self):
        if not self.woken:
            self.woken = True
            os.write(self.wake_in, b"!")

    def terminate(self, *_):
        if self.nudged:                         # DRAIN of a source: by ourselves, to get it out of a sleep
            self.nudged = False
        else:
            self.stopping = True
        self.wake()
        if self.interruptible:
            self.interruptible = False
            raise _Stop

    # What follows runs in the thread of the socket.

    def guard(self):
        try:
            self.loop()
        except BaseException as e:  # without this thread the process is deaf: better to be started anew
            traceback.print_exc() if not isinstance(e, SystemExit) else sys.stderr.write("%s\n" % e)
            sys.stderr.flush()
            os._exit(1)

    def loop(self):
        self.context = context = zmq.Context()
        self.socket = context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 0), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0), (zmq.IMMEDIATE, 1),
                              (zmq.RECONNECT_IVL, 20), (zmq.RECONNECT_IVL_MAX, 500)):
            self.socket.setsockopt(option, value)
        monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.socket.connect(os.environ["DSAT_BUS"])
        own, others = [(s, zmq.POLLIN) for s in (self.socket, monitor, self.wake_out)], None
        while not self.over:
            watched = [(s, zmq.POLLOUT) for s in self.direct.stuck] + [(s, zmq.POLLIN) for s in self.direct.watched()]
            if watched != others:
                poller, others = zmq.Poller(), watched
                for s, what in own + others:
                    poller.register(s, what)
            left = None if self.alone is None else self.alone + PATIENCE - time.monotonic()
            timeout = min((t for t in (left, self.soon()) if t is not None), default=None)
            ready = {} if left is not None and left <= 0 else dict(poller.poll(None if timeout is None else timeout * 1000 + 1))
            if left is not None and left <= 0:
                if self.bye:
                    break
                sys.exit("cannot go on: dsatd was away for %d s" % PATIENCE)
            if monitor in ready:
                gone = recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
                self.lose() if gone else self.greet()
            if self.wake_out in ready:
                os.read(self.wake_out, 64)
                self.woken = False
            self.receive()
            self.direct.receive()
            self.direct.travel()
            self.send()
            if self.stopping and not self.welcome:
                break
        with self.changed:
            self.over = True
            self.changed.notify_all()
        self.direct.close()
        self.socket.disable_monitor()
        monitor.close(linger=0)
        self.socket.close(linger=0)
        context.term()

    def soon(self):
        """Seconds until there is something to do unasked; None: never."""
        if not self.welcome or self.bye:
            return None
        if self.direct.pull is not None and (self.draining or self.stopping):
            return QUIET / 2
        return TALLY_EVERY if self.direct.untold() else None

    def lose(self):
        """The session is over: what was not begun is given to others."""
        if self.alone is None:
            self.alone = time.monotonic()
        with self.changed:
            self.welcome = False
            self.session += 1
            for c in self.calls.values():
                c[3] = ("disconnected", "the session with dsatd is over", 0)
            self.calls, self.called, self.call_bytes = {}, 0, 0
            self.say.clear()
            self.changed.notify_all()
            self.inbox = collections.deque(e for e in self.inbox if e[0] is None)       # what others have sent is nobody else's
            self.in_hand, self.place = 0, 0
            self.gone.clear()
            self.topics.clear()

    def greet(self):
        self.lose()
        self.put([Record(HELLO, body=json.dumps(dict(self.hello, accepted=self.accepted, holds=self.holds())).encode())])

    def holds(self):
        """What we go on with, if the daemon wants it."""
        with self.changed:
            return [h.name for h in self.hands + [a[0] for a in self.recent] if h.wanted]

    def go_on(self, held):
        """What is in hand of sessions before belongs to this one, as far as the daemon wants it."""
        numbers = dict(text.split(" ", 1) for text in held)
        for answer in reversed(self.recent):
            if answer[0].name in numbers:
                self.hands.append(answer[0])
                self.answers.appendleft(answer)
        self.recent.clear()
        self.recent_bytes = 0
        for h in self.hands:
            h.wanted = h.wanted and h.name in numbers
            if h.wanted:
                h.hold(self.session, int(numbers[h.name]))
                self.in_hand += 1

    def put(self, records):
        try:
            for frame in frames(records):
                self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:  # no connection: its end is reported, and answers are void then
            pass

    def receive(self):
        while not self.over:
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            with self.changed:
                for r in parse(frame):
                    self.take(r)
                self.changed.notify_all()

    def take(self, r):
        if r.kind == WELCOME:
            self.welcomed(json.loads(r.body))
        elif r.kind == ERROR:
            if r.n != HELLO_AGAIN:
                sys.exit("dsatd ended the session: %s (code %d)" % (r.body.decode(errors="replace"), r.n))
            if self.welcome:  # else HELLO is under way already
                self.greet()
        elif not self.welcome:
            return
        elif r.kind == DATA and not self.bye:
            self.inbox.append((self.session, self.place, r))
            self.place += 1
            self.in_hand += 1
        elif r.kind == CREDIT:
            self.window = (r.n, r.m)
        elif r.kind == ACCEPTED:
            self.accept(r.n)
        elif r.kind == CANCEL:
            self.gone.add(r.n)
        elif r.kind == ROUTES:
            links = json.loads(r.body)
            self.routes, self.sources = links.get("routes") or [], links.get("from") or []
            self.callees = links.get("calls") or []
            self.join(links)
        elif r.kind == REPLY:
            self.replied(r)
        elif r.kind == TOPIC:
            self.topics[r.n] = json.loads(r.body).get("session") or ""
        elif r.kind == DRAIN:
            self.draining, self.direct.heard = True, time.monotonic()       # who was told of us may be connecting still
            if self.is_source:
                self.nudged = True
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        elif r.kind == PING:
            self.put([Record(PONG, epoch=self.epoch, n=r.n)])
        elif r.kind == BYE:
            self.over = self.bye and (self.stopping or self.finished and not self.draining)
            self.welcome, self.alone = False, time.monotonic()      # drained: the signal is to follow

    def join(self, links):
        """Takes up the direct links that are, and says where we listen."""
        self.direct.pave(self.context, links.get("direct") or [])
        self.say.extend(self.direct.listen(self.context, links.get("take")))

    def welcomed(self, w):
        self.welcome, self.alone, self.bye = True, None, False
        self.epoch, self.window, self.own = w["epoch"], (w["emit_messages"], w["emit_bytes"]), w.get("session", 0)
        self.join(w)
        self.direct.begin()
        self.go_on(w.get("held") or [])
        self.routes, self.sources = w.get("routes") or [], w.get("from") or []
        self.max_body = w.get("max_body") or MAX_BODY
        self.callees, self.call_window = w.get("calls") or [], (w.get("call_messages", 0), w.get("call_bytes", 0))
        self.accept(w["accepted"])
        self.fresh.extendleft(reversed(self.unaccepted))
        self.unaccepted.clear()

    def replied(self, r):
        c = self.calls.get(r.n)
        if c is None:                           # it was given up
            return
        if r.flags & MORE:
            c[2].append(Result(r.body, CODECS[r.codec] if r.codec < len(CODECS) else "raw"))
            return
        del self.calls[r.n]
        self.call_bytes -= c[1]
        c[3] = (ENDS[r.m] if r.m < len(ENDS) else "failed", r.body.decode(errors="replace"), r.id)

    def accept(self, n):
        for queue in (self.unaccepted, self.fresh):
            while queue and queue[0].n <= n:
                self.bytes -= len(queue.popleft().body)
        self.accepted = max(self.accepted, n)

    def send(self):
        if self.stopping:
            with self.changed:                  # a source may wait for room
                self.changed.notify_all()
        if not self.welcome or self.bye:
            return
        records, first, last, end = [], 0, 0, None      # a range of DONEs: first to last, the last at place end

        def close():
            if end is not None:
                records.append(Record(DONE, epoch=self.epoch, n=first, m=last if last > first else 0))

        while self.alive:
            hand = self.alive.popleft()
            if hand.session == self.session:
                records.append(Record(PROGRESS, epoch=self.epoch, n=hand.n))
        while self.answers:
            hand, answer, staged, links = self.answers.popleft()
            with self.changed:
                self.hands.remove(hand)
            if hand.session != self.session:
                continue
            self.recall((hand, answer, staged, links))
            self.in_hand -= 1
            place, answer, staged = hand.place, answer._replace(n=hand.n), [r._replace(n=hand.n) for r in staged]
            session, routes = links
            if session != self.session and routes != self.routes and (answer.kind == DONE and answer.body or staged):
                answer, staged = Record(FAIL, flags=1, n=hand.n, body=b"the links have changed while dsatd was away"), []
            if answer.kind == DONE and not answer.body and not staged:
                if end is not None and place == end + 1:
                    last, end = answer.n, place
                    continue
                close()
                first, last, end = answer.n, answer.n, place
                continue
            close()
            end = None
            records += [r._replace(epoch=self.epoch) for r in staged + [answer]]
        close()
        if not self.in_hand:
            self.gone.clear()
        while self.say:
            records.append(self.say.popleft()._replace(epoch=self.epoch))
        with self.changed:
            self.take_detour()
        while self.fresh:
            self.unaccepted.append(self.fresh.popleft())
            records.append(self.unaccepted[-1]._replace(epoch=self.epoch))
        with self.changed:
            settled = self.accepted == self.emitted and self.direct.done()
        if self.is_source:
            leave = self.finished and settled
        else:
            leave = (self.draining or self.stopping) and not self.in_hand and settled
            if self.stopping and not leave and not self.paused:
                self.paused = True
                records.append(Record(CREDIT, epoch=self.epoch))
        with self.changed:
            records += [r._replace(epoch=self.epoch) for r in self.direct.tally(leave)]
        if leave:
            self.bye = True
            records.append(Record(BYE, epoch=self.epoch))
        self.put(records)

    def recall(self, answer):
        """Keeps an answer for a while: dsatd does not say that it has it, and the next one asks for it if it was killed before it had."""
        self.recent.append(answer)
        self.recent_bytes += len(answer[1].body) + sum(len(r.body) for r in answer[2])
        while len(self.recent) > RECENT or self.recent_bytes > RECENT_BYTES:
            _, old, staged, _ = self.recent.popleft()
            self.recent_bytes -= len(old.body) + sum(len(r.body) for r in staged)

    def take_detour(self):
        """Emits, as far as the window goes, what waited on direct links that are no more. The lock is held."""
        while self.direct.detour and self.open_for(len(self.direct.detour[0][2])):
            self.append(*self.direct.detour.popleft())

    def open_for(self, size):
        """Whether the window has room for a payload; one that is larger than the window goes alone. The lock is held."""
        waiting = self.emitted - self.accepted
        return self.welcome and min(self.window) > 0 and (not waiting or waiting < self.window[0] and self.bytes + size <= self.window[1])

    def append(self, port, codec, payload, flags=0, m=0, number=0):
        self.emitted += 1
        self.bytes += len(payload)
        self.fresh.append(Record(EMIT, flags=flags, port=port, codec=codec, n=self.emitted, m=m, id=number, body=payload))

    # What follows runs in the main thread.

    def port(self, value):
        """A value -> (port, codec, payload)."""
        port = ALL_LINKS
        if isinstance(value, Emit):
            value = To(value.step, value.value) if value.step else value.value
        if isinstance(value, To):
            if not value.step or value.step not in self.routes:     # "": a link that is gone, and has kept its port
                raise Permanent("cannot emit to %r: the links are %s" % (value.step, ", ".join(filter(None, self.routes)) or "none"))
            port, value = self.routes.index(value.step), value.value
        codec, payload = encode(value)
        if len(payload) > self.max_body:
            raise Permanent("cannot emit %d bytes: a payload may have %d" % (len(payload), self.max_body))
        return port, codec, payload

    def work(self, handler):
        while True:
            with self.changed:
                while not self.inbox and not self.over:
                    self.changed.wait()
                if self.over:
                    break
                session, place, r = self.inbox.popleft()
                if session is not None:
                    hand = _Hand(session, place, r.epoch, r.n)
                    self.hands.append(hand)
            if session is None:
                self.take_direct(handler, place, r)
                continue
            answer, staged, links = Record(DONE), [], (session, [])
            self.handling = hand
            if not self.unwanted(hand):
                answer, staged, links = self.handle(handler, r, lambda: self.unwanted(hand), lambda: self.live(hand))
            self.answers.append((hand, answer, staged, links))
            self.wake()
        self.thread.join()                      # what goes to others is gone then

    def take_direct(self, handler, when, r):
        """Handles what came directly: nothing answers it, and what it gives rise to is emitted."""
        with self.changed:
            crossed = self.direct.waiting >= ROOM > self.direct.waiting - len(r.body)
            self.direct.waiting -= len(r.body)
        if crossed:
            self.wake()
        self.handling = None
        self.handle(handler, r._replace(n=0, m=0, id=0, hops=1, time=when), lambda: False, lambda: None, True)
        with self.changed:
            self.direct.in_hand -= 1
        if self.draining or self.stopping:
            self.wake()

    def unwanted(self, hand):
        """Whether an answer will be ignored. While dsatd is away nobody knows; it will say what it goes on with."""
        return not hand.wanted or hand.session == self.session and hand.n in self.gone

    def live(self, hand):
        self.alive.append(hand)
        self.wake()

    def handle(self, handler, r, unwanted, alive, direct=False):
        source = self.sources[r.port] if r.port < len(self.sources) else ""
        codec = CODECS[r.codec] if r.codec < len(CODECS) else "raw"
        message = Message(r.body, codec, r.id, r.m, source, r.flags + 1, r.hops, r.time / 1e9, self.topics.pop(r.n, ""))
        message._unwanted, message._alive = unwanted, alive
        try:
            result = handler(message)
            links = self.session, self.routes
            if result is None:
                return Record(DONE), [], links
            several = hasattr(result, "__next__")
            outputs = [self.port(v) for v in result if v is not None] if several else [self.port(result)]
            outputs = self.forward(outputs, direct)
        except Exception as e:
            traceback.print_exc()
            reason = "".join(traceback.format_exception_only(type(e), e)).strip()
            return Record(FAIL, flags=0 if isinstance(e, Permanent) else 1, body=reason[:500].encode(errors="replace")), [], (0, [])
        if not outputs:
            return Record(DONE), [], links
        body = pack_outputs(outputs)
        if FRAME.size + RECORD.size + len(body) > MAX_FRAME:
            return Record(DONE), [Record(OUT, port=p, codec=c, body=b) for p, c, b in outputs], links
        return Record(DONE, body=body), [], links

    def forward(self, outputs, direct):
        """Sends what goes along direct links, and returns the rest. Of a message that came directly nothing is left: there is no DONE it
        could go with, so that it is emitted."""
        with self.changed:
            if not direct and not self.direct.roads:
                return outputs
            rest = []
            for port, codec, payload in outputs:
                for p in self.each(port):
                    while not direct and not self.over and p in self.direct.roads and self.direct.roads[p].jammed():
                        self.changed.wait()
                    if direct or p in self.direct.roads:
                        self.emit_one(p, codec, payload)
                    else:
                        rest.append((p, codec, payload))
        self.wake()
        return rest

    def each(self, port):
        """The links that a port stands for: each goes by its own way. The lock is held."""
        return [port] if port != ALL_LINKS else [i for i, name in enumerate(self.routes) if name]

    def emit_one(self, port, codec, payload, wish=()):
        """Emits along one link, or all, and waits while there is no room. False: nothing more is wanted. The lock is held."""
        while not (self.over or self.is_source and (self.stopping or self.draining)):
            road = None if wish else self.direct.roads.get(port)
            if road is not None and not road.jammed():
                road.add(codec, payload)
                return True
            if road is None and not self.direct.detour and self.open_for(len(payload)):
                self.append(port, codec, payload, *wish)
                return True
            self.wake()
            self.changed.wait()
        return False

    def call(self, step, value, deadline, lasting, conversation):
        """Sends a CALL and waits for its end. Waits before that while the window is used up."""
        codec, payload = encode(value)
        until = time.monotonic() + deadline
        with self.changed:
            if len(payload) > self.max_body:
                raise Permanent("cannot call with %d bytes: a payload may have %d" % (len(payload), self.max_body))
            session, hand = self.session, None if self.is_source else self.handling
            unwanted = lambda: self.over or session != self.session or hand is not None and self.unwanted(hand)
            full = lambda: self.calls and (len(self.calls) >= self.call_window[0] or self.call_bytes + len(payload) > self.call_window[1])
            while not unwanted() and (full() or not self.welcome) and time.monotonic() < until:
                self.changed.wait(until - time.monotonic())
            if unwanted() or not self.welcome:
                raise CallError(step, "refused", "the message it is for is not wanted any more, or dsatd is away")
            if not step or step not in self.callees:
                raise Permanent("cannot call %r: `calls` of the topology names %s" % (step, ", ".join(filter(None, self.callees)) or "nobody"))
            left = until - time.monotonic()
            if left <= 0:
                raise CallError(step, "expired", "too many calls were under way")
            hop = hand.n if hand is not None else 0
            self.called += 1
            number, c = self.called, [step, len(payload), [], None]
            self.calls[number] = c
            self.call_bytes += c[1]
            self.say.append(Record(CALL, flags=LASTING if lasting else 0, port=self.callees.index(step), codec=codec, n=number, m=hop, id=conversation,
                                   time=int(left * 1e9), body=payload))
            self.wake()
            try:
                while c[3] is None and not unwanted():
                    if time.monotonic() > until + GRACE:
                        raise CallError(step, "expired", "dsatd does not answer")
                    self.changed.wait(until + GRACE - time.monotonic())
            finally:                            # a signal may end a source that waits
                if c[3] is None and session == self.session:
                    self.calls.pop(number, None)
                    self.call_bytes -= c[1]
                    self.say.append(Record(CANCEL, n=number))
                    self.wake()
        state, reason, task = c[3] or ("refused", "the message it is for is not wanted any more", 0)
        if state != "done":
            raise CallError(step, state, reason, task)
        return c[2]

    def emit(self, value):
        """Waits while the window is used up. False: nothing more is wanted."""
        with self.changed:
            while not self.welcome:
                if self.stopping or self.draining or self.over:
                    return False
                self.changed.wait()
            port, codec, payload = self.port(value)
            wish = wishes(value)
            if any(wish) or not self.direct.roads:
                on = self.emit_one(port, codec, payload, wish if any(wish) else ())
            else:
                on = all([self.emit_one(p, codec, payload) for p in self.each(port)])
        self.wake()
        return on

    def pump(self, values):
        """Emits until there is no more or it is to stop; has BYE said when all is accepted, and waits for the end."""
        iterator = iter(values)
        try:
            more = True
            while more and not (self.stopping or self.draining):
                self.interruptible = True
                value = next(iterator)
                self.interruptible = False
                more = self.emit(value)
        except (StopIteration, _Stop):
            pass
        finally:
            self.interruptible, self.finished = False, True
            self.wake()
            with self.changed:
                while not self.over:
                    self.changed.wait()
            self.thread.join()

_bus = None

def run(handler):
    """Calls handler for every message until dsatd says stop."""
    global _bus
    _bus = _Bus(False)
    _bus.work(handler)

def source(values):
    """Emits every value of an iterable; returns when all are accepted, or after dsatd said stop."""
    global _bus
    _bus = _Bus(True)
    _bus.pump(values)

def call(step, value, deadline=30.0, lasting=False, session=0):
    """Sends a value to a step and returns what the last steps put out, a list of Result. CallError when the answer is another one;
    Permanent when the topology's `calls` does not name the step. deadline is in seconds; work that has expired is not begun. lasting: the
    task goes on when nobody waits for it any more. session, a number from 1: all calls of one go to the same instance of the step, in
    order; when that ends, state is lost, and the session may begin anew. To be called by a handler, or by the iterable of a source."""
    if _bus is None:
        raise RuntimeError("cannot call before dsat.run or dsat.source")
    return _bus.call(step, value, deadline, lasting, session)
