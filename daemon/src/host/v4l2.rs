//! Cameras as the kernel has them (Video4Linux, version 2): what they offer, how they are set, their buffers.
//!
//! Invariants:
//! - Memory that was lent to a driver stays where it is, and is touched by nobody, until the driver has given it back or has
//!   been told to stop: [`Lent`] owns those slots.
//! - A device is set by whoever has it open; nothing is put back when it is closed.

#![allow(
    unsafe_code,
    reason = "system calls that no crate wraps, a union of the kernel's, and memory that drivers write to"
)]

mod abi;
mod buffers;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use inferd_core::frame::ImageSize;

use abi::Request;
pub use buffers::{Filled, Lent, Mapped};

/// A node that pictures come from, opened.
#[derive(Debug)]
pub struct Device {
    file: File,
    /// `V4L2_BUF_TYPE_…`: with one memory plane, or several.
    kind: u32,
    card: String,
    bus: String,
}

/// Four characters that name a format. They may end in spaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

/// Sizes of pictures that a format comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// One size.
    Discrete(ImageSize),
    /// Any between the two, in steps.
    Stepwise {
        /// The smallest.
        least: ImageSize,
        /// The largest.
        most: ImageSize,
        /// Width and height in a step.
        step: ImageSize,
    },
}

/// Pictures a second that a format comes with in a size.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rates {
    /// The driver does not say.
    #[default]
    Unknown,
    /// Each of these.
    Listed(Vec<f64>),
    /// Any between the two.
    Range {
        /// The slowest.
        slowest: f64,
        /// The fastest.
        fastest: f64,
    },
}

impl Rates {
    /// The fastest.
    pub fn fastest(&self) -> Option<f64> {
        match self {
            Self::Unknown => None,
            Self::Listed(rates) => rates.iter().copied().reduce(f64::max),
            Self::Range { fastest, .. } => Some(*fastest),
        }
    }
}

/// How the driver lays out a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The format.
    pub fourcc: FourCc,
    /// The size, which may not be the one that was asked for.
    pub size: ImageSize,
    /// Of each memory plane: bytes of a picture at most, and from one row to the next (0 of compressed ones).
    pub planes: Vec<(usize, usize)>,
}

/// A control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its number.
    pub id: u32,
    /// Its name as `v4l2-ctl` writes it.
    pub name: String,
    /// The least value.
    pub minimum: i32,
    /// The largest.
    pub maximum: i32,
    /// It may be set.
    pub writable: bool,
    /// Another control rules over it now (an automatic mode).
    pub inactive: bool,
}

