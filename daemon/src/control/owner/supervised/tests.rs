use std::sync::Mutex;

use super::*;

/// A pipeline that is what the test says.
struct Fake(Arc<Mutex<Said>>);

struct Said {
    state: PipelineState,
    version: &'static str,
    told_to_stop: bool,
    finished: bool,
    for_good: bool,
}

impl Process for Fake {
    fn snapshot(&self, _now: Tick) -> Snapshot {
        let said = self.0.lock().unwrap();
        let serving = Serving { version: Some(said.version.parse().unwrap()), ..Serving::default() };
        Snapshot {
            state: said.state,
            reason: String::new(),
            serving,
            counts: Counts::default(),
            for_good: said.for_good,
        }
    }

    fn source(&self) -> &'static str {
        "fake"
    }

    fn stop(&self) {
        self.0.lock().unwrap().told_to_stop = true;
    }

    fn is_finished(&self) -> bool {
        self.0.lock().unwrap().finished
    }
}

/// A pipeline, the owner that looks after it, and a clock.
struct Stage {
    pipeline: Supervised<Fake>,
    said: Arc<Mutex<Said>>,
    now: Tick,
    busy: bool,
}

impl Stage {
    fn new() -> Self {
        let now = Tick::from_ns(0);
        let said = Said {
            state: PipelineState::Running,
            version: "1.0.0",
            told_to_stop: false,
            finished: false,
            for_good: false,
        };
        Self { pipeline: Supervised::new(config("m"), now), said: Arc::new(Mutex::new(said)), now, busy: false }
    }

    /// Up and serving 1.0.0.
    fn running() -> Self {
        let mut stage = Self::new();
        stage.assert_launches();
        stage.comes_up();
        stage
    }

    fn look(&mut self) -> Due<Fake> {
        self.pipeline.look(self.now, self.busy)
    }

    fn assert_launches(&mut self) {
        assert!(matches!(self.look(), Due::Launch), "{}", self.pipeline.snapshot(self.now).reason);
    }

    fn assert_nothing(&mut self) {
        assert!(matches!(self.look(), Due::Nothing));
    }

    fn comes_up(&mut self) {
        *self.said.lock().unwrap() = Said {
            state: PipelineState::Running,
            version: "1.0.0",
            told_to_stop: false,
            finished: false,
            for_good: false,
        };
        let result = Ok(Fake(Arc::clone(&self.said)));
        if self.pipeline.is_launch_outdated() {
            self.pipeline.void_launch(self.now);
        } else {
            self.pipeline.launched(result, self.now);
        }
    }

