//! Where the quickstart keeps what must outlive it: a folder beside the build, `target/quickstart`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::Result;

/// The folder. Everything in it can be deleted while nothing runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
}

/// The store; SQLite and the store's lock keep files beside it that begin with its name.
const STORE: &str = "bowline.db";
const CRM: &str = "crm.jsonl";
const LOG: &str = "log";
const ENVIRONMENT: &str = "env";
const PAYMENT: &str = "payment.json";
const RUNNING: &str = "running";

impl Place {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// `QUICKSTART_DIR`, else `quickstart` in the folder that Cargo builds into.
    pub(crate) fn find() -> Result<Self> {
        if let Some(dir) = env::var_os("QUICKSTART_DIR") {
            return Ok(Self::new(std::path::absolute(dir)?));
        }
        // The program is target/PROFILE/quickstart.
        let program = env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("the program is in no folder")?;
        Ok(Self::new(target.join("quickstart")))
    }

    /// A folder in this one, for one story only.
    pub(crate) fn once(&self) -> Self {
        Self::new(self.dir.join(format!("once-{}", std::process::id())))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join(STORE)
    }

    /// What the CRM was asked: it is a system of its own, and remembers when the app is killed.
    pub(crate) fn crm(&self) -> PathBuf {
        self.dir.join(CRM)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// The app's variables, for commands in other terminals.
    pub(crate) fn environment(&self) -> PathBuf {
        self.dir.join(ENVIRONMENT)
    }

    /// An event to send by hand.
    pub(crate) fn payment(&self) -> PathBuf {
        self.dir.join(PAYMENT)
    }

    /// The id of the process that runs, or that was killed.
    pub(crate) fn running(&self) -> PathBuf {
        self.dir.join(RUNNING)
    }

    /// Forgets everything that was ever done here, and nothing else that lies in the folder.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let ours = [CRM, LOG, ENVIRONMENT, PAYMENT, RUNNING];
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(STORE) || ours.contains(&&*name) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Removes the folder, if nothing else is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.clear()?;
        fs::remove_dir(&self.dir)
    }
}

/// The path as it is shortest to type.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().ok();
    let inside = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    inside.unwrap_or_else(|| path.to_path_buf()).display().to_string()
}
