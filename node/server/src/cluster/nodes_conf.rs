//! nodes.conf on the disk: one owner, and always one complete configuration.
//!
//! A save writes a temporary file in the same folder, fsyncs it, renames it over nodes.conf and
//! fsyncs the folder, so that a crash at any moment leaves either the old or the new text.
//!
//! The lock that keeps a second node off the file belongs to an inode, and the rename puts another
//! inode in its place. So the new file is locked before it is renamed, and whoever opens the file
//! checks after locking that the path still leads to the inode that was locked.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// nodes.conf, held by this process for as long as the value lives.
#[derive(Debug)]
pub(crate) struct NodesConf {
    path: PathBuf,
    folder: PathBuf,
    /// Kept open for its lock only; its inode is the one that `path` leads to.
    lock: File,
}

/// Why nodes.conf could not be taken. The texts are those of Redis 7.0.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can be neither opened nor created, or not read.
    #[error("Can't open {path} in order to acquire a lock: {reason}")]
    Open {
        /// As it was configured.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// Another process holds it.
    #[error(
        "Sorry, the cluster configuration file {path} is already used by a different Redis Cluster \
         node. Please make sure that different nodes use different cluster configuration files."
    )]
    InUse {
        /// As it was configured.
        path: String,
    },
    /// The file system refuses locks.
    #[error("Impossible to lock {path}: {reason}")]
    Lock {
        /// As it was configured.
        path: String,
        /// What the system says.
        reason: String,
    },
}

/// The step of a save that failed, in the words of Redis 7.0, and the system's reason.
#[derive(Debug, thiserror::Error)]
#[error("Could not {step}: {}", reason(.source))]
pub(crate) struct SaveError {
    step: &'static str,
    source: io::Error,
}

impl SaveError {
    /// The system's reason alone.
    pub(crate) fn reason(&self) -> String {
        reason(&self.source)
    }
}

impl NodesConf {
    /// Opens (or creates, empty) and locks the file, and reads what it holds.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<u8>), OpenError> {
        let mut lock = lock_current(path)?;
        let mut text = Vec::new();
        lock.read_to_end(&mut text)
            .map_err(|error| cannot_open(path, &error))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok((
            Self {
                path: path.to_owned(),
                folder,
                lock,
            },
            text,
        ))
    }

    /// Replaces the text, durably: when this returns, the new text survives a power cut.
    ///
    /// After an error the file holds the old text or the new one, and the lock is still held.
    pub(crate) fn save(&mut self, text: &[u8]) -> Result<(), SaveError> {
        let step = |step| move |source| SaveError { step, source };
        let temporary = self.temporary_path();
        let mut file = options()
            .truncate(true)
            .open(&temporary)
            .map_err(step("open temp cluster config file"))?;
        file.write_all(text)
            .map_err(step("write tmp cluster config file"))?;
        file.sync_all()
            .map_err(step("sync tmp cluster config file"))?;
        file.try_lock()
            .map_err(|error| step("lock tmp cluster config file")(error.into()))?;
        std::fs::rename(&temporary, &self.path).map_err(step("rename tmp cluster config file"))?;
        self.lock = file;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(step("sync cluster config file dir"))
    }

    /// One name is enough: only the holder of the lock writes it, and a crash leaves no litter
    /// that the next save does not overwrite.
    fn temporary_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        name.into()
    }
}

/// Opens and locks the file that the path leads to, also while its owner is replacing it.
fn lock_current(path: &Path) -> Result<File, OpenError> {
    loop {
        let file = options()
            .open(path)
            .map_err(|error| cannot_open(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: path.display().to_string(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => {
                let path = path.display().to_string();
                return Err(OpenError::Lock {
                    path,
                    reason: reason(&error),
                });
            }
        }
        if is_current(&file, path).map_err(|error| cannot_open(path, &error))? {
            return Ok(file);
        }
    }
}

fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(current) => Ok((held.dev(), held.ino()) == (current.dev(), current.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644);
    options
}

fn cannot_open(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Open {
        path: path.display().to_string(),
        reason: reason(error),
    }
}

/// The system's text for an error without the number that Rust appends, as stock logs it.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::TempDir;

    #[test]
    fn what_was_saved_is_read_again() {
        let folder = TempDir::new();
        let path = folder.path().join("nodes.conf");
        let (mut conf, text) = NodesConf::open(&path).expect("creates the file");
        assert!(text.is_empty());
        conf.save(b"a longer first text\n").expect("saves");
        conf.save(b"second\n").expect("saves again");
        drop(conf);
        let (_conf, text) = NodesConf::open(&path).expect("opens");
        assert_eq!(text, b"second\n");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("lists").count(),
            1,
            "no litter"
        );
    }

    #[test]
    fn a_second_owner_is_refused_before_and_after_a_save() {
        let folder = TempDir::new();
        let path = folder.path().join("nodes.conf");
        let (mut conf, _) = NodesConf::open(&path).expect("opens");
        assert!(matches!(
            NodesConf::open(&path),
            Err(OpenError::InUse { .. })
        ));
        conf.save(b"text").expect("saves");
        let error = NodesConf::open(&path).expect_err("the lock has moved to the new file");
        assert!(
            error
                .to_string()
                .starts_with("Sorry, the cluster configuration file ")
        );
        drop(conf);
        NodesConf::open(&path).expect("free again");
    }

    #[test]
    fn failures_name_the_step_and_the_reason() {
        let folder = TempDir::new();
        let path = folder.path().join("gone").join("nodes.conf");
        let error = NodesConf::open(&path).expect_err("no folder");
        assert!(
            error
                .to_string()
                .ends_with("acquire a lock: No such file or directory")
        );
        std::fs::create_dir(path.parent().expect("has one")).expect("creates");
        let (mut conf, _) = NodesConf::open(&path).expect("opens");
        std::fs::remove_dir_all(path.parent().expect("has one")).expect("removes");
        let error = conf.save(b"text").expect_err("no folder");
        assert_eq!(
            error.to_string(),
            "Could not open temp cluster config file: No such file or directory"
        );
        assert_eq!(error.reason(), "No such file or directory");
    }
}
