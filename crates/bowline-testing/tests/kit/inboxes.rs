//! Inboxes under a clock that stands still: what is taken, when, and where it is when its run has ended.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use bowline::prelude::*;
use bowline_model::RunState;
use bowline_testing::{TestApp, every_crash_point};
use tempfile::TempDir;

pub(crate) struct Bank {
    refuses: AtomicBool,
}

impl Bank {
    async fn book(self: Arc<Self>, cx: Context, file: InboxFile) -> Result<String> {
        let text = cx.step("read", async || Ok(String::from_utf8(file.read(1 << 20)?)?)).await?;
        cx.step("book", async || match self.refuses.load(Ordering::Relaxed) {
            true => Err(Error::refused("the books are closed")),
            false => Ok(()),
        })
        .await?;
        Ok(text)
    }
}

fn bank(folder: &Path) -> App<Bank> {
    let inbox = Inbox::folder(folder).pattern("*.csv");
    App::new("bank", |_| Bank { refuses: AtomicBool::new(false) }).inbox(
        "statements",
        inbox,
        workflow("book", Bank::book),
    )
}

/// As [`bank`], with books that are closed.
fn closed_bank(folder: &Path) -> App<Bank> {
    let inbox = Inbox::folder(folder).pattern("*.csv");
    App::new("bank", |_| Bank { refuses: AtomicBool::new(true) }).inbox(
        "statements",
        inbox,
        workflow("book", Bank::book),
    )
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// All files below the folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    fn add(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = vec![];
    add(folder, folder, &mut found);
    found.sort();
    found
}

fn booked(app: &TestApp<Bank>) -> Vec<String> {
    app.runs().into_iter().map(|run| run.end().output()).collect()
}

#[test]
fn a_file_is_taken_when_it_is_steady_and_moved_when_its_run_has_completed() {
    let folder = folder();
    let app = TestApp::new(bank(folder.path()));
    fs::write(folder.path().join("a.csv"), "1;2").unwrap();
    app.advance(secs(2));
    assert_eq!((app.runs().len(), files(folder.path())), (0, vec!["a.csv".to_owned()]));
    app.advance(secs(2));
    assert_eq!((booked(&app), files(folder.path())), (vec!["1;2".to_owned()], vec!["done/a.csv".to_owned()]));
    let shown = app.triggers().remove(0);
    assert_eq!((shown.started, shown.last_error), (1, None));
    let event = app.runs()[0].event();
    assert_eq!(
        (&*event.source, &*event.kind, event.dedupe_key.len()),
        ("inbox/statements", "statements", 32)
    );
}

#[test]
fn what_a_slow_writer_has_not_finished_is_left() {
    let folder = folder();
    let app = TestApp::new(bank(folder.path()));
    let path = folder.path().join("a.csv");
    for part in 0..20 {
        fs::write(&path, "x;".repeat(part + 1)).unwrap();
        app.advance(millis(1_500));
        assert_eq!(app.runs().len(), 0, "part {part}");
    }
    app.advance(secs(4));
    assert_eq!(booked(&app), ["x;".repeat(20)]);
}

const fn millis(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

#[test]
fn what_is_hidden_on_its_way_elsewhere_or_no_file_is_left() {
    let folder = folder();
    let app = TestApp::new(bank(folder.path()));
    for name in [".a.csv", "a.csv.part", "a.csv~", "a.txt", "elsewhere"] {
        fs::write(folder.path().join(name), "1").unwrap();
    }
    fs::create_dir(folder.path().join("folder.csv")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), folder.path().join("link.csv")).unwrap();
    app.advance(secs(10));
    assert_eq!((app.runs().len(), app.triggers()[0].last_error.clone()), (0, None));
}

#[test]
fn a_dead_letter_leaves_the_file_for_a_retry_and_a_discard_moves_it() {
    let folder = folder();
    let app = TestApp::new(closed_bank(folder.path()));
    fs::write(folder.path().join("a.csv"), "1").unwrap();
    app.advance(minutes(5));
    let run = app.runs()[0];
    assert_eq!(
        (run.state(), app.runs().len(), files(folder.path())),
        (RunState::DeadLettered, 1, vec!["a.csv".to_owned()])
    );
    app.crash();
    app.advance(minutes(5));
    app.retry(run.id());
    app.advance(minutes(1));
    assert_eq!(
        (run.state(), app.runs().len(), files(folder.path())),
        (RunState::DeadLettered, 1, vec!["a.csv".to_owned()])
    );
    app.discard(run.id());
    app.advance(secs(20));
    assert_eq!(files(folder.path()), ["failed/a.csv"]);
}

