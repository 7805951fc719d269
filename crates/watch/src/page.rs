//! The live page and its event stream over HTTP.
//!
//! | path | what is there |
//! |---|---|
//! | `/` | the page, with its style and its scripts |
//! | `/api/runs` | the latest runs, the newest first |
//! | `/api/runs/{run}` | a run's whole story |
//! | `/api/runs/{run}/events` | a run's story and then what changes, as server-sent events whose ids are the journal's numbers |
//!
//! Whoever reconnects with `Last-Event-ID` misses nothing; `?after=` with the number says the same where a header cannot. Prompts and answers are shown here: requests that name another
//! host than an address or `localhost` are refused, so that no web page can read them under a name of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bellwether_core::RunId;
use bellwether_core::journal::JournalError;
use bellwether_journal::clock::{SystemClock, WallClock};
use bellwether_journal::{Reader, RunInfo};
use futures_util::stream::{StreamExt, unfold};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::feed::Feed;
use crate::story::ended;
use crate::text::line;

/// The live page of a journal's runs.
#[derive(Clone, Debug)]
pub struct Page(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reader: Arc<Reader>,
    feeds: Mutex<HashMap<RunId, Arc<Feed>>>,
}

impl Page {
    /// Shows the runs of a journal, which this or another process writes.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self(Arc::new(Shared { reader: Arc::new(reader), feeds: Mutex::default() }))
    }

    /// The page as routes, to be served beside others.
    pub fn routes(&self) -> Router {
        let asset = |kind: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, kind)], text));
        Router::new()
            .route("/", asset("text/html; charset=utf-8", include_str!("page/page.html")))
            .route("/page.css", asset("text/css; charset=utf-8", include_str!("page/page.css")))
            .route("/page.js", asset("text/javascript; charset=utf-8", include_str!("page/page.js")))
            .route("/icon.svg", asset("image/svg+xml", include_str!("page/icon.svg")))
            .route("/draw.js", asset("text/javascript; charset=utf-8", include_str!("page/draw.js")))
            .route("/lanes.js", asset("text/javascript; charset=utf-8", include_str!("page/lanes.js")))
            .route("/rounds.js", asset("text/javascript; charset=utf-8", include_str!("page/rounds.js")))
            .route("/plan.js", asset("text/javascript; charset=utf-8", include_str!("page/plan.js")))
            .route("/routing.js", asset("text/javascript; charset=utf-8", include_str!("page/routing.js")))
            .route("/api/runs", get(runs))
            .route("/api/runs/{run}", get(whole))
            .route("/api/runs/{run}/events", get(events))
            .fallback(async || (StatusCode::NOT_FOUND, "nothing is here; the live page is at /\n"))
            .with_state(self.clone())
            .layer(middleware::from_fn(guard))
    }

    /// The feed of a run that the journal knows.
    async fn feed(&self, run: String) -> Result<Arc<Feed>, Failed> {
        let run = RunId::from(run);
        let known = self.0.reader.read(&run, 0, 1).await?;
        if known.is_empty() {
            return Err(Failed::Unknown);
        }
        let mut feeds = self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody reads is folded again when somebody does.
        if feeds.len() >= FEEDS {
            feeds.retain(|_, feed| Arc::strong_count(feed) > 1);
        }
        let make = || Arc::new(Feed::new(Arc::clone(&self.0.reader), run.clone()));
        Ok(Arc::clone(feeds.entry(run.clone()).or_insert_with(make)))
    }
}

async fn runs(State(page): State<Page>) -> Result<Json<Vec<Value>>, Failed> {
    let reader = &page.0.reader;
    let mut list = Vec::new();
    // A run that somebody holds and nothing was written of yet is none that could be shown.
    for info in reader.runs().await?.iter().rev().filter(|info| info.entries > 0).take(LISTED) {
        list.push(listed(reader, info).await?);
    }
    Ok(Json(list))
}

async fn listed(reader: &Reader, info: &RunInfo) -> Result<Value, JournalError> {
    let first = reader.read(&info.run, 0, 1).await?;
    let last = reader.read(&info.run, info.entries.saturating_sub(1), 1).await?;
    let opening = first.first().map(|recorded| &recorded.entry.body);
    let said = |name: &str| opening.and_then(|body| body[name].as_str()).map(|text| line(text, 200));
    let outcome = last.first().and_then(|recorded| ended(&recorded.entry));
    Ok(json!({
        "run": info.run.as_str(),
        "team": said("team"),
        "request": said("request"),
        "began": info.first.map(|at| at.as_nanos() / 1_000_000),
        "last": info.last.map(|at| at.as_nanos() / 1_000_000),
        "entries": info.entries,
        "live": info.holder.is_some(),
        "silent": info.last.map(|at| SystemClock.now().as_nanos().saturating_sub(at.as_nanos()) / 1_000_000),
        "outcome": outcome,
    }))
}

async fn whole(State(page): State<Page>, Path(run): Path<String>) -> Result<Response, Failed> {
    let news = page.feed(run).await?.after(None).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], news.json()).into_response())
}

async fn events(
    State(page): State<Page>,
    Path(run): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let feed = page.feed(run).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = query.as_deref().and_then(|query| query.strip_prefix("after="));
    let seen = last.or(after).and_then(|id| id.parse().ok());
    let stream = unfold((feed, Where::After(seen)), async |(feed, at)| {
        let seen = match at {
            Where::After(seen) => seen,
            Where::Last => return Some((OVER, (feed, Where::End))),
            Where::End => return None,
        };
        let Ok(news) = timeout(ALIVE, feed.after(seen)).await else { return Some((STILL, (feed, at))) };
        // A journal that cannot be read any more ends the stream; whoever reconnects is told why.
        let news = news.ok()?;
        let next = if news.over { Where::Last } else { Where::After(Some(news.seq)) };
        Some((news.event(), (feed, next)))
    });
    let body = Body::from_stream(stream.map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// Where a reader is.
#[derive(Clone, Copy)]
enum Where {
    After(Option<u64>),
    Last,
    End,
}

/// Refuses names that are not ours, and tells browsers to load nothing from elsewhere.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_ours) {
        return (StatusCode::FORBIDDEN, "ask for an address or localhost\n").into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in SAFETY {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(host: &str) -> bool {
    let Ok(host) = host.parse::<Uri>() else { return false };
    let name = host.host().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Why there is nothing to show.
#[derive(Debug)]
enum Failed {
    Journal(JournalError),
    Unknown,
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Journal(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
            Self::Unknown => (StatusCode::NOT_FOUND, "the journal knows no such run\n").into_response(),
        }
    }
}

/// How long a stream may be silent; whoever is on the way may take a longer silence for an end.
const ALIVE: Duration = Duration::from_secs(15);
const STILL: Bytes = Bytes::from_static(b":\n\n");
const OVER: Bytes = Bytes::from_static(b"event: over\ndata: {}\n\n");
/// How many runs are listed.
const LISTED: usize = 200;
/// How many runs are kept folded, unless more are read: one of a thousand tasks takes 60 MB.
const FEEDS: usize = 8;
const SAFETY: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];
