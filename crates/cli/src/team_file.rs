//! `team.toml`: read strictly, every mistake named with its line and its remedy.

mod keys;
pub(crate) mod raw;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use raw::RawFile;

/// A team file that can be understood. What it names may still not exist.
#[derive(Debug)]
pub(crate) struct TeamFile {
    /// Where it was read from; prompt files are looked for beside it.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) raw: RawFile,
    text: String,
}

/// A mistake in a team file.
#[derive(Debug)]
pub(crate) struct Mistake {
    place: String,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl TeamFile {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Mistake> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Mistake { place: path.display().to_string(), what: format!("cannot be read: {error}") })?;
        Self::parse(path, text)
    }

    /// Understands a file's text.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, Mistake> {
        let mistake = |span: Option<Range<usize>>, what: String| {
            let line = span.map_or(String::new(), |span| format!(":{}", line_of(&text, span.start)));
            Mistake { place: format!("{}{line}", path.display()), what }
        };
        let toml = |error: toml::de::Error| mistake(error.span(), error.message().replace('\n', "; "));
        let table = toml::de::DeTable::parse(&text).map_err(toml)?;
        if let Some((span, what)) = keys::unknown(table.get_ref()) {
            return Err(mistake(Some(span), what));
        }
        let raw: RawFile = toml::from_str(&text).map_err(toml)?;
        if raw.schema != 1 {
            return Err(mistake(
                None,
                format!("schema {} is not known: this version understands schema = 1", raw.schema),
            ));
        }
        Ok(Self { path: path.to_owned(), raw, text })
    }

    /// A mistake at a place in the file.
    pub(crate) fn mistake(&self, span: Option<Range<usize>>, what: impl Into<String>) -> Mistake {
        let line = span.map_or(String::new(), |span| format!(":{}", line_of(&self.text, span.start)));
        Mistake { place: format!("{}{line}", self.path.display()), what: what.into() }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
