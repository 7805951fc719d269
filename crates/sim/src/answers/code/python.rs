//! The samples in Python.

pub(super) const CORE: &str = r#"
@dataclass(frozen=True)
class Step:
    """What a step needs."""

    name: str
    payload: bytes


class StepError(Exception):
    """A step that cannot be carried out, and why."""


def apply(step: Step, limit: int) -> bytes:
    """Carry out one step; the caller writes the result down."""
    if not step.payload:
        raise StepError(f"{step.name}: nothing to do")
    if len(step.payload) > limit:
        raise StepError(f"{step.name}: {len(step.payload)} bytes exceed {limit}")
    return step.payload.lower()


def apply_all(steps: Iterable[Step], limit: int) -> dict[str, bytes]:
    """Carry out every step and keep the results by name."""
    return {step.name: apply(step, limit) for step in steps}
"#;

pub(super) const ERRORS: &str = r#"
class CallError(Exception):
    """A call that failed; `worth_another_attempt` says whether to repeat it."""

    worth_another_attempt: bool = False
    retry_after: float | None = None


class ConnectFailed(CallError):
    worth_another_attempt = True


class TimedOut(CallError):
    worth_another_attempt = True

    def __init__(self, after: float) -> None:
        super().__init__(f"no answer after {after} s")
        self.after = after


class BadStatus(CallError):
    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status
        self.retry_after = retry_after
        self.worth_another_attempt = status in {408, 429, 500, 502, 503, 504}
"#;

pub(super) const POOL: &str = r#"
@dataclass(frozen=True)
class Config:
    """Every setting of the client; the defaults are finite."""

    max_idle_per_host: int = 16
    idle_for: float = 60.0
    connect_timeout: float = 5.0
    total_timeout: float = 30.0
    max_attempts: int = 4


class Pool:
    """Idle connections by host, reused until they are too old."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._idle: dict[str, list[tuple[float, Connection]]] = defaultdict(list)

    def take(self, host: str, now: float) -> Connection | None:
        fresh = [(since, c) for since, c in self._idle[host] if now - since < self._config.idle_for]
        found = fresh.pop()[1] if fresh else None
        self._idle[host] = fresh
        return found

    def give_back(self, host: str, connection: Connection, now: float) -> None:
        if len(self._idle[host]) < self._config.max_idle_per_host:
            self._idle[host].append((now, connection))
"#;

pub(super) const RETRY: &str = r#"
def pause(attempt: int, error: CallError, rng: Random) -> float:
    """How long to wait before the next attempt, in seconds."""
    bound = min(BASE * 2**attempt, CAP)
    return max(rng.uniform(0.0, bound), error.retry_after or 0.0)


async def with_retries(
    call: Callable[[], Awaitable[T]], *, deadline: float, rng: Random, max_attempts: int = 4
) -> T:
    """Repeat `call` until it succeeds, fails for good, or the deadline comes first."""
    clock = asyncio.get_running_loop().time
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except CallError as error:
            if attempt >= max_attempts or not error.worth_another_attempt:
                raise
            wait = pause(attempt, error, rng)
            if clock() + wait >= deadline:
                raise
        await asyncio.sleep(wait)
"#;

pub(super) const SEND: &str = r#"
class Client:
    """Sends one request once; repeating is somebody else's job."""

    def __init__(self, session: aiohttp.ClientSession, config: Config) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(
            total=config.total_timeout, connect=config.connect_timeout
        )

    async def send(self, method: str, url: str, body: bytes | None = None) -> bytes:
        try:
            async with self._session.request(
                method, url, data=body, timeout=self._timeout
            ) as response:
                if response.status >= 400:
                    raise BadStatus(response.status, parse_retry_after(response.headers))
                return await response.read()
        except asyncio.TimeoutError as error:
            raise TimedOut(self._timeout.total) from error
        except aiohttp.ClientConnectionError as error:
            raise ConnectFailed(str(error)) from error
"#;

pub(super) const TESTS: &str = r#"
async def test_a_named_pause_is_never_cut_short(server: FakeServer, clock: FakeClock) -> None:
    server.script(reply(429, retry_after=2), reply(200))
    answer = await client(server, clock).send("GET", "/")
    assert answer.status == 200
    assert clock.elapsed >= 2.0


async def test_after_the_last_attempt_the_last_error_is_told(
    server: FakeServer, clock: FakeClock
) -> None:
    server.script(reply(503), reply(503), reply(502))
    with pytest.raises(BadStatus) as caught:
        await client(server, clock).send("GET", "/")
    assert caught.value.status == 502
    assert server.requests == 3


async def test_a_wrong_request_is_not_repeated(server: FakeServer, clock: FakeClock) -> None:
    server.script(reply(400))
    with pytest.raises(BadStatus):
        await client(server, clock).send("GET", "/")
    assert server.requests == 1
"#;
