//! The structures and requests of `linux/videodev2.h` that are used, as 64-bit and 32-bit kernels have them.
//!
//! <https://docs.kernel.org/userspace-api/media/v4l/user-func.html>

use std::ffi::{c_int, c_ulong};
use std::marker::PhantomData;

/// A request and the structure that it reads or writes.
pub(super) struct Request<T>(pub(super) c_ulong, PhantomData<T>);

impl<T> Request<T> {
    const fn read_write(number: u8) -> Self {
        Self(nix::request_code_readwrite!(b'V', number, size_of::<T>()) as c_ulong, PhantomData)
    }

    const fn read(number: u8) -> Self {
        Self(nix::request_code_read!(b'V', number, size_of::<T>()) as c_ulong, PhantomData)
    }

    const fn write(number: u8) -> Self {
        Self(nix::request_code_write!(b'V', number, size_of::<T>()) as c_ulong, PhantomData)
    }
}

pub(super) const QUERYCAP: Request<Capability> = Request::read(0);
pub(super) const ENUM_FMT: Request<FormatDescription> = Request::read_write(2);
pub(super) const S_FMT: Request<Format> = Request::read_write(5);
pub(super) const REQBUFS: Request<RequestBuffers> = Request::read_write(8);
pub(super) const QUERYBUF: Request<Buffer> = Request::read_write(9);
pub(super) const QBUF: Request<Buffer> = Request::read_write(15);
pub(super) const DQBUF: Request<Buffer> = Request::read_write(17);
pub(super) const STREAMON: Request<c_int> = Request::write(18);
pub(super) const STREAMOFF: Request<c_int> = Request::write(19);
pub(super) const S_PARM: Request<StreamParameters> = Request::read_write(22);
pub(super) const S_CTRL: Request<ControlValue> = Request::read_write(28);
pub(super) const QUERYCTRL: Request<ControlDescription> = Request::read_write(36);
pub(super) const ENUM_FRAMESIZES: Request<FrameSize> = Request::read_write(74);
pub(super) const ENUM_FRAMEINTERVALS: Request<FrameInterval> = Request::read_write(75);

pub(super) const CAP_VIDEO_CAPTURE: u32 = 0x1;
pub(super) const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
pub(super) const CAP_STREAMING: u32 = 0x0400_0000;
pub(super) const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
pub(super) const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
pub(super) const BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
pub(super) const MEMORY_MMAP: u32 = 1;
pub(super) const MEMORY_USERPTR: u32 = 2;
pub(super) const FIELD_NONE: u32 = 1;
pub(super) const BUF_FLAG_ERROR: u32 = 0x40;
pub(super) const BUF_FLAG_TIMESTAMP_MASK: u32 = 0xe000;
pub(super) const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x2000;
pub(super) const CTRL_FLAG_DISABLED: u32 = 0x1;
pub(super) const CTRL_FLAG_READ_ONLY: u32 = 0x4;
pub(super) const CTRL_FLAG_INACTIVE: u32 = 0x10;
pub(super) const CTRL_FLAG_NEXT_CTRL: u32 = 0x8000_0000;
pub(super) const CTRL_TYPE_CTRL_CLASS: u32 = 6;
pub(super) const FRAME_DISCRETE: u32 = 1;

/// The most memory planes of a buffer.
pub(super) const MAX_PLANES: usize = 8;

/// `v4l2_capability`
#[repr(C)]
#[derive(Default)]
pub(super) struct Capability {
    pub(super) driver: [u8; 16],
    pub(super) card: [u8; 32],
    pub(super) bus_info: [u8; 32],
    pub(super) version: u32,
    pub(super) capabilities: u32,
    pub(super) device_caps: u32,
    pub(super) reserved: [u32; 3],
}

/// `v4l2_fmtdesc`
#[repr(C)]
#[derive(Default)]
pub(super) struct FormatDescription {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) description: [u8; 32],
    pub(super) pixelformat: u32,
    pub(super) mbus_code: u32,
    pub(super) reserved: [u32; 3],
}

/// `v4l2_frmsizeenum`; a discrete size is in `min_width` and `max_width`, which are its width and height.
#[repr(C)]
#[derive(Default)]
pub(super) struct FrameSize {
    pub(super) index: u32,
    pub(super) pixel_format: u32,
    pub(super) kind: u32,
    /// Discrete: width, height. Otherwise: least and largest width, their step, and the same of the height.
    pub(super) numbers: [u32; 6],
    pub(super) reserved: [u32; 2],
}

/// `v4l2_fract`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Fraction {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// `v4l2_frmivalenum`
#[repr(C)]
#[derive(Default)]
pub(super) struct FrameInterval {
    pub(super) index: u32,
    pub(super) pixel_format: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) kind: u32,
    /// Discrete: the first one. Otherwise: the shortest, the longest, their step.
    pub(super) fractions: [Fraction; 3],
    pub(super) reserved: [u32; 2],
}

/// `v4l2_pix_format`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PixFormat {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixelformat: u32,
    pub(super) field: u32,
    pub(super) bytesperline: u32,
    pub(super) sizeimage: u32,
    pub(super) rest: [u32; 6],
}