#[test]
fn a_file_of_the_same_name_is_another_one_and_overwrites_nothing() {
    let folder = folder();
    let app = TestApp::new(bank(folder.path()));
    for text in ["first", "second", "third"] {
        fs::write(folder.path().join("a.csv"), text).unwrap();
        app.advance(secs(5));
    }
    assert_eq!(booked(&app), ["first", "second", "third"]);
    let files = files(folder.path());
    assert_eq!((files.len(), files.iter().all(|file| file.starts_with("done/a"))), (3, true), "{files:?}");
}

#[test]
fn a_file_that_is_written_to_while_its_run_goes_on_comes_again() {
    let folder = folder();
    let app = TestApp::new(closed_bank(folder.path()));
    fs::write(folder.path().join("a.csv"), "old").unwrap();
    app.advance(secs(5));
    fs::write(folder.path().join("a.csv"), "newer").unwrap();
    app.advance(secs(5));
    assert_eq!(app.runs().len(), 2);
    app.discard(app.runs()[0].id());
    app.advance(secs(20));
    assert_eq!(files(folder.path()), ["a.csv"], "the file of the other run stays");
}

#[test]
fn what_is_wrong_is_shown_and_not_fatal() {
    let folder = folder();
    let inbox = folder.path().join("inbox");
    let app = TestApp::new(bank(&inbox));
    app.advance(secs(3));
    let shown = || app.triggers().remove(0).last_error;
    assert!(shown().unwrap().contains("cannot be read"), "{:?}", shown());
    fs::create_dir(&inbox).unwrap();
    app.advance(secs(2));
    assert_eq!(shown(), None);
    // In the way of the shelf.
    fs::write(inbox.join("done"), "").unwrap();
    fs::write(inbox.join("a.csv"), "1").unwrap();
    app.advance(secs(5));
    assert_eq!(booked(&app), ["1"]);
    assert!(shown().unwrap().contains("done cannot be made"), "{:?}", shown());
    fs::remove_file(inbox.join("done")).unwrap();
    app.advance(secs(2));
    assert_eq!((shown(), files(&inbox)), (None, vec!["done/a.csv".to_owned()]));
    // It goes before it is taken.
    fs::write(inbox.join("b.csv"), "1").unwrap();
    app.advance(secs(2));
    fs::remove_file(inbox.join("b.csv")).unwrap();
    app.advance(secs(5));
    assert_eq!((shown(), app.runs().len()), (None, 1));
}

#[test]
fn a_thousand_files_start_a_thousand_runs() {
    let folder = folder();
    let app = TestApp::new(bank(folder.path()));
    for nth in 0..1_000 {
        fs::write(folder.path().join(format!("{nth:04}.csv")), nth.to_string()).unwrap();
    }
    app.advance(secs(8));
    let mut booked: Vec<u64> = booked(&app).iter().map(|text| text.parse().unwrap()).collect();
    booked.sort();
    assert!(booked.into_iter().eq(0..1_000));
    let files = files(folder.path());
    assert_eq!((files.len(), files.iter().all(|file| file.starts_with("done/"))), (1_000, true));
}

/// A folder of its own for each execution.
fn fresh(root: &Path) -> PathBuf {
    let inbox = root.join("inbox");
    if inbox.exists() {
        fs::remove_dir_all(&inbox).unwrap();
    }
    fs::create_dir(&inbox).unwrap();
    inbox
}

#[test]
fn every_moment_of_death_leaves_one_run_for_each_file_and_the_file_on_its_shelf() {
    let root = folder();
    let inbox = fresh(root.path());
    let app = || bank(&inbox);
    let tried = every_crash_point(app, |app| {
        fresh(root.path());
        for name in ["a.csv", "b.csv"] {
            fs::write(inbox.join(name), name).unwrap();
        }
        app.advance(secs(5));
        fs::write(inbox.join("c.csv"), "c.csv").unwrap();
        app.advance(secs(10));
        let mut booked = booked(app);
        booked.sort();
        (booked, files(&inbox))
    });
    assert!(tried.moments >= 14, "{tried:?}");
}
