//! A busy inferd, for tests: pipelines in every state that an operator looks at, a minute old.

use std::time::Duration;

use super::process::Process;
use super::seen::Seen;
use super::state::{Feed, State, Told};
use crate::fixture;
use crate::view::{Counts, Everything, Pipeline};

/// When the state of [`busy`] is looked at.
pub(super) const NOW: Duration = Duration::from_secs(60);

/// Five pipelines after a minute: two run, one has failed, one waits, one was stopped.
pub(super) fn busy() -> State {
    let mut state = State::default();
    for second in 0..=NOW.as_secs() {
        let at = Duration::from_secs(second);
        state.take(at, Feed::Told(Box::new(Told { everything: everything(second), process: process() })));
        if second % 20 < 15 {
            state.take(at, Feed::Outcome(outcome("belt", second)));
        }
        if second.is_multiple_of(2) {
            state.take(at, Feed::Outcome(outcome("hall", second)));
        }
    }
    state
}

/// What the bus tells of pipelines that run, of these names.
pub(super) fn told(names: &[&str]) -> Feed {
    let pipelines = names.iter().map(|name| Pipeline { name: (*name).into(), ..running(60) }).collect();
    let everything = Everything { pipelines, ..everything(60) };
    Feed::Told(Box::new(Told { everything, process: process() }))
}

fn process() -> Option<Process> {
    let uptime = Some(Duration::from_secs(3 * 86_400 + 4 * 3600));
    Some(Process { pid: 4711, uptime, resident_bytes: Some(41_205_760) })
}

fn everything(second: u64) -> Everything {
    let mut everything = fixture::everything();
    everything.status = "2 of 5 pipelines run".into();
    let mut door = everything.pipelines.remove(1);
    door.reason = "model `knock` is not installed".into();
    let hall = Pipeline {
        name: "hall".into(),
        model: "people-counter-with-a-long-name".into(),
        version: "12.4.0-rc.1".into(),
        counts: Counts {
            windows: second * 30,
            uncertain: second * 3,
            dropped: 100_000 + second,
            per_second: 30.0,
            latency_p50_ms: 2.4,
            latency_p99_ms: 9.0,
            ..Counts::default()
        },
        ..running(second)
    };
    let (yard, porch) = (Pipeline { name: "yard".into(), ..stopped() }, waiting());
    everything.pipelines = vec![running(second), door, hall, porch, yard];
    everything
}

fn running(second: u64) -> Pipeline {
    let belt = fixture::everything().pipelines.remove(0);
    Pipeline { counts: Counts { windows: second * 10, uncertain: second / 10, ..belt.counts.clone() }, ..belt }
}

fn stopped() -> Pipeline {
    Pipeline { state: "stopped".into(), model: "belt-inspect".into(), source: "camera".into(), ..Pipeline::default() }
}

fn waiting() -> Pipeline {
    let reason = "camera usb-046d_0825 is not attached; it is looked for every few seconds".into();
    Pipeline { name: "porch".into(), state: "waiting".into(), reason, ..stopped() }
}

fn outcome(pipeline: &str, second: u64) -> Seen {
    let ripple = f64::from(u32::try_from(second % 10).unwrap()) / 10.0;
    let (label, verdict) = if second.is_multiple_of(5) { ("scratch", "event") } else { ("fine", "normal") };
    let confidence = 0.6 + ripple / 3.0;
    Seen {
        pipeline: pipeline.into(),
        window: second * 10,
        clock: format!("12:00:{:02}.000", second % 60),
        verdict: verdict.into(),
        label: Some(label.into()),
        said: format!("{label} {confidence:.3}"),
        confidence: Some(confidence),
        latency_ms: 3.0 + ripple * 9.0,
        stages_ms: Some([0.5, 0.2, 2.0 + ripple, 0.01]),
    }
}
