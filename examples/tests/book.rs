//! The code in the book is that of the programs, and the output in it is what they print.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The pages whose code and output come from programs.
const PAGES: [&str; 4] =
    ["tutorial/testing.md", "howto/reproduce-a-race.md", "howto/database.md", "howto/operations.md"];

const PROGRAMS: [(&str, &str); 5] = [
    ("06_testing_in_no_time", env!("CARGO_BIN_EXE_06_testing_in_no_time")),
    ("07_a_lost_wake_up", env!("CARGO_BIN_EXE_07_a_lost_wake_up")),
    ("08_a_stale_cache", env!("CARGO_BIN_EXE_08_a_stale_cache")),
    ("09_an_operation_of_your_own", env!("CARGO_BIN_EXE_09_an_operation_of_your_own")),
    ("ledger", env!("CARGO_BIN_EXE_ledger")),
];

/// The code blocks of a page, each with what stands behind its fence, in order.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src").join(page);
    let text = fs::read_to_string(path).unwrap();
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(kind) => {
                inside = true;
                blocks.push((kind.to_owned(), Vec::new()));
            }
            None if inside => blocks.last_mut().unwrap().1.push(line.to_owned()),
            None => {}
        }
    }
    blocks
}

/// Whether these lines stand in `text`, one after the other. An `…` at the end of a line stands for the rest of it.
fn contains(text: &str, lines: &[String]) -> bool {
    let fits = |(line, wanted): (&&str, &String)| match wanted.strip_suffix('…') {
        Some(start) => line.starts_with(start),
        None => line.trim_end() == wanted.trim_end(),
    };
    let text = text.lines().collect::<Vec<_>>();
    text.windows(lines.len()).any(|window| window.iter().zip(lines).all(fits))
}

/// Runs the command of the book, on the program as it has been built already.
fn printed(command: &str) -> String {
    let mut words = command.split_whitespace().peekable();
    let variables = std::iter::from_fn(|| words.next_if(|word| word.contains('='))).collect::<Vec<_>>();
    let words = words.collect::<Vec<_>>();
    let ["cargo", "run", "-p", "foster-examples", "--bin", name, arguments @ ..] = &*words else {
        panic!("the book has a command of another kind: {command}")
    };
    let (_, program) = PROGRAMS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}"));
    let mut process = Command::new(program);
    process.env_remove("FOSTER_SEED").env_remove("FOSTER_SEEDS").env("RUST_BACKTRACE", "0");
    process.envs(variables.iter().map(|variable| variable.split_once('=').unwrap()));
    process.args(arguments.strip_prefix(&["--"]).unwrap_or(arguments));
    let output = process.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn code_of_the_book_stands_in_the_programs() {
    let mut found = BTreeMap::new();
    for page in PAGES {
        for (_, lines) in blocks(page).iter().filter(|(kind, _)| kind == "rust") {
            let Some(file) = lines[0].strip_prefix("# // ") else { panic!("{page}: which program? {lines:?}") };
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin").join(file);
            let shown =
                lines.iter().filter(|line| *line != "#" && !line.starts_with("# ")).cloned().collect::<Vec<_>>();
            // Lines that stand together on the page stand together in the program; between paragraphs there may be
            // more.
            for part in shown.split(|line| line.is_empty()) {
                let source = fs::read_to_string(&source).unwrap();
                assert!(contains(&source, part), "{page}: not in {file}:\n{}", part.join("\n"));
            }
            let program = file.split(['/', '.']).next().unwrap();
            *found.entry(program.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(found.len(), PROGRAMS.len(), "{found:?}");
}

#[test]
fn output_in_the_book_is_what_the_programs_print() {
    let mut compared = 0;
    for page in PAGES {
        let mut output = None;
        for (kind, lines) in blocks(page) {
            match (&*kind, &output) {
                ("console", _) => output = Some(printed(&lines.join(" "))),
                ("text", Some(output)) => {
                    assert!(contains(output, &lines), "{page} shows\n{}\nbut printed is\n{output}", lines.join("\n"));
                    compared += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(compared, 11, "blocks of printed text");
}