/// `v4l2_plane_pix_format`
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub(super) struct PlanePixFormat {
    pub(super) sizeimage: u32,
    pub(super) bytesperline: u32,
    pub(super) reserved: [u16; 6],
}

/// `v4l2_pix_format_mplane`
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub(super) struct PixFormatPlanes {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixelformat: u32,
    pub(super) field: u32,
    pub(super) colorspace: u32,
    pub(super) planes: [PlanePixFormat; MAX_PLANES],
    pub(super) num_planes: u8,
    pub(super) rest: [u8; 11],
}

/// The union in `v4l2_format`. One of its members has pointers, which is what it is aligned by.
#[repr(C)]
pub(super) union FormatUnion {
    pub(super) pix: PixFormat,
    pub(super) planes: PixFormatPlanes,
    pub(super) raw: [u8; 200],
    pub(super) align: [c_ulong; 0],
}

/// `v4l2_format`
#[repr(C)]
pub(super) struct Format {
    pub(super) kind: u32,
    pub(super) fmt: FormatUnion,
}

/// `v4l2_captureparm` in `v4l2_streamparm`
#[repr(C)]
pub(super) struct StreamParameters {
    pub(super) kind: u32,
    pub(super) capability: u32,
    pub(super) capturemode: u32,
    pub(super) timeperframe: Fraction,
    pub(super) rest: [u32; 46],
}

/// `v4l2_requestbuffers`
#[repr(C)]
#[derive(Default)]
pub(super) struct RequestBuffers {
    pub(super) count: u32,
    pub(super) kind: u32,
    pub(super) memory: u32,
    pub(super) capabilities: u32,
    pub(super) flags: u8,
    pub(super) reserved: [u8; 3],
}

/// The union `m` of `v4l2_buffer` and `v4l2_plane`: an offset for `mmap`, the address of memory of ours, or that of an array of
/// [`Plane`]. On a little-endian machine an offset is the lower half of the word.
pub(super) type Place = c_ulong;

/// `v4l2_plane`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Plane {
    pub(super) bytesused: u32,
    pub(super) length: u32,
    pub(super) place: Place,
    pub(super) data_offset: u32,
    pub(super) reserved: [u32; 11],
}

/// `v4l2_buffer`
#[repr(C)]
pub(super) struct Buffer {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) bytesused: u32,
    pub(super) flags: u32,
    pub(super) field: u32,
    pub(super) timestamp: libc::timeval,
    pub(super) timecode: [u32; 4],
    pub(super) sequence: u32,
    pub(super) memory: u32,
    pub(super) place: Place,
    pub(super) length: u32,
    pub(super) reserved: [u32; 2],
}

/// `v4l2_queryctrl`
#[repr(C)]
#[derive(Default)]
pub(super) struct ControlDescription {
    pub(super) id: u32,
    pub(super) kind: u32,
    pub(super) name: [u8; 32],
    pub(super) minimum: i32,
    pub(super) maximum: i32,
    pub(super) step: i32,
    pub(super) default_value: i32,
    pub(super) flags: u32,
    pub(super) reserved: [u32; 2],
}

/// `v4l2_control`
#[repr(C)]
pub(super) struct ControlValue {
    pub(super) id: u32,
    pub(super) value: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `linux/videodev2.h` of Linux 6.1 has them for x86_64, which aarch64 shares.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn requests_are_the_kernels() {
        for (ours, kernels) in [
            (QUERYCAP.0, 0x8068_5600),
            (ENUM_FMT.0, 0xc040_5602),
            (S_FMT.0, 0xc0d0_5605),
            (REQBUFS.0, 0xc014_5608),
            (QUERYBUF.0, 0xc058_5609),
            (QBUF.0, 0xc058_560f),
            (DQBUF.0, 0xc058_5611),
            (STREAMON.0, 0x4004_5612),
            (STREAMOFF.0, 0x4004_5613),
            (S_PARM.0, 0xc0cc_5616),
            (S_CTRL.0, 0xc008_561c),
            (QUERYCTRL.0, 0xc044_5624),
            (ENUM_FRAMESIZES.0, 0xc02c_564a),
            (ENUM_FRAMEINTERVALS.0, 0xc034_564b),
        ] {
            assert_eq!(ours, kernels, "{ours:#x} {kernels:#x}");
        }
        assert_eq!((size_of::<Plane>(), size_of::<PixFormatPlanes>(), size_of::<PixFormat>()), (64, 192, 48));
        assert_eq!(std::mem::offset_of!(Buffer, timestamp), 24);
        assert_eq!(std::mem::offset_of!(Buffer, sequence), 56);
        assert_eq!(std::mem::offset_of!(Buffer, place), 64);
        assert_eq!(std::mem::offset_of!(Buffer, length), 72);
        assert_eq!(std::mem::offset_of!(Format, fmt), 8);
        assert_eq!(std::mem::offset_of!(Plane, place), 8);
    }
}
