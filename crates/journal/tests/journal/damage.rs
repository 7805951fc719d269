//! Damaged files: what opens is a prefix of what was written, and anything else is refused in one sentence.

use std::fs;
use std::path::Path;

use bellwether_journal::{Entry, Error, Journal, JournalError, RunId, SqliteJournal};
use fastrand::Rng;

use crate::support::{entry, open, plain, quick_directory, run, said, small};

const RUNS: [&str; 3] = ["r1", "r2", "r3"];

/// The files of a journal at one moment, and what was written to it.
struct Image {
    database: Vec<u8>,
    log: Vec<u8>,
    written: Vec<Vec<Entry>>,
}

/// Three runs: `folded` rounds of entries are in the database, `logged` ones in its log.
async fn image(folded: u64, logged: u64) -> Image {
    let directory = quick_directory();
    let mut written = vec![Vec::new(); RUNS.len()];
    for rounds in [0..folded, folded..folded + logged] {
        let journal = open(directory.path());
        for n in rounds {
            for (name, written) in RUNS.iter().zip(&mut written) {
                let lease = journal.take_over(&RunId::from(*name)).await.expect("always possible");
                let entries = vec![entry(n), small(n)];
                journal.append(&lease, entries.clone()).await.expect("the disk has room");
                written.extend(entries);
            }
        }
        if logged > 0 && written[0].len() as u64 == 2 * (folded + logged) {
            return files(directory.path(), written);
        }
    }
    files(directory.path(), written)
}

fn files(directory: &Path, written: Vec<Vec<Entry>>) -> Image {
    let database = fs::read(directory.join("journal.db")).expect("it was written");
    let log = fs::read(directory.join("journal.db-wal")).unwrap_or_default();
    Image { database, log, written }
}

