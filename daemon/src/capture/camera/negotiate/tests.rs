//! Against what real cameras list (`recorded/`: `v4l2-ctl --list-formats-ext`, with where each is from).

use super::*;

macro_rules! recorded {
    ($name:literal) => {
        ($name, include_str!(concat!("../recorded/", $name, ".txt")))
    };
}

const C270: (&str, &str) = recorded!("logitech-c270");
const C920: (&str, &str) = recorded!("logitech-c920");
const GRABBER: (&str, &str) = recorded!("macrosilicon-ms2109-hdmi-grabber");
const RASPBERRY: (&str, &str) = recorded!("raspberry-pi-camera-v1-bcm2835-v4l2");
const UNICAM: (&str, &str) = recorded!("raspberry-pi-unicam-imx708");
const ROCKCHIP: (&str, &str) = recorded!("rockchip-rkisp-mainpath-imx415-mplane");
const JETSON: (&str, &str) = recorded!("jetson-imx219-rg10");
const INFRARED: (&str, &str) = recorded!("surface-laptop3-ir-grey");
const INDUSTRIAL: (&str, &str) = recorded!("tis-dfm27ur0135-bayer-grey-y16");
const BAD_SIZES: (&str, &str) = recorded!("imx8mm-mono-zero-height");

/// A format of a listing: its sizes, each with its rates.
type Listed = (FourCc, Vec<(Sizes, Vec<f64>)>);

fn size(text: &str) -> ImageSize {
    let (width, height) = text.split_once('x').unwrap_or_else(|| text.split_once('/').unwrap());
    ImageSize { width: width.parse().unwrap(), height: height.parse().unwrap() }
}

fn parse(text: &str) -> Vec<Listed> {
    let mut formats: Vec<Listed> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((_, rest)) = line.split_once('\'').filter(|_| line.starts_with('[') || line.starts_with("Pixel")) {
            let code: [u8; 4] = rest.split_once('\'').unwrap().0.as_bytes().try_into().unwrap();
            formats.push((FourCc(code), Vec::new()));
        } else if let Some(rest) = line.strip_prefix("Size: ") {
            let sizes = &mut formats.last_mut().unwrap().1;
            let words: Vec<&str> = rest.split_whitespace().collect();
            sizes.push((
                match words[..] {
                    ["Discrete", only] => Sizes::Discrete(size(only)),
                    ["Stepwise", least, "-", most, "with", "step", step] => {
                        Sizes::Stepwise { least: size(least), most: size(most), step: size(step) }
                    }
                    _ => panic!("{line}"),
                },
                Vec::new(),
            ));
        } else if let Some(rest) = line.strip_prefix("Interval: Discrete ") {
            let fps = rest.split_once('(').unwrap().1.trim_end_matches(" fps)");
            formats.last_mut().unwrap().1.last_mut().unwrap().1.push(fps.parse().unwrap());
        }
    }
    assert!(!formats.is_empty());
    formats
}

/// What `find::offers` makes of a camera that lists this.
fn offers((_, text): (&str, &str), wanted: &Wanted) -> Vec<Offer> {
    let of_format = |(fourcc, listed): Listed| {
        let sizes: Vec<Sizes> = listed.iter().map(|(sizes, _)| *sizes).collect();
        let rates = move |size| {
            let same = listed.iter().find(|(sizes, _)| *sizes == Sizes::Discrete(size));
            let rates = same.map(|(_, rates)| rates.clone()).filter(|rates| !rates.is_empty());
            rates.map_or(Rates::Unknown, Rates::Listed)
        };
        candidates(&sizes, wanted).into_iter().map(move |size| Offer { fourcc, size, rates: rates(size) })
    };
    parse(text).into_iter().filter(|(fourcc, _)| known(*fourcc).is_some()).flat_map(of_format).collect()
}

fn best(camera: (&str, &str), wanted: &Wanted) -> Option<String> {
    let chosen = *choices(&offers(camera, wanted), wanted).first()?;
    Some(format!("{chosen}"))
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title())
    }
}

fn model(width: u32, height: u32) -> Wanted {
    Wanted { model: Some(ImageSize { width, height }), ..Wanted::default() }
}

