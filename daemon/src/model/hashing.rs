//! SHA-256 over bytes as they pass by.

use std::io::{self, Read, Write};

use inferd_core::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes that are copied at once.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// A digest in the making.
#[derive(Default)]
pub(super) struct Hashing(Sha256);

impl Hashing {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// The digest of bytes in memory.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let mut hashing = Hashing::default();
    hashing.update(bytes);
    hashing.finish()
}

/// What a file holds: how much, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// Copies to the end of `from`, and says what passed.
pub(super) fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Measured> {
    let mut reading = Hashed::new(from);
    let bytes = io::copy(&mut reading, to)?;
    Ok(Measured { bytes, digest: reading.finish() })
}

/// A reader that hashes what is read through it.
pub(super) struct Hashed<R> {
    from: R,
    hashing: Hashing,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, hashing: Hashing::default() }
    }

    pub(super) fn finish(self) -> Digest {
        self.hashing.finish()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hashing.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
