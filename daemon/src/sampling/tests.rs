use std::sync::Arc;

use inferd_core::outcome::{FailedStage, Failure, Inference, Verdict};
use inferd_core::prediction::{Detection, StageTimes};
use inferd_core::{Digest, ModelId};
use proptest::collection::vec;
use proptest::{prop_assert, proptest};

use super::*;

fn outcome(prediction: Option<Prediction>) -> Outcome {
    let failure = Failure { stage: FailedStage::Decode, reason: "no JPEG".into() };
    let result = prediction.map(|prediction| Inference { prediction, times: StageTimes::default() }).ok_or(failure);
    Outcome {
        pipeline: "belt".parse().unwrap(),
        window: 7,
        captured_unix_ns: 0,
        latency_ns: 0,
        model: Arc::new(ModelId {
            name: "inspect".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            digest: Digest::from_bytes([0; 32]),
        }),
        labels: Arc::new([]),
        verdict: if result.is_ok() { Verdict::Uncertain } else { Verdict::Failed },
        class: None,
        confidence: 0.0,
        margin: 0.0,
        result,
    }
}

fn unsure() -> Outcome {
    outcome(Some(Prediction::Classes(vec![0.5, 0.5])))
}

fn sampler(strategy: Strategy, above: f32, per_minute: f32, clock: &Clock) -> Sampler {
    Sampler::new(&config::Sampling { strategy, above, per_minute }, clock.clone())
}

#[test]
fn uncertainty_follows_the_documented_formulas() {
    let classes = |scores: &[f32]| Prediction::Classes(scores.to_vec());
    let found = |score| Detection { class: 0, score, area: [0.0; 4] };
    let cases = [
        (Strategy::LeastConfidence, classes(&[0.7, 0.2, 0.1]), Some(0.3)),
        (Strategy::Margin, classes(&[0.7, 0.2, 0.1]), Some(0.5)),
        (Strategy::Entropy, classes(&[0.7, 0.2, 0.1]), Some(0.801_818_6 / 3_f32.ln())),
        (Strategy::Entropy, classes(&[0.25; 4]), Some(1.0)),
        (Strategy::Entropy, classes(&[1.0, 0.0]), Some(0.0)),
        (Strategy::Entropy, classes(&[0.5]), Some(1.0)),
        (Strategy::Entropy, Prediction::Boxes(vec![found(0.2), found(0.9)]), Some(0.1)),
        (Strategy::Margin, Prediction::Boxes(vec![]), None),
        (Strategy::Margin, Prediction::Anomaly(3.0), None),
        (Strategy::None, classes(&[0.5, 0.5]), None),
    ];
    for (strategy, prediction, expected) in cases {
        let measured = uncertainty(strategy, &prediction);
        let equal = match (measured, expected) {
            (Some(measured), Some(expected)) => (measured - expected).abs() < 1e-5,
            (measured, expected) => measured == expected,
        };
        assert!(equal, "{strategy:?} of {prediction:?} is {measured:?}");
    }
}

#[test]
fn only_what_is_above_the_limit_is_kept() {
    let clock = Clock::manual();
    let mut sampler = sampler(Strategy::LeastConfidence, 0.25, 60.0, &clock);
    assert!(sampler.consider(&outcome(Some(Prediction::Classes(vec![0.75, 0.25])))).is_none());
    let kept = sampler.consider(&outcome(Some(Prediction::Classes(vec![0.5, 0.5])))).unwrap();
    assert_eq!(kept, Reason { why: Why::LeastConfidence, uncertainty: 0.5 });
    assert_eq!(kept.to_string(), "least-confidence 0.50");
    assert!(sampler.consider(&outcome(None)).is_none());
}

#[test]
fn a_rate_below_one_a_minute_spreads_over_minutes() {
    let clock = Clock::manual();
    let mut sampler = sampler(Strategy::Margin, 0.1, 0.5, &clock);
    assert!(sampler.consider(&unsure()).is_some());
    clock.advance(Duration::from_millis(119_999));
    assert!(sampler.consider(&unsure()).is_none());
    clock.advance(Duration::from_millis(1));
    assert!(sampler.consider(&unsure()).is_some());
    assert_eq!(sampler.throttled(), 1);
}

#[test]
fn requested_windows_are_kept_whatever_the_model_says_and_cost_no_budget() {
    let clock = Clock::manual();
    let mut sampler = sampler(Strategy::Margin, 0.1, 1.0, &clock);
    sampler.capture(2);
    assert_eq!(sampler.consider(&outcome(None)).unwrap().why, Why::Requested);
    let sure = outcome(Some(Prediction::Classes(vec![1.0, 0.0])));
    assert_eq!(sampler.consider(&sure).unwrap().why, Why::Requested);
    assert!(sampler.consider(&sure).is_none());
    assert_eq!(sampler.consider(&unsure()).unwrap().why, Why::Margin);
    assert_eq!(sampler.throttled(), 0);
}

proptest! {
    #[test]
    fn any_minute_holds_at_most_the_budget(
        per_minute in 1.0_f32..30.0,
        pauses_ms in vec(0_u64..5_000, 1..400),
    ) {
        let clock = Clock::manual();
        let mut sampler = sampler(Strategy::Margin, 0.1, per_minute, &clock);
        let mut kept = Vec::new();
        for pause_ms in pauses_ms {
            clock.advance(Duration::from_millis(pause_ms));
            if sampler.consider(&unsure()).is_some() {
                kept.push(clock.now());
            }
        }
        for (index, &first) in kept.iter().enumerate() {
            let within = kept[index..].iter().filter(|at| at.since(first) < Duration::from_secs(60)).count();
            prop_assert!(within as f32 <= per_minute, "{} in a minute at {}", within, per_minute);
        }
    }
}
