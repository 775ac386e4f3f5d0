//! Names of what is not there.

use crate::serving::{MODEL, Serving, assert_refused};

#[test]
fn unknown_models_versions_pipelines_and_samples() {
    let mut serving = Serving::start();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let cases: [(&[&str], &str, &[&str]); 11] = [
        (&["activate", "absent", "1.0.0"], "NotFound", &["no model `absent`", "`inferctl models`"]),
        (&["rollback", "absent"], "NotFound", &["no model `absent`", "`inferctl models`"]),
        (&["remove", "absent", "1.0.0"], "NotFound", &["no model `absent`", "`inferctl models`"]),
        (&["activate", MODEL, "9.9.9"], "NotFound", &["has no version 9.9.9", "`inferctl models`"]),
        (&["remove", MODEL, "9.9.9"], "NotFound", &["has no version 9.9.9", "`inferctl models`"]),
        (&["rollback", MODEL], "NotFound", &["has no previous version"]),
        (&["remove", MODEL, "1.0.0"], "WrongState", &["cannot be removed", "active"]),
        (&["start", "absent"], "NotFound", &["no pipeline `absent`", "`inferctl pipelines`"]),
        (&["stop", "absent"], "NotFound", &["no pipeline `absent`", "`inferctl pipelines`"]),
        (&["capture", "absent", "1"], "NotFound", &["no pipeline `absent`", "`inferctl pipelines`"]),
        (&["samples", "--discard", id], "NotFound", &[id, "`inferctl samples`"]),
    ];
    for (arguments, name, words) in cases {
        let arguments = [arguments, &["--json"]].concat();
        assert_refused(&serving.rig.ctl_output(&arguments).unwrap(), name, words);
    }
    serving.goes_on();
}

#[test]
fn capturing_from_a_pipeline_that_does_not_run_says_how_to_start_it() {
    let serving = Serving::start();
    serving.rig.ctl(&["stop", "belt"]).unwrap();
    serving.rig.wait_for_state("belt", "stopped").unwrap();
    let refused = serving.rig.ctl_output(&["capture", "belt", "1", "--json"]).unwrap();
    assert_refused(&refused, "WrongState", &["`inferctl start belt`"]);
}
