//! Which keys answer for a model: its own, and those of the models to fall back to.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bellwether_core::{CallContext, ChatProvider, ChatRequest, ChatStream, ErrorKind, Observer, ProviderError};
use bellwether_dispatch::{Dispatch, Routes};
use toml::Spanned;

use crate::exit::Failure;
use crate::team_file::TeamFile;
use crate::team_file::raw::RawModel;

/// The keys of a team, each behind its queue and limiter, by the name of their provider.
pub(crate) struct Keyring<'a> {
    pub(crate) file: &'a TeamFile,
    /// None for a key that nobody will ask.
    pub(crate) keys: HashMap<&'a str, Option<Arc<Dispatch>>>,
    pub(crate) observer: &'a Arc<dyn Observer>,
}

impl<'a> Keyring<'a> {
    /// What answers for `model`: its key, and after it the keys of the models it falls back to, in their order. Theirs
    /// are not followed further.
    pub(crate) fn serving(&self, name: &str, model: &RawModel) -> Result<Arc<dyn ChatProvider>, Failure> {
        let mut keys = Vec::new();
        keys.extend(self.key(model)?.map(|own| (own, model.id.get_ref().as_str())));
        for fallback in &model.fallback {
            let other = self.model(fallback)?;
            if fallback.get_ref() == name {
                let what = format!("the model {name:?} falls back to itself: name another one, or none");
                return Err(Failure::usage(self.file.mistake(Some(fallback.span()), what)));
            }
            keys.extend(self.key(other)?.map(|key| (key, other.id.get_ref().as_str())));
        }
        if model.fallback.is_empty() || keys.is_empty() {
            let own = keys.pop().map(|(own, _)| own as Arc<dyn ChatProvider>);
            return Ok(own.unwrap_or_else(|| Arc::new(Unasked)));
        }
        let routes = Routes::new(model.provider.get_ref().as_str(), Arc::clone(self.observer));
        Ok(Arc::new(routes.route(model.id.get_ref().as_str(), keys)))
    }

    /// The model of that name.
    pub(crate) fn model(&self, name: &Spanned<String>) -> Result<&'a RawModel, Failure> {
        let models = &self.file.raw.models;
        models.get(name.get_ref()).ok_or_else(|| {
            let what = format!("there is no model {:?}: known are {}", name.get_ref(), models.names());
            Failure::usage(self.file.mistake(Some(name.span()), what))
        })
    }

    fn key(&self, model: &RawModel) -> Result<Option<Arc<Dispatch>>, Failure> {
        self.keys.get(model.provider.get_ref().as_str()).cloned().ok_or_else(|| {
            let known = self.file.raw.provider.names();
            let what = format!("there is no provider {:?}: known are {known}", model.provider.get_ref());
            Failure::usage(self.file.mistake(Some(model.provider.span()), what))
        })
    }
}

/// Stands in for a key that nobody will ask.
#[derive(Debug)]
struct Unasked;

#[async_trait]
impl ChatProvider for Unasked {
    fn name(&self) -> &'static str {
        "unasked"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        Err(nobody())
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Err(nobody())
    }
}

fn nobody() -> ProviderError {
    ProviderError::new(ErrorKind::InvalidRequest, "this team was put together to be looked at, not to be asked")
}
