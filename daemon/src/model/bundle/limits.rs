//! How much a bundle may ask of the machine.
//!
//! In the order in which they act: compressed bytes read, the window that zstd may ask for, decompressed bytes in all,
//! decompressed bytes per compressed byte. The stated size of each file is checked by the reader above.

use std::cell::RefCell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use super::{BundleError, MAX_FILES, given};
use crate::host::durable::FileError;
use crate::model::hashing::CHUNK_BYTES;

/// The largest zstd window, as a power of two: 8 MiB of memory. What `zstd -19` and below asks for.
const WINDOW_LOG_MAX: u32 = 23;

/// Up to here anything may be compressed as well as it can be; beyond, [`MAX_RATIO`] holds.
const FREE_BYTES: u64 = 16 << 20;

/// Most decompressed bytes per compressed byte. Weights come to 1-4, a tensor of zeros to thousands.
const MAX_RATIO: u64 = 200;

/// Room for tar's own blocks: two headers and a padding per file, and the end.
const TAR_BYTES: u64 = 1536 * (MAX_FILES as u64 + 1) + (1 << 20);

/// The archive in a bundle, within the limits.
pub(super) fn decompressed<R: Read>(bundle: R, limits: &Rc<Limits>) -> Result<impl Read + use<R>, BundleError> {
    let source = Source { from: bundle, limits: Rc::clone(limits) };
    let mut decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(CHUNK_BYTES, source))
        .map_err(|error| limits.explain(error))?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| limits.explain(error))?;
    Ok(Bounded { from: decoder, limits: Rc::clone(limits), bytes: 0 })
}

/// What the layers below tar share: how much was read, and what really went wrong, which tar and zstd would only hand on
/// as one more `io::Error`.
pub(super) struct Limits {
    max_bytes: u64,
    compressed: RefCell<u64>,
    trouble: RefCell<Option<BundleError>>,
}

impl Limits {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, compressed: RefCell::new(0), trouble: RefCell::new(None) }
    }

    /// What an error that came up through tar was about.
    pub(super) fn explain(&self, error: io::Error) -> BundleError {
        self.trouble.take().unwrap_or_else(|| BundleError::not_a_bundle(error))
    }

    fn stop(&self, trouble: BundleError) -> io::Error {
        self.trouble.replace(Some(trouble));
        io::Error::other("stopped")
    }

    pub(super) fn over(&self) -> BundleError {
        let max_bytes = self.max_bytes;
        BundleError::TooLarge(format!(
            "the bundle is over the limit of {max_bytes} bytes; raise `models.max_bundle_bytes` if it is meant to be"
        ))
    }
}

/// The compressed bytes.
struct Source<R> {
    from: R,
    limits: Rc<Limits>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.limits.stop(FileError::new("read", given(), error).into())),
            Ok(read) => read,
        };
        let mut compressed = self.limits.compressed.borrow_mut();
        *compressed += read as u64;
        if *compressed > self.limits.max_bytes.saturating_add(TAR_BYTES) {
            return Err(self.limits.stop(self.limits.over()));
        }
        Ok(read)
    }
}

/// The decompressed bytes.
struct Bounded<R> {
    from: R,
    limits: Rc<Limits>,
    bytes: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.limits.max_bytes.saturating_add(TAR_BYTES) {
            return Err(self.limits.stop(self.limits.over()));
        }
        let compressed = *self.limits.compressed.borrow();
        if self.bytes > FREE_BYTES && self.bytes / MAX_RATIO > compressed {
            return Err(self.limits.stop(BundleError::TooLarge(format!(
                "the bundle unpacks to more than {MAX_RATIO} times its size, as no model does; it is refused"
            ))));
        }
        Ok(read)
    }
}
