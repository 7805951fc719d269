//! The endpoints.

mod delivered;
mod refusal;

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use serde_json::json;

use self::delivered::Delivered;
use self::refusal::{Refused, respond};
use crate::answers;
use crate::app::{App, Visit};
use crate::connection::Line;
use crate::desk::{Arrival, Decision, Reception};
use crate::quota::{Demand, Standing};
use crate::reply::Ending;
use crate::scenario::Fault;
use crate::wire::{self, ChatRequest};

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/stats", get(stats))
        .fallback(async || Refused::unknown_route().into_response())
        .method_not_allowed_fallback(async || Refused::wrong_method().into_response())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::map_response(mark))
        .with_state(app)
}

async fn chat(
    State(app): State<Arc<App>>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    app.at_the_desk(|desk| desk.stats.arrived());
    let response = match accept(&app, &headers, body) {
        Ok(request) => serve(&app, line, request).await,
        Err(refused) => refused.into_response(),
    };
    app.at_the_desk(|desk| desk.stats.answered(response.status().as_u16()));
    response
}

async fn models(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Err(refused) = authorise(&app, &headers) {
        return refused.into_response();
    }
    let created = app.clock.unix_seconds();
    let models = app.scenario.models.iter().map(|model| {
        let context = model.context;
        json!({ "id": model.id, "object": "model", "created": created, "owned_by": "simulated", "context_window": context })
    });
    let models: Vec<_> = models.collect();
    respond(StatusCode::OK, json!({ "object": "list", "data": models }).to_string())
}

async fn stats(State(app): State<Arc<App>>) -> Response {
    let stats = serde_json::to_string(&app.stats()).expect("numbers under names are always JSON");
    respond(StatusCode::OK, stats)
}

async fn mark(mut response: Response) -> Response {
    response.headers_mut().insert(SIMULATED, HeaderValue::from_static("true"));
    response
}

/// Everything that is checked before a request gets its number.
fn accept(app: &App, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<ChatRequest, Refused> {
    authorise(app, headers)?;
    let body = body.map_err(|rejection| Refused::unreadable_body(rejection.status()))?;
    let request = ChatRequest::read(&body).map_err(Refused::malformed)?;
    let model = app.scenario.models.iter().find(|model| model.id == request.model);
    if model.is_none() && app.scenario.strict_models {
        return Err(Refused::unknown_model(&request.model));
    }
    if let Some(model) = model {
        let asked = request.prompt.tokens().saturating_add(request.max_output_tokens.unwrap_or(0));
        if asked > u64::from(model.context) {
            return Err(Refused::context_exceeded(model.context, asked));
        }
    }
    Ok(request)
}

fn authorise(app: &App, headers: &HeaderMap) -> Result<(), Refused> {
    let Some(key) = &app.scenario.api_key else { return Ok(()) };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    match given {
        Some(given) if key.matches(given) => Ok(()),
        Some(_) => Err(Refused::wrong_key()),
        None => Err(Refused::missing_key()),
    }
}

async fn serve(app: &Arc<App>, line: Line, request: ChatRequest) -> Response {
    let answer = answers::compose(&request.prompt, &app.scenario.answers, app.scenario.seed);
    let demand = Demand { input_tokens: request.prompt.tokens(), max_output_tokens: request.max_output_tokens };
    let arrival = Arrival { demand, model: &request.model, role: answer.role.name() };
    let started = app.clock.now();
    let reception = app.at_the_desk(|desk| desk.receive(&app.scenario, arrival, started));
    let told = headers(app, &reception);
    let mut response = match reception.decision {
        Decision::Fail(fault) => Refused::fault(fault).into_response(),
        Decision::Serve { fault, pace, ticket } => {
            let visit = Visit::new(app, arrival, ticket);
            let ending = match fault {
                Some(Fault::Reset) => Ending::Reset(line),
                Some(Fault::Stall) => Ending::Stall(line, pace.reached(started, 0) + app.scenario.faults.stall_limit),
                Some(Fault::Error500 | Fault::Error503) | None => Ending::Complete,
            };
            let number = reception.number;
            Delivered { answer: answer.text, ending, number, pace, request, started, visit }.begin(app).await
        }
        Decision::Throttle(throttle) => {
            Refused::throttle(&app.scenario.rejections, &request.model, throttle).into_response()
        }
    };
    response.headers_mut().extend(told);
    response
}

/// The state of the limits, and the request's number.
fn headers(app: &App, reception: &Reception) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = format!("sim-{}", reception.number);
    headers.insert("x-request-id", HeaderValue::try_from(id).expect("letters and digits make a header"));
    if app.scenario.rejections.headers {
        let [limit, remaining, reset] = REQUEST_HEADERS;
        headers.extend(reception.requests.into_iter().flat_map(|standing| rows(standing, limit, remaining, reset)));
        let [limit, remaining, reset] = TOKEN_HEADERS;
        headers.extend(reception.tokens.into_iter().flat_map(|standing| rows(standing, limit, remaining, reset)));
    }
    headers
}

fn rows(
    standing: Standing,
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
) -> [(HeaderName, HeaderValue); 3] {
    let reset_in = HeaderValue::try_from(wire::go_duration(standing.reset)).expect("a duration is plain ASCII");
    [
        (HeaderName::from_static(limit), standing.limit.into()),
        (HeaderName::from_static(remaining), standing.remaining.into()),
        (HeaderName::from_static(reset), reset_in),
    ]
}

const LARGEST_BODY: usize = 4 * 1024 * 1024;
const REQUEST_HEADERS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKEN_HEADERS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
const SIMULATED: &str = "x-bellwether-simulated";
