//! Removes secrets from whatever a provider echoes, before it is kept.

use std::fmt;
use std::sync::Arc;

/// The secrets of a client, in every form in which they may come back.
#[derive(Clone, Default)]
pub(crate) struct Scrub(Arc<[String]>);

impl Scrub {
    /// Knows `secrets` plain, escaped, URL-encoded and in base64.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= LEAST);
        let mut forms: Vec<String> = secrets.flat_map(forms).collect();
        // The longest first, so that no form is cut apart by a shorter one.
        forms.sort_unstable_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms.into())
    }

    /// The text without the secrets.
    pub(crate) fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, form| match text.contains(form) {
            true => text.replace(form, HIDDEN),
            false => text,
        })
    }

    /// The length of the longest form of a secret.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrub")
    }
}

fn forms(secret: &str) -> Vec<String> {
    let encode = |upper: bool| -> String {
        let byte = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        secret.bytes().map(byte).collect()
    };
    let escaped = secret.replace('\\', "\\\\").replace('"', "\\\"");
    // Some writers of JSON escape a slash, others whatever could mean something in a page.
    let slashed = escaped.replace('/', "\\/");
    let numbered = |upper: bool| -> String {
        let char = |char: char| match char {
            '"' | '&' | '\'' | '+' | '<' | '>' | '`' if upper => format!("\\u{:04X}", u32::from(char)),
            '"' | '&' | '\'' | '+' | '<' | '>' | '`' => format!("\\u{:04x}", u32::from(char)),
            '\\' => "\\\\".to_owned(),
            char => char.to_string(),
        };
        secret.chars().map(char).collect()
    };
    let mut forms =
        vec![secret.to_owned(), escaped, slashed, numbered(true), numbered(false), encode(true), encode(false)];
    // A secret may be encoded with something before it, such as `Bearer `: three alignments, whose edges are shared
    // with the neighbours and stay out. What is left must be long enough not to match by chance.
    for before in 0..3 {
        for alphabet in [STANDARD, URL_SAFE] {
            let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.bytes()).collect();
            let whole = base64(&bytes, alphabet);
            let certain = whole.get((before * 8).div_ceil(6)..bytes.len() * 8 / 6).unwrap_or_default();
            forms.extend((certain.len() >= 8).then(|| certain.to_owned()));
        }
    }
    forms
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0, |group, (at, byte)| group | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..=chunk.len() {
            let index = (group >> (18 - 6 * digit)) & 63;
            out.push(char::from(alphabet[index as usize]));
        }
    }
    out
}

const HIDDEN: &str = "[key]";

/// What is shorter is no secret, but what stands where a local endpoint wants something to stand, such as `x` or `EMPTY`. To
/// hide it would take messages and cassettes apart.
const LEAST: usize = 8;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-a+b/\"c\"0123456789";

    #[test]
    fn a_key_is_removed_in_every_form_in_which_it_may_come_back() {
        let scrub = Scrub::new([KEY]);
        for echo in [
            KEY,
            "sk-a+b/\\\"c\\\"0123456789",
            "sk-a+b\\/\\\"c\\\"0123456789",
            "sk-a\\u002Bb/\\u0022c\\u00220123456789",
            "sk-a\\u002bb/\\u0022c\\u00220123456789",
            "sk-a%2Bb%2F%22c%220123456789",
            "sk-a%2bb%2f%22c%220123456789",
        ] {
            assert_eq!(scrub.apply(&format!("<{echo}>")), "<[key]>");
        }
    }

    #[test]
    fn base64_hides_no_key_at_any_alignment() {
        let scrub = Scrub::new([KEY]);
        for before in ["", "u", "u:", "Bearer ", "user:"] {
            let encoded = base64(format!("{before}{KEY}\n").as_bytes(), STANDARD);
            let shown = scrub.apply(&encoded);
            assert!(shown.contains(HIDDEN) && shown.len() < before.len() * 2 + 16, "{encoded} became {shown}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_a_key_takes_no_text_apart() {
        let scrub = Scrub::new(["x", "none", "sk-real-key"]);
        assert_eq!(scrub.apply("next: none of sk-real-key"), "next: none of [key]");
    }

    #[test]
    fn base64_agrees_with_the_examples_of_its_standard() {
        let encoded = |text: &str| base64(text.as_bytes(), STANDARD);
        assert_eq!(["f", "fo", "foo", "foobar"].map(encoded), ["Zg", "Zm8", "Zm9v", "Zm9vYmFy"]);
    }
}
