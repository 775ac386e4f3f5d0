//! Motion: rate, channels, axes.

use super::{Found, MAX_CHANNELS, raw};
use crate::manifest::{ImuChannel, ImuInput, ImuLayout, Window};

pub(super) fn check(raw: &raw::Input, window: Window, found: &mut Found<'_>) -> Option<ImuInput> {
    let imu = found.required(
        raw.imu.as_ref(),
        "input.imu",
        "a table [input.imu] with `rate_hz` and `channels` is expected",
    )?;
    found.unless((0.001..=100_000.0).contains(&imu.rate_hz), "input.imu.rate_hz", || {
        format!("is {}; 0.001 to 100000 rows per second are expected", imu.rate_hz)
    });
    let count = imu.channels.len();
    found.unless((1..=MAX_CHANNELS).contains(&count), "input.imu.channels", || {
        format!("has {count} names; 1 to {MAX_CHANNELS} are expected")
    });
    for (index, channel) in imu.channels.iter().enumerate().take(MAX_CHANNELS) {
        found.name(&format!("input.imu.channels.{index}"), channel);
    }
    let offset = one_a_channel("input.imu.offset", imu.offset.as_deref(), 0.0, count, found);
    let scale = one_a_channel("input.imu.scale", imu.scale.as_deref(), 1.0, count, found);
    let channels = imu
        .channels
        .iter()
        .zip(offset.iter().zip(&scale))
        .map(|(name, (&offset, &scale))| ImuChannel { name: name.clone(), offset, scale })
        .collect();
    let layout = match raw.layout {
        Some(raw::Layout::Ntc) => Some(ImuLayout::Ntc),
        Some(raw::Layout::Nct) => Some(ImuLayout::Nct),
        Some(raw::Layout::Nhwc | raw::Layout::Nchw | raw::Layout::Ntfc) | None => {
            found.problem("input.layout", "must be \"NTC\" (rows) or \"NCT\" (channels) for an input of kind `imu`");
            None
        }
    };
    check_shape(raw, layout, window.length, count, found);
    Some(ImuInput { rate_hz: imu.rate_hz, channels, layout: layout.unwrap_or(ImuLayout::Ntc), window })
}

/// The shape has a window's values, and its axes are in the order of the layout: another order would be filled transposed
/// and nobody would notice. Extents of 1 say nothing; a shape that splits or joins the two axes is filled in their order.
fn check_shape(raw: &raw::Input, layout: Option<ImuLayout>, length: u32, count: usize, found: &mut Found<'_>) {
    let (shape, made) = (raw.shape, u64::from(length) * count as u64);
    if made != shape.elements() as u64 {
        let elements = shape.elements();
        let message = format!("{shape} has {elements} values, but a window has {length} x {count} = {made}");
        return found.problem("input.shape", message);
    }
    let long: Vec<u64> =
        shape.extents().iter().map(|&extent| u64::from(extent)).filter(|&extent| extent != 1).collect();
    let (expected, axes) = match layout {
        Some(ImuLayout::Ntc) => ([u64::from(length), count as u64], format!("{length} rows of {count} channels")),
        Some(ImuLayout::Nct) => ([count as u64, u64::from(length)], format!("{count} channels of {length} rows")),
        None => return,
    };
    found.unless(long.len() != 2 || long == expected, "input.shape", || {
        format!("{shape} does not have its axes in the order of `layout`: {axes} are expected")
    });
}

fn one_a_channel(key: &str, given: Option<&[f32]>, usual: f32, count: usize, found: &mut Found<'_>) -> Vec<f32> {
    let values = given.map_or_else(|| vec![usual; count], <[f32]>::to_vec);
    found.finite(key, &values);
    found.unless(values.len() == count, key, || format!("has {} values for {count} channels", values.len()));
    values
}
