//! Broken documents and everything that is said about each. `broken.cases` holds them as edits of `examples/pair.toml`
//! with the problems expected, so that a reader sees the mistake and its answer on neighbouring lines.

use halcyon_core::config::check::check;

const CASES: &str = include_str!("broken.cases");
const PAIR: &str = include_str!("../../../examples/pair.toml");

/// One broken document.
#[derive(Default)]
struct Case {
    title: String,
    /// `|` lines: the whole document.
    whole: Vec<String>,
    /// `-` lines, and the `+` lines that take their place; without any `-` they go to the end.
    edits: Vec<(Vec<String>, Vec<String>)>,
    /// `>` lines.
    expected: Vec<String>,
}

#[test]
fn every_broken_document_is_refused_with_all_its_problems() {
    let mut wrong = String::new();
    let cases = cases();
    for case in &cases {
        let problems = check(&case.document()).expect_err(&case.title);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if told != case.expected {
            wrong.push_str(&format!("# {}\n> {}\n", case.title, told.join("\n> ")));
        }
    }
    assert!(wrong.is_empty(), "these are told otherwise than broken.cases says:\n\n{wrong}");
    assert!(cases.len() >= 30, "{} cases are few", cases.len());
}

/// Each sentence has its path, its reason and its advice, and is short enough to be read on a console.
#[test]
fn every_problem_is_a_path_a_reason_and_advice() {
    for line in cases().iter().flat_map(|case| &case.expected) {
        let (path, rest) = line.split_once(": ").expect(line);
        let (what, fix) = rest.split_once("; ").expect(line);
        assert!(!path.is_empty() && !what.is_empty() && !fix.is_empty(), "{line}");
        assert!(line.len() <= 240, "{line}");
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut after_edit = true;
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
        let (mark, text) = line.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text).to_owned();
        if mark == "#" {
            cases.push(Case { title: text, ..Case::default() });
            after_edit = true;
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its title");
        match mark {
            "|" => case.whole.push(text),
            "-" | "+" => {
                if case.edits.is_empty() || (after_edit && mark == "-") {
                    case.edits.push(Default::default());
                }
                after_edit = mark == "+";
                let (old, new) = case.edits.last_mut().expect("one was pushed");
                if mark == "-" { old.push(text) } else { new.push(text) }
            }
            ">" => case.expected.push(text),
            _ => panic!("{line:?} is no line of a case"),
        }
    }
    cases
}

impl Case {
    fn document(&self) -> String {
        if !self.whole.is_empty() {
            return self.whole.join("\n");
        }
        let mut lines: Vec<String> = PAIR.lines().map(|line| bare(line).to_owned()).collect();
        for (old, new) in &self.edits {
            let at = if old.is_empty() {
                lines.len()
            } else {
                let found = lines.windows(old.len()).position(|window| window == old.as_slice());
                found.unwrap_or_else(|| panic!("{}: the example has no {old:?}", self.title))
            };
            lines.splice(at..at + old.len(), new.iter().cloned());
        }
        lines.join("\n") + "\n"
    }
}

/// A line of the example without its comment.
fn bare(line: &str) -> &str {
    line.split(" #").next().unwrap_or(line).trim_end()
}
