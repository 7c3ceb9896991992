//! Checks what is not code in the book, the README and the examples' list: pages, links, fences, and the tests of the
//! laws.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "book/cancel_safety.rs"]
mod cancel_safety;

/// Where links into the repository begin.
const REPOSITORY: &str = "https://github.com/foster-rs/foster/";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files with this ending below a directory of the workspace, without what was built.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![workspace().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The pages of the book, with their paths below `docs/src`.
fn pages() -> Vec<String> {
    let source = workspace().join("docs/src");
    let below = |path: PathBuf| path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
    files("docs/src", "md").into_iter().map(below).filter(|name| name != "SUMMARY.md").collect()
}

/// Everything that a new user reads, with its links checked.
fn texts() -> Vec<PathBuf> {
    let mut texts = files("docs/src", "md");
    texts.extend(["README.md", "examples/README.md"].map(|name| workspace().join(name)));
    texts
}

/// A text without its code blocks: they have no links.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// The targets of all links `[…](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.match_indices("](").map(|(start, _)| {
        let rest = &prose[start + 2..];
        rest[..rest.find(')').expect("a link ends")].to_owned()
    });
    targets.collect()
}

/// The anchors of a page, as mdBook and GitHub make them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_page_is_in_the_summary_and_its_code_is_compiled() {
    let summary = links(&read(workspace().join("docs/src/SUMMARY.md")));
    let compiled = read(workspace().join("docs/lib.rs"));
    let pages = pages();
    assert!(pages.len() >= 10, "{pages:?}");
    for page in &pages {
        assert_eq!(summary.iter().filter(|link| *link == page).count(), 1, "{page} in the summary");
        assert!(compiled.contains(&format!("\"src/{page}\"")), "{page} in docs/lib.rs");
    }
    assert_eq!(summary.len(), pages.len(), "the summary has no other pages");
}

/// The titles and targets of the links of a text.
fn titled_links(text: &str) -> Vec<(String, String)> {
    let prose = prose(text);
    let links = prose.match_indices("](").map(|(end, _)| {
        let title = &prose[prose[..end].rfind('[').expect("a link begins") + 1..end];
        let target = &prose[end + 2..];
        (title.to_owned(), target[..target.find(')').expect("a link ends")].to_owned())
    });
    links.collect()
}

