//! Buffers that a driver fills: frame memory of ours that it is lent, or its own that we look into.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;

use super::{Device, abi, call};
use crate::host::frames::{Pool, Slot};

/// A picture that a driver has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Its buffer.
    pub index: u32,
    /// Where the picture's bytes in each memory plane begin, and where they end: some drivers put a header before them.
    pub places: [(usize, usize); abi::MAX_PLANES],
    /// Its number since the stream began; those that are missing were lost.
    pub sequence: u32,
    /// When it was taken, by `CLOCK_MONOTONIC`; `None` where the driver does not say.
    pub monotonic_ns: Option<u64>,
    /// The driver says that it is not whole.
    pub is_damaged: bool,
}

/// A stream into frame memory of ours: no picture is copied. Buffer n is slot n of the pool, so that the driver finds each at the
/// same place every time. Nothing is queued while the pipeline holds all slots.
#[derive(Debug)]
pub struct Lent {
    // Closed first: the driver lets go of the memory then, even where it did not when it was told to stop.
    stream: Stream,
    slots: Vec<Option<Slot>>,
    pool: Pool,
    /// So many at once: memory that a driver has had is pinned.
    most: usize,
}

impl Lent {
    /// Lends slots of a new pool, `most` at once, and starts the stream. Slots have whole pages, and hold a picture each.
    ///
    /// # Errors
    /// What the system says: many drivers only write to memory of their own.
    pub fn start(device: Device, pool: Pool, slots: u32, most: u32) -> io::Result<Self> {
        let stream = Stream { device, memory: abi::MEMORY_USERPTR };
        let mut lent = Self { stream, slots: (0..slots).map(|_| None).collect(), pool, most: most as usize };
        if lent.stream.request(slots)? != slots {
            return Err(io::Error::other("the driver takes fewer buffers"));
        }
        lent.lend()?;
        lent.stream.start()?;
        Ok(lent)
    }

    /// Lends what is free; gives how many slots the driver has now.
    ///
    /// # Errors
    /// What the system says.
    pub fn lend(&mut self) -> io::Result<usize> {
        let mut lent = self.slots.iter().flatten().count();
        while lent < self.most {
            let Some(mut slot) = self.pool.try_take() else { break };
            let index = slot.index();
            let space = slot.space();
            let length = u32::try_from(space.len()).unwrap_or(u32::MAX);
            let mut buffer = self.stream.buffer(index);
            let mut plane =
                abi::Plane { length, place: space.as_mut_ptr().expose_provenance() as _, ..Default::default() };
            self.stream.place(&mut buffer, std::slice::from_mut(&mut plane));
            call(&self.stream.device.file, &abi::QBUF, &mut buffer)?;
            // From here on the driver writes to it: it is kept, untouched, until `take`.
            if let Some(kept) = self.slots.get_mut(index as usize) {
                *kept = Some(slot);
            }
            lent += 1;
        }
        Ok(lent)
    }

    /// The next picture, if there is one, with the slot that it is in.
    ///
    /// # Errors
    /// What the system says: the camera is gone, for one.
    pub fn dequeue(&mut self) -> io::Result<Option<(Filled, Slot)>> {
        let Some(filled) = self.stream.dequeue()? else { return Ok(None) };
        let slot = self.slots.get_mut(filled.index as usize).and_then(Option::take);
        let Some(mut slot) = slot else {
            return Err(io::Error::other("the driver gave back a buffer that it did not have"));
        };
        let (start, end) = filled.places[0];
        let space = slot.space();
        let end = end.min(space.len());
        let start = start.min(end);
        if start > 0 {
            space.copy_within(start..end, 0);
        }
        slot.set_len(end - start);
        Ok(Some((filled, slot)))
    }
}

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.device.as_fd()
    }
}

/// A stream into memory of the driver's: pictures are copied out of it.
#[derive(Debug)]
pub struct Mapped {
    // Unmapped before the device is closed.
    buffers: Vec<Vec<Mapping>>,
    stream: Stream,
}

