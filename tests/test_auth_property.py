"""Whatever happens in whatever order: never valid without a token or past its 06:00, and no news told twice."""

from __future__ import annotations

from datetime import date

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tapedeck.auth import (
    EXCHANGING,
    EXPIRED,
    LOGIN_REQUIRED,
    REVOKED,
    STATES,
    UNCONFIGURED,
    VALID,
    Announce,
    ApiFailed,
    ApiSucceeded,
    Auth,
    CheckProfile,
    Configured,
    DropToken,
    FileFailed,
    LoggedOut,
    LoginEnded,
    LoginFailed,
    LoginStarted,
    Recheck,
    Timer,
    TokenFound,
    TokenGone,
    UseToken,
    next_expiry,
)
from tapedeck.clock import DAY, MINUTE, SECOND, ist_ns

TOKENS = st.sampled_from(("t1", "t2", "t3"))
KINDS = st.sampled_from(("network", "rate", "answer"))
#: Most times pass quickly; some nights pass whole.
PASSED = st.sampled_from((1, SECOND, MINUTE, 60 * MINUTE, 6 * 60 * MINUTE, DAY))

#: What may follow what; everything else would be a transition that nobody has thought of.
ALLOWED = {
    (UNCONFIGURED, LOGIN_REQUIRED),
    (LOGIN_REQUIRED, UNCONFIGURED), (EXCHANGING, UNCONFIGURED), (VALID, UNCONFIGURED),
    (LOGIN_REQUIRED, EXCHANGING), (VALID, EXCHANGING),
    (EXCHANGING, VALID), (EXCHANGING, LOGIN_REQUIRED), (LOGIN_REQUIRED, VALID), (VALID, VALID),
    (VALID, EXPIRED), (EXCHANGING, EXPIRED), (LOGIN_REQUIRED, EXPIRED), (VALID, REVOKED),
    (LOGIN_REQUIRED, LOGIN_REQUIRED), (EXPIRED, LOGIN_REQUIRED), (REVOKED, LOGIN_REQUIRED), (VALID, LOGIN_REQUIRED),
}  # fmt: skip