fn damage(bytes: &mut Vec<u8>, kind: usize, rng: &mut Rng) {
    match kind {
        0 => bytes.truncate(rng.usize(..bytes.len())),
        1 => {
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
        }
        _ => {
            let from = rng.usize(..bytes.len());
            let garbage: Vec<u8> = (0..bytes.len() - from + rng.usize(..5_000)).map(|_| rng.u8(..)).collect();
            bytes.splice(from.., garbage);
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    whole: u32,
    prefix: u32,
    refused: u32,
}

async fn look(image: &Image, database: &[u8], log: &[u8], tally: &mut Tally) {
    let directory = quick_directory();
    fs::write(directory.path().join("journal.db"), database).expect("there is room");
    if !log.is_empty() {
        fs::write(directory.path().join("journal.db-wal"), log).expect("there is room");
    }
    let journal = match SqliteJournal::open(directory.path(), plain()) {
        Ok(journal) => journal,
        Err(error) => {
            tally.refused += 1;
            return one_sentence(&error.to_string());
        }
    };
    let (mut lost, mut refused) = (0, false);
    for (name, written) in RUNS.iter().zip(&image.written) {
        match journal.load(&RunId::from(*name)).await {
            Ok(kept) => {
                assert!(written.starts_with(&kept), "{name} has entries that were never written");
                lost += written.len() - kept.len();
            }
            Err(JournalError::Store(error)) => {
                refused = true;
                one_sentence(&error.to_string());
                assert!(matches!(error.downcast_ref(), Some(Error::Damaged { .. })), "{error:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    match (refused, lost) {
        (true, _) => tally.refused += 1,
        (false, 0) => tally.whole += 1,
        (false, _) => tally.prefix += 1,
    }
    if !refused && journal.reader().verify().await.is_ok() {
        goes_on(&journal).await;
    }
}

/// What opened as a prefix takes new entries, which come back after the old ones.
async fn goes_on(journal: &SqliteJournal) {
    let run = RunId::from("r1");
    let before = journal.load(&run).await.expect("it was loaded before").len();
    let lease = journal.lease(&run).await.expect("its writer is gone");
    let appended = journal.append(&lease, vec![small(99)]).await;
    let last = appended.unwrap_or_else(|error| panic!("a clean prefix takes new entries: {}", said(&error)));
    assert_eq!(last, before as u64 + 1);
    assert_eq!(journal.load(&run).await.expect("it is whole").last(), Some(&small(99)));
}

fn one_sentence(text: &str) {
    assert!(!text.is_empty() && !text.contains('\n') && text.len() < 400, "{text:?}");
}

#[tokio::test]
async fn six_hundred_damaged_files_open_as_a_prefix_or_are_refused_in_one_sentence() {
    let images = [image(0, 12).await, image(12, 0).await, image(6, 6).await];
    let mut rng = Rng::with_seed(7);
    let (mut of_log, mut of_database) = (Tally::default(), Tally::default());
    for n in 0..600 {
        // Of the first image only the log is worth damaging, of the second only the database.
        let (image, in_log) = match n % 4 {
            0 => (&images[0], true),
            1 => (&images[1], false),
            2 => (&images[2], true),
            _ => (&images[2], false),
        };
        let (mut database, mut log) = (image.database.clone(), image.log.clone());
        damage(if in_log { &mut log } else { &mut database }, n / 4 % 3, &mut rng);
        look(image, &database, &log, if in_log { &mut of_log } else { &mut of_database }).await;
    }
    assert_eq!(of_log.refused, 0, "a damaged log always opens: {of_log:?}");
    assert!(of_log.prefix > 200, "and the damage was real: {of_log:?}");
    assert!(of_database.refused > 100, "{of_database:?}");
    assert_eq!(of_log.whole + of_log.prefix + of_database.whole + of_database.prefix + of_database.refused, 600);
}

#[tokio::test]
async fn a_changed_byte_in_an_entry_or_a_text_is_never_taken_for_what_was_written() {
    let directory = quick_directory();
    let journal = open(directory.path());
    for name in ["r1", "r2", "r3"] {
        let lease = journal.lease(&name.into()).await.unwrap();
        journal.append(&lease, vec![entry(1), entry(2), small(3)]).await.unwrap();
    }
    let change = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    change.execute("UPDATE event SET kind = 'call_Done' WHERE run = 1 AND seq = 2", []).unwrap();
    change.execute("DELETE FROM event WHERE run = 2 AND seq = 2", []).unwrap();
    let hash = blake3::hash(entry(2).body["text"].as_str().unwrap().as_bytes());
    change.execute("UPDATE body SET data = zeroblob(10) WHERE hash = ?1", [hash.as_bytes().as_slice()]).unwrap();
    let refused = async |run: &str| {
        let whole = said(&journal.load(&run.into()).await.unwrap_err());
        whole.rsplit_once("is damaged: ").unwrap().1.to_owned()
    };
    assert_eq!(refused("r1").await, "entry 2 of run r1 is not what was written");
    assert_eq!(refused("r2").await, "entry 2 of run r2 is not what was written");
    assert_eq!(refused("r3").await, format!("in entry 2 of run r3, text {hash} is not what was written"));
    assert!(journal.reader().verify().await.is_err());
    assert_eq!(journal.reader().runs().await.unwrap().len(), 3, "all three can still be listed");
    assert_eq!(journal.read(&"r1".into(), 0, 1).await.unwrap().len(), 1, "and read up to the damage");
}

/// Somebody cleaned up the folder of a journal that was in use: what was acknowledged after that was in no file.
#[tokio::test]
async fn a_journal_that_was_taken_away_acknowledges_nothing() {
    let directory = quick_directory();
    for replaced in [false, true] {
        let place = directory.path().join(format!("runs {replaced}"));
        let journal = open(&place);
        let lease = journal.lease(&run()).await.unwrap();
        journal.append(&lease, vec![small(0)]).await.unwrap();
        fs::remove_dir_all(&place).unwrap();
        let other = replaced.then(|| open(&place));
        let refused = journal.append(&lease, vec![small(1)]).await.unwrap_err();
        assert!(said(&refused).contains("was removed or replaced while it was in use"), "{}", said(&refused));
        if let Some(other) = other {
            let lease = other.lease(&run()).await.unwrap();
            assert_eq!(other.append(&lease, vec![small(2)]).await.unwrap(), 1, "whoever came after has a journal");
        }
    }
}