impl Mapped {
    /// Lets the driver make at least two buffers, at best `count`, and starts the stream.
    ///
    /// # Errors
    /// What the system says: `ENOSPC` where the bus has no room for it, for one.
    pub fn start(device: Device, count: u32, planes: usize) -> io::Result<Self> {
        let mut mapped = Self { buffers: Vec::new(), stream: Stream { device, memory: abi::MEMORY_MMAP } };
        let made = mapped.stream.request(count)?;
        if made < 2 {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "the driver has no memory for two pictures"));
        }
        for index in 0..made {
            let mappings = mapped.map(index, planes)?;
            mapped.buffers.push(mappings);
            mapped.give_back(index)?;
        }
        mapped.stream.start()?;
        Ok(mapped)
    }

    fn map(&self, index: u32, planes: usize) -> io::Result<Vec<Mapping>> {
        let mut buffer = self.stream.buffer(index);
        let mut found = [abi::Plane::default(); abi::MAX_PLANES];
        self.stream.place(&mut buffer, &mut found);
        call(&self.stream.device.file, &abi::QUERYBUF, &mut buffer)?;
        if !self.stream.device.is_planar() {
            found[0] = abi::Plane { length: buffer.length, place: buffer.place, ..Default::default() };
        }
        found.iter().take(planes).map(|plane| Mapping::new(&self.stream.device, plane)).collect()
    }

    /// The next picture, if there is one. It is looked at by [`plane`](Self::plane) and given back.
    ///
    /// # Errors
    /// What the system says: the camera is gone, for one.
    pub fn dequeue(&mut self) -> io::Result<Option<Filled>> {
        self.stream.dequeue()
    }

    /// The bytes of a memory plane of a picture that was not given back yet.
    pub fn plane(&self, filled: &Filled, plane: usize) -> &[u8] {
        let mapping = self.buffers.get(filled.index as usize).and_then(|planes| planes.get(plane));
        let place = filled.places.get(plane);
        let bytes = mapping.zip(place).and_then(|(mapping, &(start, end))| {
            let all = mapping.bytes();
            all.get(start..end.min(all.len()))
        });
        bytes.unwrap_or_default()
    }

    /// Lets the driver fill a buffer again.
    ///
    /// # Errors
    /// What the system says.
    pub fn give_back(&mut self, index: u32) -> io::Result<()> {
        let mut buffer = self.stream.buffer(index);
        let mut planes = [abi::Plane::default(); abi::MAX_PLANES];
        self.stream.place(&mut buffer, &mut planes);
        call(&self.stream.device.file, &abi::QBUF, &mut buffer)
    }
}

impl AsFd for Mapped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.device.as_fd()
    }
}

/// What both have in common. Ends when dropped, before the memory goes.
#[derive(Debug)]
struct Stream {
    device: Device,
    memory: u32,
}

impl Stream {
    fn request(&self, count: u32) -> io::Result<u32> {
        let (kind, memory) = (self.device.kind, self.memory);
        let mut request = abi::RequestBuffers { count, kind, memory, ..Default::default() };
        call(&self.device.file, &abi::REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn start(&self) -> io::Result<()> {
        call(&self.device.file, &abi::STREAMON, &mut self.device.kind.cast_signed())
    }

    const fn buffer(&self, index: u32) -> abi::Buffer {
        abi::Buffer {
            index,
            kind: self.device.kind,
            bytesused: 0,
            flags: 0,
            field: 0,
            timestamp: libc::timeval { tv_sec: 0, tv_usec: 0 },
            timecode: [0; 4],
            sequence: 0,
            memory: self.memory,
            place: 0,
            length: 0,
            reserved: [0; 2],
        }
    }

    /// Says where a buffer's planes are, in the way of the device: beside it, or in it.
    fn place(&self, buffer: &mut abi::Buffer, planes: &mut [abi::Plane]) {
        if self.device.is_planar() {
            buffer.length = u32::try_from(planes.len()).unwrap_or(0);
            buffer.place = planes.as_mut_ptr().expose_provenance() as _;
        } else if let Some(plane) = planes.first() {
            (buffer.length, buffer.place) = (plane.length, plane.place);
        }
    }

    fn dequeue(&self) -> io::Result<Option<Filled>> {
        let mut buffer = self.buffer(0);
        let mut planes = [abi::Plane::default(); abi::MAX_PLANES];
        self.place(&mut buffer, &mut planes);
        match call(&self.device.file, &abi::DQBUF, &mut buffer) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let places = if self.device.is_planar() {
            // The kernel's bytes used are from the plane's start, what comes before the picture included.
            planes.map(|plane| (plane.data_offset as usize, plane.bytesused as usize))
        } else {
            let mut places = [(0, 0); abi::MAX_PLANES];
            places[0].1 = buffer.bytesused as usize;
            places
        };
        let is_monotonic = buffer.flags & abi::BUF_FLAG_TIMESTAMP_MASK == abi::BUF_FLAG_TIMESTAMP_MONOTONIC;
        let time = buffer.timestamp;
        let ns = u64::try_from(time.tv_sec).ok().zip(u64::try_from(time.tv_usec).ok());
        Ok(Some(Filled {
            index: buffer.index,
            places,
            sequence: buffer.sequence,
            monotonic_ns: ns
                .filter(|_| is_monotonic)
                .and_then(|(s, us)| s.checked_mul(1_000_000_000)?.checked_add(us.checked_mul(1000)?)),
            is_damaged: buffer.flags & abi::BUF_FLAG_ERROR != 0,
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Both fail only where the device is gone: then closing it, which comes next, does the same.
        let _ = call(&self.device.file, &abi::STREAMOFF, &mut self.device.kind.cast_signed());
        let _ = self.request(0);
    }
}

/// A memory plane of a driver's buffer, mapped for reading.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(device: &Device, plane: &abi::Plane) -> io::Result<Self> {
        let length = plane.length as usize;
        // An offset has 32 bits, the lower half of the word.
        let offset = libc::off_t::try_from(plane.place & 0xffff_ffff).map_err(io::Error::other)?;
        let fd = device.file.as_raw_fd();
        // SAFETY: a new mapping at a place that the kernel picks, of a device's memory that is made for it.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`. The driver does not write to a buffer between handing it out and getting
        // it back, which is when it is read; what a faulty one writes meanwhile is torn pixels, as bytes have no invalid values.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made; nothing refers to it any more.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

// SAFETY: the mapping belongs to the process; which thread reads it does not matter.
unsafe impl Send for Mapping {}