#[test]
fn the_cheapest_that_does_what_the_model_needs_is_taken() {
    for (camera, (width, height), expected) in [
        // The smallest that need not be enlarged, raw.
        (C270, (96, 96), "YUYV 160x120 at 30 fps"),
        (C270, (224, 224), "YUYV 320x240 at 30 fps"),
        (C270, (320, 320), "YUYV 640x360 at 30 fps"),
        // Raw has five pictures a second at this size: the bus has no room for more.
        (C920, (1920, 1080), "MJPG 1920x1080 at 30 fps"),
        (C920, (640, 480), "YUYV 640x480 at 30 fps"),
        // Larger than all: the largest, at what it does.
        (C270, (4000, 3000), "MJPG 1280x960 at 30 fps"),
        (GRABBER, (224, 224), "YUYV 640x480 at 30 fps"),
        (RASPBERRY, (224, 224), "NV12 320x240"),
        (ROCKCHIP, (640, 640), "NV12 1280x720"),
        (INFRARED, (224, 224), "GREY 480x480 at 60 fps"),
        (INDUSTRIAL, (224, 224), "GREY 640x480 at 30 fps"),
        (BAD_SIZES, (96, 96), "GREY 1920x1080"),
    ] {
        let found = best(camera, &model(width, height));
        assert_eq!(found.as_deref(), Some(expected), "{} for {width}x{height}", camera.0);
    }
}

#[test]
fn what_is_configured_leads() {
    let configured = |width, height, fps, format| Wanted {
        size: Some(ImageSize { width, height }),
        fps: Some(fps),
        format,
        ..model(224, 224)
    };
    for (camera, wanted, expected) in [
        (C270, configured(640, 480, 10.0, None), "YUYV 640x480 at 10 fps"),
        // The slowest that reaches it.
        (C270, configured(640, 480, 12.0, None), "YUYV 640x480 at 15 fps"),
        (C270, configured(640, 480, 10.0, Some(CameraFormat::Mjpeg)), "MJPG 640x480 at 10 fps"),
        // The nearest there is.
        (C270, configured(650, 490, 30.0, None), "YUYV 640x480 at 30 fps"),
        (C920, configured(1920, 1080, 5.0, None), "YUYV 1920x1080 at 5 fps"),
        (C920, configured(1920, 1080, 10.0, None), "MJPG 1920x1080 at 10 fps"),
        (RASPBERRY, configured(641, 481, 10.0, Some(CameraFormat::Raw(PixelFormat::I420))), "YU12 642x482 at 10 fps"),
        (ROCKCHIP, configured(9000, 9000, 10.0, None), "NV12 3840x2160 at 10 fps"),
    ] {
        assert_eq!(best(camera, &wanted).as_deref(), Some(expected), "{} {wanted:?}", camera.0);
    }
    let fast = Wanted { fps: Some(60.0), ..model(640, 480) };
    assert_eq!(best(INDUSTRIAL, &fast).as_deref(), Some("GREY 640x480 at 60 fps"));
}

#[test]
fn a_camera_that_gives_nothing_known_is_no_choice() {
    assert_eq!(best(JETSON, &model(224, 224)), None);
    let wanted = Wanted { format: Some(CameraFormat::Raw(PixelFormat::Nv12)), ..model(224, 224) };
    assert_eq!(best(C270, &wanted), None);
}

#[test]
fn there_is_a_next_best_where_a_camera_cannot_do_what_it_lists() {
    // A receiver lists what it could store; which of it the sensor gives shows when it is started.
    let wanted = model(224, 224);
    let all = choices(&offers(UNICAM, &wanted), &wanted);
    let formats: Vec<String> = all.iter().take(4).map(ToString::to_string).collect();
    assert_eq!(formats, ["YUYV 320x240", "UYVY 320x240", "RGB3 320x240", "BGR3 320x240"]);
    // On a bus that is full, JPEG has room where raw pictures have not.
    let all = choices(&offers(C270, &wanted), &wanted);
    assert!(all.iter().take(super::super::TRIES).any(|choice| choice.format == CameraFormat::Mjpeg), "{all:?}");
}

/// The Raspberry Pi's driver says 1 to 90 pictures a second.
#[test]
fn of_a_range_of_rates_the_wanted_one_is_taken() {
    let range = Rates::Range { slowest: 1.0, fastest: 90.0 };
    for (wanted, expected) in [(None, 30.0), (Some(10.0), 10.0), (Some(200.0), 90.0), (Some(0.1), 1.0)] {
        assert_eq!(rate(&range, wanted).0, Some(expected), "{wanted:?}");
    }
    assert_eq!(rate(&Rates::Range { slowest: 1.0, fastest: 5.0 }, None), (Some(5.0), 667));
    assert_eq!((rate(&Rates::Unknown, None), rate(&Rates::Unknown, Some(7.0))), ((None, 0), (Some(7.0), 0)));
}

#[test]
fn steps_are_kept_to() {
    for (side, limits, expected) in [
        (641, (32, 2592, 2), 642),
        (640, (32, 2592, 2), 640),
        (5, (32, 2592, 2), 32),
        (9999, (32, 2592, 2), 2592),
        (100, (0, u32::MAX, 0), 100),
        (33, (32, 100, 8), 40),
    ] {
        assert_eq!(stepped(side, limits), expected, "{side} {limits:?}");
    }
}
