//! What of other tasks' work fits into a conversation.
//!
//! Small work is handed on in full. What is too long for its share of the window is handed on as a digest, made once by
//! the cheapest model of the role that wrote it; where there is none, as an excerpt. The reader is told which it is.

/// The tenths of a window that other tasks' work may fill: the rest is for the task itself and its revisions.
const TENTHS: usize = 6;
/// Four characters a token: a rule of thumb that is near enough for deciding what to leave out.
pub(crate) const CHARS_PER_TOKEN: usize = 4;

/// How many characters the line may take that says what an excerpt leaves out.
pub(crate) const OMISSION: usize = 64;

/// How many characters of other tasks' work a window of so many tokens has room for.
pub(crate) const fn room(window: usize) -> usize {
    window.saturating_mul(CHARS_PER_TOKEN) / 10 * TENTHS
}

/// How many characters each of several inputs of these lengths may have in a window of so many tokens.
///
/// Room is divided max-min fairly: nobody gets more than it needs, and what the small ones leave goes to the others in
/// equal parts (Bertsekas and Gallager, "Data Networks", 1992, section 6.5).
pub(crate) fn shares(lengths: &[usize], window: usize) -> Vec<usize> {
    let mut room = room(window);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|n| lengths[*n]);
    let mut shares = vec![0; lengths.len()];
    for (done, n) in order.into_iter().enumerate() {
        let share = lengths[n].min(room / (lengths.len() - done));
        shares[n] = share;
        room -= share;
    }
    shares
}

/// Beginning and end of a text, together at most about `most` characters, with a line that says how much is missing.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    let all = text.chars().count();
    if all <= most {
        return text.to_owned();
    }
    // What matters is announced at the beginning and concluded at the end.
    let head: String = text.chars().take(most - most / 3).collect();
    let tail: String = text.chars().skip(all - most / 3).collect();
    format!("{head}\n[... {} characters left out ...]\n{tail}", all - most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{excerpt, shares};

    #[test]
    fn small_inputs_stay_whole_and_large_ones_share_the_rest() {
        assert_eq!(shares(&[100, 10_000, 5_000], 1_000), [100, 1_150, 1_150]);
        assert_eq!(shares(&[100, 200], 1_000), [100, 200]);
        assert_eq!(shares(&[], 1_000), Vec::<usize>::new());
        assert_eq!(shares(&[5], 0), [0]);
    }

    #[test]
    fn an_excerpt_says_what_is_missing() {
        assert_eq!(excerpt("short", 5), "short");
        let text = format!("begin{}end", "ä".repeat(1_000));
        let cut = excerpt(&text, 30);
        assert!(cut.starts_with("begin") && cut.ends_with("end"), "{cut}");
        assert!(cut.contains("[... 978 characters left out ...]"), "{cut}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        /// Never more than the window's share, nobody more than it needs, and nobody cut who needs less than another gets.
        #[test]
        fn shares_are_max_min_fair(lengths in proptest::collection::vec(0usize..100_000, 0..12), window in 0usize..50_000) {
            let shares = shares(&lengths, window);
            prop_assert!(shares.iter().sum::<usize>() <= super::room(window));
            for (share, length) in shares.iter().zip(&lengths) {
                prop_assert!(share <= length);
                let most = shares.iter().max().copied().unwrap_or(0);
                prop_assert!(share == length || share + 12 >= most, "who is cut gets as much as anybody: {shares:?}");
            }
        }
    }
}
