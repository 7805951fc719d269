//! What calls reserve is what the estimator says, and it hears what those took that were answered.

use std::sync::{Arc, Mutex};

use bellwether_dispatch::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, Demand, ErrorKind, Estimator, Fact, Flow, Usage,
};

use crate::play::{Ends, Scene, Stage, USAGE, call, error, lock, named, request};

/// Says that everything takes seven of each, and remembers what it heard.
#[derive(Debug, Default)]
struct Seven(Mutex<Vec<(String, Usage)>>);

impl Estimator for Seven {
    fn demand(&self, _: &ChatRequest, _: &str) -> Demand {
        Demand { requests: 1, input_tokens: 7, output_tokens: 7 }
    }

    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        lock(&self.0).push((format!("{role} asks {}", request.model), *usage));
    }
}

fn stage(scenes: impl IntoIterator<Item = Scene>) -> (Stage, Arc<Seven>) {
    let seven = Arc::new(Seven::default());
    let estimator = Arc::<Seven>::clone(&seven);
    (Stage::with(1, 9, scenes, |builder| builder.estimator(estimator)), seven)
}

fn coder(name: &str) -> CallContext {
    CallContext { flow: Flow::new("team", "run", "coder"), ..named(name) }
}

#[tokio::test(start_paused = true)]
async fn what_the_estimator_says_is_reserved_and_what_an_answer_took_is_learnt() {
    let (stage, seven) = stage([]);
    stage.dispatch.chat(request(), coder("whole")).await.unwrap();
    for restarts in [false, true] {
        let context = CallContext { may_restart: restarts, ..coder(&format!("streamed, {restarts}")) };
        let mut stream = stage.dispatch.stream(request(), context).await.unwrap();
        while stream.next().await.is_some() {}
    }
    assert_eq!(*lock(&seven.0), vec![("coder asks m".to_owned(), USAGE); 3]);
    let facts = stage.facts.facts();
    let reserved = facts.iter().filter(|fact| matches!(fact, Fact::CallAdmitted { .. })).filter_map(call);
    let reserved: Vec<_> = reserved.map(|call| (call.demand.input_tokens, call.demand.output_tokens)).collect();
    assert_eq!(reserved, [(7, 7); 3]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learnt_from_calls_that_failed_or_whose_callers_went_away() {
    let broken = Scene::after(0, Ends::FailsAfterText(error(ErrorKind::Upstream)));
    let (stage, seven) = stage([broken.clone(), Scene::after(0, Ends::Babbles), broken]);
    let mut failed = stage.dispatch.stream(request(), coder("failed")).await.unwrap();
    while failed.next().await.is_some() {}
    let left = stage.dispatch.stream(request(), coder("left")).await.unwrap();
    drop(left);
    assert!(lock(&seven.0).is_empty());
    let anew = CallContext { may_restart: true, ..coder("anew") };
    let mut anew = stage.dispatch.stream(request(), anew).await.unwrap();
    while !matches!(anew.next().await, Some(Ok(ChatEvent::Finished(_)))) {}
    drop(anew);
    assert_eq!(lock(&seven.0).len(), 1, "once, although it was sent twice");
    stage.assert_swept().await;
}