/// The summary and the list of examples name a page by its title; the summary leaves the "From" to the heading of its
/// part.
#[test]
fn a_page_has_one_title() {
    let mut checked = 0;
    for (list, pages) in [("docs/src/SUMMARY.md", ""), ("examples/README.md", "../docs/src/")] {
        let list = workspace().join(list);
        for (name, target) in titled_links(&read(&list)) {
            let Some(page) = target.strip_prefix(pages).filter(|page| page.ends_with(".md")) else { continue };
            let text = read(workspace().join("docs/src").join(page));
            let title =
                text.lines().next().unwrap().strip_prefix("# ").unwrap_or_else(|| panic!("{page} has no title"));
            assert!(name == title || format!("From {name}") == title, "{}: {name}, {title}", list.display());
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for path in texts() {
        let text = read(&path);
        for link in links(&text) {
            let at = format!("{} has a link to {link}", path.display());
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if let Some(inside) = file.strip_prefix(REPOSITORY) {
                let (kind, inside) = inside.split_once("/main/").unwrap_or_else(|| panic!("{at}"));
                let target = workspace().join(inside);
                assert_eq!(kind == "tree", target.is_dir(), "{at}: `tree` is for directories, `blob` for files");
                target
            } else if file.starts_with("https://") {
                continue;
            } else if file.is_empty() {
                path.clone()
            } else {
                // A link that leaves the book works in the repository, but not in the rendered pages.
                assert!(!path.starts_with(workspace().join("docs")) || file.ends_with(".md"), "{at}");
                path.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{at}");
            if let Some(anchor) = anchor {
                assert!(anchors(&read(&target)).contains(anchor), "{at}: there is no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn every_code_block_says_what_it_is_and_rust_is_always_tested() {
    for path in texts() {
        let text = read(&path);
        let fences = text.lines().filter(|line| line.trim_start().starts_with("```")).collect::<Vec<_>>();
        assert!(fences.len() % 2 == 0, "{} has a code block without an end", path.display());
        for pair in fences.chunks(2) {
            let known = ["```rust", "```rust,should_panic", "```text", "```toml", "```console"];
            assert!(known.contains(&pair[0]), "{}: {}", path.display(), pair[0]);
            assert_eq!(pair[1], "```", "{}", path.display());
        }
    }
}

#[test]
fn the_readme_fits_on_three_screens_and_has_the_command_of_the_ci() {
    let readme = read(workspace().join("README.md"));
    assert!(readme.lines().count() <= 150);
    let program =
        readme.lines().skip_while(|line| *line != "```rust").skip(1).take_while(|line| *line != "```").count();
    assert!(program <= 25, "{program} lines");
    let ci = read(workspace().join(".ci/run"));
    let command = ci.lines().find_map(|line| line.strip_prefix("tests='")?.strip_suffix('\''));
    assert!(readme.lines().any(|line| Some(line) == command), "{command:?}");
}

/// A newcomer has a compiler for Rust, and perhaps none for C.
#[test]
fn the_first_command_of_the_readme_builds_no_c() {
    let readme = read(workspace().join("README.md"));
    let first = readme.lines().find(|line| line.starts_with("cargo ")).unwrap();
    let without = "-p foster-examples --bin tour --no-default-features ";
    assert!(first.contains(without), "{first}");
    let tree = ["tree", "--offline", "--locked", "--prefix=none", "--edges=normal,build"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(tree).args(["-p", "foster-examples", "--no-default-features"]).current_dir(workspace());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates = String::from_utf8(output.stdout).unwrap();
    assert!(crates.lines().count() > 50, "{crates}");
    // Those two are declarations in Rust.
    let is_rust = |name: &str| ["linux-raw-sys", "windows-sys"].contains(&name);
    let names = crates.lines().filter_map(|line| line.split(' ').next());
    let builds_c: Vec<_> = names.filter(|name| *name == "cc" || name.ends_with("-sys") && !is_rust(name)).collect();
    assert!(builds_c.is_empty(), "{builds_c:?}");
}

#[test]
fn every_example_is_listed_with_its_command() {
    let list = read(workspace().join("examples/README.md"));
    let programs = fs::read_dir(workspace().join("examples/src/bin")).unwrap();
    let mut count = 0;
    for program in programs {
        let name = program.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(list.contains(&format!("[`{name}`](")), "{name} is not listed");
        let command = format!("-p foster-examples --bin {name}");
        assert!([" ", "`"].iter().any(|end| list.contains(&format!("{command}{end}"))), "{name} has no command");
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

/// The patterns that need a network are still to come.
#[test]
fn every_pattern_is_listed_with_a_function_that_exists() {
    let list = read(workspace().join("examples/README.md"));
    let mut found = BTreeSet::new();
    for row in list.lines().filter(|line| line.starts_with("| S")) {
        let cells = row.split('|').map(str::trim).collect::<Vec<_>>();
        let ["", number, _pattern, function, _page, ""] = cells[..] else { panic!("{row}") };
        let (file, function) = function.split_once("): `").unwrap_or_else(|| panic!("{row}"));
        let file = read(workspace().join("examples").join(&file[file.find("](").expect("a link") + 2..]));
        let function = function.trim_end_matches('`');
        assert!(["(", "<"].iter().any(|end| file.contains(&format!("fn {function}{end}"))), "{row}");
        assert!(found.insert(number[1..].parse::<u32>().unwrap()), "{row} twice");
    }
    let expected = (1..=40).filter(|number| ![27, 31, 32, 37].contains(number)).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_exit_codes_of_the_tour_are_listed() {
    let options = read(workspace().join("examples/src/bin/tour/options.rs"));
    let help = options.split("Exit code:\n").nth(1).unwrap().split("\";").next().unwrap();
    let list = read(workspace().join("examples/README.md"));
    let mut count = 0;
    for line in help.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(list.contains(&format!("| {code} | {} |", meaning.trim())), "{line}");
        count += 1;
    }
    assert_eq!(count, 7);
}

/// All code blocks of a page, hidden lines included, with single spaces and without the type of a closure's `n`.
fn code(page: &str) -> String {
    let text = read(workspace().join("docs/src").join(page));
    let mut inside = false;
    let mut code = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.strip_prefix("# ").unwrap_or(line);
            code.extend(line.split_whitespace().flat_map(|word| [word, " "]));
        }
    }
    let mut parts = code.split("|n: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + "|n" + &part[part.find('|').expect("the closure's parameters end")..])
}

/// Whether the parts of a piece of code, between its `…`, stand in `code` one after the other.
fn stands_in(piece: &str, mut code: &str) -> bool {
    let piece = piece.split_whitespace().collect::<Vec<_>>().join(" ");
    piece.split('…').map(str::trim).all(|part| match code.find(part) {
        Some(start) => {
            code = &code[start + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn what_the_migration_tables_say_of_us_is_compiled() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages().iter().filter(|page| page.starts_with("migration/")) {
        let code = code(page);
        let text = read(workspace().join("docs/src").join(page)).replace("\\|", "\u{1}");
        for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| there |")) {
            let cells = row.trim_matches('|').split('|').map(|cell| cell.replace('\u{1}', "|")).collect::<Vec<_>>();
            let [_there, here, difference] = &cells[..] else { panic!("{page}: not three columns: {row}") };
            assert!(!difference.trim().is_empty(), "{page}: {row}");
            for piece in here.split('`').skip(1).step_by(2) {
                checked += 1;
                if !stands_in(piece, &code) {
                    wrong.push(format!("{page}: no code has {piece}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 100, "{checked}");
}

/// The titles of the laws, by number: `mark`, a number, a space, the title, `end`.
fn titles(page: &str, mark: &str, end: &str) -> BTreeMap<usize, String> {
    let text = prose(&read(workspace().join("docs/src").join(page)));
    let mut titles = BTreeMap::new();
    for part in text.split(&format!("\n{mark}")).skip(1) {
        let (number, rest) = part.split_once(' ').unwrap_or_else(|| panic!("{page}: {part}"));
        let number = number.parse().unwrap_or_else(|_| panic!("{page}: {number} {rest}"));
        let title = &rest[..rest.find(end).unwrap_or_else(|| panic!("{page}: {number} {rest}"))];
        assert!(titles.insert(number, title.to_owned()).is_none(), "{page} has number {number} twice");
    }
    titles
}

#[test]
fn the_laws_have_the_same_titles_on_both_pages() {
    let (exact, plain) = (titles("laws.md", "### L", "\n"), titles("guarantees.md", "**L", ".**"));
    assert_eq!(exact.keys().copied().collect::<Vec<_>>(), (1..=41).collect::<Vec<_>>());
    assert_eq!(exact, plain);
}

/// Words such as `L14` in a text: the numbers behind this letter.
fn cited(text: &str, letter: char) -> impl Iterator<Item = usize> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter_map(move |word| word.strip_prefix(letter)?.parse().ok())
}

/// All comments of the code and all pages: what cites a law, an invariant or a page.
fn comments() -> Vec<(PathBuf, String)> {
    let mut comments = Vec::new();
    for directory in ["core", "adapters", "tests/src", "tests/tests", "examples", "docs"] {
        for path in files(directory, "rs").into_iter().chain(files(directory, "md")) {
            let text = read(&path);
            let text = if path.extension().is_some_and(|extension| extension == "md") {
                prose(&text)
            } else {
                text.lines().filter_map(|line| Some(line.split_once("//")?.1)).collect::<Vec<_>>().join("\n")
            };
            comments.push((path, text));
        }
    }
    comments
}

#[test]
fn every_law_and_invariant_that_is_cited_is_in_the_book() {
    let laws = titles("laws.md", "### L", "\n");
    let page = read(workspace().join("docs/src/invariants.md"));
    let numbers = page.split("\n| **I").skip(1).map(|row| row[..row.find("** | ").expect("a row")].parse().unwrap());
    let invariants = numbers.collect::<BTreeSet<usize>>();
    let expected = [1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 16, 17, 18, 21, 22, 23, 24, 25, 26, 27, 28];
    assert_eq!(invariants, BTreeSet::from(expected));
    let mut checked = 0;
    for (path, text) in comments() {
        for law in cited(&text, 'L') {
            assert!(laws.contains_key(&law), "{}: L{law}", path.display());
            checked += 1;
        }
        for invariant in cited(&text, 'I') {
            assert!(invariants.contains(&invariant), "{}: I{invariant}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

/// Markdown files by their names alone, which is how comments cite them. No page of the repository has numbered
/// sections.
#[test]
fn every_page_that_is_cited_is_in_the_repository() {
    let mut present = BTreeSet::new();
    for directory in ["core", "adapters", "tests", "examples", "docs"] {
        let names = files(directory, "md").into_iter().map(|path| path.file_name().unwrap().to_owned());
        present.extend(names.map(|name| name.into_string().unwrap()));
    }
    present.insert("README.md".to_owned());
    let mut checked = 0;
    for (path, text) in comments() {
        assert!(!text.contains('§'), "{} cites a section", path.display());
        for name in text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)) {
            let name = name.trim_end_matches('.');
            if name.len() > ".md".len() && name.ends_with(".md") {
                assert!(present.contains(name), "{} cites {name}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}

/// The laws of the guarantees page: number, and the links to its tests as (name, file).
fn laws() -> BTreeMap<usize, Vec<(String, String)>> {
    let page = read(workspace().join("docs/src/guarantees.md"));
    let mut laws = BTreeMap::new();
    for part in prose(&page).split("\n**L").skip(1) {
        let number = part[..part.find(' ').unwrap()].parse().unwrap_or_else(|_| panic!("**L{part}"));
        let tests = part.rsplit("\n*Held by* ").next().filter(|tests| tests.len() < part.len()).unwrap_or("");
        let tests = tests.split("[`").skip(1).map(|test| {
            let (name, rest) = test.split_once("`](").unwrap_or_else(|| panic!("law {number}: {test}"));
            let file = &rest[..rest.find(')').unwrap()];
            let file = file.strip_prefix(REPOSITORY).and_then(|file| file.strip_prefix("blob/main/"));
            (name.to_owned(), file.unwrap_or_else(|| panic!("law {number}: {name}")).to_owned())
        });
        assert!(laws.insert(number, tests.collect()).is_none(), "law {number} stands there twice");
    }
    laws
}

/// The doc comment of a test in a file; `None` if there is no such test.
fn documentation(file: &str, test: &str) -> Option<String> {
    let text = read(workspace().join(file));
    let mut comment = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            comment.push_str(more);
            continue;
        }
        let signature = line.trim_start_matches("pub ").trim_start_matches("async ");
        let function = signature.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
        // The conformance suite writes some tests once and makes two of them: `name, name_of_the_local_one: {`.
        let both = line.strip_suffix(": {").and_then(|names| names.split_once(", "));
        if function == Some(test) || both.is_some_and(|(one, other)| one == test || other == test) {
            return Some(comment);
        }
        if !line.starts_with("#[") {
            comment.clear();
        }
    }
    None
}

#[test]
fn every_law_is_held_by_tests_that_exist_and_say_so() {
    let laws = laws();
    let numbers = laws.keys().copied().collect::<Vec<_>>();
    assert_eq!(numbers, (1..=41).collect::<Vec<_>>(), "all laws, and no other");
    let mut wrong = Vec::new();
    for (law, tests) in laws {
        if tests.is_empty() {
            wrong.push(format!("L{law} is held by no test"));
        }
        for (test, file) in tests {
            match documentation(&file, &test) {
                None => wrong.push(format!("L{law}: there is no `{test}` in {file}")),
                Some(comment) => {
                    let words = comment.split(|c: char| !c.is_ascii_alphanumeric());
                    if !words.into_iter().any(|word| word == format!("L{law}")) {
                        wrong.push(format!("L{law}: `{test}` in {file} does not say that it is about this law"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
