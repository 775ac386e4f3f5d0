//! Pictures that were taken when they were taken: `timing.csv` beside them, as `inferctl record` writes it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during};
use crate::capture::slots::Slots;

/// A reader whose frames come as far apart as they did.
pub(super) struct Timed {
    reader: Box<dyn Reader>,
    /// How long it took to each frame from the one before it.
    lasts: Vec<Duration>,
    next: usize,
}

impl Timed {
    /// The reader with the times that are beside it in `folder`; as it is where there are none.
    ///
    /// # Errors
    /// [`SourceError`] where the times cannot be read.
    pub(super) fn beside(folder: &Path, reader: Box<dyn Reader>) -> Result<Box<dyn Reader>, SourceError> {
        let path = folder.join("timing.csv");
        if !path.is_file() {
            return Ok(reader);
        }
        let file = File::open(&path).map_err(during("open", &path))?;
        let damaged = |problem: String| SourceError::damaged(&path, problem);
        let mut times = Vec::new();
        for row in csv::Reader::from_reader(file).records() {
            let row = row.map_err(|error| damaged(error.to_string()))?;
            let time = row.get(1).and_then(|time| time.parse::<f64>().ok()).filter(|time| time.is_finite());
            times.push(time.ok_or_else(|| damaged("a row has no time in its second column".into()))?);
        }
        // A driver's clock may step back.
        let apart = |pair: &[f64]| Duration::try_from_secs_f64((pair[1] - pair[0]).max(0.0));
        let steps: Result<Vec<Duration>, _> = times.windows(2).map(apart).collect();
        let steps = steps.map_err(|_| damaged("its times are too far apart".into()))?;
        // Nobody knows how long it took to the first one; started over, the stream goes on without a seam.
        let count = u32::try_from(steps.len()).unwrap_or(u32::MAX).max(1);
        let usual = steps.iter().sum::<Duration>() / count;
        Ok(Box::new(Self { reader, lasts: [vec![usual], steps].concat(), next: 0 }))
    }
}

impl Reader for Timed {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let Some(read) = self.reader.read(slots)? else { return Ok(None) };
        let lasts = self.lasts.get(self.next).copied().unwrap_or(read.lasts);
        self.next += 1;
        Ok(Some(Read { lasts, ..read }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        self.reader.rewind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::queue::{FrameQueue, Overflow};
    use crate::host::wake::Bell;

    /// Frames a second apart, as many as there are.
    struct Plain(u32);

    impl Reader for Plain {
        fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
            let Some(left) = self.0.checked_sub(1) else { return Ok(None) };
            self.0 = left;
            let slot = slots.take(1)?;
            Ok(Some(Read { slot, format: inferd_core::frame::Format::Jpeg, lasts: Duration::from_secs(1) }))
        }

        fn rewind(&mut self) -> Result<(), SourceError> {
            self.0 = 4;
            Ok(())
        }
    }

    fn timed(text: &str) -> Result<Vec<u128>, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        crate::host::durable::replace(&folder.path().join("timing.csv"), text.as_bytes()).unwrap();
        let mut reader = Timed::beside(folder.path(), Box::new(Plain(4)))?;
        let mut slots = Slots::new(8, FrameQueue::new(8, Overflow::Block, Bell::new().unwrap()));
        let mut lasts = Vec::new();
        for _ in 0..2 {
            while let Some(read) = reader.read(&mut slots)? {
                lasts.push(read.lasts.as_millis());
            }
            reader.rewind()?;
        }
        Ok(lasts)
    }

    #[test]
    fn frames_come_as_they_came() {
        let lasts = timed("file,t\na,0.0\nb,0.1\nc,0.5\nd,0.6\n").unwrap();
        assert_eq!(lasts, [200, 100, 400, 100, 200, 100, 400, 100]);
        assert_eq!(timed("file,t\na,0.0\nb,0.1\n").unwrap()[..4], [100, 100, 1000, 1000], "the others as ever");
        assert_eq!(timed("file,t\na,1.0\nb,0.9\nc,1.2\n").unwrap()[1..3], [0, 300], "a clock that stepped back");
        assert_eq!(timed("file,t\n").unwrap()[..4], [0, 1000, 1000, 1000]);
    }

    #[test]
    fn times_that_cannot_be_are_refused() {
        for text in ["file,t\na,0\nb,1e300\n", "file,t\na,x\n", "file,t\na\n", "file,t\na,inf\n"] {
            assert!(timed(text).is_err(), "{text}");
        }
    }
}
