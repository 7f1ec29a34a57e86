//! No room on the disk, and room again.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bowline_testing::skip;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::{
    crm::{creates, crm, missing, one_key_each},
    server::{Server, Settings, folder},
    stripe::{Acknowledged, Payment},
};

/// A disk of that size, in memory; gone when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` without the right to mount.
    fn mount(size: &str) -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it to the last byte.
    fn fill(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for block in [1 << 16, 1 << 12, 1] {
            loop {
                match file.write_all(&vec![0; block]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Filler { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there, a server that is about to be killed, does not keep it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

struct Filler {
    path: PathBuf,
}

impl Filler {
    fn remove(self) {
        fs::remove_file(self.path).unwrap();
    }
}

/// Events whose calls are under way when the disk gets full.
const BEFORE: usize = 40;
/// How long these calls take: longer than it takes to fill the disk.
const CRM_LATENCY: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_answered_503_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("24m") else {
        skip!(
            "a_full_disk_is_answered_503_loses_nothing_and_goes_on_when_there_is_room",
            "needs root, to mount a small tmpfs"
        );
    };
    // Calls are under way when the disk is full, and answered while it is: their outcomes have no room.
    let crm = crm(CRM_LATENCY);
    let settings = Settings::new(disk.path(), &crm.url());
    let mut server = Server::start(settings.store_options(disk.path(), "reserve_mib=4"));
    let mut acknowledged = Acknowledged::new();
    for payment in Payment::many("before", BEFORE) {
        let run = payment.accepted(&server).await;
        acknowledged.insert(payment, run);
    }
    crm.wait_for(BEFORE).await;
    let filler = block_in_place(|| disk.fill());
    let refused = Payment::many("full", 20);
    for payment in &refused {
        let answer = payment.send(&server).await;
        assert_eq!((answer.status, answer.said()), (503, ""), "{answer:?}");
        assert!(answer.retry_after.is_some_and(|seconds| seconds > 0), "{answer:?}");
    }
    let (ready, why) = server.api("/health/ready").await;
    assert_eq!(ready, 503, "{why}");
    server.until_line("write failed; tried again");

    filler.remove();
    creates(&crm, Duration::ZERO);
    server
        .until("it is ready again", async || (server.api("/health/ready").await.0 == 200).then_some(()))
        .await;
    // As Stripe would, later.
    for payment in refused {
        let run = payment.accepted(&server).await;
        acknowledged.insert(payment, run);
    }
    let counts = server.until_no_run_is_open().await;
    assert_eq!((counts.of("completed"), counts.of("dead")), (acknowledged.len() as u64, 0), "{counts:?}");
    let requests = crm.requests();
    assert_eq!(missing(acknowledged.keys(), &requests), Vec::<&Payment>::new());
    assert_eq!((one_key_each(&requests).len(), requests.len()), (acknowledged.len(), acknowledged.len()));
}
