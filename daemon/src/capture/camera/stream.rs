//! A camera's stream: set up by a choice, its pictures put into slots.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use inferd_core::frame::{Format, ImageSize, PixelFormat};

use crate::capture::error::SourceError;
use crate::capture::live::{QUEUE_PICTURES, SLOTS_BESIDE};
use crate::capture::slots::Slots;
use crate::config::CameraFormat;
use crate::host::frames::{Pool, Slot};
use crate::host::v4l2::{Device, Filled, Layout, Lent, Mapped};

use super::negotiate::Choice;

/// Pictures that the driver is given to fill.
const BUFFERS: u32 = 4;

/// A slot that a driver is lent begins on a page of its own, however large those are.
const PAGE_BYTES: usize = 1 << 16;

/// A picture, or what came instead.
pub(super) enum Picture {
    /// It is in this slot.
    Whole(Slot, Filled),
    /// It has fewer bytes than it must, or the driver says that it is torn.
    Damaged(Filled),
    /// None has come.
    None,
}

/// A stream that runs.
pub(super) struct Stream {
    pub(super) format: Format,
    /// Pictures a second as the driver has set them, where it says.
    pub(super) fps: Option<f64>,
    buffers: Buffers,
}

enum Buffers {
    /// Pictures come into slots.
    Lent(Lent),
    /// Pictures are copied into slots.
    Mapped(Mapped, Layout),
}

/// Why a stream does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// The camera does something else than it lists.
    #[error("it cannot do {choice}: {problem}")]
    Refused {
        /// What was to be set.
        choice: String,
        /// What happened.
        problem: String,
    },
    /// Another program has it.
    #[error("another program, or another pipeline, is using it")]
    Busy,
}

impl Choice {
    /// `YUYV 640x480`
    pub(super) fn title(&self) -> String {
        let rate = self.fps.map(|fps| format!(" at {} fps", tidy(fps))).unwrap_or_default();
        format!("{} {}x{}{rate}", self.fourcc, self.size.width, self.size.height)
    }

    fn refused(&self, problem: impl std::fmt::Display) -> NotStarted {
        NotStarted::Refused { choice: self.title(), problem: problem.to_string() }
    }
}

