"""Whatever happens in whatever order: one line at most, no retry after a refusal, the wire says what is wanted."""

from __future__ import annotations

import json
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tapedeck.errors import SubscriptionLimit
from tapedeck.feed import (
    STATES,
    Closed,
    Connect,
    Connected,
    ConnectFailed,
    Disconnect,
    Feed,
    FrameArrived,
    PacketsSeen,
    Release,
    Report,
    Send,
    SessionChanged,
    Standby,
    Start,
    Stop,
    Subscribe,
    Subscribed,
    Timer,
    TokenChanged,
    Unsubscribed,
    WakeAt,
)

LIMIT = 6
TOKENS = st.lists(st.integers(1, 9), max_size=8).map(tuple)
LISTENERS = st.sampled_from(("a", "b", "c"))
MODES = st.sampled_from(("ltp", "quote", "full"))
RANK = {"ltp": 0, "quote": 1, "full": 2}
CREDENTIALS = st.sampled_from(("t1", "t2", "t3"))


class FeedMachine(RuleBasedStateMachine):
    """Drives a feed as the socket would, keeping its own account of the line, the wire and the wishes."""

    @initialize(seed=st.integers(0, 1000), well=st.booleans())
    def begin(self, seed, well):
        self.feed = Feed(rng=random.Random(seed), limit=LIMIT)
        self.now = 0.0
        self.token = "t1"  # what the provider would give
        self.known = ""  # what the feed was told
        self.refused: str | None = None
        self.running = self.standby = False
        self.line: str | None = None  # None, "opening" or "open"
        self.line_token = ""
        self.hung_up = False
        self.wire: dict[int, str | None] = {}
        self.wanted: dict[str, dict[int, str]] = {}
        self.wake: float | None = None
        self.last_frame = 0.0
        self.failing_since: float | None = None
        self.status = self.feed.status
        if well:
            self.all_is_well("t1")

    # -- the other side of the actions ---------------------------------------------------------------------

    def give(self, event):
        for action in self.feed.handle(event, self.now):
            match action:
                case Connect():
                    assert self.line is None, "a second line was wanted before the first was down"
                    assert self.running, "connected without being started"
                    assert self.known, "connected without a token"
                    assert self.known != self.refused, "retried a token that was refused"
                    self.line, self.line_token, self.hung_up = "opening", self.token, False
                    self.wire = {}
                case Disconnect():
                    assert self.line is not None
                    self.hung_up = True
                case Send():
                    assert self.line == "open"
                    assert not self.hung_up
                    self.receive(json.loads(action.text))
                case Subscribed() | Unsubscribed():
                    assert self.line == "open"
                case WakeAt():
                    assert action.when >= self.now
                    self.wake = action.when if self.wake is None else min(self.wake, action.when)
                case Report():
                    self.status = action.status

    def receive(self, message):
        """A server's bookkeeping: what it would stream after this message."""
        match message:
            case {"a": "subscribe", "v": tokens}:
                for token in tokens:
                    assert token not in self.wire, "subscribed twice"
                    self.wire[token] = None
            case {"a": "unsubscribe", "v": tokens}:
                for token in tokens:
                    del self.wire[token]
            case {"a": "mode", "v": [mode, tokens]}:
                for token in tokens:
                    assert token in self.wire
                    assert self.wire[token] != mode, "said what was known"
                    self.wire[token] = mode
            case _:
                raise AssertionError(message)
        assert len(self.wire) <= LIMIT

    def desired(self):
        union: dict[int, str] = {}
        for held in self.wanted.values():
            for token, mode in held.items():
                if token not in union or RANK[mode] > RANK[union[token]]:
                    union[token] = mode
        return union

    # -- what may happen -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.01, 0.3, 1.0, 2.0, 4.0, 6.0, 40.0)))
    def time_passes(self, seconds):
        """Timers fire when they were asked for, as the socket sees to."""
        end = self.now + seconds
        while self.wake is not None and self.wake <= end:
            self.now, self.wake = max(self.now, self.wake), None
            self.give(Timer())
            if self.hung_up:
                self.lose()
            elif self.line == "opening" and seconds == 40.0:
                break  # stop where an attempt begins
        else:
            self.now = end

    @rule()
    def early_timer(self):
        self.wake = None
        self.give(Timer())

    @rule(in_session=st.booleans())
    def start(self, in_session):
        if not self.running:
            self.known = self.token
        self.running, self.standby = True, False
        self.give(Start(token=self.token, in_session=in_session))

    @rule()
    def stop(self):
        self.running = self.standby = False
        self.give(Stop())

    @rule()
    def stand_by(self):
        self.running, self.standby = False, True
        self.give(Standby("owned elsewhere"))

    @rule(token=st.one_of(st.just(""), CREDENTIALS))
    def new_token(self, token):
        self.token = self.known = token
        if token and token != self.refused:
            self.refused = None
        self.give(TokenChanged(token))

    @rule(in_session=st.booleans())
    def session(self, in_session):
        self.give(SessionChanged(in_session))

    @precondition(lambda self: self.line == "opening")
    @rule(late=st.booleans())
    def handshake(self, late):
        if self.hung_up and not late:
            return
        self.line = "open"
        if not self.hung_up:
            self.known = self.line_token
        self.last_frame = self.now
        self.give(Connected(self.line_token))
        if not self.hung_up:
            assert self.wire == self.desired()

    @rule(token=CREDENTIALS)
    def all_is_well(self, token):
        """The shortest way to a living line, so that most histories have one."""
        if self.refused == token:
            return
        self.new_token(token)
        self.start(True)
        for _ in range(4):
            if self.hung_up:
                self.lose()
            if self.line is None:
                self.time_passes(40.0)
        if self.line == "opening":
            self.handshake(False)
        if self.line == "open":
            self.frame()
            assert self.status.state == "LIVE"

    @precondition(lambda self: self.line == "opening")
    @rule(status=st.sampled_from((None, 400, 403, 403, 429, 503)))
    def refusal(self, status):
        self.line, self.hung_up = None, False
        if status == 403:
            self.refused = self.line_token
        self.give(ConnectFailed(status, "refused", self.line_token))

    @precondition(lambda self: self.line is not None)
    @rule()
    def lose(self):
        self.line, self.hung_up = None, False
        self.give(Closed(1006, "gone"))

    @precondition(lambda self: self.line == "open" and not self.hung_up)
    @rule()
    def frame(self):
        self.last_frame = self.now
        self.give(FrameArrived())

    @rule(tokens=TOKENS)
    def packets(self, tokens):
        self.give(PacketsSeen(tokens))

    @rule(event=st.sampled_from((Closed(), ConnectFailed(503, token="t1"), FrameArrived())))
    def stray_event_of_a_line_that_is_gone(self, event):
        if self.line is None:
            self.give(event)

    @rule(listener=LISTENERS, tokens=TOKENS, mode=MODES, settle=st.booleans())
    def subscribe(self, listener, tokens, mode, settle):
        after = {**self.wanted, listener: {**self.wanted.get(listener, {}), **dict.fromkeys(tokens, mode)}}
        if len(set().union(*after.values())) > LIMIT:
            before = self.feed.subscriptions.modes()
            try:
                self.give(Subscribe(listener, tokens, mode))
            except SubscriptionLimit:
                assert self.feed.subscriptions.modes() == before
                return
            raise AssertionError("the limit was passed")
        self.wanted = after
        self.give(Subscribe(listener, tokens, mode))
        if settle:
            self.early_timer()

    @rule(listener=LISTENERS, tokens=st.one_of(st.none(), TOKENS), settle=st.booleans())
    def release(self, listener, tokens, settle):
        held = self.wanted.get(listener, {})
        self.wanted[listener] = {} if tokens is None else {t: m for t, m in held.items() if t not in tokens}
        self.give(Release(listener, tokens))
        if settle:
            self.early_timer()

    # -- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def the_desired_set_is_the_union(self):
        assert self.feed.subscriptions.modes() == self.desired()

    @invariant()
    def the_status_reported_is_the_status(self):
        assert self.feed.status == self.status
        assert self.status.state in STATES

    @invariant()
    def live_means_an_open_line_with_a_fresh_frame(self):
        if self.status.state == "LIVE":
            assert self.line == "open"
            assert not self.hung_up
            # 0.5 s for a timer that is late, 0.5 s for the second look
            assert self.wake is not None
            assert self.now - self.last_frame <= 5.0 or self.wake <= self.last_frame + 6.0

    @invariant()
    def whoever_wants_a_line_has_one_or_a_timer(self):
        if self.running and self.known and self.known != self.refused:
            assert self.line is not None or self.wake is not None
        elif self.line is not None:
            assert self.hung_up, "a line nobody wants is kept"

    @invariant()
    def a_line_carries_the_token_that_is_known(self):
        if self.line is not None and not self.hung_up:
            assert self.line_token == self.known

    @invariant()
    def the_state_says_why_there_is_no_line(self):
        if self.standby:
            assert self.status.state == "STANDBY"
        elif not self.running:
            assert self.status.state == "IDLE"
        elif not self.known or self.known == self.refused:
            assert self.status.state == "LOGIN_REQUIRED"

    @invariant()
    def a_settled_wire_says_what_is_wanted(self):
        if self.line == "open" and not self.hung_up and not (self.wake is not None and self.wake <= self.now):
            assert self.wire == self.desired()
            assert self.status.subscribed == len(self.wire)


FeedMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
test_any_history_keeps_the_promises_of_the_feed = FeedMachine.TestCase
