//! From what a device gives to the kernel's units: m/s², rad/s, gauss, along the axes of the whole machine.
//!
//! value = (raw + offset) * scale, then, for the three axes of a kind together, value = M * value with the mount matrix M
//! (Linux, Documentation/ABI/testing/sysfs-bus-iio: `in_*_scale`, `in_*_offset`, `mount_matrix`).

use super::device::{Device, attribute_names, kind};
use super::sysfs;

/// What is done with the values of some channels of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calibration {
    /// Offset and scale of each channel.
    lines: Vec<(f64, f64)>,
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug, PartialEq)]
struct Mount {
    /// Where x, y and z are among the channels.
    axes: [usize; 3],
    matrix: Matrix,
}

type Matrix = [[f64; 3]; 3];

const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

impl Calibration {
    /// Reads it for `channels`, to which it appends the other axes that their mount matrix needs.
    pub(super) fn read(device: &Device, channels: &mut Vec<String>) -> Self {
        let mut mounts = Vec::new();
        let mut kinds: Vec<String> = channels.iter().map(|channel| kind(channel).to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let axes = ["x", "y", "z"].map(|axis| format!("{kind}_{axis}"));
            if let Some(matrix) = mount_matrix(device, &axes) {
                mounts.push(Mount { axes: axes.map(|axis| place(channels, axis)), matrix });
            }
        }
        let number = |channel: &str, attribute, default| {
            let found = sysfs::first(&device.folder, &attribute_names(channel, attribute));
            found.and_then(|(_, text)| text.parse().ok()).filter(|number: &f64| number.is_finite()).unwrap_or(default)
        };
        let line = |channel: &String| (number(channel, "offset", 0.0), number(channel, "scale", 1.0));
        Self { lines: channels.iter().map(line).collect(), mounts }
    }

    /// Makes raw values of the channels values.
    pub(super) fn apply(&self, values: &mut [f64]) {
        for (value, (offset, scale)) in values.iter_mut().zip(&self.lines) {
            *value = (*value + offset) * scale;
        }
        for Mount { axes, matrix } in &self.mounts {
            let before = axes.map(|axis| values[axis]);
            for (axis, row) in axes.iter().zip(matrix) {
                values[*axis] = row.iter().zip(before).map(|(factor, value)| factor * value).sum();
            }
        }
    }
}

/// Where a channel is; appended where it is not.
fn place(channels: &mut Vec<String>, channel: String) -> usize {
    channels.iter().position(|known| *known == channel).unwrap_or_else(|| {
        channels.push(channel);
        channels.len() - 1
    })
}

/// The matrix of three axes that the device has, where it has one that changes anything.
fn mount_matrix(device: &Device, axes: &[String; 3]) -> Option<Matrix> {
    if !axes.iter().all(|axis| device.has(axis)) {
        return None;
    }
    let (_, text) = sysfs::first(&device.folder, &attribute_names(&axes[0], "mount_matrix"))?;
    let matrix = parse(&text);
    if matrix.is_none() {
        tracing::warn!(device = device.title(), text, "this mount matrix cannot be used");
    }
    matrix.filter(|matrix| *matrix != IDENTITY)
}

/// Reads `a, b, c; d, e, f; g, h, i`. `None` where it is something else, or would make all values zero.
fn parse(text: &str) -> Option<Matrix> {
    let mut matrix = Matrix::default();
    let mut rows = text.split(';');
    for row in &mut matrix {
        let mut numbers = rows.next()?.split(',');
        for number in row {
            *number = numbers.next()?.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
        }
        if numbers.next().is_some() {
            return None;
        }
    }
    (rows.next().is_none() && matrix != Matrix::default()).then_some(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_read_as_device_trees_have_them() {
        let swapped = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let tilted = [[-0.984_807_753_012_208, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]];
        for (text, expected) in [
            ("0, 1, 0; 1, 0, 0; 0, 0, 1", Some(swapped)),
            ("0,1,0;1,0,0;0,0,1\n", Some(swapped)),
            ("-0.984807753012208, 0, 0; 0, 1, 0; 0, 0, -1", Some(tilted)),
            ("0, 0, 0; 0, 0, 0; 0, 0, 0", None),
            ("1, 0; 0, 1", None),
            ("1, 0, 0; 0, 1, 0; 0, 0, 1; 0, 0, 0", None),
            ("1, 0, 0, 0; 0, 1, 0; 0, 0, 1", None),
            ("nan, 0, 0; 0, 1, 0; 0, 0, 1", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