impl Device {
    /// Opens a node. `None` where it is one that no pictures come from.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let mut found = abi::Capability::default();
        call(&file, &abi::QUERYCAP, &mut found)?;
        // A device may have nodes for other things, which are in its `capabilities`, too.
        let of_node =
            if found.capabilities & abi::CAP_DEVICE_CAPS != 0 { found.device_caps } else { found.capabilities };
        let kind = if of_node & abi::CAP_VIDEO_CAPTURE != 0 {
            abi::BUF_TYPE_VIDEO_CAPTURE
        } else if of_node & abi::CAP_VIDEO_CAPTURE_MPLANE != 0 {
            abi::BUF_TYPE_VIDEO_CAPTURE_MPLANE
        } else {
            return Ok(None);
        };
        if of_node & abi::CAP_STREAMING == 0 {
            return Ok(None);
        }
        Ok(Some(Self { file, kind, card: text(&found.card), bus: text(&found.bus_info) }))
    }

    /// Its name.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// Where it is plugged in.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// The formats that it offers, in its order.
    ///
    /// # Errors
    /// What the system says.
    pub fn formats(&self) -> io::Result<Vec<FourCc>> {
        let mut formats = Vec::new();
        list(|index| {
            let mut found = abi::FormatDescription { index, kind: self.kind, ..Default::default() };
            call(&self.file, &abi::ENUM_FMT, &mut found)?;
            formats.push(FourCc(found.pixelformat.to_le_bytes()));
            Ok(true)
        })?;
        Ok(formats)
    }

    /// The sizes that a format comes in. Nothing where the driver does not say.
    ///
    /// # Errors
    /// What the system says.
    pub fn sizes(&self, format: FourCc) -> io::Result<Vec<Sizes>> {
        let mut sizes = Vec::new();
        list(|index| {
            let pixel_format = u32::from_le_bytes(format.0);
            let mut found = abi::FrameSize { index, pixel_format, ..Default::default() };
            call(&self.file, &abi::ENUM_FRAMESIZES, &mut found)?;
            let [a, b, c, d, e, f] = found.numbers;
            let size = |width, height| ImageSize { width, height };
            let is_discrete = found.kind == abi::FRAME_DISCRETE;
            sizes.push(if is_discrete {
                Sizes::Discrete(size(a, b))
            } else {
                Sizes::Stepwise { least: size(a, d), most: size(b, e), step: size(c.max(1), f.max(1)) }
            });
            Ok(is_discrete)
        })?;
        Ok(sizes)
    }

    /// Pictures a second that it offers at a format and size.
    ///
    /// # Errors
    /// What the system says.
    pub fn rates(&self, format: FourCc, size: ImageSize) -> io::Result<Rates> {
        let (mut rates, mut range) = (Vec::new(), None);
        list(|index| {
            let pixel_format = u32::from_le_bytes(format.0);
            let ImageSize { width, height } = size;
            let mut found = abi::FrameInterval { index, pixel_format, width, height, ..Default::default() };
            call(&self.file, &abi::ENUM_FRAMEINTERVALS, &mut found)?;
            // Of a range the shortest interval comes first, which is the fastest rate.
            let [first, last, _] = found.fractions.map(rate);
            if found.kind == abi::FRAME_DISCRETE {
                rates.extend(first);
                return Ok(true);
            }
            range = last.zip(first);
            Ok(false)
        })?;
        Ok(match range {
            Some((slowest, fastest)) => Rates::Range { slowest, fastest },
            None if rates.is_empty() => Rates::Unknown,
            None => Rates::Listed(rates),
        })
    }

    /// Sets format and size; the driver may change both.
    ///
    /// # Errors
    /// What the system says: it is in use, for one.
    pub fn set_format(&self, fourcc: FourCc, size: ImageSize) -> io::Result<Layout> {
        let pixelformat = u32::from_le_bytes(fourcc.0);
        let ImageSize { width, height } = size;
        let mut format = abi::Format { kind: self.kind, fmt: abi::FormatUnion { raw: [0; 200] } };
        if self.is_planar() {
            let (field, num_planes) = (abi::FIELD_NONE, 1);
            format.fmt.planes =
                abi::PixFormatPlanes { width, height, pixelformat, field, num_planes, ..Default::default() };
        } else {
            let field = abi::FIELD_NONE;
            format.fmt.pix = abi::PixFormat { width, height, pixelformat, field, ..Default::default() };
        }
        call(&self.file, &abi::S_FMT, &mut format)?;
        Ok(if self.is_planar() {
            // SAFETY: all members of the union are numbers, so any bytes are a value.
            let set = unsafe { format.fmt.planes };
            let planes = set.planes.iter().take(usize::from(set.num_planes));
            Layout {
                fourcc: FourCc({ set.pixelformat }.to_le_bytes()),
                size: ImageSize { width: set.width, height: set.height },
                planes: planes.map(|plane| (plane.sizeimage as usize, plane.bytesperline as usize)).collect(),
            }
        } else {
            // SAFETY: as above.
            let set = unsafe { format.fmt.pix };
            Layout {
                fourcc: FourCc(set.pixelformat.to_le_bytes()),
                size: ImageSize { width: set.width, height: set.height },
                planes: vec![(set.sizeimage as usize, set.bytesperline as usize)],
            }
        })
    }

    /// Sets pictures a second; gives what the driver made of it, `None` where it does not say.
    ///
    /// # Errors
    /// What the system says: many drivers have no rate to set.
    pub fn set_rate(&self, fps: f64) -> io::Result<Option<f64>> {
        let mut parameters = abi::StreamParameters {
            kind: self.kind,
            capability: 0,
            capturemode: 0,
            timeperframe: interval(fps),
            rest: [0; 46],
        };
        call(&self.file, &abi::S_PARM, &mut parameters)?;
        Ok(rate(parameters.timeperframe))
    }

    /// Its controls.
    ///
    /// # Errors
    /// What the system says.
    pub fn controls(&self) -> io::Result<Vec<Control>> {
        let mut controls = Vec::new();
        let mut last = 0;
        list(|_| {
            let mut found = abi::ControlDescription { id: last | abi::CTRL_FLAG_NEXT_CTRL, ..Default::default() };
            call(&self.file, &abi::QUERYCTRL, &mut found)?;
            last = found.id;
            if found.flags & abi::CTRL_FLAG_DISABLED == 0 && found.kind != abi::CTRL_TYPE_CTRL_CLASS {
                controls.push(Control {
                    id: found.id,
                    name: control_name(&text(&found.name)),
                    minimum: found.minimum,
                    maximum: found.maximum,
                    writable: found.flags & abi::CTRL_FLAG_READ_ONLY == 0,
                    inactive: found.flags & abi::CTRL_FLAG_INACTIVE != 0,
                });
            }
            Ok(true)
        })?;
        Ok(controls)
    }

    /// Sets a control.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        call(&self.file, &abi::S_CTRL, &mut abi::ControlValue { id, value })
    }

    const fn is_planar(&self) -> bool {
        self.kind == abi::BUF_TYPE_VIDEO_CAPTURE_MPLANE
    }
}

