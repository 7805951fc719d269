//! Which lines of a file are still to be sent: where each begins, flow by flow, and nothing of what it says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::{self, Item};
use crate::exit::Failure;

/// The lines of a file that have no result yet.
///
/// It takes 16 bytes a line, so that every flow can be served at its share although a file that is sorted by flow
/// is far longer than what can wait at once.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    file: File,
    model: Option<String>,
    flows: Vec<VecDeque<Place>>,
    left: usize,
    /// The line that was read last.
    line: Vec<u8>,
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: u32,
    number: u32,
}

/// Ids that were seen, as 128 bits each: that two of a billion are alike is less likely than a broken disk.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    keys: (RandomState, RandomState),
    seen: HashSet<(u64, u64)>,
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
        let file = File::open(path).map_err(unreadable)?;
        let model = model.map(str::to_owned);
        let mut book = Self { path: path.to_owned(), file, model, flows: Vec::new(), left: 0, line: Vec::new() };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
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
            let place = Place { offset, length, number };
            offset += u64::from(length);
            if book.line.trim_ascii().is_empty() {
                continue;
            }
            let item = book.understand(place)?;
            if !ids.insert(&item.id) {
                return Err(book.mistake(number, "its custom_id stands in an earlier line, too"));
            }
            if done.len() > 0 && done.contains(&item.id) {
                continue;
            }
            let flow = *names.entry(item.flow).or_insert(book.flows.len());
            if flow == book.flows.len() {
                book.flows.push(VecDeque::new());
            }
            book.flows[flow].push_back(place);
            book.left += 1;
        }
    }

    /// How many lines are still to be sent.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// How many flows there are.
    pub(crate) const fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The next line of a flow, if it has one.
    pub(crate) fn next(&mut self, flow: usize) -> Result<Option<Item>, Failure> {
        let Some(place) = self.flows[flow].pop_front() else { return Ok(None) };
        self.left -= 1;
        self.line.resize(place.length as usize, 0);
        let read = self.file.seek(SeekFrom::Start(place.offset)).and_then(|_| self.file.read_exact(&mut self.line));
        read.map_err(|error| Failure::io(format!("{} cannot be read", self.path.display()), &error))?;
        self.understand(place).map(Some)
    }

    fn understand(&self, place: Place) -> Result<Item, Failure> {
        input::read(&self.line, place.number as usize, self.model.as_deref())
            .map_err(|why| self.mistake(place.number, &why))
    }

    fn mistake(&self, number: u32, why: &str) -> Failure {
        Failure::usage(format!("{}:{number}: {why}", self.path.display()))
    }
}
