//! Starting the program, reading what it says, ending it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

/// The key that must never be shown.
pub(crate) const CANARY: &str = "sk-canary-7f3a9b2c4d8e";

/// The program, without a key in its environment and in a folder of its own.
pub(crate) fn bellwether(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.current_dir(folder).env_remove("HOLYSHEEP_API_KEY").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// The team file that ships with the examples.
pub(crate) fn feature_team() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/teams/feature.toml")
}

/// A folder that is removed at the end of a test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the build's folder can be written");
        Self(path)
    }

    /// Writes a file into it.
    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.join(name), text).expect("the folder is ours");
        self
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a finished program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Said {
    /// The one JSON object it printed.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one object: {} {}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).expect("standard output is JSON")
    }
}

/// Runs the program to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    command.output().expect("the program starts").into()
}

/// A `bellwether simulate` in a process of its own, ended with the test.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) base_url: String,
}

impl Simulator {
    /// Quick whatever its scenario says.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::plain(folder, &[&["--first-token", "5ms", "--per-token", "0ms"], args].concat())
    }

    /// As quick as its scenario.
    pub(crate) fn plain(folder: &Path, args: &[&str]) -> Self {
        let mut command = bellwether(folder);
        command.args(["simulate", "--listen", "0", "--json"]).args(args);
        command.env("SIM_KEY", CANARY).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the simulator starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the simulator says where it is");
        let said: Value = serde_json::from_str(&line).expect("it says so in JSON");
        let base_url = said["base_url"].as_str().expect("the address is text").to_owned();
        Self { child, base_url }
    }

    /// What it counted.
    pub(crate) fn stats(&self) -> Value {
        let address = self.base_url.trim_start_matches("http://").trim_end_matches("/v1");
        serde_json::from_str(&get(address, "/stats")).expect("statistics are JSON")
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a good answer to a plain HTTP request.
pub(crate) fn get(address: &str, path: &str) -> String {
    let (head, body) = ask(address, path);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body
}

/// The head and the body of the answer to a plain HTTP request.
pub(crate) fn ask(address: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("the socket is open");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

/// A run under way, with its progress as lines.
pub(crate) struct Underway {
    child: Child,
    lines: BufReader<ChildStderr>,
    seen: String,
}

impl Underway {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("standard error is piped"));
        Self { child, lines, seen: String::new() }
    }

    /// Reads on until a line has `text` in it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("progress is text");
            assert!(read > 0, "the run ended without {text:?}:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends it what Ctrl-C sends.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill is there").success());
    }

    /// Ends it as nothing can be heard.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        self.lines.read_to_string(&mut self.seen).expect("progress is text");
        let mut said: Said = self.child.wait_with_output().expect("the program ends").into();
        said.stderr = self.seen;
        said
    }
}