impl AsFd for Device {
    /// Readable while a picture waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The highest bit says that words are big endian.
        let [a, b, c, d] = self.0;
        let letters = [a, b, c, d & 0x7f];
        write!(f, "{}{}", String::from_utf8_lossy(&letters).trim_end(), if d & 0x80 == 0 { "" } else { "-BE" })
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The most that a driver is asked to list: one that never ends is broken.
const MAX_LISTED: u32 = 1024;

/// Asks for one thing after the other, until there is none or the closure has enough.
fn list(mut next: impl FnMut(u32) -> io::Result<bool>) -> io::Result<()> {
    for index in 0..MAX_LISTED {
        match next(index) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // No more, or a driver that lists nothing of the kind.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY | libc::ENODATA)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn call<T>(file: &File, request: &Request<T>, argument: &mut T) -> io::Result<()> {
    // The type of the number is the C library's own.
    let number = request.0 as _;
    loop {
        // SAFETY: the request's number says that the kernel reads and writes a `T`, which `argument` is. What lies behind
        // addresses in it is the matter of `buffers`.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), number, std::ptr::from_mut(argument)) };
        if done >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Text up to the first zero.
fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
}

/// `White Balance, Automatic` is `white_balance_automatic`: letters and digits, what is between them once as `_`.
fn control_name(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

fn rate(interval: abi::Fraction) -> Option<f64> {
    (interval.numerator > 0).then(|| f64::from(interval.denominator) / f64::from(interval.numerator))
}

/// The time of one picture in thousandths of its rate, which holds 29.97 and 7.5 exactly enough.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are within 0.001 to 1000")]
fn interval(fps: f64) -> abi::Fraction {
    abi::Fraction { numerator: 1000, denominator: (fps * 1000.0).round().clamp(1.0, 1e9) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_v4l2_ctl_writes_them() {
        for (kernels, expected) in [
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("Gain", "gain"),
            ("Backlight  Compensation ", "backlight_compensation"),
        ] {
            assert_eq!(control_name(kernels), expected);
        }
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(), "Y16-BE");
        assert_eq!(text(b"UVC Camera\0rest"), "UVC Camera");
    }

    #[test]
    fn rates_survive_the_kernels_fractions() {
        for fps in [30.0, 29.97, 7.5, 0.5, 120.0] {
            assert_eq!(rate(interval(fps)), Some(fps));
        }
        assert_eq!(rate(abi::Fraction { numerator: 0, denominator: 30 }), None);
    }
}
