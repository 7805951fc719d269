//! The samples in Rust.

pub(super) const CORE: &str = r#"
/// What a step needs, and what it leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    pub input: Vec<u8>,
}

/// Carries out one step; the caller writes the result down.
pub fn apply(step: &Step, limit: usize) -> Result<Vec<u8>, StepError> {
    if step.input.is_empty() {
        return Err(StepError::Empty { name: step.name.clone() });
    }
    if step.input.len() > limit {
        return Err(StepError::TooLarge { given: step.input.len(), limit });
    }
    let mut output = Vec::with_capacity(step.input.len());
    for byte in &step.input {
        output.push(byte.to_ascii_lowercase());
    }
    Ok(output)
}
"#;

pub(super) const ERRORS: &str = r#"
/// Why a call failed, and whether another attempt makes sense.
#[derive(Debug)]
pub enum CallError {
    Connect(std::io::Error),
    Status { code: u16, retry_after: Option<Duration> },
    TimedOut { after: Duration },
    Malformed(String),
}

impl CallError {
    pub fn is_worth_another_attempt(&self) -> bool {
        match self {
            Self::Connect(_) | Self::TimedOut { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 429 | 500..=504),
            Self::Malformed(_) => false,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
"#;

pub(super) const POOL: &str = r#"
/// Every setting of the client; the defaults are finite.
#[derive(Clone, Debug)]
pub struct Config {
    pub max_idle_per_host: usize,
    pub idle_for: Duration,
    pub connect_timeout: Duration,
    pub total_timeout: Duration,
    pub max_attempts: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_idle_per_host: 16,
            idle_for: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(30),
            max_attempts: 4,
        }
    }
}

impl Pool {
    pub fn take(&mut self, host: &str, now: Instant) -> Option<Connection> {
        let idle = self.idle.get_mut(host)?;
        idle.retain(|entry| now - entry.since < self.config.idle_for);
        idle.pop().map(|entry| entry.connection)
    }
}
"#;

pub(super) const RETRY: &str = r#"
/// How long to wait before attempt `n` (the first retry is 1).
pub fn pause(n: u32, error: &CallError, rng: &mut impl Rng) -> Duration {
    let bound = BASE.saturating_mul(2_u32.saturating_pow(n)).min(CAP);
    let drawn = bound.mul_f64(rng.gen_range(0.0..1.0));
    drawn.max(error.retry_after().unwrap_or_default())
}

pub async fn with_retries<T>(
    deadline: Instant,
    rng: &mut impl Rng,
    mut call: impl AsyncFnMut() -> Result<T, CallError>,
) -> Result<T, CallError> {
    for attempt in 1.. {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) if attempt >= MAX_ATTEMPTS || !error.is_worth_another_attempt() => return Err(error),
            Err(error) => error,
        };
        let resume = Instant::now() + pause(attempt, &error, rng);
        if resume >= deadline {
            return Err(error);
        }
        tokio::time::sleep_until(resume).await;
    }
    unreachable!("the loop returns at the last attempt")
}
"#;

pub(super) const SEND: &str = r#"
impl Client {
    /// Sends one request once. Dropping the future closes the connection.
    pub async fn send(&self, request: &Request) -> Result<Response, CallError> {
        let total = self.config.total_timeout;
        timeout(total, self.attempt(request)).await.unwrap_or(Err(CallError::TimedOut { after: total }))
    }

    async fn attempt(&self, request: &Request) -> Result<Response, CallError> {
        let limit = self.config.connect_timeout;
        let mut stream = timeout(limit, TcpStream::connect(request.authority()))
            .await
            .map_err(|_| CallError::TimedOut { after: limit })?
            .map_err(CallError::Connect)?;
        stream.write_all(&request.encode()).await.map_err(CallError::Connect)?;
        let head = read_head(&mut stream, self.config.max_head).await?;
        if head.status >= 400 {
            return Err(CallError::Status { code: head.status, retry_after: head.retry_after() });
        }
        read_body(&mut stream, head, self.config.max_body).await
    }
}
"#;

pub(super) const TESTS: &str = r#"
#[tokio::test(start_paused = true)]
async fn a_named_pause_is_never_cut_short() {
    let server = Server::scripted([reply(429).retry_after(2), reply(200)]).await;
    let started = Instant::now();
    let answer = client(&server).send(&get("/")).await.expect("the second attempt succeeds");
    assert_eq!(answer.status, 200);
    assert!(started.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_last_error_is_told() {
    let server = Server::scripted([reply(503), reply(503), reply(502)]).await;
    let error = client(&server).send(&get("/")).await.expect_err("every attempt fails");
    assert!(matches!(error, CallError::Status { code: 502, .. }));
    assert_eq!(server.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_is_not_repeated() {
    let server = Server::scripted([reply(400)]).await;
    client(&server).send(&get("/")).await.expect_err("it is refused");
    assert_eq!(server.requests(), 1);
}
"#;
