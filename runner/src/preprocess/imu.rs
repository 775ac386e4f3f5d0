//! From rows of sensor values to `[1, T, C]` or `[1, C, T] f32`: per channel `(value + offset) * scale`.

use inferd_core::frame::Format;
use inferd_core::manifest::{ImuInput, ImuLayout};
use inferd_core::outcome::Failure;

use super::wrong_kind;
use crate::failure::{misfit, undecodable};

/// Makes tensors of motion, for one model.
pub(crate) struct Axes {
    rate_hz: f32,
    rows: usize,
    layout: ImuLayout,
    names: Vec<String>,
    /// Offset and scale by channel.
    scales: Vec<(f32, f32)>,
}

impl Axes {
    pub(super) fn new(input: &ImuInput) -> Self {
        Self {
            rate_hz: input.rate_hz,
            rows: input.window.length as usize,
            layout: input.layout,
            names: input.channels.iter().map(|channel| channel.name.clone()).collect(),
            scales: input.channels.iter().map(|channel| (channel.offset, channel.scale)).collect(),
        }
    }

    /// Reads rows into `values`: `[T, C]`, in the manifest's order of channels.
    pub(super) fn decode(&self, bytes: &[u8], format: Format, values: &mut Vec<f32>) -> Result<(), Failure> {
        values.clear();
        match format {
            Format::Imu { rate_hz, channels } => self.stream(bytes, rate_hz, channels, values)?,
            Format::Csv => self.table(bytes, values)?,
            Format::Jpeg
            | Format::Png
            | Format::Bmp
            | Format::Raw(..)
            | Format::Pcm { .. }
            | Format::Tensor { .. }
            | Format::Npy
            | Format::Wav => return Err(wrong_kind(format, "motion")),
        }
        if values.len() != self.rows * self.names.len() {
            let rows = values.len() / self.names.len().max(1);
            return Err(misfit(format_args!("the window has {rows} rows, the model needs {}", self.rows)));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(misfit(format_args!("value {at} of the window is {}", values[at]))),
            None => Ok(()),
        }
    }

    /// Writes the tensor.
    pub(super) fn fill(&self, values: &[f32], tensor: &mut [f32]) -> Result<(), Failure> {
        if tensor.len() != values.len() {
            return Err(misfit("the model's input has another size than the window"));
        }
        let count = self.scales.len();
        for (row, values) in values.chunks_exact(count).enumerate() {
            for (channel, (value, (offset, scale))) in values.iter().zip(&self.scales).enumerate() {
                let place = match self.layout {
                    ImuLayout::Ntc => row * count + channel,
                    ImuLayout::Nct => channel * self.rows + row,
                };
                tensor[place] = (value + offset) * scale;
            }
        }
        Ok(())
    }

    fn stream(&self, bytes: &[u8], rate_hz: f32, channels: u16, values: &mut Vec<f32>) -> Result<(), Failure> {
        if usize::from(channels) != self.names.len() {
            return Err(misfit(format_args!(
                "the source has {channels} channels, the model needs {} ({})",
                self.names.len(),
                self.names.join(", ")
            )));
        }
        // Written so that NaN does not pass.
        let (found, needed) = (f64::from(rate_hz), f64::from(self.rate_hz));
        let close = (found - needed).abs() <= needed * ImuInput::RATE_TOLERANCE;
        if !close {
            return Err(misfit(format_args!("the source has {rate_hz} rows per second, the model needs {needed}")));
        }
        let (chunks, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || !chunks.len().is_multiple_of(self.names.len()) {
            return Err(undecodable(format_args!("{} bytes are no whole rows of {channels} values", bytes.len())));
        }
        values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        Ok(())
    }

    /// A golden `.csv`: a header, the channels found by name, one window of rows.
    fn table(&self, bytes: &[u8], values: &mut Vec<f32>) -> Result<(), Failure> {
        let failed = |error: csv::Error| undecodable(format_args!("unreadable CSV file: {error}"));
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(failed)?.clone();
        let place = |name: &String| {
            header.iter().position(|column| column == name).ok_or_else(|| {
                let have: Vec<_> = header.iter().collect();
                misfit(format_args!("the CSV file has no column `{name}`; its columns are {}", have.join(", ")))
            })
        };
        let places = self.names.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        for row in reader.records().take(self.rows.saturating_add(1)) {
            let row = row.map_err(failed)?;
            for &place in &places {
                let text = row.get(place).unwrap_or_default();
                let value =
                    text.parse().map_err(|_| undecodable(format_args!("`{text}` in the CSV file is no number")))?;
                values.push(value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use inferd_core::manifest::{ImuChannel, Window};

    use super::*;

    fn axes(layout: ImuLayout) -> Axes {
        let channel = |name: &str, offset, scale| ImuChannel { name: name.into(), offset, scale };
        let channels = vec![channel("x", 1.0, 2.0), channel("y", 0.0, 10.0)];
        Axes::new(&ImuInput { rate_hz: 100.0, channels, layout, window: Window { length: 3, hop: 1 } })
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn rows_are_scaled_and_laid_out() {
        // 5 % off on either side is close enough.
        for (layout, rate_hz, expected) in [
            (ImuLayout::Ntc, 95.0, [4.0, 20.0, 8.0, 40.0, 12.0, 60.0]),
            (ImuLayout::Nct, 105.0, [4.0, 8.0, 12.0, 20.0, 40.0, 60.0]),
        ] {
            let (axes, mut values, mut tensor) = (axes(layout), Vec::new(), [0.0; 6]);
            let window = bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            axes.decode(&window, Format::Imu { rate_hz, channels: 2 }, &mut values).unwrap();
            axes.fill(&values, &mut tensor).unwrap();
            assert_eq!(tensor, expected);
        }
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let (axes, mut values) = (axes(ImuLayout::Ntc), Vec::new());
        let good = bytes(&[0.0; 6]);
        let nan = bytes(&[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]);
        let imu = |rate_hz, channels| Format::Imu { rate_hz, channels };
        for (window, format, says) in [
            (&good[..], imu(100.0, 3), "channels"),
            (&good[..], imu(105.5, 2), "105.5 rows per second"),
            (&good[..], imu(94.5, 2), "94.5 rows per second"),
            (&good[..], imu(f32::NAN, 2), "rows per second"),
            (&good[..16], imu(100.0, 2), "2 rows"),
            (&good[..15], imu(100.0, 2), "whole rows"),
            (&nan[..], imu(100.0, 2), "NaN"),
            (&b"x,z\n1,2\n"[..], Format::Csv, "no column `y`"),
            (&b"x,y\n1,a\n"[..], Format::Csv, "no number"),
            (&b"x,y\n1,2\n"[..], Format::Csv, "1 rows"),
            (&good[..], Format::Jpeg, "motion"),
        ] {
            let failure = axes.decode(window, format, &mut values).unwrap_err();
            assert!(failure.reason.contains(says), "{says}: {}", failure.reason);
        }
    }

    #[test]
    fn a_table_is_read_by_column_name() {
        let (axes, mut values) = (axes(ImuLayout::Ntc), Vec::new());
        axes.decode(b"t,y,x\n0,2,1\n1,4,3\n2, 6, 5\n", Format::Csv, &mut values).unwrap();
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
