//! Values that cannot be wrong once they are read: times, counts, shares, amounts, prompts, tables in the file's order.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bellwether_team::Join;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use toml::Spanned;

use crate::args::LONGEST;

/// A stretch of time, such as `"30s"` or `"1m 30s"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            |why: String| D::Error::custom(format!("{text:?} is no stretch of time ({why}): write \"30s\" or \"5m\""));
        let time = humantime::parse_duration(&text).map_err(|error| wrong(error.to_string()))?;
        if time > LONGEST { Err(wrong("longer than a hundred years".to_owned())) } else { Ok(Self(time)) }
    }
}

/// A number that is at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)?.try_into() {
            Ok(0) | Err(_) => Err(D::Error::custom("this has to be a whole number from 1 up")),
            Ok(count) => Ok(Self(count)),
        }
    }
}

/// How much of what a task asked for has to come to work: `"all"`, `"any"` or `"quorum(2)"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawJoin(pub(crate) Join);

impl<'de> Deserialize<'de> for RawJoin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A share from 0 to 0.5, in thousandths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(pub(crate) u32);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        // Two floors of less than a half each always leave something to the most urgent class.
        if !(0.0..0.5).contains(&share) {
            return Err(D::Error::custom("this has to be a share from 0 to below 0.5, such as 0.05"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        Ok(Self((share * 1_000.0).round() as u32))
    }
}

/// What of a whole is held back: a share from 0 to below 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve(pub(crate) bellwether_team::Share);

impl<'de> Deserialize<'de> for Reserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = bellwether_team::Share::new(f64::deserialize(deserializer)?).filter(|share| share.value() < 1.0);
        share.map(Self).ok_or_else(|| D::Error::custom("this has to be a share from 0 to below 1, such as 0.08"))
    }
}

/// How much chance there is in answers, from 0 to 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temperature(pub(crate) f32);

impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f32::deserialize(deserializer)?;
        if !(0.0..=2.0).contains(&value) {
            return Err(D::Error::custom("this has to be a number from 0 to 2"));
        }
        Ok(Self(value))
    }
}

/// An amount in dollars that is not negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dollars(pub(crate) bellwether_core::Usd);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = f64::deserialize(deserializer)?;
        bellwether_core::Usd::from_dollars(amount)
            .map(Self)
            .ok_or_else(|| D::Error::custom("this has to be an amount in dollars, not negative"))
    }
}

/// `prompt = "..."` or `prompt = { file = "..." }`.
#[derive(Debug)]
pub(crate) enum RawPrompt {
    File(String),
    Text(String),
}

impl<'de> Deserialize<'de> for RawPrompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Prompt;

        impl<'de> Visitor<'de> for Prompt {
            type Value = RawPrompt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or { file = \"...\" }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawPrompt, E> {
                Ok(RawPrompt::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPrompt, A::Error> {
                match map.next_entry::<String, String>()? {
                    Some((key, file)) if key == "file" => Ok(RawPrompt::File(file)),
                    _ => Err(A::Error::custom("write { file = \"...\" }")),
                }
            }
        }

        deserializer.deserialize_any(Prompt)
    }
}

/// A table whose keys the user chooses, in the file's order.
#[derive(Debug)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<T> Ordered<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries: Vec<(usize, String, T)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<Spanned<String>, T>()? {
                    entries.push((name.span().start, name.into_inner(), value));
                }
                entries.sort_by_key(|(at, ..)| *at);
                Ok(Ordered(entries.into_iter().map(|(_, name, value)| (name, value)).collect()))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
