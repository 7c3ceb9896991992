//! The bytes of a stream between their receipt and the reads.

use std::collections::VecDeque;
use std::io;

use super::connection::LOOPBACK_SEGMENT;

/// Bytes that were received and have not been read, with the borders of their segments.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) parts: VecDeque<Vec<u8>>,
    /// Read already of the first part.
    read: usize,
    pub(super) length: usize,
}

impl Received {
    /// Appends bytes; without a border if reads are not to end there.
    pub(super) fn push(&mut self, bytes: Vec<u8>, border: bool) {
        self.length += bytes.len();
        match self.parts.back_mut() {
            Some(last) if !border && last.len() < LOOPBACK_SEGMENT => last.extend_from_slice(&bytes),
            _ if bytes.is_empty() => {}
            _ => self.parts.push_back(bytes),
        }
    }

    pub(super) fn read(
        &mut self,
        bufs: &mut [io::IoSliceMut<'_>],
        peek: bool,
        mut stops: impl FnMut() -> bool,
    ) -> usize {
        let (mut part, mut at, mut total) = (0, self.read, 0);
        'all: for buf in bufs {
            let mut filled = 0;
            while filled < buf.len() {
                let Some(bytes) = self.parts.get(part) else { break 'all };
                let length = (bytes.len() - at).min(buf.len() - filled);
                buf[filled..filled + length].copy_from_slice(&bytes[at..at + length]);
                (filled, at, total) = (filled + length, at + length, total + length);
                if at == bytes.len() {
                    (part, at) = (part + 1, 0);
                    if part < self.parts.len() && stops() {
                        break 'all;
                    }
                }
            }
        }
        if !peek {
            self.parts.drain(..part);
            (self.read, self.length) = (at, self.length - total);
        }
        total
    }
}
