//! The file that keeps what was learnt: a line an entry, only ever appended to.
//!
//! Several processes may use it at once: whoever writes holds a lock beside it, and reads first what others wrote, so
//! that the order of lines is the same for all. A line that a crash cut short is passed over. When the file gets long,
//! its latest part is written anew beside it and takes its place in one step; its first line then says so to everybody
//! who had read the file before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::outcome::Entry;

/// The version of the lines' form.
const SCHEMA: u32 = 1;

/// What every first line begins with.
const BEGINNING: &[u8] = br#"{"bellwether_router":"#;

/// Why what was learnt cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is another kind of file.
    #[error("{} is not a file of routing statistics", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was written by another version.
    #[error("{} was written by another version (schema {schema}; this one understands {SCHEMA})", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// That version's form.
        schema: u32,
    },
}

/// The first line.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Head {
    bellwether_router: u32,
    /// Grows whenever the file is written anew.
    generation: u64,
}

/// A file, and how far it was read.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    generation: u64,
    read: u64,
    passed_over: u64,
    /// Whether the first line was cut short, so that there is nothing in it.
    headless: bool,
}

impl Store {
    /// A file that nothing was read of yet. It need not exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), generation: 0, read: 0, passed_over: 0, headless: false }
    }

    /// How many lines could not be understood.
    pub(crate) const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Reads what was added since the last time; the whole if the file was written anew.
    pub(crate) fn refresh(&mut self, history: &mut History) -> Result<(), StoreError> {
        match File::open(&self.path) {
            Ok(file) => self.read_from(file, history),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Appends an entry unless somebody has. What others wrote is read first.
    pub(crate) fn append(&mut self, entry: Entry, history: &mut History) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        self.refresh(history)?;
        if self.headless {
            self.rewrite(&[])?;
            self.refresh(history)?;
        }
        if self.mend().map_err(|error| self.failed(error))? {
            // What was cut short may have lacked its line end only.
            self.refresh(history)?;
        }
        if history.knows(entry.id()) {
            return Ok(());
        }
        let line = line(&entry).map_err(|error| self.failed(error))?;
        self.write(&line).map_err(|error| self.failed(error))?;
        history.add(entry);
        if history.is_long() {
            self.rewrite(history.latest())?;
            self.refresh(history)?;
        }
        Ok(())
    }

    /// Forgets everything; whoever has read the file notices.
    pub(crate) fn clear(&mut self) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        // What the file says its generation is, even if nothing else in it can be read.
        if let Ok(file) = File::open(&self.path)
            && let Ok(First::Head(head)) = first(&mut BufReader::new(file))
        {
            self.generation = head.generation;
        }
        self.rewrite(&[])
    }

    fn read_from(&mut self, file: File, history: &mut History) -> Result<(), StoreError> {
        let mut reader = BufReader::new(file);
        let length = reader.get_ref().metadata().map_err(|error| self.failed(error))?.len();
        self.headless = false;
        if length == 0 {
            return Ok(());
        }
        let head = match first(&mut reader).map_err(|error| self.failed(error))? {
            First::Foreign => return Err(StoreError::Foreign { path: self.path.clone() }),
            First::Head(head) => head,
            First::Torn => {
                self.headless = true;
                return Ok(());
            }
        };
        if head.bellwether_router != SCHEMA {
            return Err(StoreError::Schema { path: self.path.clone(), schema: head.bellwether_router });
        }
        if head.generation != self.generation || length < self.read {
            *history = History::new(*history.settings());
            (self.generation, self.read, self.passed_over) = (head.generation, 0, 0);
        }
        if self.read > 0 {
            reader.seek(SeekFrom::Start(self.read)).map_err(|error| self.failed(error))?;
        } else {
            self.read = reader.stream_position().map_err(|error| self.failed(error))?;
        }
        let mut text = Vec::new();
        loop {
            text.clear();
            let bytes = reader.read_until(b'\n', &mut text).map_err(|error| self.failed(error))?;
            if !text.ends_with(b"\n") {
                // The end, or a line that somebody is writing or never came to finish.
                return Ok(());
            }
            self.read += bytes as u64;
            match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) => _ = history.add(entry),
                Err(_) => self.passed_over += u64::from(text != b"\n"),
            }
        }
    }

    /// Ends a line that was cut short; whether there was one.
    fn mend(&self) -> io::Result<bool> {
        let mut file = match OpenOptions::new().append(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let torn = file.metadata()?.len() > self.read;
        if torn {
            file.write_all(b"\n")?;
        }
        Ok(torn)
    }

    /// Writes a line at the end.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        let length = file.metadata()?.len();
        let mut text = Vec::with_capacity(line.len() + 64);
        if length == 0 {
            self.generation += 1;
            text.extend(head_line(self.generation)?);
        }
        text.extend(line);
        file.write_all(&text)?;
        self.read = length + text.len() as u64;
        Ok(())
    }

    /// Puts another file in its place: the next generation, with these entries.
    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let beside = self.beside("new");
        let write = || -> io::Result<()> {
            let mut text = head_line(self.generation + 1)?;
            for entry in entries {
                text.extend(line(entry)?);
            }
            let mut file = File::create(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(|error| self.failed(error))
    }

    /// Waits until nobody else writes. The lock ends when the file is dropped, or with the process.
    fn lock(&self) -> Result<File, StoreError> {
        let lock = || -> io::Result<File> {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.beside("lock"))?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| self.failed(error))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(ending);
        self.path.with_file_name(name)
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), source }
    }
}

/// What the first line of a file is.
enum First {
    /// That of another kind of file.
    Foreign,
    Head(Head),
    /// One of ours that a crash or a full disk cut short: nothing can be behind it.
    Torn,
}

fn first(reader: &mut impl BufRead) -> io::Result<First> {
    let mut first = Vec::new();
    // A file of another kind may have no line ends at all.
    reader.by_ref().take(256).read_until(b'\n', &mut first)?;
    let known = first.len().min(BEGINNING.len());
    Ok(match serde_json::from_slice(&first) {
        _ if !first.ends_with(b"\n") && first[..known] == BEGINNING[..known] && first.len() < 256 => First::Torn,
        Ok(head) => First::Head(head),
        Err(_) => First::Foreign,
    })
}

fn head_line(generation: u64) -> io::Result<Vec<u8>> {
    line(&Head { bellwether_router: SCHEMA, generation })
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