class AuthMachine(RuleBasedStateMachine):
    """Drives the login as its owner would, keeping its own account of the token and of what was told."""

    @initialize(well=st.booleans())
    def begin(self, well):
        self.auth = Auth()
        self.now = ist_ns(date(2026, 11, 23), "09:00")
        self.state = self.auth.status.state  # as told
        self.using = ""
        self.told_valid = ""  # the token of the last VALID that was told, while it holds
        self.refused: set[str] = set()
        if well:
            self.give(Configured())
            self.give(TokenFound("t1", self.now))

    def give(self, event):
        actions = self.auth.handle(event, self.now)
        for action in actions:
            match action:
                case UseToken():
                    assert action.fingerprint != self.using, "told to use what is in use"
                    self.using = action.fingerprint
                case DropToken():
                    assert self.using
                    self.using = ""
                case CheckProfile():
                    assert action.fingerprint == self.using
                case Announce():
                    self.told(action)
        assert self.state not in (EXPIRED, REVOKED), "nobody stays there"
        return actions

    def told(self, action):
        step, status = action.transition, action.status
        assert (step.from_state, step.to_state) in ALLOWED, step
        assert step.from_state == self.state
        assert (step.at, step.to_state, step.cause) == (status.since, status.state, status.cause)
        assert step.at == self.now
        assert step.cause
        if step.from_state == step.to_state == VALID:
            assert status.fingerprint != self.told_valid, "the same token was told twice"
        self.state = step.to_state
        self.told_valid = status.fingerprint if step.to_state == VALID else ""

    # -- what happens --------------------------------------------------------------------------------------

    @rule(passed=PASSED)
    def time_passes(self, passed):
        self.now += passed

    @rule()
    def timer(self):
        self.give(Timer())
        assert self.auth.due is None or self.auth.due > self.now

    @rule(problem=st.sampled_from(("", "", "the key is missing")))
    def configured(self, problem):
        self.give(Configured(problem))
        assert (self.state == UNCONFIGURED) == bool(problem)

    @rule(token=TOKENS, age=st.sampled_from((0, 0, MINUTE, DAY, 2 * DAY)), renewed=st.booleans(), sure=st.booleans())
    def file_found(self, token, age, renewed, sure):
        before, using = self.state, self.using
        issued = self.now - age
        self.give(TokenFound(token, issued, source="file", renewed=renewed, certain=sure))
        if self.using == token and using != token:
            assert next_expiry(issued) > self.now, "a token was used after its 06:00"
            assert renewed or token not in self.refused, "a refused token was believed"
            assert before != UNCONFIGURED
            self.refused.discard(token)
        if before == EXCHANGING:
            assert self.state == EXCHANGING, "somebody else's token ended a login of our own"

    @rule()
    def file_gone(self):
        self.give(TokenGone())
        assert not self.using

    @rule()
    def file_failed(self):
        self.only_time_may_change(FileFailed("unreadable"))

    @rule()
    def login_started(self):
        self.give(LoginStarted())
        assert self.state in (EXCHANGING, UNCONFIGURED)

    @precondition(lambda self: self.state == EXCHANGING)
    @rule(token=TOKENS, age=st.sampled_from((0, 0, 2 * DAY)))
    def login_succeeded(self, token, age):
        self.give(TokenFound(token, self.now - age, source="login"))
        assert self.state in (VALID, LOGIN_REQUIRED), "a login did not end"
        if not age:
            assert (self.state, self.using) == (VALID, token)
            self.refused.discard(token)

    @rule()
    def login_failed(self):
        before = self.state
        self.give(LoginFailed("Kite says no"))
        if before == EXCHANGING:
            assert self.state == (VALID if self.using else LOGIN_REQUIRED)

    @rule()
    def login_ended(self):
        before, using = self.state, self.using
        self.give(LoginEnded("Kite says cancelled"))
        assert (self.state, self.using) == (before, using)

    @rule(token=TOKENS)
    def succeeded(self, token):
        self.only_time_may_change(ApiSucceeded(token))
        if token == self.using:
            assert (self.auth.status.failures, self.auth.status.last_success) == (0, self.now)

    @rule(token=TOKENS, kind=KINDS)
    def failed(self, token, kind):
        failures = self.auth.status.failures
        self.only_time_may_change(ApiFailed(kind, token, "no answer"))
        assert self.auth.status.failures == failures + (token == self.using)

    @rule(token=st.one_of(TOKENS, st.sampled_from(("", "the one in use"))))
    def refused_by_kite(self, token):
        before, using = self.state, self.using
        token = using if token == "the one in use" else token
        self.give(ApiFailed("token", token, "Kite says no"))
        if using and token == using:
            self.refused.add(token)
            assert not self.using
            assert self.state == (EXCHANGING if before == EXCHANGING else LOGIN_REQUIRED)

    @rule()
    def recheck(self):
        asked = [action for action in self.give(Recheck()) if isinstance(action, CheckProfile)]
        assert len(asked) == bool(self.using)

    @rule()
    def logged_out(self):
        self.give(LoggedOut())
        assert not self.using

    def only_time_may_change(self, event):
        """The event itself never changes the state: only a 06:00 that has passed does."""
        before, over = self.state, self.auth.due is not None and self.auth.due <= self.now
        self.give(event)
        assert over or self.state == before

    # -- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def what_was_told_is_how_it_is(self):
        status = self.auth.status
        assert status.state == self.state
        assert status.state in STATES
        assert status.fingerprint == self.using
        assert bool(status.expires_at) == bool(self.using) == (self.auth.due is not None)

    @invariant()
    def valid_means_that_there_is_a_token(self):
        if self.state == VALID:
            assert self.using
            assert self.using == self.told_valid
        if self.state in (UNCONFIGURED, LOGIN_REQUIRED):
            assert not self.using


AuthMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_history_keeps_the_promises_of_the_login = AuthMachine.TestCase
