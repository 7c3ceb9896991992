//! How files are opened, and directories made.

use std::io;
use std::path::Path;

use crate::File;
use crate::blocking::run;

/// How a file is opened: as [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use foster_fs::OpenOptions;
/// use futures_lite::AsyncWriteExt;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("log");
/// # foster_sim::run(1, async {
/// let mut log = OpenOptions::new().append(true).create(true).open(path).await?;
/// log.write_all(b"started\n").await?;
/// log.flush().await
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options open nothing until `open` is called"]
pub struct OpenOptions(std::fs::OpenOptions);

impl OpenOptions {
    /// Starts with nothing chosen.
    pub fn new() -> Self {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// Opens to read.
    pub fn read(mut self, read: bool) -> Self {
        self.0.read(read);
        self
    }

    /// Opens to write.
    pub fn write(mut self, write: bool) -> Self {
        self.0.write(write);
        self
    }

    /// Opens to write at the end, always.
    pub fn append(mut self, append: bool) -> Self {
        self.0.append(append);
        self
    }

    /// Empties a file that is there.
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.0.truncate(truncate);
        self
    }

    /// Creates a file that is not there.
    pub fn create(mut self, create: bool) -> Self {
        self.0.create(create);
        self
    }

    /// Creates a file, and fails if there is one.
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.0.create_new(create_new);
        self
    }

    /// Sets the permissions of a file that is created, less those of the process's mask. They are `0o666` if nothing is
    /// said.
    #[cfg(unix)]
    pub fn mode(mut self, mode: u32) -> Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.0, mode);
        self
    }

    /// Sets flags of `open` beside those that the options mean.
    #[cfg(unix)]
    pub fn custom_flags(mut self, flags: i32) -> Self {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.0, flags);
        self
    }

    /// Opens the file.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation). A file that was opened for nobody is closed; it may have
    /// been created or emptied.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        run("open", move || options.open(path)).await.map(File::from_std)
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        OpenOptions(options)
    }
}

/// How a directory is made: as [`std::fs::DirBuilder`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a builder makes nothing until `create` is called"]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// Starts with one directory, which must not exist.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes those around it as well, and is content with directories that exist.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }

    /// Sets the permissions, less those of the process's mask. They are `0o777` if nothing is said.
    #[cfg(unix)]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirBuilder::create`].
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (builder, path) = (*self, path.as_ref().to_owned());
        run("create_dir", move || {
            let mut std = std::fs::DirBuilder::new();
            std.recursive(builder.recursive);
            #[cfg(unix)]
            if let Some(mode) = builder.mode {
                std::os::unix::fs::DirBuilderExt::mode(&mut std, mode);
            }
            std.create(path)
        })
        .await
    }
}