    /// The thread ends in this state and is waited for.
    fn ends(&mut self, state: PipelineState) {
        self.said.lock().unwrap().state = state;
        assert!(matches!(self.look(), Due::Join(_)));
        self.assert_nothing();
        self.pipeline.ended(self.now);
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    fn state(&self) -> PipelineState {
        self.pipeline.snapshot(self.now).state
    }

    fn was_told_to_stop(&self) -> bool {
        self.said.lock().unwrap().told_to_stop
    }
}

fn config(model: &str) -> config::Pipeline {
    let text = format!("model = \"{model}\"\nsource = {{ kind = \"recording\", path = \"/r\" }}\n");
    toml::from_str(&text).unwrap()
}

#[test]
fn a_start_while_it_drains_starts_it_again() {
    let mut stage = Stage::running();
    stage.pipeline.stop();
    assert!(stage.was_told_to_stop());
    stage.pipeline.want(stage.now);
    stage.assert_nothing();
    stage.ends(PipelineState::Stopped);
    stage.assert_launches();
}

#[test]
fn what_was_asked_last_counts() {
    // Orders while it runs; while it is brought up. `+` is start, `-` is stop.
    for (orders, runs_again) in [("-", false), ("-+", true), ("-+-", false), ("-+-+", true), ("+-", false)] {
        let obey = |stage: &mut Stage| {
            for order in orders.chars() {
                if order == '+' { stage.pipeline.want(stage.now) } else { stage.pipeline.stop() }
            }
        };
        let mut draining = Stage::running();
        obey(&mut draining);
        draining.ends(PipelineState::Stopped);
        assert_eq!(matches!(draining.look(), Due::Launch), runs_again, "draining {orders}");

        let mut launching = Stage::new();
        launching.assert_launches();
        obey(&mut launching);
        launching.comes_up();
        assert!(launching.pipeline.serving(launching.now).is_none(), "launching {orders}");
        assert_eq!(matches!(launching.look(), Due::Launch), runs_again, "launching {orders}");
    }
}

#[test]
fn a_launch_that_is_given_up_is_stopped_for_others() {
    let mut stage = Stage::new();
    stage.assert_launches();
    assert_eq!(stage.state(), PipelineState::Starting);
    stage.pipeline.stop();
    assert!(stage.pipeline.is_stopped() && !stage.pipeline.is_idle());
    assert_eq!(stage.state(), PipelineState::Stopped);
    stage.pipeline.want(stage.now);
    assert_eq!(stage.state(), PipelineState::Starting);
}

#[test]
fn a_start_of_what_runs_changes_nothing() {
    let mut stage = Stage::running();
    stage.pipeline.want(stage.now);
    stage.pipeline.stop();
    stage.ends(PipelineState::Stopped);
    stage.assert_nothing();
    assert!(stage.pipeline.is_idle());
}

#[test]
fn a_start_right_after_a_recording_has_ended_plays_it_again() {
    let mut stage = Stage::running();
    stage.said.lock().unwrap().state = PipelineState::Finished;
    // Nobody has looked yet.
    stage.pipeline.want(stage.now);
    stage.ends(PipelineState::Finished);
    stage.assert_launches();
}

#[test]
fn a_change_while_launching_launches_the_new_one() {
    let mut stage = Stage::new();
    stage.assert_launches();
    stage.pipeline.change(config("other"), stage.now);
    stage.assert_nothing();
    stage.comes_up();
    assert!(stage.pipeline.serving(stage.now).is_none(), "what was launched is of the old configuration");
    stage.assert_launches();
    assert_eq!(stage.pipeline.snapshot(stage.now).model.as_str(), "other");
}

#[test]
fn a_change_to_disabled_stops_it_for_good() {
    let mut stage = Stage::running();
    stage.pipeline.change(config::Pipeline { enabled: false, ..config("m") }, stage.now);
    stage.ends(PipelineState::Stopped);
    stage.assert_nothing();
}

#[test]
fn removed_and_put_back_it_runs_again() {
    let mut draining = Stage::running();
    draining.pipeline.remove();
    draining.pipeline.keep(draining.now);
    draining.ends(PipelineState::Stopped);
    draining.assert_launches();

    let mut launching = Stage::new();
    launching.assert_launches();
    launching.pipeline.remove();
    launching.pipeline.keep(launching.now);
    launching.comes_up();
    launching.assert_launches();
}

#[test]
fn one_that_was_stopped_by_hand_stays_so_when_the_file_is_read_again() {
    let mut stage = Stage::running();
    stage.pipeline.stop();
    stage.pipeline.keep(stage.now);
    stage.ends(PipelineState::Stopped);
    stage.assert_nothing();
}

#[test]
fn an_outdated_launch_is_done_again_but_not_one_that_was_stopped() {
    let mut stage = Stage::new();
    stage.assert_launches();
    stage.pipeline.outdate_launch();
    stage.comes_up();
    assert!(stage.pipeline.serving(stage.now).is_none());
    stage.assert_launches();
    stage.pipeline.stop();
    stage.pipeline.outdate_launch();
    stage.comes_up();
    stage.assert_nothing();
    assert_eq!(stage.state(), PipelineState::Stopped);
}

#[test]
fn nothing_is_launched_while_its_model_is_swapped() {
    // The swap begins first.
    let mut stage = Stage { busy: true, ..Stage::new() };
    stage.assert_nothing();
    assert_eq!(
        (stage.state(), stage.pipeline.snapshot(stage.now).reason.as_str()),
        (PipelineState::Waiting, MODEL_BUSY)
    );
    stage.busy = false;
    stage.assert_launches();

    // The launch begins first: whenever it comes to its end, it is done again after the swap.
    let mut stage = Stage::new();
    stage.assert_launches();
    stage.busy = true;
    stage.pipeline.outdate_launch();
    stage.comes_up();
    stage.assert_nothing();
    stage.busy = false;
    stage.assert_launches();
    stage.comes_up();
    assert!(stage.pipeline.serving(stage.now).is_some());
}

#[test]
fn one_that_missed_a_promotion_is_started_again() {
    let mut stage = Stage::running();
    stage.pipeline.follow(&"1.0.0".parse().unwrap(), stage.now);
    assert!(!stage.was_told_to_stop());
    stage.pipeline.follow(&"1.1.0".parse().unwrap(), stage.now);
    assert!(stage.was_told_to_stop());
    stage.ends(PipelineState::Stopped);
    stage.assert_launches();
}

#[test]
fn pauses_double_up_to_the_longest_and_a_start_begins_anew() {
    let mut stage = Stage::new();
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        stage.assert_launches();
        stage.pipeline.launched(Err(NotLaunched::Waiting("no model".into())), stage.now);
        stage.wait(Duration::from_secs(seconds) - Duration::from_nanos(1));
        stage.assert_nothing();
        stage.wait(Duration::from_nanos(1));
    }
    stage.pipeline.want(stage.now);
    stage.assert_launches();
    stage.pipeline.launched(Err(NotLaunched::Waiting("no model".into())), stage.now);
    stage.wait(RETRY_FIRST);
    stage.assert_launches();
}

#[test]
fn what_cannot_run_is_not_tried_again_until_something_is_mended() {
    let mut stage = Stage::new();
    stage.assert_launches();
    stage.pipeline.launched(Err(NotLaunched::Failed("it does not fit".into())), stage.now);
    stage.wait(Duration::from_secs(3600));
    stage.assert_nothing();
    assert_eq!(stage.state(), PipelineState::Failed);
    stage.pipeline.hurry(stage.now);
    stage.assert_launches();
}

#[test]
fn one_that_fails_while_it_runs_is_tried_again_unless_it_was_told_to_end() {
    let mut stage = Stage::running();
    stage.ends(PipelineState::Failed);
    stage.assert_nothing();
    stage.wait(RETRY_MAX);
    stage.assert_launches();
    stage.comes_up();
    stage.pipeline.stop();
    stage.ends(PipelineState::Failed);
    stage.wait(RETRY_MAX);
    stage.assert_nothing();
}

#[test]
fn a_recording_that_broke_in_its_middle_is_not_played_again_by_itself() {
    let mut stage = Stage::running();
    stage.said.lock().unwrap().for_good = true;
    stage.ends(PipelineState::Failed);
    stage.wait(Duration::from_secs(3600));
    stage.assert_nothing();
    stage.pipeline.want(stage.now);
    stage.assert_launches();
}

#[test]
fn a_thread_that_is_gone_without_a_word_has_failed() {
    let mut stage = Stage::running();
    stage.said.lock().unwrap().finished = true;
    stage.ends(PipelineState::Running);
    assert_eq!(stage.state(), PipelineState::Failed);
    assert!(stage.pipeline.snapshot(stage.now).reason.contains("panicked"));
    stage.wait(RETRY_MAX);
    stage.assert_launches();
}
