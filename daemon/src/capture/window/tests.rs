use proptest::prelude::*;

use super::*;
use crate::capture::Pace;

fn manifest(length: u32, hop: u32, channels: &str) -> Manifest {
    let count = channels.split(',').count();
    let text = format!(
        r#"
format = 1
name = "motion"
version = "1.0.0"
licence = "MIT"
[artifact]
file = "m.onnx"
[input]
kind = "imu"
shape = [1, {length}, {count}]
layout = "NTC"
[input.imu]
rate_hz = 100.0
channels = [{channels}]
[window]
length = {length}
hop = {hop}
[output]
task = "raw"
"#
    );
    Manifest::parse(&text, &mut |_| Err(String::new())).unwrap()
}

fn source(channels: &[&str]) -> SourceInfo {
    let channels = channels.iter().map(|name| (*name).to_owned()).collect();
    SourceInfo { kind: Kind::Imu, rate_hz: 100.0, channels, line: String::new() }
}

/// A frame of rows in which every value is `row * 10 + column`.
fn rows(pool: &Pool, range: std::ops::Range<u16>, columns: u8) -> Frame {
    let mut slot = pool.try_take().unwrap();
    let mut filled = 0;
    for row in range {
        for column in 0..columns {
            let value = f32::from(row) * 10.0 + f32::from(column);
            slot.space()[filled..filled + 4].copy_from_slice(&value.to_le_bytes());
            filled += 4;
        }
    }
    slot.set_len(filled);
    let format = Format::Imu { rate_hz: 100.0, channels: u16::from(columns) };
    Frame { captured: Tick::default(), captured_unix_ns: 0, after_gap: false, format, slot }
}

fn every(_: Tick) -> bool {
    true
}

fn values(window: &Window) -> Vec<f32> {
    window.slot.bytes().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn channels_are_picked_by_name_in_the_models_order() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a", "b", "c"]), &manifest(2, 2, r#""c","a""#)).unwrap();
    windower.push(rows(&pool, 0..2, 3));
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!(values(&window), [2.0, 0.0, 12.0, 10.0]);
    assert_eq!(*window.channels, ["c".to_owned(), "a".to_owned()], "names are in the order of the values");
}

