//! The documentation keeps what it promises: links lead somewhere, and code that it shows of a file is in that file.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").into()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file of the repository; not what builds and runs leave behind.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !path.is_dir() {
            found.push(path);
        } else if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            files(&path, found);
        }
    }
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The page without fenced code: its text, and the blocks as (what follows the fence, code).
fn split(page: &str) -> (String, Vec<(String, String)>) {
    let (mut text, mut blocks) = (String::new(), Vec::new());
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(kind), None) => open = Some((kind.trim().to_owned(), String::new())),
            (None, Some((kind, code))) => open = Some((kind, code + line + "\n")),
            (None, None) => text += &(line.to_owned() + "\n"),
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    (text, blocks)
}

/// Targets of `[text](target)`, without those in `code`.
fn links(text: &str) -> Vec<String> {
    let outside: String = text.split('`').step_by(2).collect();
    let targets = outside.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// Code spans that name a file by its path.
fn named_files(text: &str) -> Vec<&str> {
    const ENDINGS: [&str; 9] = [".md", ".rs", ".toml", ".sh", ".py", ".mjs", ".js", ".css", ".avsc"];
    let is_path = |span: &&str| {
        span.contains('/')
            && !span.starts_with('/')
            && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
            && ENDINGS.iter().any(|ending| span.ends_with(ending))
    };
    text.split('`').skip(1).step_by(2).filter(is_path).collect()
}

/// A heading as a link names it, as GitHub does.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_and_named_files_are_there() {
    let root = root();
    let mut all = Vec::new();
    files(&root, &mut all);
    let pages: Vec<&PathBuf> = all.iter().filter(|path| is_page(path)).collect();
    assert!(pages.len() > 5, "the pages are found: {pages:?}");
    let (mut checked, mut broken) = (0, Vec::new());
    for page in pages {
        let (text, _) = split(&read(page));
        let mut note =
            |what: &str| broken.push(format!("{}: {what}", page.strip_prefix(&root).unwrap_or(page).display()));
        for link in links(&text).iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            checked += 1;
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().expect("a folder");
            let target = if path.is_empty() { page.clone() } else { folder.join(path) };
            let has_heading =
                || split(&read(&target)).0.lines().any(|line| line.starts_with('#') && anchor(line) == fragment);
            if !target.exists() || !(fragment.is_empty() || has_heading()) {
                note(link);
            }
        }
        // A file may be named from the page's folder, from the root, or from inside the crate the text is about.
        for name in named_files(&text) {
            checked += 1;
            let end = name.trim_start_matches("../").trim_start_matches("./");
            if !all.iter().any(|file| file.ends_with(end)) {
                note(name);
            }
        }
    }
    assert!(broken.is_empty(), "named, and not there:\n{}", broken.join("\n"));
    assert!(checked > 20, "links and files are found: {checked}");
}

#[test]
fn code_that_is_shown_of_an_example_is_in_it() {
    let root = root();
    let mut sources = String::new();
    for entry in std::fs::read_dir(root.join("node/examples")).expect("the examples") {
        sources += &read(&entry.expect("an entry").path());
    }
    let (mut shown, mut missing) = (0, Vec::new());
    for page in ["docs/tutorial.md", "docs/from-kafka-streams.md", "docs/add-a-business.md"] {
        for (kind, code) in split(&read(&root.join(page))).1 {
            let whole = match &*kind {
                // Not compiled where it is: an excerpt.
                "rust,ignore" => code,
                // Compiled and run where it is; its topology is that of the example.
                "rust" => match (code.find("fn topology()"), code.find("\n}\n")) {
                    (Some(start), Some(end)) => code[start..end + 3].to_owned(),
                    _ => continue,
                },
                _ => continue,
            };
            shown += 1;
            if !sources.contains(&whole) {
                missing.push(format!("{page}:\n{whole}"));
            }
        }
    }
    assert!(missing.is_empty(), "shown, and in no example:\n{}", missing.join("\n"));
    assert!(shown >= 8, "excerpts are found: {shown}");
}

#[test]
fn links_and_anchors_are_read_as_they_are_meant() {
    assert_eq!(links("[a](b.md) `[no](link)` and [c](d.md#e \"title\")"), ["b.md", "d.md#e"]);
    assert_eq!(anchor("One screen, side by side"), "one-screen-side-by-side");
    assert_eq!(named_files("`a/b.rs` and `x` or `/etc/x.toml`, `*/y.md`"), ["a/b.rs"]);
    let (text, blocks) = split("a\n```rust\nlet x;\n```\nb\n");
    assert_eq!((text.as_str(), blocks), ("a\nb\n", vec![("rust".to_owned(), "let x;\n".to_owned())]));
}

/// The second column of the tables for those who know Java: names that are there.
#[test]
fn names_of_ours_exist() {
    let root = root();
    let mut all = Vec::new();
    for folder in ["streams/src", "node/src", "schemas/src", "deploy"] {
        files(&root.join(folder), &mut all);
    }
    let is_source = |path: &&PathBuf| path.extension().is_some_and(|e| e == "rs" || e == "toml");
    let sources: String = all.iter().filter(is_source).map(|path| read(path)).collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known: std::collections::BTreeSet<&str> = sources.split(|c| !is_name(c)).collect();
    let page = read(&root.join("docs/from-kafka-streams.md"));
    let cells = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
    let names: Vec<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .flat_map(|span| span.split(|c| !is_name(c)))
        .filter(|name| name.len() > 2)
        .collect();
    assert!(names.len() > 100, "names are found: {names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "not in the code: {missing:?}");
}
