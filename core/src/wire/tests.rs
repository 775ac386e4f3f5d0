use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::Shape;
use crate::frame::{Dtype, ImageSize, PixelFormat};
use crate::manifest::{MAX_BYTES, Manifest};
use crate::outcome::FailedStage;
use crate::prediction::{Detection, MAX_VALUES};

fn encoded<T: Serialize>(message: &T) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode(message, &mut buffer).unwrap();
    buffer
}

fn manifest(text: &str, labels: &str) -> Manifest {
    Manifest::parse(text, &mut |_| Ok(labels.to_owned())).unwrap()
}

fn load(model: ModelSpec) -> ToRunner {
    let limits = Limits { memory_bytes: u64::MAX, threads: u32::MAX, sandbox: SandboxPolicy::Full };
    ToRunner::Load(Box::new(Load {
        protocol: PROTOCOL,
        model,
        artifact_bytes: u64::MAX,
        limits,
        warm_up_runs: u32::MAX,
    }))
}

const HEAD: &str =
    "format = 1\nname = \"a\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\nartifact = { file = \"m.onnx\" }\n";

/// One of each kind of input and each task.
fn models() -> [ModelSpec; 5] {
    let mel = "frame_length = 400\nframe_step = 160\ncoefficients = 10\n";
    [
        "[input]\nkind = \"image\"\nshape = [1, 4, 6, 3]\nlayout = \"NHWC\"\n[output]\ntask = \"detection\"\n\
         tensor = \"corners\"\nlabels = [\"a\"]\nboxes = { scores_tensor = \"scores\" }\n"
            .to_owned(),
        format!(
            "[input]\nkind = \"audio\"\nshape = [1, 98, 10]\n[input.audio]\nrate_hz = 16000\nfeatures = \"mfcc\"\n{mel}\
             [window]\nlength = 16000\nhop = 8000\n[output]\ntask = \"classification\"\nlabels = [\"a\", \"b\"]\n"
        ),
        "[input]\nkind = \"audio\"\nshape = [1, 100]\naudio = { rate_hz = 16000 }\n[window]\nlength = 100\nhop = 100\n\
         [output]\ntask = \"regression\"\nlabels = [\"a\"]\n"
            .to_owned(),
        "[input]\nkind = \"imu\"\nshape = [1, 100, 1]\nlayout = \"NTC\"\nimu = { rate_hz = 50.0, channels = [\"x\"] }\n\
         [window]\nlength = 100\nhop = 100\n[output]\ntask = \"anomaly\"\n"
            .to_owned(),
        "[input]\nkind = \"tensor\"\nshape = [4]\n[output]\ntask = \"raw\"\n".to_owned(),
    ]
    .map(|body| ModelSpec::from(&manifest(&format!("{HEAD}{body}"), "")))
}

fn to_runner() -> Vec<ToRunner> {
    let size = ImageSize { width: 640, height: 480 };
    let formats = [
        Format::Jpeg,
        Format::Png,
        Format::Bmp,
        Format::Raw(PixelFormat::Rgb24, size),
        Format::Raw(PixelFormat::Bgr24, size),
        Format::Raw(PixelFormat::Grey8, size),
        Format::Raw(PixelFormat::I420, size),
        Format::Raw(PixelFormat::I422, size),
        Format::Raw(PixelFormat::Nv12, size),
        Format::Raw(PixelFormat::Yuyv, size),
        Format::Raw(PixelFormat::Uyvy, size),
        Format::Pcm { rate_hz: 16_000, channels: 2 },
        Format::Imu { rate_hz: 50.0, channels: 6 },
        Format::Tensor { dtype: Dtype::I8, shape: Shape::new(&[1, 300]).unwrap() },
        Format::Npy,
        Format::Wav,
        Format::Csv,
    ];
    let golden = GoldenRun { index: 1, format: Format::Npy, input_bytes: 300, expected_bytes: vec![2, 3] };
    let mut messages: Vec<ToRunner> = models().map(load).into();
    messages.push(ToRunner::Pool { pool: 1, bytes: 1 << 40 });
    messages.push(ToRunner::Golden(golden));
    messages.extend(formats.map(|format| ToRunner::Infer(WindowRef { seq: 1, pool: 2, offset: 3, len: 4, format })));
    messages
}

fn from_runner() -> Vec<FromRunner> {
    let sandbox = SandboxReport { no_new_privs: true, landlock_abi: 6, seccomp: true, rlimits: false };
    let times = StageTimes { decode_ns: 1, preprocess_ns: 2, inference_ns: 3, postprocess_ns: 4 };
    let predictions = [
        Prediction::Classes(vec![0.5]),
        Prediction::Boxes(vec![Detection { class: 1, score: 0.5, area: [0.0, 0.25, 0.5, 1.0] }]),
        Prediction::Anomaly(0.5),
        Prediction::Values(vec![0.5]),
        Prediction::Raw(vec![0.5]),
    ];
    let compared = GoldenResult::Compared { max_difference: 0.5 };
    let failure = |stage| Failure { stage, reason: "r".into() };
    let mut messages = vec![
        FromRunner::Ready(Ready { backend: "tract".into(), sandbox, load_ns: 1, warm_ns: 2 }),
        FromRunner::Refused { reason: "no".into() },
        FromRunner::Golden { index: 1, result: compared },
        FromRunner::Golden { index: 1, result: GoldenResult::Failed(failure(FailedStage::Decode)) },
    ];
    messages.extend(predictions.map(|prediction| FromRunner::Done { seq: 1, prediction, times }));
    messages.extend(FailedStage::ALL.map(|stage| FromRunner::Failed { seq: 1, failure: failure(stage) }));
    messages
}

