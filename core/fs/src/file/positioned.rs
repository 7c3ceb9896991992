//! Reads and writes at a position that is given: they neither use nor move that of the file.

use std::io;
use std::os::unix::fs::FileExt;

use super::File;

/// At a given position. Windows has no such call that leaves the file's own position alone, so this is for Unix.
///
/// They wait for what is being written through the file's own position, and a write is done when it returns.
impl File {
    /// Reads at `offset`, and returns how many bytes; 0 at the end.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// As [`std::os::unix::fs::FileExt::read_at`].
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let file = foster_fs::File::open("Cargo.toml").await?;
    /// let mut word = [0; 7];
    /// file.read_exact_at(&mut word, 1).await?;
    /// assert_eq!(&word, b"package");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut bytes = vec![0; buf.len()];
        let read = self.with_std("read_at", move |file| {
            let count = file.read_at(&mut bytes, offset)?;
            bytes.truncate(count);
            Ok(bytes)
        });
        let bytes = read.await?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Reads at `offset` until `buf` is full.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// As [`std::os::unix::fs::FileExt::read_exact_at`]: [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), if the file
    /// ends before that; nothing is in `buf` then.
    pub async fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut bytes = vec![0; buf.len()];
        let read = self.with_std("read_exact_at", move |file| {
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        });
        buf.copy_from_slice(&read.await?);
        Ok(())
    }

    /// Writes at `offset`, and returns how many bytes.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::os::unix::fs::FileExt::write_at`].
    pub async fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let bytes = buf.to_vec();
        self.with_std("write_at", move |file| file.write_at(&bytes, offset)).await
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Cancellation
    ///
    /// *Not interrupted*, as [all operations](crate#cancellation).
    ///
    /// # Errors
    ///
    /// As [`std::os::unix::fs::FileExt::write_all_at`].
    pub async fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let bytes = buf.to_vec();
        self.with_std("write_all_at", move |file| file.write_all_at(&bytes, offset)).await
    }
}
