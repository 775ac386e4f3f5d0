//! Files of video: Motion JPEG and YUV4MPEG2.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;

use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during, in_file};
use crate::capture::format::{Pictures, Video};
use crate::capture::slots::Slots;

/// A file of JPEG pictures.
#[derive(Debug)]
pub(super) struct Mjpeg {
    path: PathBuf,
    pictures: Pictures<BufReader<File>>,
    lasts: Duration,
}

impl Mjpeg {
    pub(super) fn open(path: &Path, lasts: Duration) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(during("open", path))?;
        Ok(Self { path: path.to_owned(), pictures: Pictures::new(BufReader::new(file)), lasts })
    }
}

impl Reader for Mjpeg {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let Some(picture) = self.pictures.next().map_err(in_file(&self.path))? else { return Ok(None) };
        let slot = slots.filled(picture)?;
        Ok(Some(Read { slot, format: Format::Jpeg, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.pictures.input().rewind().map_err(during("read", &self.path))
    }
}

/// A file of uncompressed frames.
#[derive(Debug)]
pub(super) struct Y4m {
    path: PathBuf,
    video: Video<BufReader<File>>,
    data_start: u64,
    lasts: Duration,
}

impl Y4m {
    /// Opens the file; `fps` overrides what it says of itself, `usual_fps` counts where it says nothing. Gives what counts.
    pub(super) fn open(path: &Path, fps: Option<f64>, usual_fps: f64) -> Result<(Self, f64), SourceError> {
        let file = BufReader::new(File::open(path).map_err(during("open", path))?);
        let mut video = Video::new(file);
        let header = video.header().map_err(in_file(path))?;
        let data_start = video.input().stream_position().map_err(during("read", path))?;
        let fps = fps.or(header.fps).unwrap_or(usual_fps);
        let lasts = Duration::try_from_secs_f64(1.0 / fps)
            .map_err(|error| SourceError::damaged(path, format!("its frames cannot be timed at {fps} fps: {error}")))?;
        Ok((Self { path: path.to_owned(), video, data_start, lasts }, fps))
    }
}

impl Reader for Y4m {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let Some(frame) = self.video.next().map_err(in_file(&self.path))? else { return Ok(None) };
        let mut slot = slots.take(frame.frame_bytes)?;
        self.video.read(&mut slot.space()[..frame.frame_bytes]).map_err(in_file(&self.path))?;
        slot.set_len(frame.frame_bytes);
        Ok(Some(Read { slot, format: frame.format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.video.input().seek(SeekFrom::Start(self.data_start)).map_err(during("read", &self.path))?;
        Ok(())
    }
}