#[test]
fn a_window_of_motion_has_the_rate_of_its_source() {
    let pool = Pool::new(4, 4096).unwrap();
    let slow = SourceInfo { rate_hz: 97.5, ..source(&["a"]) };
    let mut windower = Windower::new(slow, &manifest(2, 2, r#""a""#)).unwrap();
    windower.push(rows(&pool, 0..2, 1));
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!(window.format, Format::Imu { rate_hz: 97.5, channels: 1 });
}

#[test]
fn a_source_that_cannot_feed_the_model_is_refused_with_the_reason() {
    let model = manifest(2, 2, r#""a""#);
    let wrong_rate = SourceInfo { rate_hz: 44.1, ..source(&["a"]) };
    let text = Windower::new(wrong_rate, &model).unwrap_err().to_string();
    assert_eq!(text, "the source has 44.1 samples per second, the model needs 100; record or convert it at that rate");
    let text = Windower::new(source(&["x", "y"]), &model).unwrap_err().to_string();
    assert!(text.starts_with("the model needs the channel `a`, the source has x, y"), "{text}");
    let sound = SourceInfo { kind: Kind::Audio, ..source(&[]) };
    assert_eq!(
        Windower::new(sound, &model).unwrap_err().to_string(),
        "the source gives audio frames, the model needs imu"
    );
}

#[test]
fn a_change_of_length_keeps_the_numbers_and_the_place() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a"]), &manifest(4, 2, r#""a""#)).unwrap();
    windower.push(rows(&pool, 0..6, 1));
    assert_eq!(windower.cut(every).unwrap().unwrap().seq, 0);
    windower.change(&manifest(3, 3, r#""a""#)).unwrap();
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!((window.seq, values(&window)), (1, vec![20.0, 30.0, 40.0]));
}

#[test]
fn a_change_of_channels_keeps_the_samples_that_wait() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a", "b"]), &manifest(2, 2, r#""a","b""#)).unwrap();
    windower.push(rows(&pool, 0..3, 2));
    assert_eq!(values(&windower.cut(every).unwrap().unwrap()), [0.0, 1.0, 10.0, 11.0]);
    windower.change(&manifest(2, 2, r#""b","a""#)).unwrap();
    windower.push(rows(&pool, 3..4, 2));
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!((window.seq, values(&window)), (1, vec![21.0, 20.0, 31.0, 30.0]));
}

#[test]
fn windows_that_were_not_served_are_cut_again_for_the_next_version() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a"]), &manifest(4, 2, r#""a""#)).unwrap();
    windower.push(rows(&pool, 0..10, 1));
    let seqs: Vec<u64> = std::iter::from_fn(|| windower.cut(every).unwrap()).map(|window| window.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
    windower.change(&manifest(3, 3, r#""a""#)).unwrap();
    assert!(!windower.rewind(1), "only the last two are held");
    assert!(windower.rewind(2));
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!((window.seq, values(&window)), (2, vec![40.0, 50.0, 60.0]));
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!((window.seq, values(&window)), (3, vec![70.0, 80.0, 90.0]));
    windower.push(Frame { after_gap: true, ..rows(&pool, 20..21, 1) });
    assert!(!windower.rewind(3), "what it was cut from is gone");
}

#[test]
fn cuts_are_alike_where_length_and_channels_are() {
    let one = manifest(4, 2, r#""a","b""#);
    assert!(cut_alike(&one, &manifest(4, 3, r#""a","b""#)));
    for other in [manifest(3, 2, r#""a","b""#), manifest(4, 2, r#""b","a""#), manifest(4, 2, r#""a""#)] {
        assert!(!cut_alike(&one, &other));
    }
}

#[test]
fn no_window_spans_a_gap() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a"]), &manifest(4, 4, r#""a""#)).unwrap();
    windower.push(rows(&pool, 0..3, 1));
    windower.push(Frame { after_gap: true, ..rows(&pool, 10..14, 1) });
    let window = windower.cut(every).unwrap().unwrap();
    assert_eq!((window.seq, values(&window)), (0, vec![100.0, 110.0, 120.0, 130.0]));
}

fn picture(pool: &Pool, ms: u64) -> Frame {
    let captured = Tick::from_ns(ms * 1_000_000);
    Frame { captured, captured_unix_ns: 0, after_gap: false, format: Format::Jpeg, slot: pool.try_take().unwrap() }
}

const PICTURES: &str = r#"
format = 1
name = "p"
version = "1.0.0"
licence = "MIT"
artifact = { file = "m.onnx" }
input = { kind = "image", shape = [1, 3, 8, 8], layout = "NCHW" }
output = { task = "raw" }
"#;

#[test]
fn pictures_that_are_not_wanted_get_no_number() {
    let manifest = Manifest::parse(PICTURES, &mut |_| Err(String::new())).unwrap();
    let pictures = SourceInfo { kind: Kind::Image, rate_hz: 0.0, channels: Vec::new(), line: String::new() };
    let mut windower = Windower::new(pictures, &manifest).unwrap();
    let (pool, mut pace) = (Pool::new(4, 16).unwrap(), Pace::new(Some(10.0)));
    let mut served = Vec::new();
    for number in 0..90 {
        windower.push(picture(&pool, number * 1000 / 30));
        let window = windower.cut(|taken| pace.lets_through(taken)).unwrap();
        served.extend(window.map(|window| (window.seq, window.captured.as_ns() / 1_000_000)));
    }
    assert_eq!(served.len(), 30, "{served:?}");
    assert!(served.iter().map(|(seq, _)| *seq).eq(0..30), "without a gap");
    assert!(served.windows(2).all(|pair| pair[1].1 - pair[0].1 <= 134), "evenly: {served:?}");
}

/// Windows of 4 rows, a hop of 2, 100 rows a second, rows that come half a second at once; so many windows a second.
fn thinned(per_second: f64, seconds: u16) -> Vec<(u64, u16)> {
    let (pool, mut pace) = (Pool::new(4, 4096).unwrap(), Pace::new(Some(per_second)));
    let mut windower = Windower::new(source(&["a"]), &manifest(4, 2, r#""a""#)).unwrap();
    let mut served = Vec::new();
    for batch in 0..seconds * 2 {
        let captured = Tick::from_ns(u64::from(batch + 1) * 500_000_000);
        windower.push(Frame { captured, ..rows(&pool, batch * 50..(batch + 1) * 50, 1) });
        while let Some(window) = windower.cut(|taken| pace.lets_through(taken)).unwrap() {
            let first = values(&window)[0] / 10.0;
            served.push((window.seq, (0..5000).find(|row| f32::from(*row) == first).unwrap()));
        }
    }
    served
}

#[test]
fn a_stream_keeps_its_cut_where_windows_are_not_wanted() {
    let served = thinned(5.0, 10);
    assert!((50..=51).contains(&served.len()), "{served:?}");
    assert!(served.iter().map(|(seq, _)| *seq).eq(0..served.len() as u64), "without a gap");
    assert!(served.iter().all(|(_, row)| row % 2 == 0), "a window begins a multiple of the hop after the one before");
    // Evenly also within what came at once.
    assert!(served.windows(2).all(|pair| (16..=22).contains(&(pair[1].1 - pair[0].1))), "{served:?}");
}

#[test]
fn a_window_can_be_cut_again_after_some_were_not_wanted_but_not_after_many() {
    let pool = Pool::new(4, 4096).unwrap();
    let mut windower = Windower::new(source(&["a"]), &manifest(4, 2, r#""a""#)).unwrap();
    windower.push(rows(&pool, 0..20, 1));
    assert_eq!(windower.cut(every).unwrap().unwrap().seq, 0);
    assert!(windower.cut(|_| false).unwrap().is_none());
    assert!(windower.rewind(0));
    assert_eq!(values(&windower.cut(every).unwrap().unwrap())[0], 0.0);
    for batch in 1..100 {
        windower.push(rows(&pool, batch * 20..(batch + 1) * 20, 1));
        assert!(windower.cut(|_| false).unwrap().is_none());
        let Cut::Stream(stream) = &windower.cut else { panic!("rows are a stream") };
        assert!(stream.waiting.len() <= 4 * 3 * HELD_WINDOWS * 4, "{} bytes are held", stream.waiting.len());
    }
    assert!(!windower.rewind(0), "what it was cut from is gone");
    assert_eq!(windower.next_seq, 1);
}

proptest! {
    #[test]
    fn every_window_is_cut_once_whatever_the_frames(
        length in 1_u16..20,
        hop in 1_u16..30,
        frames in proptest::collection::vec(1_u16..40, 1..20),
    ) {
        let pool = Pool::new(4, 4096).unwrap();
        let mut windower = Windower::new(source(&["a"]), &manifest(length.into(), hop.into(), r#""a""#)).unwrap();
        let (mut row, mut expected_start) = (0, 0);
        for count in frames {
            windower.push(rows(&pool, row..row + count, 1));
            row += count;
            while let Some(window) = windower.cut(every).unwrap() {
                let expected: Vec<f32> = (expected_start..expected_start + length).map(|r| f32::from(r) * 10.0).collect();
                prop_assert_eq!(values(&window), expected);
                prop_assert_eq!(window.seq, u64::from(expected_start / hop));
                if window.seq % 3 == 2 {
                    prop_assert!(windower.rewind(window.seq));
                    let again = windower.cut(every).unwrap().unwrap();
                    prop_assert_eq!((again.seq, values(&again)), (window.seq, values(&window)));
                }
                expected_start += hop;
            }
            prop_assert!(expected_start + length > row, "a window could have been cut");
        }
    }
}
