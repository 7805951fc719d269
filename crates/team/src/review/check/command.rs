//! A program looks at the work: a compiler, a linter, a test.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Check, Terms, tail, terms, unfenced};

/// How much of a program's output is read, in bytes, of each of its two streams.
const MAX_OUTPUT: u64 = 256 * 1024;
/// What a program is told of our environment: enough to be found and to write its temporary files. Keys stay here.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME"];

/// Gives the work to a program on its standard input; it passes if the program ends with 0 within its time.
///
/// If the work contains a fenced block, the program gets what stands in the first one. It is started without a shell,
/// is told nothing of our environment but search path, home, locale and temporary folder, and is ended when its time is
/// over.
#[derive(Clone, Debug)]
pub struct CommandCheck {
    terms: Terms,
    program: String,
    arguments: Vec<String>,
    folder: Option<PathBuf>,
    limit: Duration,
}

impl CommandCheck {
    /// A check by `program` with `arguments`, which may take a minute.
    #[must_use]
    pub fn new(id: impl Into<String>, program: impl Into<String>, arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            terms: Terms::new(id),
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            folder: None,
            limit: Duration::from_secs(60),
        }
    }

    terms!(setters);

    /// Runs it in this folder instead of the current one.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The most time it may take.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn watch(&self, mut child: Child, work: &str) -> io::Result<Result<(), String>> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let give = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read all of it closes its end, which is its right.
                let _ = stdin.write_all(work.as_bytes()).await;
            }
        };
        let ((), said, complained) = tokio::join!(give, hear(stdout), hear(stderr));
        let (said, complained) = (said?, complained?);
        let status = child.wait().await?;
        if status.success() {
            return Ok(Ok(()));
        }
        let output = format!("{}\n{}", String::from_utf8_lossy(&said), String::from_utf8_lossy(&complained));
        Ok(Err(format!("`{}` ended with {status}:\n{}", self.program, tail(&output))))
    }
}

/// The beginning of what a program says; the rest is read as well, so that it can go on.
async fn hear(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(MAX_OUTPUT).read_to_end(&mut heard).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(heard)
}

#[async_trait]
impl Check for CommandCheck {
    terms!(getters);

    async fn look(&self, work: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().kill_on_drop(true);
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let child = command.spawn().map_err(|error| format!("`{}` could not be started: {error}", self.program))?;
        match timeout(self.limit, self.watch(child, unfenced(work))).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(format!("`{}` could not be heard: {error}", self.program)),
            Err(_) => Err(format!("`{}` took longer than {:?}", self.program, self.limit)),
        }
    }
}
