//! Scans: what a device's buffer gives, one value of each enabled channel after the other.
//!
//! Invariants, from the kernel's side (Linux, Documentation/iio/iio_devbuf.rst and `iio_compute_scan_bytes`):
//! - Elements lie in the order of their indexes, each at a multiple of its own size; a scan's length is a multiple of the
//!   largest element's size.
//! - An element says how its value lies in it, by itself: one scan may hold both byte orders.

/// How one value lies in its bytes: `[be|le]:[s|u]BITS/STORAGEBITS[XREPEAT]>>SHIFT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) is_big_endian: bool,
    pub(super) is_signed: bool,
    /// Of the value, 1 to `storage_bits`.
    pub(super) bits: u32,
    /// 8, 16, 32 or 64.
    pub(super) storage_bits: u32,
    /// Values in a row, of this one channel.
    pub(super) repeat: u32,
    /// Bits below the value.
    pub(super) shift: u32,
}

impl Type {
    /// Reads it as the kernel writes it. `None` where it is nothing that can be decoded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (order, rest) = text.trim().split_once(':')?;
        let is_big_endian = match order {
            "be" => true,
            "le" => false,
            _ => return None,
        };
        let is_signed = match rest.chars().next()? {
            's' => true,
            'u' => false,
            _ => return None,
        };
        let (bits, rest) = rest[1..].split_once('/')?;
        let (storage, shift) = rest.split_once(">>")?;
        let (storage, repeat) = storage.split_once(['X', 'x']).unwrap_or((storage, "1"));
        let read = |digits: &str| digits.parse::<u32>().ok();
        let found = Self {
            is_big_endian,
            is_signed,
            bits: read(bits)?,
            storage_bits: read(storage)?,
            repeat: read(repeat)?,
            shift: read(shift)?,
        };
        found.is_sound().then_some(found)
    }

    fn is_sound(&self) -> bool {
        let fits = self.bits >= 1 && self.bits.checked_add(self.shift).is_some_and(|bits| bits <= self.storage_bits);
        matches!(self.storage_bits, 8 | 16 | 32 | 64) && fits && (1..=64).contains(&self.repeat)
    }

    const fn value_bytes(&self) -> usize {
        self.storage_bits as usize / 8
    }

    /// Bytes of all its values.
    pub(super) const fn bytes(&self) -> usize {
        self.value_bytes() * self.repeat as usize
    }

    /// The first value in these bytes, which are as many as it has.
    fn decode(&self, bytes: &[u8]) -> i64 {
        let one = bytes.iter().take(self.value_bytes());
        let push = |whole: u64, byte: &u8| whole << 8 | u64::from(*byte);
        let stored = if self.is_big_endian { one.fold(0, push) } else { one.rev().fold(0, push) };
        // The value's bits, at the upper end: shifting them down again extends the sign, or does not.
        let unused = 64 - self.bits;
        let upper = stored >> self.shift << unused;
        if self.is_signed { upper.cast_signed() >> unused } else { (upper >> unused).cast_signed() }
    }

    /// The value as a number. Beyond 53 bits it is rounded.
    fn number(&self, bytes: &[u8]) -> f64 {
        let value = self.decode(bytes);
        if self.is_signed { value as f64 } else { value.cast_unsigned() as f64 }
    }
}

/// An enabled channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) channel: String,
    pub(super) index: u32,
    pub(super) kind: Type,
}

/// Where the values of some channels are in a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    places: Vec<(usize, Type)>,
    timestamp: Option<(usize, Type)>,
    /// Bytes of a scan.
    pub(super) bytes: usize,
}

impl Layout {
    /// The layout of scans of all these elements. Values are given in the order of `channels`; `None` where one is no element.
    pub(super) fn new(mut elements: Vec<Element>, channels: &[String]) -> Option<Self> {
        elements.sort_by_key(|element| element.index);
        let mut end: usize = 0;
        let mut placed = Vec::with_capacity(elements.len());
        for Element { channel, kind, .. } in elements {
            let start = end.next_multiple_of(kind.bytes());
            end = start + kind.bytes();
            placed.push((channel, (start, kind)));
        }
        let largest = placed.iter().map(|(_, (_, kind))| kind.bytes()).max()?;
        let find = |name: &str| placed.iter().find(|(channel, _)| channel == name).map(|(_, place)| *place);
        let places = channels.iter().map(|channel| find(channel)).collect::<Option<_>>()?;
        Some(Self { places, timestamp: find("timestamp"), bytes: end.next_multiple_of(largest) })
    }

    pub(super) const fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// A scan's values, appended.
    pub(super) fn decode(&self, scan: &[u8], values: &mut Vec<f64>) {
        values.extend(self.places.iter().map(|(start, kind)| kind.number(&scan[*start..])));
    }

    /// When a scan was made, in nanoseconds of the device's clock.
    pub(super) fn timestamp(&self, scan: &[u8]) -> Option<i64> {
        self.timestamp.map(|(start, kind)| kind.decode(&scan[start..]))
    }
}

#[cfg(test)]
mod tests;
