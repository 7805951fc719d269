//! What can be seen of a task before anybody works on it.

use serde::{Deserialize, Serialize};

/// What is planned, as far as it says something about how hard the task is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brief<'a> {
    /// What is to be done.
    pub objective: &'a str,
    /// What the work is judged by.
    pub criteria: &'a [String],
    /// The planner's own words for its kind.
    pub tags: &'a [String],
    /// How hard the planner says it is, from 1 to 5.
    pub complexity: u8,
    /// How many tasks it needs the work of.
    pub needs: usize,
    /// How long the planner thinks the work will be, if it said so.
    pub output_tokens: Option<u64>,
}

/// What can be seen of a task.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Features {
    /// How hard the planner says it is, from 1 to 5.
    pub complexity: u8,
    /// Tokens of work expected.
    pub tokens: u64,
    /// How many tasks it needs the work of.
    pub needs: u16,
    /// How many criteria the work is judged by.
    pub criteria: u16,
    /// Whether it looks like code.
    pub code: bool,
    /// Whether it looks like mathematics.
    pub maths: bool,
    /// Whether something that exists is changed, rather than made anew.
    pub edit: bool,
    /// The group of tasks it is learnt about with.
    pub group: Group,
}

/// A kind of task. A closed set: the planner's own tags are a model's words, and would grow without bound.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Writing or changing programs.
    Code,
    /// Tables, queries, files of records.
    Data,
    /// Proofs and reckoning.
    Maths,
    /// Finding out and comparing.
    Research,
    /// Testing and checking.
    Test,
    /// Everything else.
    #[default]
    Text,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 6] = [Self::Code, Self::Data, Self::Maths, Self::Research, Self::Test, Self::Text];

    /// The group in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Data => "data",
            Self::Maths => "maths",
            Self::Research => "research",
            Self::Test => "test",
            Self::Text => "text",
        }
    }
}

impl Features {
    /// Reads them off what is planned. Words decide, in English and German; only the first ones of a long objective.
    #[must_use]
    pub fn of(brief: &Brief<'_>) -> Self {
        let mut seen = Seen::default();
        brief.tags.iter().for_each(|tag| seen.read(tag, 3));
        seen.read(brief.objective, 1);
        let fenced = brief.objective.contains("```") || brief.objective.contains("::");
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            complexity: brief.complexity.clamp(1, 5),
            tokens: brief.output_tokens.unwrap_or_else(|| typical_tokens(brief.complexity)),
            needs: count(brief.needs),
            criteria: count(brief.criteria.len()),
            code: fenced || seen.of(Group::Code) > 0,
            maths: seen.of(Group::Maths) > 0,
            edit: seen.edits > seen.creates,
            group: seen.group(fenced),
        }
    }
}

/// What an answer is guessed to take if the planner does not say.
const fn typical_tokens(complexity: u8) -> u64 {
    match complexity {
        0 | 1 => 300,
        2 => 500,
        3 => 800,
        4 => 1_200,
        _ => 2_000,
    }
}

/// The words that were found.
#[derive(Debug, Default)]
struct Seen {
    groups: [u32; Group::ALL.len()],
    edits: u32,
    creates: u32,
}

impl Seen {
    fn read(&mut self, text: &str, weight: u32) {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1);
        for word in words.take(MAX_WORDS) {
            let word = word.to_lowercase();
            let among = |stems: &[&str]| stems.iter().any(|stem| word.starts_with(stem));
            for (group, stems) in STEMS {
                if among(stems) {
                    self.groups[*group as usize] += weight;
                }
            }
            self.edits += u32::from(among(EDITS));
            self.creates += u32::from(among(CREATES));
        }
    }

    const fn of(&self, group: Group) -> u32 {
        self.groups[group as usize]
    }

    /// The group with the most words; of equals the first.
    fn group(&self, fenced: bool) -> Group {
        let most = self.groups.iter().copied().max().unwrap_or_default();
        match Group::ALL.into_iter().find(|group| self.of(*group) == most) {
            Some(group) if most > 0 => group,
            _ if fenced => Group::Code,
            _ => Group::default(),
        }
    }
}

/// How many words of an objective are looked at.
const MAX_WORDS: usize = 400;

/// Beginnings of words that speak for a group.
const STEMS: &[(Group, &[&str])] = &[
    (
        Group::Code,
        &[
            "api",
            "async",
            "bug",
            "class",
            "client",
            "code",
            "compil",
            "debug",
            "function",
            "funktion",
            "implement",
            "javascript",
            "klasse",
            "module",
            "program",
            "python",
            "refactor",
            "rust",
            "server",
            "typescript",
        ],
    ),
    (Group::Data, &["csv", "data", "daten", "etl", "json", "schema", "spreadsheet", "sql", "tabelle", "table"]),
    (
        Group::Maths,
        &[
            "algebra",
            "beweis",
            "equation",
            "gleichung",
            "integral",
            "math",
            "matri",
            "proof",
            "prove",
            "statisti",
            "theorem",
        ],
    ),
    (
        Group::Research,
        &["analys", "compar", "evaluat", "find", "investigat", "recherch", "research", "survey", "vergleich"],
    ),
    (Group::Test, &["benchmark", "fixture", "test", "validat", "verif"]),
    (
        Group::Text,
        &["article", "blog", "document", "dokument", "letter", "readme", "summar", "translat", "zusammenfass"],
    ),
];

const EDITS: &[&str] = &[
    "adapt", "change", "correct", "fix", "improve", "migrat", "refactor", "remov", "renam", "repair", "updat", "ändere",
];

const CREATES: &[&str] =
    &["add", "build", "creat", "design", "draft", "erstell", "implement", "make", "schreib", "write"];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(objective: &str) -> Features {
        Features::of(&Brief { objective, complexity: 3, ..Brief::default() })
    }

    #[test]
    fn words_say_what_kind_of_task_it_is() {
        let cases = [
            ("Implement an async HTTP client with retries in Rust", Group::Code, true, false),
            ("Implementiere eine Funktion mit Retry-Logik", Group::Code, true, false),
            ("Fix the bug in the parser module", Group::Code, true, true),
            ("Prove the theorem by solving the equation", Group::Maths, false, false),
            ("Write unit tests and a benchmark fixture", Group::Test, false, false),
            ("Say hello", Group::Text, false, false),
            ("What does `Vec::push` do?", Group::Code, true, false),
        ];
        for (objective, group, code, edit) in cases {
            let features = of(objective);
            assert_eq!((features.group, features.code, features.edit), (group, code, edit), "{objective}");
        }
    }

    #[test]
    fn tags_outweigh_the_objective_and_figures_stay_in_their_range() {
        let tags = ["research".to_owned()];
        let brief = Brief { objective: "Write code", tags: &tags, complexity: 9, needs: 100_000, ..Brief::default() };
        let features = Features::of(&brief);
        assert_eq!((features.group, features.complexity, features.needs), (Group::Research, 5, u16::MAX));
        assert_eq!(of("").group, Group::Text);
        assert_eq!(of(&format!("{}{}", "sheep ".repeat(MAX_WORDS), "prove ".repeat(9))).group, Group::Text);
        assert_eq!(Features::of(&Brief::default()).complexity, 1);
    }
}
