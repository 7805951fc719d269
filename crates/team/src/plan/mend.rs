//! What can be mended about a plan without asking the planner again.

use std::collections::HashMap;
use std::sync::Arc;

use super::{PlanRules, PlannedTask, check};

/// The role that is meant: the one named, the nearest name to it, or the first one if none is named.
pub(super) fn role(
    wanted: Option<&str>,
    task: &str,
    rules: &PlanRules,
    mended: &mut Vec<String>,
) -> Result<Arc<str>, String> {
    let Some(wanted) = wanted else { return Ok(rules.roles.first().cloned().unwrap_or_else(|| "".into())) };
    if let Some(role) = rules.roles.iter().find(|role| role.eq_ignore_ascii_case(wanted)) {
        return Ok(Arc::clone(role));
    }
    let said: String = wanted.to_lowercase().chars().take(64).collect();
    let distance = |role: &str| strsim::damerau_levenshtein(&said, &role.to_lowercase());
    let nearest = rules.roles.iter().min_by_key(|role| distance(role));
    // "coders" and "codr" are a coder, and so is "rust coder"; a "boss" is nobody.
    let near = |role: &str| {
        distance(role) * 3 <= role.chars().count()
            || said.split([' ', '-', '_']).any(|word| word == role.to_lowercase())
    };
    match nearest.filter(|role| near(role)) {
        Some(role) => {
            mended.push(format!("task {task:?} wants the role {said:?}, which was taken for {role:?}"));
            Ok(Arc::clone(role))
        }
        None => {
            let roles: Vec<&str> = rules.roles.iter().map(|role| &**role).collect();
            Err(format!("task {task:?} wants the role {said:?}; there are {roles:?}"))
        }
    }
}

/// What work is judged by if the planner does not say.
pub(super) fn criterion(deliverable: &str) -> String {
    match deliverable.lines().next().unwrap_or_default().trim() {
        "" => "it does all that the task asks for, and nothing is left out".to_owned(),
        deliverable => format!("this is there and complete: {deliverable}"),
    }
}

/// Two tasks that make the same file do so one after the other: the later one needs the earlier one's work.
pub(super) fn shared_paths(tasks: &mut [PlannedTask], max_depth: usize, mended: &mut Vec<String>) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for n in 0..tasks.len() {
        for path in paths(&tasks[n].deliverable) {
            let Some(owner) = owners.insert(path.clone(), n).filter(|owner| *owner != n) else { continue };
            let needed = tasks[owner].id.clone();
            if tasks[n].depends_on.contains(&needed) {
                continue;
            }
            tasks[n].depends_on.push(needed.clone());
            if check::depth(tasks).is_none_or(|depth| depth > max_depth) {
                tasks[n].depends_on.pop();
                continue;
            }
            tasks[n].wants.retain(|wanted| *wanted != needed);
            mended.push(format!("{} and {needed} both make {path:?}: one follows the other", tasks[n].id));
        }
    }
}

/// What looks like a file in a text: `src/retry.rs`, `README.md`.
fn paths(text: &str) -> impl Iterator<Item = String> + use<> {
    let words = text.split(|c: char| c.is_whitespace() || ",;:()[]{}<>\"'`".contains(c));
    let is_path = |word: &&str| {
        let (stem, extension) = word.rsplit_once('.').unwrap_or_default();
        let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
        stem.chars().any(char::is_alphanumeric)
            && (1..=5).contains(&extension.len())
            && extension.chars().all(|c| c.is_ascii_lowercase())
            && (stem.contains('/') || stem.len() > 2)
            && stem.chars().all(plain)
    };
    let found: Vec<String> = words.map(|word| word.trim_end_matches('.')).filter(is_path).map(str::to_owned).collect();
    found.into_iter()
}