/// The protocol's number, and FNV-1a over the encodings of all messages above in hexadecimal.
const PINNED: (u32, u64) = (4, 0xe774_d8e6_4eb7_ca62);

/// Whoever changes an encoding raises [`PROTOCOL`] and writes both numbers of the new one down here.
#[test]
fn an_encoding_changes_only_with_the_protocol() {
    let mut text = String::new();
    let packets = to_runner().iter().map(encoded).chain(from_runner().iter().map(encoded)).collect::<Vec<_>>();
    for packet in packets {
        writeln!(text, "{}", hex::encode(packet)).unwrap();
    }
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!((PROTOCOL, hash), PINNED, "{hash:#x}; the encodings:\n{text}");
}

#[test]
fn what_a_mixed_installation_needs_stays_for_good() {
    let [model, ..] = models();
    let mut packet = encoded(&load(model));
    assert_eq!(packet[..2], [0, u8::try_from(PROTOCOL).unwrap()]);
    assert_eq!(encoded(&FromRunner::Refused { reason: "no".into() }), [1, 2, b'n', b'o']);
    packet[1] = 99;
    packet.truncate(5);
    assert!(matches!(decode_to_runner(&packet), Err(WireError::Protocol { found: 99 })));
    for message in to_runner() {
        assert_eq!(decode_to_runner(&encoded(&message)).unwrap(), message);
    }
    let number_over_32_bits =
        ToRunner::Infer(WindowRef { seq: u64::MAX, pool: 0, offset: 0, len: 0, format: Format::Jpeg });
    assert_eq!(decode_to_runner(&encoded(&number_over_32_bits)).unwrap(), number_over_32_bits);
}

#[test]
fn the_largest_prediction_fits_one_message() {
    let message = FromRunner::Done {
        seq: u64::MAX,
        prediction: Prediction::Raw(vec![f32::MAX; MAX_VALUES]),
        times: StageTimes::default(),
    };
    assert_eq!(decode::<FromRunner>(&encoded(&message)).unwrap(), message);
}

/// Every name as long and every list as full as the check allows.
#[test]
fn the_largest_manifest_fits_one_message() {
    let (name, many) = ("n".repeat(1_000), MAX_VALUES);
    let channels: Vec<String> = (0..64).map(|index| format!("{index:04}{}", &name[4..])).collect();
    let (offset, scale) = (vec![-1e30_f32; 64], vec![1e30_f32; 64]);
    let imu = format!(
        "{HEAD}description = \"{}\"\n[input]\nkind = \"imu\"\ntensor = \"{name}\"\nshape = [1, 1, 1, 1, 64, 28800000]\n\
         layout = \"NCT\"\n[input.imu]\nrate_hz = 99999.9\nchannels = {channels:?}\noffset = {offset:?}\nscale = {scale:?}\n\
         [window]\nlength = 28800000\nhop = 28800000\n[output]\ntask = \"classification\"\ntensor = \"{name}\"\n\
         activation = \"softmax\"\nlabels_file = \"labels.txt\"\n",
        "d".repeat(100_000),
    );
    let labels: String = (0..many).map(|index| format!("{index} {}\n", &name[..60])).collect();
    let large = manifest(&imu, &labels);
    assert!(imu.len() < MAX_BYTES && large.output.labels.len() == many);
    let boxes = format!(
        "{HEAD}[input]\nkind = \"image\"\ntensor = \"{name}\"\nshape = [1, 3, 4096, 4096]\nlayout = \"NCHW\"\n[output]\n\
         task = \"detection\"\ntensor = \"{name}\"\nlabels_file = \"labels.txt\"\n[output.boxes]\nscores_tensor = \"{name}\"\n\
         background = \"0 {}\"\n",
        &name[..60],
    );
    for manifest in [large, manifest(&boxes, &labels)] {
        let packet = encoded(&load(ModelSpec::from(&manifest)));
        assert!(packet.len() < MAX_MESSAGE_BYTES, "{}", packet.len());
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    let mut packet = encoded(&ToRunner::Pool { pool: 1, bytes: 2 });
    packet.push(0);
    assert!(decode::<ToRunner>(&packet).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode::<FromRunner>(&bytes);
        let _ = decode_to_runner(&bytes);
    }

    #[test]
    fn windows_survive_the_wire(seq: u64, pool: u32, offset: u64, len: u64) {
        let message = ToRunner::Infer(WindowRef { seq, pool, offset, len, format: Format::Jpeg });
        prop_assert_eq!(decode_to_runner(&encoded(&message)).unwrap(), message);
    }
}
