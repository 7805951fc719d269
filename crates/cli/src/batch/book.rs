//! Which lines of a file are still to be sent: where each begins, flow by flow, and nothing of what it says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_provider::MaxTokensField;

use super::input::{self, Item};
use crate::exit::{Exit, Failure};

/// The lines of a file that have no result yet.
///
/// It takes 24 bytes a line, so that every flow can be served at its share although a file that is sorted by flow
/// is far longer than what can wait at once.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    file: File,
    model: Option<String>,
    flows: Vec<VecDeque<Place>>,
    left: usize,
    /// How many lines were left out, because they are done.
    done: usize,
    /// Under which name the cap on output is sent.
    cap: MaxTokensField,
    /// The line that was read last.
    line: Vec<u8>,
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    /// What is known of what it says.
    print: u64,
    length: u32,
    number: u32,
}

/// Ids that were seen, as 128 bits each: that two of a billion are alike is less likely than a broken disk.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    keys: (RandomState, RandomState),
    seen: HashSet<(u64, u64)>,
    /// Whether what lines without an id said is among them, too.
    pub(crate) know_lines: bool,
}

/// What the line that is known by a number said, beside that number.
pub(crate) fn of_line(id: &str, said: &str) -> String {
    format!("{id} {said}")
}

/// What a line is known by as a text, for not everybody keeps all digits of a number.
pub(crate) fn written(print: u64) -> String {
    format!("{print:016x}")
}

impl Ids {
    /// Whether `id` is new.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        self.seen.insert(self.of(id))
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.seen.contains(&self.of(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    fn of(&self, id: &str) -> (u64, u64) {
        (self.keys.0.hash_one(id), self.keys.1.hash_one(id))
    }
}

impl Book {
    /// Reads the whole file before anything is paid for: every line makes sense, and no id stands twice. Lines that are
    /// `done` are left out.
    pub(crate) fn open(path: &Path, model: Option<&str>, done: &Ids) -> Result<Self, Failure> {
        let unreadable = |error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let told = format!("{} is no regular file, and lines are read twice", path.display());
            return Err(Failure::usage(told).remedy("the lines in a file"));
        }
        let file = File::open(path).map_err(unreadable)?;
        let mut reader = BufReader::new(file.try_clone().map_err(unreadable)?);
        let model = model.map(str::to_owned);
        let mut book = Self {
            path: path.to_owned(),
            file,
            model,
            flows: Vec::new(),
            left: 0,
            done: 0,
            cap: MaxTokensField::MaxTokens,
            line: Vec::new(),
        };
        let (mut ids, mut names) = (Ids::default(), HashMap::<Arc<str>, usize>::new());
        let (mut offset, mut number) = (0, 0);
        loop {
            book.line.clear();
            let read = reader.read_until(b'\n', &mut book.line).map_err(unreadable)?;
            if read == 0 {
                return Ok(book);
            }
            number += 1;
            let length = u32::try_from(read).map_err(|_| book.mistake(number, "it is longer than 4 GiB"))?;
            let begins = offset;
            offset += u64::from(length);
            if book.line.trim_ascii().is_empty() {
                continue;
            }
            let item = book.understand(number).map_err(|why| book.mistake(number, &why))?;
            if !ids.insert(&item.id) {
                return Err(book.mistake(number, "its custom_id stands in an earlier line, too"));
            }
            if done.len() > 0 && done.contains(&item.id) {
                if !item.is_named && done.know_lines && !done.contains(&of_line(&item.id, &written(item.print))) {
                    let told = "it is not the line that was answered under this number; give the lines a custom_id";
                    return Err(book.mistake(number, told));
                }
                book.done += 1;
                continue;
            }
            if item.is_capped_anew {
                book.cap = MaxTokensField::MaxCompletionTokens;
            }
            let flow = *names.entry(item.flow).or_insert(book.flows.len());
            if flow == book.flows.len() {
                book.flows.push(VecDeque::new());
            }
            book.flows[flow].push_back(Place { offset: begins, print: item.print, length, number });
            book.left += 1;
        }
    }

    /// How many lines are still to be sent.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// How many lines were done before.
    pub(crate) const fn done(&self) -> usize {
        self.done
    }

    /// Under which name to send the cap on output, if the catalogue knows no better: as the lines name it, and the newer one if
    /// they differ.
    pub(crate) const fn cap(&self) -> MaxTokensField {
        self.cap
    }

    /// How many flows there are.
    pub(crate) const fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The next line of a flow, if it has one: the one that was looked at when the book was opened, or none. What somebody
    /// wrote over it meanwhile is not sent, for it may be what another line was.
    pub(crate) fn next(&mut self, flow: usize) -> Result<Option<Item>, Failure> {
        let Some(place) = self.flows[flow].pop_front() else { return Ok(None) };
        self.left -= 1;
        self.line.resize(place.length as usize, 0);
        let read = self.file.seek(SeekFrom::Start(place.offset)).and_then(|_| self.file.read_exact(&mut self.line));
        if let Err(error) = read.as_ref()
            && error.kind() != io::ErrorKind::UnexpectedEof
        {
            return Err(Failure::io(format!("{} cannot be read", self.path.display()), error));
        }
        let item = read.ok().and_then(|()| self.understand(place.number).ok());
        item.filter(|item| item.print == place.print).map(Some).ok_or_else(|| {
            let told = format!("{}:{}: the line was changed after the batch began", self.path.display(), place.number);
            Failure::new(Exit::Io, told).remedy("--resume, and leave the file as it is until all is answered")
        })
    }

    fn understand(&self, number: u32) -> Result<Item, String> {
        input::read(&self.line, number as usize, self.model.as_deref())
    }

    fn mistake(&self, number: u32, why: &str) -> Failure {
        Failure::usage(format!("{}:{number}: {why}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What was written over a line was sent as if it had been looked at: twice the one, and never the other.
    #[test]
    fn a_line_that_was_changed_meanwhile_is_not_sent_and_one_that_was_added_is_no_matter() {
        let path = std::env::temp_dir().join(format!("bellwether-book-{}.jsonl", std::process::id()));
        let line = |id: &str| {
            format!(
                "{{\"custom_id\":\"{id}\",\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}\n"
            )
        };
        let lines = |ids: &[&str]| ids.iter().map(|id| line(id)).collect::<String>();
        fs::write(&path, lines(&["a", "b", "c"])).unwrap();
        let open = || Book::open(&path, None, &Ids::default()).unwrap();
        let (mut swapped, mut longer, mut shorter) = (open(), open(), open());
        let id = |book: &mut Book| book.next(0).map(|item| item.map(|item| item.id)).map_err(|failure| failure.exit);
        fs::write(&path, lines(&["a", "c", "b"])).unwrap();
        assert_eq!(id(&mut swapped), Ok(Some("a".into())));
        assert_eq!(id(&mut swapped), Err(Exit::Io));
        fs::write(&path, lines(&["a", "b", "c", "d"])).unwrap();
        let ids: Vec<_> = (0..4).map(|_| id(&mut longer).unwrap()).collect();
        fs::write(&path, &lines(&["a", "b"])[..90]).unwrap();
        assert_eq!(id(&mut shorter), Ok(Some("a".into())));
        assert_eq!(id(&mut shorter), Err(Exit::Io));
        fs::remove_file(&path).unwrap();
        assert_eq!(ids, [Some("a".into()), Some("b".into()), Some("c".into()), None]);
    }
}