/// `30`, `7.5`, `29.97`
pub(super) fn tidy(fps: f64) -> String {
    let text = format!("{fps:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Stream {
    /// Sets the camera up and starts it; `open` opens it anew.
    ///
    /// # Errors
    /// [`NotStarted`]
    pub(super) fn start(choice: &Choice, open: &dyn Fn() -> io::Result<Device>) -> Result<Self, NotStarted> {
        let set_up = || -> Result<(Device, Layout, Option<f64>), NotStarted> {
            let failed = |error: io::Error| match error.raw_os_error() {
                Some(libc::EBUSY) => NotStarted::Busy,
                _ => choice.refused(error),
            };
            let device = open().map_err(failed)?;
            let layout = device.set_format(choice.fourcc, choice.size).map_err(failed)?;
            if layout.fourcc != choice.fourcc {
                return Err(choice.refused(format_args!("it gives {}", layout.fourcc)));
            }
            let sides = 1..=ImageSize::MAX_RAW_SIDE;
            if !sides.contains(&layout.size.width) || !sides.contains(&layout.size.height) {
                let ImageSize { width, height } = layout.size;
                return Err(choice.refused(format_args!("it gives pictures of {width} x {height}")));
            }
            // Many drivers have no rate to set.
            let fps = choice.fps.and_then(|fps| device.set_rate(fps).ok().flatten());
            Ok((device, layout, fps))
        };
        let (device, layout, fps) = set_up()?;
        let format = match choice.format {
            CameraFormat::Mjpeg => Format::Jpeg,
            CameraFormat::Raw(pixels) => Format::Raw(pixels, layout.size),
        };
        if let Some(lent) = lend(device, &layout, format) {
            return Ok(Self { format, fps, buffers: Buffers::Lent(lent) });
        }
        let (device, layout, fps) = set_up()?;
        let planes = layout.planes.len();
        let mapped = Mapped::start(device, BUFFERS, planes).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => NotStarted::Busy,
            Some(libc::ENOSPC) => choice.refused("the bus has no room for it"),
            _ => choice.refused(error),
        })?;
        Ok(Self { format, fps, buffers: Buffers::Mapped(mapped, layout) })
    }

    /// Whether pictures come into frame memory without a copy.
    pub(super) const fn is_lent(&self) -> bool {
        matches!(self.buffers, Buffers::Lent(_))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.buffers {
            Buffers::Lent(lent) => lent.as_fd(),
            Buffers::Mapped(mapped, _) => mapped.as_fd(),
        }
    }

    /// Gives the driver what is free; `false` where it has nothing to write to, as the pipeline holds all slots.
    pub(super) fn lend(&mut self) -> io::Result<bool> {
        match &mut self.buffers {
            Buffers::Lent(lent) => Ok(lent.lend()? > 0),
            Buffers::Mapped(..) => Ok(true),
        }
    }

    /// The next picture.
    ///
    /// # Errors
    /// What the system says, or no memory.
    pub(super) fn next(&mut self, slots: &mut Slots) -> Result<Picture, NoPicture> {
        match &mut self.buffers {
            Buffers::Lent(lent) => {
                let Some((filled, mut slot)) = lent.dequeue()? else { return Ok(Picture::None) };
                let whole = is_whole(self.format, slot.bytes().len()) && !filled.is_damaged;
                if let Format::Raw(pixels, size) = self.format {
                    // Some drivers count what they put behind the last row.
                    slot.set_len(pixels.frame_bytes(size));
                }
                Ok(if whole { Picture::Whole(slot, filled) } else { Picture::Damaged(filled) })
            }
            Buffers::Mapped(mapped, layout) => {
                let Some(filled) = mapped.dequeue()? else { return Ok(Picture::None) };
                let copied = if filled.is_damaged { None } else { copy(mapped, layout, self.format, &filled, slots)? };
                mapped.give_back(filled.index)?;
                Ok(copied.map_or(Picture::Damaged(filled), |slot| Picture::Whole(slot, filled)))
            }
        }
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPicture {
    /// The system said no.
    #[error(transparent)]
    Device(#[from] io::Error),
    /// There is no room for it.
    #[error(transparent)]
    Slots(#[from] SourceError),
}

/// Lends frame memory to the driver, where it writes pictures as a runner reads them: in one plane, without padding.
fn lend(device: Device, layout: &Layout, format: Format) -> Option<Lent> {
    let [(image_bytes, row_bytes)] = layout.planes[..] else { return None };
    if let Format::Raw(pixels, size) = format
        && (pixels.planes(size)[0].row_bytes != row_bytes || image_bytes < pixels.frame_bytes(size))
    {
        return None;
    }
    let slots = u32::try_from(QUEUE_PICTURES + SLOTS_BESIDE).ok()? + BUFFERS;
    let pool = Pool::new(slots, image_bytes.checked_next_multiple_of(PAGE_BYTES)?).ok()?;
    Lent::start(device, pool, slots, BUFFERS).ok()
}

/// A raw picture has exactly its size; of a JPEG nobody knows.
fn is_whole(format: Format, bytes: usize) -> bool {
    match format {
        Format::Raw(pixels, size) => bytes >= pixels.frame_bytes(size),
        _ => bytes > 0,
    }
}

/// Copies a picture, row by row where rows are padded. `None` where it is not all there.
fn copy(
    mapped: &Mapped,
    layout: &Layout,
    format: Format,
    filled: &Filled,
    slots: &mut Slots,
) -> Result<Option<Slot>, SourceError> {
    let Format::Raw(pixels, size) = format else {
        let bytes = mapped.plane(filled, 0);
        return if bytes.is_empty() { Ok(None) } else { slots.filled(bytes).map(Some) };
    };
    let bytes = pixels.frame_bytes(size);
    let mut slot = slots.take(bytes)?;
    slot.set_len(bytes);
    let mut memory = [(&[][..], 0); 3];
    let count = layout.planes.len().min(memory.len());
    for (plane, (place, (_, stride))) in memory.iter_mut().zip(&layout.planes).enumerate() {
        *place = (mapped.plane(filled, plane), *stride);
    }
    Ok(gather(&memory[..count], (pixels, size), &mut slot.space()[..bytes]).then_some(slot))
}

/// Puts the planes of a picture together without padding. `memory` is each memory plane with its bytes from one row to the next:
/// one for each plane of the picture, or one for all. `false` where something is missing.
fn gather(memory: &[(&[u8], usize)], (pixels, size): (PixelFormat, ImageSize), mut into: &mut [u8]) -> bool {
    let planes = pixels.planes(size);
    let luma_bytes = planes[0].row_bytes;
    let mut begin = 0;
    for (number, plane) in planes.iter().enumerate().filter(|(_, plane)| plane.rows > 0) {
        let own = memory.get(number).filter(|_| memory.len() > 1);
        let Some(&(bytes, stride)) = own.or_else(|| memory.first()) else { return false };
        // In common memory only the first plane's stride is told; those of the others have the same proportion.
        let stride = if own.is_some() { stride } else { stride * plane.row_bytes / luma_bytes.max(1) };
        let stride = stride.max(plane.row_bytes);
        let from = if own.is_some() { 0 } else { begin };
        for row in 0..plane.rows {
            let place = from + row * stride;
            let (Some(row), Some((target, rest))) =
                (bytes.get(place..place + plane.row_bytes), into.split_at_mut_checked(plane.row_bytes))
            else {
                return false;
            };
            target.copy_from_slice(row);
            into = rest;
        }
        begin += stride * plane.rows;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize { width: 2, height: 2 };

    fn gathered(memory: &[(&[u8], usize)], pixels: PixelFormat) -> Option<Vec<u8>> {
        let mut into = vec![b'?'; pixels.frame_bytes(SIZE)];
        gather(memory, (pixels, SIZE), &mut into).then_some(into)
    }

    #[test]
    fn padding_is_left_out_wherever_it_is() {
        for (memory, pixels, expected) in [
            (vec![(&b"abcdefgh"[..], 4)], PixelFormat::Yuyv, &b"abcdefgh"[..]),
            (vec![(b"abcd..efgh..", 6)], PixelFormat::Yuyv, b"abcdefgh"),
            // The last row's padding may be missing.
            (vec![(b"abcd..efgh", 6)], PixelFormat::Yuyv, b"abcdefgh"),
            (vec![(b"ab..cd..uv..", 4)], PixelFormat::Nv12, b"abcduv"),
            (vec![(b"ab..cd..u.v.", 4)], PixelFormat::I420, b"abcduv"),
            (vec![(b"ab.cd.", 3), (b"uv..", 4)], PixelFormat::Nv12, b"abcduv"),
            (vec![(b"abcd", 2), (b"u", 1), (b"v", 1)], PixelFormat::I420, b"abcduv"),
        ] {
            assert_eq!(gathered(&memory, pixels).as_deref(), Some(expected), "{pixels:?} {memory:?}");
        }
        assert_eq!(gathered(&[(b"abcdefg", 4)], PixelFormat::Yuyv), None, "a byte is missing");
        assert_eq!(gathered(&[(b"abcd", 2), (b"u", 1)], PixelFormat::I420), None, "a plane is missing");
    }
}
