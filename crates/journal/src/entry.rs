//! What an entry looks like in the file: JSON, with long texts lifted out of it and kept once each, by their hash.
//!
//! A text that was lifted leaves `{"$body": "<hash>"}` behind, or `{"$hash": "<hash>"}` if it is not kept. An entry
//! that really contains such an object gets one more `$`, which is taken off again when it is read.

use std::borrow::Cow;

use blake3::Hash;
use serde_json::{Map, Value};

use bellwether_core::journal::Entry;

use crate::error::Error;
use crate::settings::{Bodies, Secret};

/// An entry on its way into the file.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) texts: Vec<Text>,
}

/// A long text on its way into the file, or out of it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) hash: Hash,
    pub(crate) size: usize,
    pub(crate) data: Blob,
}

/// Bytes as they are kept: compressed where that makes them fewer.
#[derive(Debug)]
pub(crate) enum Blob {
    Lz4(Vec<u8>),
    Plain(Vec<u8>),
}

/// Why what the file says is no entry.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Damaged(String),
    Database(rusqlite::Error),
    NotKept,
}

/// What becomes of a text that was not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gaps {
    Refuse,
    Show,
}

impl Packed {
    /// # Errors
    ///
    /// [`Error::Deep`], [`Error::Large`].
    pub(crate) fn new(entry: Entry, bodies: Bodies, secrets: &[Secret]) -> Result<Self, Error> {
        let Entry { kind, mut body } = entry;
        let mut lift = Lift { bodies, secrets, texts: Vec::new() };
        lift.value(&mut body, 0)?;
        let packed = Self { kind, body: body.to_string(), texts: lift.texts };
        match packed.size() {
            size if size > LARGEST => Err(Error::Large { size, limit: LARGEST }),
            _ => Ok(packed),
        }
    }

    /// How many bytes it takes while it waits to be written.
    pub(crate) fn size(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.data.bytes().len()).sum();
        self.kind.len() + self.body.len() + texts
    }
}

impl Blob {
    pub(crate) fn pack(bytes: Vec<u8>) -> Self {
        let compressed = lz4_flex::compress(&bytes);
        if compressed.len() < bytes.len() { Self::Lz4(compressed) } else { Self::Plain(bytes) }
    }

    /// What the file says; `None` if it says nothing known.
    pub(crate) fn read(packing: i64, bytes: Vec<u8>) -> Option<Self> {
        match packing {
            0 => Some(Self::Plain(bytes)),
            1 => Some(Self::Lz4(bytes)),
            _ => None,
        }
    }

    /// The bytes that were packed, if they are `size` and `hash` to it.
    pub(crate) fn unpack(self, size: usize, hash: &Hash) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Plain(bytes) => bytes,
            Self::Lz4(bytes) if size <= LARGEST => lz4_flex::decompress(&bytes, size).ok()?,
            Self::Lz4(_) => return None,
        };
        (bytes.len() == size && blake3::hash(&bytes) == *hash).then_some(bytes)
    }

    pub(crate) const fn packing(&self) -> i64 {
        match self {
            Self::Plain(_) => 0,
            Self::Lz4(_) => 1,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lz4(bytes) | Self::Plain(bytes) => bytes,
        }
    }
}

struct Lift<'a> {
    bodies: Bodies,
    secrets: &'a [Secret],
    texts: Vec<Text>,
}

impl Lift<'_> {
    fn value(&mut self, value: &mut Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::Deep { limit: DEEPEST });
        }
        match value {
            Value::String(text) => {
                self.secrets.iter().for_each(|secret| secret.hide(text));
                if text.len() >= self.long() {
                    *value = self.text(std::mem::take(text))?;
                }
            }
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.value(item, depth + 1))?,
            Value::Object(map) => self.object(map, depth)?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn object(&mut self, map: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
        map.values_mut().try_for_each(|value| self.value(value, depth + 1))?;
        let only = if map.len() == 1 { map.keys().next() } else { None };
        let looks_like_ours = only.is_some_and(|key| mark(key).is_some());
        if looks_like_ours {
            *map = std::mem::take(map).into_iter().map(|(key, value)| (format!("${key}"), value)).collect();
        }
        Ok(())
    }

    fn text(&mut self, text: String) -> Result<Value, Error> {
        // However few bytes it would take compressed: so much is never unpacked.
        if text.len() > LARGEST && self.bodies == Bodies::Keep {
            return Err(Error::Large { size: text.len(), limit: LARGEST });
        }
        let (hash, size) = (blake3::hash(text.as_bytes()), text.len());
        let mark = match self.bodies {
            Bodies::Hashes => HASH,
            Bodies::Keep => {
                self.texts.push(Text { hash, size, data: Blob::pack(text.into_bytes()) });
                BODY
            }
        };
        Ok(Value::Object(Map::from_iter([(mark.to_owned(), Value::String(hash.to_hex().to_string()))])))
    }

    const fn long(&self) -> usize {
        match self.bodies {
            Bodies::Hashes => 64,
            Bodies::Keep => 512,
        }
    }
}

/// The body of an entry as it was before it was packed; `fetch` looks a text up by its hash.
///
/// # Errors
///
/// [`Unreadable`].
pub(crate) fn unpack(
    body: &str,
    gaps: Gaps,
    fetch: &mut dyn FnMut(&Hash) -> Result<String, Unreadable>,
) -> Result<Value, Unreadable> {
    let mut value = serde_json::from_str(body).map_err(|error| Unreadable::Damaged(error.to_string()))?;
    // Most entries are short, and hold neither mark.
    if body.contains("\"$") {
        restore(&mut value, gaps, fetch)?;
    }
    Ok(value)
}

fn restore(
    value: &mut Value,
    gaps: Gaps,
    fetch: &mut dyn FnMut(&Hash) -> Result<String, Unreadable>,
) -> Result<(), Unreadable> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| restore(item, gaps, fetch)),
        Value::Object(map) => {
            let mut only = (map.len() == 1).then(|| map.iter().next()).flatten();
            match only.take().map(|(key, value)| (mark(key), key, value)) {
                Some((Some(1), key, Value::String(hash))) if key == BODY => {
                    let hash = Hash::from_hex(hash).map_err(|error| Unreadable::Damaged(error.to_string()))?;
                    *value = Value::String(fetch(&hash)?);
                    Ok(())
                }
                Some((Some(1), ..)) if gaps == Gaps::Show => Ok(()),
                Some((Some(1), ..)) => Err(Unreadable::NotKept),
                Some((Some(_), key, _)) => {
                    let key = key[1..].to_owned();
                    let mut inner = std::mem::take(map).into_iter().next().map(|(_, value)| value).unwrap_or_default();
                    restore(&mut inner, gaps, fetch)?;
                    map.insert(key, inner);
                    Ok(())
                }
                _ => map.values_mut().try_for_each(|value| restore(value, gaps, fetch)),
            }
        }
        _ => Ok(()),
    }
}

/// How many `$` a key begins with, if it is one of ours beyond them.
fn mark(key: &str) -> Option<usize> {
    let rest = Cow::from(key.trim_start_matches('$'));
    let dollars = key.len() - rest.len();
    (dollars > 0 && (rest == "body" || rest == "hash")).then_some(dollars)
}

const BODY: &str = "$body";
const HASH: &str = "$hash";

/// The most bytes that one append may take, and one text may be.
pub(crate) const LARGEST: usize = 64 << 20;

/// The parser reads 128 levels; a lifted text adds one.
const DEEPEST: usize = 120;
